"""What ends a training early, in one line that says what to do; the exit code it leads to.

Nothing here imports jax: the command line asks for the code of any mistake.
"""

from __future__ import annotations

import dis
import errno
import sys
import traceback
from pathlib import Path

from tolman.launchers.runs.stopping import RunStopped

LAYERS = ("agents", "envs", "networks", "launchers")
FOREIGN = ("site-packages", "dist-packages", "lib/python")  # Where packages are installed.


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


def explain(error: Exception, log: Path, where: str) -> Exception:
    """What a user is told of an error: itself where it was written for users.

    Args:
      error: what was raised.
      log: the file that its whole traceback goes to.
      where: how far the training was, in words.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"the disk is full {where}. Make room, then resume the run.")
    if isinstance(error, RunFailure) or _is_environment_fault(error):
        return error
    if _is_mistake(error):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    # The innermost line outside of packages is where a user can look.
    users = [
        frame
        for frame in frames
        if not _is_own(frame) and not any(part in frame.filename for part in FOREIGN)
    ]
    place = (users or frames)[-1]
    text = " ".join(str(error).split()) or "no message"
    return FailedCodeError(
        f"{type(error).__name__}: {text} ({place.filename}:{place.lineno}) {where}. The "
        f"whole traceback is in {log}."
    )


def exit_code(error: Exception) -> int | None:
    """The exit code of a command that this ended; None for a bug."""
    if _is_mistake(error):
        return 2
    if isinstance(error, RunStopped):
        return 128 + error.signal_number
    return 1 if isinstance(error, RunFailure) or _is_environment_fault(error) else None


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
    return is_raised and _is_own(traceback.extract_tb(trace)[-1])


def _is_own(frame: traceback.FrameSummary) -> bool:
    """Whether a line is Tolman's, in a checkout or installed."""
    root, path = Path(__file__).resolve().parents[2], Path(frame.filename).resolve()
    return any(root / layer in path.parents for layer in LAYERS)


def _is_environment_fault(error: Exception) -> bool:
    """Whether an environment broke down: its message says which and how."""
    module = sys.modules.get("tolman.envs.host")
    return module is not None and isinstance(error, module.EnvironmentFault)
