"""Learning from a replay: a learner, as in Acme, around an agent's `update`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Agent, LearnerState, Metrics, Params
from tolman.launchers.host.layout import ItemLayout
from tolman.launchers.host.priorities import PriorityScale
from tolman.launchers.host.replay import Batch


class NoMoreBatches(Exception):
    """Whoever acted has stopped, in the midst of a run."""


class AgentLearner:
    """Learns from one batch a step; metrics stay on the device until `train` returns.

    It has the methods of `acme.core.Learner`, and is one where Acme is installed.

    Attributes:
      num_updates: done so far.
      priorities: how they are stored, of a prioritised replay.
    """

    def __init__(
        self,
        agent: Agent,
        layout: ItemLayout,
        next_batch: Callable[[], Batch],
        state: LearnerState,
        num_updates: int,
        total_updates: int,
        seed: int,
        set_priorities: Callable[[Batch, np.ndarray], None] | None = None,
        priorities: PriorityScale | None = None,
    ) -> None:
        """Compiles nothing yet; the first step does.

        Args:
          agent: whose `update` it is.
          layout: of the items in a batch.
          next_batch: returns the batch to learn from, on the learner's device; raises
            `NoMoreBatches` where there will be none.
          state: on the device that learns.
          num_updates: behind that state.
          total_updates: of the whole run; schedules depend on it.
          seed: of all chance in the updates; each has its number folded in.
          set_priorities: told the new priorities of a batch, `[I]`, of a prioritised
            replay.
          priorities: how they are stored; None where nothing is prioritised.
        """
        self._next_batch = next_batch
        self._state = state
        self._total_updates = total_updates
        self._key = jax.random.PRNGKey(seed)
        self._set_priorities = set_priorities
        self.priorities = priorities or PriorityScale(())
        self._lags: list[np.ndarray] = []
        self._is_prioritized = agent.data.replay == "prioritized"
        self._waiting: tuple[Batch, Any] | None = None
        hashed: Any = agent  # By identity, which its protocol does not say.
        self._update = _compiled(hashed, layout)
        self.num_updates = num_updates

    def step(self) -> Metrics:
        """Takes one step on the next batch; the metrics are still on the device."""
        batch = self._next_batch()
        self._lags.append(self.num_updates - batch.versions)
        learned = self._update(
            self._state,
            batch.items,
            batch.probability,
            np.int32(self.num_updates),
            np.int32(self._total_updates),
            self._key,
        )
        self._state = learned.learner_state
        self.num_updates += 1
        if self._is_prioritized:
            self._send_priorities()  # Of the step before: this one is still under way.
            self._waiting = (batch, learned.priorities)
        return learned.metrics

    def train(
        self, num_updates: int, publish: Callable[[int, Params], None]
    ) -> dict[str, np.floating]:
        """Takes updates while there are batches; returns the means of their metrics.

        Args:
          num_updates: how many.
          publish: called after each with the number of updates and the parameters.
        """
        self._lags = []
        rows = []
        for _ in range(num_updates):
            try:
                rows.append(self.step())
            except NoMoreBatches:
                break
            publish(self.num_updates, self._state.params)
        rows = jax.device_get(rows)
        metrics = {
            name: np.mean([row[name] for row in rows]) for name in (rows[0] if rows else ())
        }
        if self._lags:
            metrics["time/param_lag"] = np.mean(np.concatenate(self._lags))
        return metrics

    def get_variables(self, names: Sequence[str] = ("params",)) -> list[Any]:
        """The parameters, for each name `params`; on the device, and never changed.

        Raises:
          ValueError: for any other name.
        """
        if set(names) - {"params"}:
            raise ValueError(f"variables {list(names)}: only 'params' can be had.")
        return [self._state.params for _ in names]

    def save(self) -> LearnerState:
        """The learner's state."""
        self._send_priorities()
        return self._state

    def restore(self, state: LearnerState) -> None:
        """Continues from `state`."""
        self._state = state

    def num_compilations(self) -> int:
        """How many programs `step` has compiled; more than one means wasted time."""
        return self._update._cache_size()

    def _send_priorities(self) -> None:
        if self._waiting is None:
            return
        batch, priorities = self._waiting
        self._waiting = None
        assert self._set_priorities is not None
        self._set_priorities(batch, self.priorities.scale(np.asarray(priorities, float)))


@lru_cache(maxsize=4)  # Whoever learns on after a pause finds its program again.
def _compiled(agent: Any, layout: Any) -> Any:
    """The update of an agent on a batch of packed items."""
    is_prioritized = agent.data.replay == "prioritized"

    def learn(
        state: Any, items: Any, probability: Any, num_updates: Any, total: Any, key: Any
    ) -> Any:
        unroll = layout.assemble(items, probability if is_prioritized else None)
        key = jax.random.fold_in(key, num_updates)
        return agent.update(state, unroll, key, num_updates / jnp.maximum(total, 1))

    return jax.jit(learn)
