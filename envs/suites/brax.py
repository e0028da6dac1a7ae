"""Brax: bodies that move in simulated physics, in JAX, with continuous actions."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.suites.settings import BraxSettings
from tolman.envs.suites.task import SuiteTask

Array = jax.Array


class BraxState(NamedTuple):
    """Attributes:
    inner: Brax's own state.
    time: `[]` int32, steps of this episode so far.
    """

    inner: Any
    time: Array


class BraxTask(SuiteTask):
    """A task of Brax as an on-device environment, whose clock is here.

    None of Brax's wrappers is used: its `AutoResetWrapper` starts all episodes of a copy in
    the same state.
    """

    def __init__(self, environment: Any, max_episode_steps: int) -> None:
        """Makes it of Brax's environment, which has no clock of its own."""
        self._environment, self._max_steps = environment, max_episode_steps
        action_spec = specs.BoundedArray(
            (environment.action_size,), np.float32, -1.0, 1.0, name="action"
        )
        start = jax.eval_shape(environment.reset, jax.random.PRNGKey(0))
        super().__init__(start.obs, action_spec)

    def _begin(self, key: Array) -> tuple[Any, Any]:
        inner = self._environment.reset(key)
        return BraxState(inner, jnp.int32(0)), inner.obs

    def _move(self, state: BraxState, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        # Brax writes into the dictionaries of the state that it is given: these are new.
        given = jax.tree.map(lambda leaf: leaf, state.inner)
        inner = self._environment.step(given, action)
        time = state.time + 1
        is_over, is_cut = inner.done != 0.0, time >= self._max_steps
        return BraxState(inner, time), inner.obs, inner.reward, is_over, is_cut


def list_ids() -> Sequence[str]:
    """Those of Brax."""
    return sorted(_import_envs()._envs)


def make(task: str, settings: BraxSettings) -> BraxTask:
    """The task of that id."""
    keywords = {} if settings.backend is None else {"backend": settings.backend}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Brax System")  # That it is not maintained.
        environment = _import_envs().get_environment(task, **keywords)
    return BraxTask(environment, settings.max_episode_steps)


def _import_envs() -> Any:
    """Brax's module of environments, without what MuJoCo prints where it finds no Warp."""
    with contextlib.redirect_stdout(io.StringIO()):
        from brax import envs
    return envs
