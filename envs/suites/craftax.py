"""Craftax, which has gymnax's interface and a clock of another name."""

from __future__ import annotations

from collections.abc import Sequence

from tolman.envs.suites.gymnax import GymnaxTask
from tolman.envs.suites.settings import SuiteSettings

CLOCK = "max_timesteps"
IDS = (  # Those that can be made without automatic resets; the package has no list of them.
    "Craftax-Symbolic-v1",
    "Craftax-Pixels-v1",
    "Craftax-Classic-Symbolic-v1",
    "Craftax-Classic-Pixels-v1",
)


def list_ids() -> Sequence[str]:
    """The game and its smaller one, in numbers or in pixels each."""
    return IDS


def make(task: str, settings: SuiteSettings) -> GymnaxTask:
    """The game of that id."""
    from craftax.craftax_env import make_craftax_env_from_name

    environment = make_craftax_env_from_name(task, auto_reset=False)
    params = environment.default_params
    if settings.max_episode_steps is not None:
        params = params.replace(**{CLOCK: settings.max_episode_steps})
    return GymnaxTask(environment, params, CLOCK)
