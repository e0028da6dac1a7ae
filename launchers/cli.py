"""The command `tolman`. Each verb reads its words and calls one public function.

Nothing heavy is imported before a verb needs it: `tolman --help` takes no jax.
Exit codes: 0 done; 1 it ran and the result is bad; 2 a user's mistake; 128 + n signal n.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from tolman.launchers.settings.process import prepare_process
from tolman.launchers.verbs import looking, measuring, playing, training

VERBS = looking.VERBS | training.VERBS | playing.VERBS | measuring.VERBS


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"tolman {version('tolman')}")
        return 0
    words = prepare_process(words)
    try:
        if not words:
            raise ValueError("the verb is missing: tolman --help lists them.")
        with _stops(words[0]):
            return _run(words[0], words[1:])
    except SystemExit as stop:  # From --help.
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt as stop:
        return _fail(f"interrupted. {stop}".rstrip(), 128 + signal.SIGINT)
    except BrokenPipeError:  # What read the output has ended, such as `head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        from tolman.launchers.runs.failures import message

        told = message(error)
        if told is None:  # A bug shows its traceback.
            raise
        return _fail(*told)


@contextlib.contextmanager
def _stops(verb: str) -> Iterator[None]:
    """For verbs that take long, handles signals before jax is imported, for seconds."""
    if verb not in ("train", "resume", "study", "probe"):
        yield
        return
    from tolman.launchers.runs.stopping import RunStopped, stop_request

    with stop_request(is_deferred=verb in ("train", "resume")) as stop:
        try:
            yield
        except KeyboardInterrupt:
            number = stop.signal_number or signal.SIGINT
            raise RunStopped("interrupted.", number) from None


def _run(name: str, words: Sequence[str]) -> int:
    if name not in VERBS:
        from tolman.envs.spelling import suggest

        raise ValueError(
            f"verb {name!r} is unknown{suggest(name, VERBS)}: use one of "
            f"{', '.join(VERBS)}."
        )
    verb = VERBS[name]
    if verb.flags is None:
        return verb.run(words)
    from tolman.launchers.settings.flags import parse_verb

    return verb.run(parse_verb(name, verb.flags, words))


def _help() -> str:
    lines = ["usage: tolman VERB ...   (tolman VERB --help tells more)", ""]
    lines += [
        f"  {name:<10} {verb.usage:<34} {verb.summary}" for name, verb in VERBS.items()
    ]
    lines += ["", "With --no-compiled, no compiled programs are kept for the next start."]
    return "\n".join(lines)


def _fail(message: str, code: int) -> int:
    print(f"tolman: error: {' '.join(message.split())}", file=sys.stderr)
    return code
