"""Games by name; see `names` for what a name may be."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tolman.launchers.catalog.names import (
    GAME,
    any_environment,
    default_settings,
    installed,
    registered,
    resolve,
)

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


def check_named(name: str) -> list[str]:
    """Checks the named game or environment; what was found in order, a line each.

    Raises:
      ConformanceError: at the first violation, in one line.
      ValueError: if there is nothing of that name.
    """
    from tolman.envs.board.conformance import check_game, looks_like_game
    from tolman.envs.conformance import check_environment

    if name in registered(GAME) or name in installed(GAME):
        return check_game(make_game(name))
    thing = any_environment(name)
    if looks_like_game(thing):
        return check_game(thing)
    return [*check_environment(thing), *describe_observation(thing)]


def describe_observation(environment: Any) -> list[str]:
    """How each part of an environment's observation enters a network, a line each.

    Args:
      environment: of any kind.
    """
    from tolman.agents.inputs import describe_inputs
    from tolman.envs.adapters import single_precision_spec, space_to_spec

    if hasattr(environment, "observation_space"):
        spec = space_to_spec(environment.observation_space, "observation")
    else:
        spec = single_precision_spec(environment.observation_spec())
    return [f"enters a network: {line}" for line in describe_inputs(spec)]
