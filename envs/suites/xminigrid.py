"""XLand-MiniGrid: MiniGrid, and grids whose rules and goals are drawn, in JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.spelling import suggest
from tolman.envs.suites.settings import XMiniGridSettings
from tolman.envs.suites.task import SuiteTask

Array = jax.Array


class XMiniGridTask(SuiteTask):
    """A task of XLand-MiniGrid as an on-device environment; its state is their time step.

    The agent sees two numbers of each tile in front of it, what it is and its colour, which
    are two parts of the observation here.
    """

    def __init__(self, environment: Any, params: Any, benchmark: Any = None) -> None:
        """Makes it.

        Args:
          environment: the suite's.
          params: of it.
          benchmark: of which each episode draws its rules and its goal; None for those of
            `params`.
        """
        from xminigrid.core.constants import NUM_COLORS, NUM_TILES

        self._environment, self._params = environment, params
        self._benchmark = benchmark
        shape = environment.observation_shape(params)[:2]
        parts = {
            name: specs.BoundedArray(shape, np.int32, 0, number - 1, name)
            for name, number in (("tile", NUM_TILES), ("color", NUM_COLORS))
        }
        number = environment.num_actions(params)
        super().__init__(parts, specs.DiscreteArray(number, name="action"))

    def _begin(self, key: Array) -> tuple[Any, Any]:
        params = self._params
        if self._benchmark is not None:
            key, rules_key = jax.random.split(key)
            params = params.replace(ruleset=self._benchmark.sample_ruleset(rules_key))
        state = self._environment.reset(params, key)
        return state, _parts(state.observation)

    def _move(self, state: Any, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        state = self._environment.step(self._params, state, action)
        is_over = state.last() & (state.discount == 0.0)
        return state, _parts(state.observation), state.reward, is_over, state.last()


def _parts(observation: Array) -> dict[str, Array]:
    return {
        name: observation[..., place].astype(jnp.int32)
        for place, name in enumerate(("tile", "color"))
    }


def list_ids() -> Sequence[str]:
    """Those of XLand-MiniGrid."""
    import xminigrid

    return xminigrid.registered_environments()


def make(task: str, settings: XMiniGridSettings) -> XMiniGridTask:
    """The task of that id.

    Raises:
      ValueError: for a benchmark that the package does not know, or a task that draws no
        rules.
    """
    import xminigrid

    environment, params = xminigrid.make(task)
    if settings.max_episode_steps is not None:
        params = params.replace(max_steps=settings.max_episode_steps)
    if settings.benchmark is None:
        return XMiniGridTask(environment, params)
    if not hasattr(params, "ruleset"):
        raise ValueError(
            f"benchmark={settings.benchmark!r}: {task} has rules of its own. "
            "Leave it out, or take an id such as XLand-MiniGrid-R1-9x9."
        )
    known = xminigrid.registered_benchmarks()
    if settings.benchmark not in known:
        hint = suggest(settings.benchmark, known)
        raise ValueError(
            f"benchmark={settings.benchmark!r}: is unknown{hint}; must be one of "
            f"{', '.join(known)}."
        )
    return XMiniGridTask(environment, params, xminigrid.load_benchmark(settings.benchmark))
