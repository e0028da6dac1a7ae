"""POPGym Arcade, which has gymnax's interface."""

from __future__ import annotations

from collections.abc import Sequence

from tolman.envs.suites.gymnax import GymnaxTask
from tolman.envs.suites.settings import ArcadeSettings


def list_ids() -> Sequence[str]:
    """Its games, in three sizes each."""
    from popgym_arcade.registration import REGISTERED_ENVIRONMENTS

    return REGISTERED_ENVIRONMENTS


def make(task: str, settings: ArcadeSettings) -> GymnaxTask:
    """The game of that id."""
    import popgym_arcade

    made = popgym_arcade.make(
        task, obs_size=settings.image_size, partial_obs=settings.partially_observed
    )
    return GymnaxTask(*made)
