"""Verbs that show an agent at play, or let players meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from tolman.launchers.verbs.verb import Verb


@dataclass(frozen=True)
class Play:
    """Films episodes of a trained agent, or your own of an environment, by keys; or, with
    --protocol, is an engine that graphical boards and engines play a board game against.

    Attributes:
      run: its folder, or RUN@best; or an environment, with its settings as --env.KEY
        behind it; with --protocol the game's name.
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


def _play(words: Sequence[str]) -> int:
    given, settings = _parse(words)
    if given.protocol is not None:
        return _serve(given, given.protocol)
    if given.player is not None:
        raise ValueError("player: of engines. Leave --player out, or set --protocol.")
    told = {name: getattr(given, name) for name in PLAY}
    played: Any
    if not given.run.exists() and _is_env(str(given.run)):
        _must_be_left_out(given, BY_AGENT, "nobody trained plays. Leave {flag} out.")
        from tolman.launchers.film.by_hand import play_by_hand

        played = play_by_hand(str(given.run), settings=settings, **told)
    else:
        from tolman.launchers.film.playing import play

        played = play(given.run, given.checkpoint, given.trust, given.greedy, **told)
    episodes = zip(played.returns, played.lengths, strict=True)
    for number, (episode_return, length) in enumerate(episodes, start=1):
        print(f"episode {number}: return {episode_return:.6g}, length {length}")
    print(played.film)
    return 0


def _parse(words: Sequence[str]) -> tuple[Play, Any]:
    """Reads the words after the verb.

    Returns:
      What everybody sets, and the settings of the environment that stands first; None where
      none does.

    Raises:
      ValueError: for a flag or value that does not fit, in one line.
    """
    import tyro

    from tolman.launchers.settings import flags
    from tolman.launchers.settings.bounds import check_settings

    name = next(iter(words), "-")
    if name.startswith("-") or Path(name).exists() or not _is_env(name):
        return flags.parse_verb("play", Play, words), None
    from tolman.launchers.catalog.names import ENV, find

    own: Any = find(ENV, name).settings_type
    sections: list[Any] = [
        ("run", Annotated[Path, tyro.conf.Positional]),
        ("env", Annotated[own, tyro.conf.arg(name="env")], field(kw_only=True)),
    ]
    target: Any = make_dataclass("Play", sections, bases=(Play,), frozen=True)
    target.__doc__ = Play.__doc__
    known = [item.name for item in fields(Play)]
    flags.check_flags(words, [*known, *(f"env.{item.name}" for item in fields(own))])
    given = flags.parse(target, words, "tolman play")
    check_settings(given.env, "env.")
    return given, given.env


def _is_env(name: str) -> bool:
    """Whether an environment is called so; a run folder may be as well.

    Raises:
      ValueError: if it begins as the names of an engine do, which does not know it.
    """
    from tolman.launchers.catalog.names import ENV, FAMILY, is_known, lookup, registered

    known, engine = (*registered(ENV), *registered(FAMILY)), name.partition("/")[0]
    if any(one.startswith(f"{engine}/") for one in known):
        lookup(ENV, name)
        return True
    return is_known(ENV, name)


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


def _tournament(words: Sequence[str]) -> int:
    from tolman.launchers.arena.tournament import parse_tournament, ranking, run_tournament

    config, folder = parse_tournament(words)
    print("\n".join(ranking(run_tournament(config, folder))))
    print(folder / "report.html")
    return 0


VERBS = {
    "play": Verb(
        "RUN | ENV | GAME --protocol NAME",
        "film a trained agent, or yourself; be an engine",
        _play,
    ),
    "tournament": Verb(
        "GAME PLAYER PLAYER ... [--num-games N]",
        "let players of a board game meet",
        _tournament,
    ),
}
