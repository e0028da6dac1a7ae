"""The command `tolman`. Each verb reads its words and calls one public function.

Nothing heavy is imported before a verb needs it: `tolman --help` takes no jax.
Exit codes: 0 done; 1 it ran and the result is bad; 2 a user's mistake; 128 + n signal n.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

FORCE_CPU_DEVICES = "--xla_force_host_platform_device_count"


@dataclass(frozen=True)
class Verb:
    """One verb of the command.

    Attributes:
      usage: the words after it.
      summary: one line of help.
      run: takes the words after it; returns the exit code.
    """

    usage: str
    summary: str
    run: Callable[[Sequence[str]], int]


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
    _prepare_process()
    try:
        with _stops(words[0]):
            return _verb(words[0]).run(words[1:])
    except SystemExit as stop:  # From --help.
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return _fail("interrupted.", 128 + signal.SIGINT)
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        return _fail(str(error), code)


@contextlib.contextmanager
def _stops(verb: str) -> Iterator[None]:
    """For verbs that train, handles signals before jax is imported, which takes seconds."""
    if verb not in ("train", "resume", "study"):
        yield
        return
    from tolman.launchers.runs.stopping import stop_request

    with stop_request(is_deferred=verb != "study"):
        yield


def _verb(name: str) -> Verb:
    if name not in VERBS:
        from tolman.launchers.catalog.names import suggest

        raise ValueError(
            f"verb {name!r} is unknown{suggest(name, VERBS)}: use one of "
            f"{', '.join(VERBS)}."
        )
    return VERBS[name]


def _help() -> str:
    lines = ["usage: tolman VERB ...   (tolman VERB --help tells more)", ""]
    lines += [
        f"  {name:<10} {verb.usage:<34} {verb.summary}" for name, verb in VERBS.items()
    ]
    return "\n".join(lines)


def _prepare_process() -> None:
    """Sets what must precede the import of jax, and finds modules in the current folder."""
    flags = os.environ.get("XLA_FLAGS", "")
    if FORCE_CPU_DEVICES not in flags:
        # The members of a study are shared out among these; a single run takes one.
        os.environ["XLA_FLAGS"] = f"{flags} {FORCE_CPU_DEVICES}={os.cpu_count()}".strip()
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def _exit_code(error: Exception) -> int | None:
    """The code of an expected end; None for a bug, which shall show its traceback.

    ValueError and FileNotFoundError are a user's mistakes where Tolman itself raised
    them: from anywhere else nobody has made sure that their message helps.
    """
    if isinstance(error, ValueError | FileNotFoundError):
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
        return 2 if module.partition(".")[0] == "tolman" else None
    if "tolman.envs.host" in sys.modules:
        from tolman.envs.host import EnvironmentFault

        if isinstance(error, EnvironmentFault):
            return 1
    if "tolman.launchers.runs.loop" in sys.modules:
        from tolman.launchers.runs.protocol import RunFailure
        from tolman.launchers.runs.stopping import RunStopped

        if isinstance(error, RunFailure):
            return 1
        if isinstance(error, RunStopped):
            return 128 + error.signal_number
    return None


def _fail(message: str, code: int) -> int:
    print(f"tolman: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _train(words: Sequence[str]) -> int:
    from tolman.launchers.settings.config import parse_train

    config = parse_train(words)
    from tolman.launchers.runs.training import train

    print(train(config))
    return 0


@dataclass(frozen=True)
class Resume:
    """Trains a run on from its last sound checkpoint.

    Attributes:
      run: its folder.
      trust: call whatever its config names, as module:attribute.
      empty_replay: go on without the games or steps that the checkpoint's replay holds.
    """

    run: Path
    trust: bool = False
    empty_replay: bool = False


def _resume(words: Sequence[str]) -> int:
    given = _parse(Resume, words)
    from tolman.launchers.runs.training import resume

    print(resume(given.run, given.trust, given.empty_replay))
    return 0


@dataclass(frozen=True)
class Eval:
    """Plays episodes, or answers questions, with the parameters of a run's checkpoint.

    Attributes:
      run: its folder.
      num_episodes: at least 2; or questions.
      seed: of the episodes.
      checkpoint: its env steps; None for the last that is sound.
      trust: call whatever its config names, as module:attribute.
    """

    run: Path
    num_episodes: int = 100
    seed: int = 0
    checkpoint: int | None = None
    trust: bool = False


def _eval(words: Sequence[str]) -> int:
    given = _parse(Eval, words)
    from tolman.launchers.evaluation.evaluate import evaluate

    result = evaluate(*(getattr(given, item.name) for item in fields(given)))
    if "eval/accuracy" in result:
        print(
            f"eval/accuracy {result['eval/accuracy']:.4g} "
            f"± {result['eval/accuracy_standard_error']:.2g} (standard error of "
            f"{given.num_episodes} questions)  at examples {result['env_steps']}"
        )
        return 0
    print(
        f"eval/episode_return {result['eval/episode_return']:.4g} "
        f"± {result['eval/episode_return_standard_error']:.2g} (standard error of "
        f"{given.num_episodes} episodes)  eval/episode_length "
        f"{result['eval/episode_length']:.4g}  at env_steps {result['env_steps']}"
    )
    if "eval/human_normalized_score" in result:
        score = result["eval/human_normalized_score"]
        print(f"eval/human_normalized_score {score:.4g} (0 random play, 1 a human)")
    return 0


@dataclass(frozen=True)
class Play:
    """Plays episodes with a trained agent and films them; or, with --protocol, is an engine
    that graphical boards and other engines play a board game against.

    Attributes:
      run: its folder; with --protocol the name of the game.
      num_episodes: at least 1.
      seed: of the episodes.
      checkpoint: its env steps; None for the last that is sound.
      out: the mp4 file; None for videos/<env_steps>_s<seed>.mp4 in the run folder.
      fps: pictures a second; None for the environment's own speed, or 15.
      trust: call whatever its config names, as module:attribute.
      protocol: to be spoken on standard input and output: uci (chess), usi (shogi) or gtp
        (Go, and any other game); None to film.
      player: who plays, such as runs/a@last?simulations=64 or mcts:100; None for the
        newest run of the game in runs/. With --protocol only.
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


def _play(words: Sequence[str]) -> int:
    given = _parse(Play, words)
    if given.protocol is not None:
        return _serve(given)
    if given.player is not None:
        raise ValueError(
            "player: films are of a run's own agent. Leave --player out, or set --protocol."
        )
    from tolman.launchers.film.playing import play

    played = play(
        given.run,
        given.num_episodes,
        given.seed,
        given.checkpoint,
        given.out,
        given.fps,
        given.trust,
    )
    episodes = zip(played.returns, played.lengths, strict=True)
    for number, (episode_return, length) in enumerate(episodes, start=1):
        print(f"episode {number}: return {episode_return:.6g}, length {length}")
    print(played.film)
    return 0


def _serve(given: Play) -> int:
    """Plays a board game by a protocol."""
    film = ("num_episodes", "seed", "checkpoint", "out", "fps", "trust")
    for name in film:
        if getattr(given, name) != getattr(Play, name):
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{name}={getattr(given, name)}: an engine has no such setting. Leave "
                f"{flag} out, or --protocol."
            )
    from tolman.launchers.arena.engine import serve_engine

    assert given.protocol is not None
    serve_engine(str(given.run), given.protocol, given.player)
    return 0


@dataclass(frozen=True)
class Study:
    """Re-runs an experiment of a paper and checks its claims.

    Attributes:
      name: PAPER/STUDY, one of `tolman list studies`, or module:attribute.
      quick: minutes on two cores instead of the paper's setting.
      seed: of all chance in it.
      out: folder for its results; None for one of its own.
    """

    name: str
    quick: bool = False
    seed: int = 0
    out: Path | None = None


def _study(words: Sequence[str]) -> int:
    from tolman.launchers.studies.options import parse_study

    given, options = parse_study(Study, words)
    from tolman.launchers.studies.study import run_study

    return run_study(given.name, given.quick, given.seed, given.out, options)


@dataclass(frozen=True)
class Tournament:
    """Lets players of a board game meet, and rates them.

    Attributes:
      game: its name, or module:attribute.
      players: two or more, such as random, mcts:100, runs/a@last?simulations=64 or
        "uci:stockfish?nodes=100".
      num_games: of each pair, even.
      opening_moves: random moves before each pair of games.
      seed: of openings and players.
      anchor: the player whose Elo is 0; None for random if it takes part, else the mean.
      sprt: two Elo differences to decide between, of two players; stops early.
      out: the folder; a tournament that was stopped goes on in its own.
    """

    game: str
    players: tuple[str, ...]
    num_games: int = 20
    opening_moves: int = 4
    seed: int = 0
    anchor: str | None = None
    sprt: tuple[float, float] | None = None
    out: Path = Path("tournament")


def _tournament(words: Sequence[str]) -> int:
    given = _parse(Tournament, words)
    from tolman.launchers.arena.tournament import TournamentConfig, run_tournament

    settings = {
        item.name: getattr(given, item.name) for item in fields(given) if item.name != "out"
    }
    result = run_tournament(TournamentConfig(**settings), given.out)
    rated = sorted(result["ratings"].items(), key=lambda item: -item[1]["elo"])
    for name, rating in rated:
        print(
            f"{rating['elo']:7.0f}  [{rating['low']:.0f}, {rating['high']:.0f}]  "
            f"{rating['num_games']:4d} games  {100 * rating['score']:5.1f} %  {name}"
        )
    if "sprt" in result:
        print(f"sprt: {result['sprt']['verdict'] or 'undecided'}")
    print(given.out / "report.html")
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


def _report(words: Sequence[str]) -> int:
    given = _parse(Report, words)
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


def _bench(words: Sequence[str]) -> int:
    given = _parse(Bench, words)
    from tolman.launchers.benches.bench import run_bench

    return run_bench(given.name, given.json)


@dataclass(frozen=True)
class CheckEnv:
    """Checks that an environment keeps the contract; names the first violation.

    Attributes:
      env: its name, or module:attribute.
    """

    env: str


def _check_env(words: Sequence[str]) -> int:
    name = _parse(CheckEnv, words).env
    from tolman.launchers.check_env import check_named

    for line in check_named(name):
        print(line)
    return 0


@dataclass(frozen=True)
class Doctor:
    """Says what this installation can do; exit code 1 where something needs attention."""


def _doctor(words: Sequence[str]) -> int:
    _parse(Doctor, words)
    from tolman.launchers.doctor import doctor

    findings = doctor()
    for finding in findings:
        print(f"{'-' if finding.advice else '+'} {finding.what}: {finding.found}")
        if finding.advice:
            print(f"  {finding.advice}")
    return int(any(finding.advice for finding in findings))


@dataclass(frozen=True)
class List:
    """Lists what there is by name.

    Attributes:
      groups: agents, envs, cores, games, sources, players, studies or benches; all of
        them if none is given.
    """

    groups: tuple[str, ...]


def _list(words: Sequence[str]) -> int:
    groups = _parse(List, words).groups
    from tolman.launchers.catalog.listing import list_names

    for group in groups or (None,):
        for title, lines in list_names(group).items():
            print(f"{title}:")
            for name, line in lines.items():
                print(f"  {name:<22} {line}")
    return 0


Given = TypeVar("Given")


def _parse(given: type[Given], words: Sequence[str]) -> Given:
    """Reads the words after a verb whose required fields are positional."""
    import tyro

    from tolman.launchers.settings import flags

    verb = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", given.__name__).lower()
    flags.check_flags(words, [item.name for item in fields(given)])  # type: ignore[arg-type]
    return flags.parse(given, words, f"tolman {verb}", [tyro.conf.PositionalRequiredArgs])


VERBS = {
    "list": Verb("[GROUP ...]", "what there is: agents, envs, cores, studies, ...", _list),
    "train": Verb("AGENT --env ID [--core NAME] ...", "train an agent", _train),
    "resume": Verb("RUN", "go on with a run that was stopped or killed", _resume),
    "eval": Verb("RUN [--num-episodes N]", "play episodes with a trained agent", _eval),
    "play": Verb(
        "RUN | GAME --protocol uci|usi|gtp",
        "film episodes of a trained agent; be an engine",
        _play,
    ),
    "study": Verb(
        "PAPER/STUDY [--quick]", "re-run a paper's experiment, check its claims", _study
    ),
    "tournament": Verb(
        "GAME PLAYER PLAYER ... [--num-games N]",
        "let players of a board game meet",
        _tournament,
    ),
    "report": Verb("RUN [RUN ...]", "compare runs and studies on one HTML page", _report),
    "bench": Verb("NAME [--json]", "measure speed", _bench),
    "check-env": Verb("ID", "check an environment or a game of your own", _check_env),
    "doctor": Verb("", "say what this installation can do", _doctor),
}
