"""Players by name: `random`, `mcts:100`, `uci:/usr/games/stockfish?nodes=100`.

    random                      any legal move
    greedy, minimax:K           alpha-beta to depth 1, K
    mcts:N                      UCT with N random rollouts a move
    perfect                     of tic-tac-toe
    solver[:N]                  of connect four: exact within N nodes a legal move
    uci:COMMAND?KEY=VALUE&...   an engine; also gtp: and usi:
    RUN@CHECKPOINT?KEY=VALUE    a trained agent

Keys of an engine: nodes, depth, seconds, timeout (in seconds), name, option.NAME.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tolman.launchers.arena.player import Player
from tolman.launchers.settings.bounds import check_settings

PROTOCOLS = {"uci": "UciPlayer", "gtp": "GtpPlayer", "usi": "UsiPlayer"}
LIMITS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "nodes": ("nodes", int),
    "depth": ("depth", int),
    "seconds": ("seconds", float),
    "timeout": ("timeout_seconds", float),
}
KNOWN = (
    "random, greedy, minimax:K, mcts:N, perfect, solver[:N], uci:COMMAND, gtp:COMMAND, "
    "usi:COMMAND or RUN@CHECKPOINT"
)

# Makes the player of a run: takes the run folder, the checkpoint's env steps (None for
# the last), the keys after "?", and the spec as the player's name.
RunPlayerFactory = Callable[[str, int | None, Mapping[str, str], str], Player]


def make_player(spec: str, make_run_player: RunPlayerFactory | None = None) -> Player:
    """The player that a spec names; its `name` is the spec, unless `?name=` says another.

    Args:
      spec: see the module.
      make_run_player: makes trained agents.

    Raises:
      ValueError: for a spec that names none.
    """
    kind, _, rest = spec.partition(":")
    if kind in PROTOCOLS and rest:
        return _engine(spec, kind, rest)
    if "@" in spec:
        return _run_player(spec, make_run_player)
    if kind in ("random", "greedy", "perfect") and not rest:
        return _simple(kind)
    if kind in ("minimax", "mcts") or (kind == "solver"):
        return _counted(spec, kind, rest)
    raise ValueError(f"player {spec!r} is unknown: must be {KNOWN}.")


def _simple(kind: str) -> Player:
    from tolman.launchers.arena.players.minimax import MinimaxPlayer
    from tolman.launchers.arena.players.perfect import PerfectTicTacToe
    from tolman.launchers.arena.players.uniform import RandomPlayer

    if kind == "greedy":
        return MinimaxPlayer(1, name="greedy")
    return RandomPlayer() if kind == "random" else PerfectTicTacToe()


def _counted(spec: str, kind: str, rest: str) -> Player:
    from tolman.launchers.arena.players.minimax import MinimaxPlayer
    from tolman.launchers.arena.players.perfect import NUM_NODES, ConnectFourSolverPlayer
    from tolman.launchers.arena.players.rollouts import RolloutPlayer

    if kind == "solver" and not rest:
        rest = str(NUM_NODES)
    if not rest.isdigit():
        raise ValueError(f"player {spec!r}: must end in a whole number, such as {kind}:4.")
    count = int(rest)
    if kind == "minimax":
        return MinimaxPlayer(count)
    if kind == "mcts":
        return RolloutPlayer(count)
    return ConnectFourSolverPlayer(RolloutPlayer(10_000), count, name=spec)


def _engine(spec: str, kind: str, rest: str) -> Player:
    import importlib

    from tolman.launchers.arena.engines.limits import EngineSettings, Limits

    command, keys = _split_keys(spec, rest)
    limits: dict[str, Any] = {}
    options: dict[str, str] = {}
    name = spec
    for key, value in keys.items():
        if key in LIMITS:
            field, read = LIMITS[key]
            try:
                limits[field] = read(value)
            except ValueError:
                raise ValueError(f"player {spec!r}: {key}={value} is no number.") from None
        elif key.startswith("option."):
            options[key.removeprefix("option.")] = value
        elif key == "name":
            name = value
        else:
            raise ValueError(
                f"player {spec!r}: key {key!r} is unknown: must be one of "
                f"{', '.join(LIMITS)}, name or option.NAME."
            )
    module = importlib.import_module(f"tolman.launchers.arena.engines.{kind}")
    settings = EngineSettings(command, name, Limits(**limits), options)
    try:
        check_settings(settings.limits)
    except ValueError as error:
        told = str(error).partition(" Set ")[0]
        raise ValueError(f"player {spec!r}: {told}") from None
    return getattr(module, PROTOCOLS[kind])(settings)


def _run_player(spec: str, make_run_player: RunPlayerFactory | None) -> Player:
    run, _, rest = spec.rpartition("@")
    checkpoint, keys = _split_keys(spec, rest)
    if not run or not (checkpoint.isdigit() or checkpoint in ("", "last")):
        raise ValueError(
            f"player {spec!r}: must be RUN@CHECKPOINT with the checkpoint's env steps, or "
            "RUN@last."
        )
    if make_run_player is None:
        raise ValueError(f"player {spec!r}: trained agents cannot play here.")
    steps = int(checkpoint) if checkpoint.isdigit() else None
    return make_run_player(run, steps, keys, spec)


def _split_keys(spec: str, text: str) -> tuple[str, dict[str, str]]:
    """What stands before "?", and the keys after it."""
    before, _, query = text.partition("?")
    keys: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or key in keys:
            raise ValueError(f"player {spec!r}: {part!r} must be KEY=VALUE, each key once.")
        keys[key] = value
    return before, keys
