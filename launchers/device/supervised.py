"""The supervised runner: drawing examples and learning from them, in one jitted program.

A *population* of members trains in the same program; see `population.py`.

Shapes: P members, B examples of an update.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from tolman.agents.agent import Array, LearnerState
from tolman.agents.supervised import Examples, SupervisedAgent
from tolman.launchers.device.population import Mean, PopulationRunner, as_means


class Source(Protocol):
    """Where examples come from; `tolman.envs.reasoning.task.Task` is one."""

    def load(self, split: str) -> Any:
        """Returns the pytree of arrays that `sample` reads.

        Args:
          split: "train", "validation" or "test".
        """
        ...

    def sample(self, data: Any, key: Array, batch_size: int) -> Examples:
        """Draws examples: pure, may be jitted with `batch_size` static."""
        ...


class TrainState(NamedTuple):
    """All that a training is: saved and restored whole, it goes on to the same bits.

    Attributes:
      learner: `[P, ...]`.
      keys: `[P, 2]`.
      updates: `[P]` int32, done so far.
    """

    learner: LearnerState
    keys: Array
    updates: Array


class SupervisedRunner(PopulationRunner):
    """Trains a population of one agent on one source of examples.

    Attributes:
      source: of examples.
    """

    def __init__(
        self,
        agent: SupervisedAgent,
        source: Source,
        num_members: int = 1,
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        """Loads the training split; see `PopulationRunner` for the rest."""
        super().__init__(agent, num_members, "updates", 1, devices=devices)
        self.source = source
        self._data = jax.device_put(
            source.load("train"), NamedSharding(self.mesh, PartitionSpec())
        )

    def init(self, keys: Array, hyperparameters: Any = None) -> TrainState:
        """Starts P members from keys `[P, 2]`; equal keys give equal trainings."""
        del hyperparameters  # No supervised agent has any.

        def start(keys: Array) -> TrainState:
            pairs = jax.vmap(jax.random.split)(keys)  # [P, 2, 2]
            examples = self.source.sample(self._data, keys[0], self.agent.batch_size)
            learner = jax.vmap(self.agent.init, (0, None))(pairs[:, 1], examples)
            return TrainState(learner, pairs[:, 0], jnp.zeros(len(keys), jnp.int32))

        return self.place(jax.jit(start)(keys))

    def _update(
        self, state: TrainState, data: Any, total_updates: Array
    ) -> tuple[TrainState, dict[str, Mean]]:
        """One batch and one update of every member."""

        def one(
            learner: LearnerState, key: Array, updates: Array
        ) -> tuple[LearnerState, Array, dict[str, Array]]:
            key, sample_key, update_key = jax.random.split(key, 3)
            examples = self.source.sample(data, sample_key, self.agent.batch_size)
            progress = updates / jnp.maximum(total_updates, 1)
            learner, metrics, _ = self.agent.update(learner, examples, update_key, progress)
            return learner, key, dict(metrics)

        learner, keys, metrics = jax.vmap(one)(state.learner, state.keys, state.updates)
        return TrainState(learner, keys, state.updates + 1), as_means(metrics)
