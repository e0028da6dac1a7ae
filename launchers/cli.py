"""The command `tolman`. Each verb reads its words and calls one public function.

Nothing heavy is imported before a verb needs it: `tolman --help` takes no jax.
Exit codes: 0 done; 1 it ran and the result is bad; 2 a user's mistake; 128 + n signal n.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tolman.launchers.settings.process import prepare_process


@dataclass(frozen=True)
class Verb:
    """One verb of the command.

    Attributes:
      usage: the words after it.
      summary: one line of help.
      run: takes the words after it, or the flags that they set; returns the exit code.
      flags: dataclass of these; None where `run` reads the words itself.
    """

    usage: str
    summary: str
    run: Callable[[Any], int]
    flags: type[Any] | None = None


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
    except KeyboardInterrupt:
        return _fail("interrupted.", 128 + signal.SIGINT)
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
    """For verbs that train, handles signals before jax is imported, which takes seconds."""
    if verb not in ("train", "resume", "study"):
        yield
        return
    from tolman.launchers.runs.stopping import stop_request

    with stop_request(is_deferred=verb != "study"):
        yield


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


def _train(words: Sequence[str]) -> int:
    from tolman.launchers.settings.commands import parse_train

    config = parse_train(words)
    from tolman.launchers.runs.training import train

    print(train(config))
    return 0


def _sweep(words: Sequence[str]) -> int:
    from tolman.launchers.sweep.grid import parse_sweep
    from tolman.launchers.sweep.sweep import run_sweep

    return run_sweep(parse_sweep(words))


def _resume(words: Sequence[str]) -> int:
    from tolman.launchers.settings.commands import parse_resume

    given = parse_resume(words)
    from tolman.launchers.runs.training import resume

    print(resume(given.run, given.trust, given.empty_replay, given.changes))
    return 0


@dataclass(frozen=True)
class Eval:
    """Plays episodes, or answers questions, with the parameters of a run's checkpoint.

    Attributes:
      run: its folder, RUN@STEPS for one of its checkpoints, or RUN@best.
      num_episodes: at least 2; or questions.
      seed: of the episodes.
      checkpoint: its env steps; None for the last that is sound.
      trust: call whatever its config names, as module:attribute.
      greedy: take the action that the policy holds best, in place of sampling.
    """

    run: Path
    num_episodes: int = 100
    seed: int = 0
    checkpoint: int | None = None
    trust: bool = False
    greedy: bool = False


def _eval(given: Eval) -> int:
    from tolman.launchers.evaluation.evaluate import describe, evaluate

    result = evaluate(*(getattr(given, item.name) for item in fields(given)))
    print("\n".join(describe(result)))
    return 0


@dataclass(frozen=True)
class Play:
    """Films episodes of a trained agent, or your own of an environment, by keys; or, with
    --protocol, is an engine that graphical boards and engines play a board game against.

    Attributes:
      run: its folder, or RUN@best; or an environment; with --protocol the game's name.
      num_episodes: at least 1.
      seed: of the episodes.
      checkpoint: its env steps; None for the last that is sound.
      out: the mp4 file; None for one in the run's videos/, or here where you play.
      fps: pictures a second; None for the environment's own speed, or 15.
      trust: call whatever its config names, as module:attribute.
      protocol: spoken by an engine: uci (chess), usi (shogi) or gtp (Go, any other game).
      player: of an engine, such as runs/a@last?simulations=64 or mcts:100; None for the
        newest run of the game in runs/.
      greedy: take the action that the policy holds best, in place of sampling.
    """

    run: Path
    num_episodes: int = 1
    seed: int = 0
    checkpoint: int | None = None
    out: Path | None = None
    fps: float | None = None
    trust: bool = False
    protocol: str | None = None
    player: str | None = None
    greedy: bool = False


PLAY = ("num_episodes", "seed", "out", "fps")
BY_AGENT = ("checkpoint", "trust", "greedy")


def _play(given: Play) -> int:
    if given.protocol is not None:
        return _serve(given, given.protocol)
    if given.player is not None:
        raise ValueError("player: of engines. Leave --player out, or set --protocol.")
    from tolman.launchers.catalog.names import ENV, is_known

    told = {name: getattr(given, name) for name in PLAY}
    played: Any
    if not given.run.exists() and is_known(ENV, str(given.run)):
        _must_be_left_out(given, BY_AGENT, "nobody trained plays. Leave {flag} out.")
        from tolman.launchers.film.by_hand import play_by_hand

        played = play_by_hand(str(given.run), **told)
    else:
        from tolman.launchers.film.playing import play

        played = play(given.run, given.checkpoint, given.trust, given.greedy, **told)
    episodes = zip(played.returns, played.lengths, strict=True)
    for number, (episode_return, length) in enumerate(episodes, start=1):
        print(f"episode {number}: return {episode_return:.6g}, length {length}")
    print(played.film)
    return 0


def _must_be_left_out(given: Play, names: Sequence[str], why: str) -> None:
    for name in names:
        if getattr(given, name) != getattr(Play, name):
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{name}={getattr(given, name)}: {why.format(flag=flag)}")


def _serve(given: Play, protocol: str) -> int:
    """Plays a board game by a protocol."""
    why = "an engine has no such setting. Leave {flag} out, or --protocol."
    _must_be_left_out(given, (*PLAY, *BY_AGENT), why)
    from tolman.launchers.arena.engine import serve_engine

    serve_engine(str(given.run), protocol, given.player)
    return 0


def _study(words: Sequence[str]) -> int:
    from tolman.launchers.studies.options import parse_study
    from tolman.launchers.studies.study import run_study

    given, options = parse_study(words)
    return run_study(given.name, given.quick, given.seed, given.out, options)


def _probe(words: Sequence[str]) -> int:
    from tolman.launchers.settings.flags import parse_verb
    from tolman.launchers.studies.probing import ProbeConfig, run_probe

    return run_probe(parse_verb("probe", ProbeConfig, words))


def _tournament(words: Sequence[str]) -> int:
    from tolman.launchers.arena.tournament import parse_tournament, ranking, run_tournament

    config, folder = parse_tournament(words)
    print("\n".join(ranking(run_tournament(config, folder))))
    print(folder / "report.html")
    return 0


@dataclass(frozen=True)
class Report:
    """Writes one HTML page that shows and compares runs and studies.

    Attributes:
      folders: of runs and studies.
      out: the page; None for a place beside the first folder.
    """

    folders: tuple[Path, ...]
    out: Path | None = None


def _report(given: Report) -> int:
    if not given.folders:
        raise ValueError("FOLDERS are missing: tolman report RUN [RUN ...].")
    from tolman.launchers.report import write_report

    print(write_report(list(given.folders), given.out))
    return 0


@dataclass(frozen=True)
class Bench:
    """Measures speed, always beside what it is compared with.

    Attributes:
      name: one of `tolman list benches`.
      json: print JSON instead of a table.
    """

    name: str
    json: bool = False


def _bench(given: Bench) -> int:
    from tolman.launchers.benches.bench import run_bench

    return run_bench(given.name, given.json)


def _check_env(words: list[str]) -> int:
    from tolman.launchers.check_env import check_named
    from tolman.launchers.settings.commands import parse_check_env

    for line in check_named(*parse_check_env(words)):
        print(line)
    return 0


@dataclass(frozen=True)
class Doctor:
    """Says what this installation can do; exit code 1 where something needs attention.

    Attributes:
      clear_compiled: first delete the compiled programs that were kept.
    """

    clear_compiled: bool = False


def _doctor(given: Doctor) -> int:
    from tolman.launchers.doctor import clear_compiled, describe, doctor

    if given.clear_compiled:
        print(clear_compiled())
    findings = doctor()
    print("\n".join(describe(findings)))
    return int(any(finding.advice for finding in findings))


@dataclass(frozen=True)
class List:
    """Lists what there is by name, or the runs in a folder.

    Attributes:
      groups: agents, presets, envs, cores, games, sources, players, studies or benches;
        all of them if none is given. Or runs, and perhaps their folder: runs/ if none is
        given.
    """

    groups: tuple[str, ...]


def _list(given: List) -> int:
    if given.groups[:1] == ("runs",):
        from tolman.launchers.report.listing import list_runs

        for folder in given.groups[1:] or ("runs",):
            print("\n".join(list_runs(Path(folder))))
        return 0
    from tolman.launchers.catalog.listing import describe_names

    print("\n".join(describe_names(given.groups)))
    return 0


VERBS = {
    "list": Verb("[GROUP ... | runs [DIR]]", "what there is by name", _list, List),
    "train": Verb("AGENT --env ID [--core NAME] ...", "train an agent", _train),
    "sweep": Verb("AGENT --env ID --seeds N ...", "train settings by seeds", _sweep),
    "resume": Verb(
        "RUN [--num-env-steps N] ...", "go on with a run, as it was or changed", _resume
    ),
    "eval": Verb("RUN [--num-episodes N]", "play with a trained agent", _eval, Eval),
    "play": Verb(
        "RUN | ENV | GAME --protocol NAME",
        "film a trained agent, or yourself; be an engine",
        _play,
        Play,
    ),
    "study": Verb(
        "PAPER/STUDY [--quick]", "re-run a paper's experiment, check its claims", _study
    ),
    "probe": Verb("MODEL [--study NAME]", "study a language model", _probe),
    "tournament": Verb(
        "GAME PLAYER PLAYER ... [--num-games N]",
        "let players of a board game meet",
        _tournament,
    ),
    "report": Verb(
        "RUN [RUN ...]", "compare runs and studies on one HTML page", _report, Report
    ),
    "bench": Verb("NAME [--json]", "measure speed", _bench, Bench),
    "check-env": Verb(
        "ID [--env.KEY V]", "check an environment or a game of your own", _check_env
    ),
    "doctor": Verb(
        "[--clear-compiled]", "say what this installation can do", _doctor, Doctor
    ),
}
