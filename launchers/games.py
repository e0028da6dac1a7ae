"""Games by name; see `names` for what a name may be."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tolman.launchers.names import GAME, default_settings, resolve

if TYPE_CHECKING:
    from tolman.envs.board.game import Game, HostGame


def make_game(name: str, settings: Any = None) -> Game | HostGame:
    """Builds the named game.

    Args:
      name: such as "go_9x9", or `module:attribute`.
      settings: of `names.settings_type(name, GAME)`; None for the default ones.

    Raises:
      ValueError: if the name is unknown, it cannot be built from these settings, or what
        is built is no game.
    """
    from tolman.envs.board.game import Game, HostGame

    factory = resolve(GAME, name)
    if settings is None:
        settings = default_settings(GAME, name)
    keywords = {
        item.name: getattr(settings, item.name) for item in fields(settings) if item.init
    }
    try:
        game = factory(**keywords)
    except (TypeError, ValueError) as error:
        raise ValueError(f"game {name!r}: {error}") from error
    if not isinstance(game, Game | HostGame):
        raise ValueError(
            f"game {name!r}: is a {type(game).__name__}; must be a Game or a HostGame "
            "(tolman.envs.board.game)."
        )
    return game
