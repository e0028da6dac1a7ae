"""Players by name: `random`, `mcts:100`, `uci:/usr/games/stockfish?nodes=100`.

    random                      any legal move
    greedy, minimax:K           alpha-beta to depth 1, K
    mcts:N                      UCT with N random rollouts a move
    perfect                     of tic-tac-toe
    solver[:N]                  of connect four: exact within N nodes a legal move
    uci:COMMAND?KEY=VALUE&...   an engine; also gtp: and usi:
    RUN@CHECKPOINT?KEY=VALUE    a trained agent
    module:attribute            a class or function of your own that makes a `Player`

Keys of an engine: nodes, depth, seconds, timeout (in seconds), name, option.NAME.
Each is registered where it is written, by `register_player`.
"""

from __future__ import annotations

from tolman.envs.spelling import suggest
from tolman.launchers.arena.player import Player
from tolman.launchers.catalog.names import (
    PLAYER,
    import_attribute,
    installed,
    lookup,
    registered,
)

PROTOCOLS = ("uci", "gtp", "usi")
RUN = "RUN@CHECKPOINT"  # The name under which trained agents are registered.


def make_player(spec: str) -> Player:
    """The player that a spec names; its `name` is the spec, unless `?name=` says another.

    Raises:
      ValueError: for a spec that names none.
    """
    kind, colon, rest = spec.partition(":")
    known = {*registered(PLAYER), *installed(PLAYER)} - {RUN}
    if kind in known:
        return _checked(spec, lookup(PLAYER, kind)(spec, rest))
    if "@" in spec:
        return lookup(PLAYER, RUN)(spec, "")
    if colon:
        return _checked(spec, _made(spec))
    raise ValueError(
        f"player {spec!r} is unknown{suggest(kind, known)}: must be one of "
        f"{', '.join(sorted(known))}, {RUN}, or module:attribute for your own."
    )


def _made(spec: str) -> object:
    """Calls what `module:attribute` names."""
    make = import_attribute(spec, PLAYER.noun)
    try:
        return make()
    except Exception as error:
        raise ValueError(
            f"player {spec!r}: calling it raised {type(error).__name__}: {error}; must be "
            "a class or a function that makes a player from nothing."
        ) from error


def _checked(spec: str, player: object) -> Player:
    if not isinstance(player, Player):
        raise ValueError(
            f"player {spec!r}: is a {type(player).__name__}; needs a name, reset(seed) and "
            "choose(game) (tolman.launchers.arena.player.Player)."
        )
    return player
