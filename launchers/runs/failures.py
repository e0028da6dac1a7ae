"""What ends a training early, in one line that says what to do; the exit code it leads to.

Nothing here imports jax: the command line asks for the code of any mistake.
"""

from __future__ import annotations

import contextlib
import dis
import errno
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from tolman.envs.places import is_own, last_place, spelled, users_place
from tolman.launchers.runs.stopping import RunStopped


class RunFailure(RuntimeError):
    """What ended a run; the message says in one line what it was and what to do."""


class ProcessFailure(RunFailure):
    """A process of the run dies again and again; the message says which, and of what."""


class DivergenceError(RunFailure):
    """A loss or parameter is not finite; the message names it and the last checkpoint."""


class DiskFullError(RunFailure):
    """There is no space left; the message names the last checkpoint."""


class FailedCodeError(RunFailure):
    """Code that the run called raised something that nobody expected, such as a user's."""


class PathError(RunFailure):
    """A file or folder cannot be read or written; the message names it."""


class SizeError(RunFailure):
    """There is no memory left, or a number is larger than 32 bits hold."""


def explain(error: Exception, log: Path, where: str = "") -> Exception:
    """What a user is told of an error: itself where it was written for users.

    Args:
      error: what was raised.
      log: the file that its whole traceback goes to.
      where: how far the training was, in words.
    """
    told = _told(error, where)
    if told is not None:
        return told
    text, after = _named(error, users_place(error) or last_place(error)), where and " "
    return FailedCodeError(f"{text}{after}{where}. The whole traceback is in {log}.")


@contextlib.contextmanager
def explained(log: Path) -> Iterator[None]:
    """Raises what `explain` makes of a user's error; its traceback goes to `log`."""
    try:
        yield
    except Exception as error:
        if _told(error) is not None or users_place(error) is None:
            raise
        lines = traceback.format_exception(error)
        with contextlib.suppress(OSError), log.open("a") as file:
            file.writelines(lines)
        raise explain(error, log) from error


def message(error: Exception) -> tuple[str, int] | None:
    """What a command says that this ended, and its exit code; None for a bug."""
    told = _told(error)
    if isinstance(told, RunStopped):
        return str(told), 128 + told.signal_number
    if told is not None:
        is_raw = told is not error and isinstance(told, PathError | SizeError)
        return str(told), 2 if is_raw or _is_mistake(error) else 1
    if (place := users_place(error)) is not None:
        return f"{_named(error, place)}. Mend it there.", 1
    return None


def _told(error: Exception, where: str = "") -> Exception | None:
    """An error whose message is for users; None for any other."""
    after, then = where and " ", "resume the run" if where else "go on"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"the disk is full{after}{where}. Make room, then {then}.")
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return DiskFullError(
            f"a file would be larger than this process may write{after}{where}. Raise the "
            f"limit (ulimit -f), then {then}."
        )
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return SizeError(
            f"the memory is full{after}{where}. Set smaller sizes, such as "
            "--agent.batch-size."
        )
    if isinstance(error, OverflowError) and users_place(error) is None:
        own = [f for f in traceback.extract_tb(error.__traceback__) if is_own(f)]
        text = _named(error, own[-1] if own else last_place(error))
        return SizeError(f"a number is too large{after}{where}: {text}. Set a smaller one.")
    if isinstance(error, OSError) and error.filename and not _is_mistake(error):
        if users_place(error) is not None:
            return None
        return PathError(
            f"{error.filename}: {error.strerror}{after}{where}. Mend that, or name another "
            "path."
        )
    is_told = isinstance(error, RunStopped | RunFailure) or is_environment_fault(error)
    return error if is_told or _is_mistake(error) else None


def _named(error: Exception, frame: traceback.FrameSummary | None) -> str:
    """The kind of an error, what it says, and the line that it is from."""
    text = " ".join(str(error).split()) or "no message"
    place = f" ({spelled(frame)})" if frame else ""
    return f"{type(error).__name__}: {text}{place}"


def _is_mistake(error: Exception) -> bool:
    """Whether an error is a user's mistake: a `raise` of Tolman's own code names it.

    The message of a ValueError that Python or a library raised was not written for users.
    """
    trace = error.__traceback__
    if not isinstance(error, ValueError | FileNotFoundError) or trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    operation = trace.tb_frame.f_code.co_code[trace.tb_lasti]
    is_raised = dis.opname[operation] == "RAISE_VARARGS"
    return is_raised and is_own(traceback.extract_tb(trace)[-1])


def is_environment_fault(error: Exception) -> bool:
    """Whether an environment broke down: its message says which and how."""
    module = sys.modules.get("tolman.envs.host")
    return module is not None and isinstance(error, module.EnvironmentFault)
