"""Host games by name: OpenSpiel's where it has them, else the JAX game through an adapter."""

from __future__ import annotations

from typing import Any

from tolman.envs.board.game import HostGame
from tolman.envs.board.openspiel_game import OPENSPIEL_GAMES, openspiel_game
from tolman.launchers.names import import_attribute, suggest


def make_host_game(name: str, **settings: Any) -> HostGame:
    """The start of the named game.

    Args:
      name: of a built-in game, or `module:attribute` of a class or function that makes a
        `HostGame` or a `Game`.
      **settings: keywords of its maker.

    Raises:
      ValueError: for a name that stands for no game.
    """
    if name in OPENSPIEL_GAMES:
        return openspiel_game(name, **settings)
    if ":" in name:
        factory = import_attribute(name, "game")
    else:
        from tolman.envs.board import games as _games  # noqa: F401 - fills the table.
        from tolman.envs.board.game import GAMES

        if name not in GAMES:
            known = sorted({*GAMES, *OPENSPIEL_GAMES})
            raise ValueError(
                f"game {name!r} is unknown{suggest(name, known)}: use one of "
                f"{', '.join(known)}, or module:attribute for your own."
            )
        factory = GAMES[name]
    game = factory(**settings)
    if isinstance(game, HostGame):
        return game
    from tolman.envs.board.game import Game
    from tolman.envs.board.jax_as_host import JaxAsHost

    if isinstance(game, Game):
        return JaxAsHost(game)
    raise ValueError(
        f"game {name!r}: is a {type(game).__name__}; must be a HostGame or a Game. "
        "`tolman check-env` says what it lacks."
    )
