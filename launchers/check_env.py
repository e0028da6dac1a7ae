"""Checks an environment or a game that a user has written."""

from __future__ import annotations

import contextlib
from typing import Any

from tolman.agents.inputs import describe_inputs
from tolman.agents.policies import Policy
from tolman.envs.adapters import single_precision_spec, space_to_spec
from tolman.envs.board.conformance import check_game, looks_like_game
from tolman.envs.conformance import check_environment
from tolman.launchers.catalog.games import make_game
from tolman.launchers.catalog.names import ENV, GAME, find, installed, registered


def check_named(name: str, settings: Any = None) -> list[str]:
    """Checks the named game or environment; what was found in order, a line each.

    Args:
      name: registered, installed, or module:attribute.
      settings: of an environment, of the type that it takes; None for its defaults.

    Raises:
      ConformanceError: at the first violation, in one line.
      ValueError: if there is nothing of that name.
    """
    if name in registered(GAME) or name in installed(GAME):
        return check_game(make_game(name))
    named = find(ENV, name)
    settings = named.default_settings() if settings is None else settings
    try:
        thing = named.build(settings, 0)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f"env {name!r}: making it raised {type(error).__name__}: {error}; must be free "
            "of errors."
        ) from error
    with contextlib.ExitStack() as stack:
        if close := getattr(thing, "close", None):
            stack.callback(close)
        if looks_like_game(thing):
            return check_game(thing)
        return [*check_environment(thing), *describe(thing)]


def describe(environment: Any) -> list[str]:
    """How observations enter a network and actions are chosen, a line each part.

    Args:
      environment: of any kind.
    """
    if hasattr(environment, "observation_space"):
        observation = space_to_spec(environment.observation_space, "observation")
        action = space_to_spec(environment.action_space, "action")
    else:
        observation = single_precision_spec(environment.observation_spec())
        action = single_precision_spec(environment.action_spec())
    lines = [f"enters a network: {line}" for line in describe_inputs(observation)]
    return lines + [f"is chosen: {line}" for line in Policy(action).describe()]
