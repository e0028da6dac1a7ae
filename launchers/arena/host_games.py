"""Host games by name: OpenSpiel's where it has them, else that game, adapted."""

from __future__ import annotations

from typing import Any

from tolman.envs.board.game import HostGame
from tolman.envs.board.openspiel_games import OPENSPIEL_GAMES, openspiel_game


def make_host_game(name: str, **settings: Any) -> HostGame:
    """The start of the named game, to be played move by move.

    Args:
      name: as `tolman.launchers.catalog.games.make_game` takes it; "chess" is
        "openspiel/chess".
      **settings: of the game.

    Raises:
      ValueError: for a name or a setting that stands for nothing.
    """
    if name in OPENSPIEL_GAMES:
        return openspiel_game(name, **settings)
    from tolman.envs.board.jax_as_host import JaxAsHost
    from tolman.launchers.catalog.games import build_game
    from tolman.launchers.catalog.names import GAME, find

    named = find(GAME, name)
    try:
        given = named.settings_type(**settings) if settings else named.default_settings()
    except TypeError as error:
        raise ValueError(f"game {name!r}: {error}") from error
    game = build_game(named, given)
    return game if isinstance(game, HostGame) else JaxAsHost(game)
