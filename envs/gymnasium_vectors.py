"""Gymnasium's environments that step all copies as one, by `make_vec`."""

from __future__ import annotations

from typing import Any

from tolman.envs.gymnasium_settings import GymnasiumSettings
from tolman.envs.native_vector import NativeVector, native_specs


def make_gymnasium_vector(
    name: str, settings: GymnasiumSettings, num_envs: int, seed: int
) -> NativeVector:
    """Builds the vector of E copies that the id itself has.

    Raises:
      ValueError: if it has none, or Gymnasium does not make it from these settings.
    """
    environments = _make(name, settings, num_envs)
    return NativeVector(
        name,
        environments,
        (environments.single_observation_space, environments.single_action_space),
        num_envs,
        seed,
        options=settings.parsed_reset_options(),
        log_info=settings.log_info,
    )


def gymnasium_vector_specs(name: str, settings: GymnasiumSettings) -> tuple[Any, Any]:
    """The specs of one copy, from a vector of one; raises as `make_gymnasium_vector`."""
    environments = _make(name, settings, 1)
    spaces = environments.single_observation_space, environments.single_action_space
    environments.close()
    return native_specs(spaces)


def _make(name: str, settings: GymnasiumSettings, num_envs: int) -> Any:
    import gymnasium
    from gymnasium.vector import AutoresetMode

    known = gymnasium.registry[name.rpartition(":")[2]]
    without = "Leave --env.vectorized out."
    if known.vector_entry_point is None:
        raise ValueError(f"env {name!r}: has no vector_entry_point of its own. {without}")
    keywords = settings.parsed_keywords()
    if settings.max_episode_steps is not None:
        keywords["max_episode_steps"] = settings.max_episode_steps
    try:
        environments = gymnasium.make_vec(
            known.id, num_envs, vectorization_mode="vector_entry_point", **keywords
        )
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise ValueError(f"env {name!r}: {' '.join(str(error).split())}") from error
    mode = environments.metadata.get("autoreset_mode")
    if mode != AutoresetMode.NEXT_STEP:
        environments.close()
        raise ValueError(
            f"env {name!r}: its vector has autoreset_mode {mode}; must be NEXT_STEP, so "
            f"that final observations are delivered. {without}"
        )
    return environments
