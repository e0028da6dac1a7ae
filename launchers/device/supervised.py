"""The supervised runner: drawing examples and learning from them, in one jitted program.

Where examples come as a stream from the host, one batch is on its way to the devices while
they learn from the one before.

A *population* of members trains in the same program; see `population.py`.

Shapes: P members, B examples of an update.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from tolman.agents.agent import Array, LearnerState
from tolman.agents.supervised import Examples, SupervisedAgent
from tolman.launchers.device.population import (
    MEMBERS,
    Mean,
    PopulationRunner,
    as_means,
    chosen_devices,
    is_finite,
    over_members,
)
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.memory import KEY, bytes_of, check_learner, check_memory


@runtime_checkable
class Source(Protocol):
    """Examples that lie on the devices; `tolman.envs.reasoning.task.Task` is one."""

    def load(self, split: str) -> Any:
        """Returns the pytree of arrays that `sample` reads.

        Args:
          split: "train", "validation" or "test".
        """
        ...

    def sample(self, data: Any, key: Array, batch_size: int) -> Examples:
        """Draws examples: pure, may be jitted with `batch_size` static."""
        ...


class StreamingSource(Protocol):
    """Examples that the host makes or reads: from a file, a model, a generator."""

    def stream(self, key: Array, first: int) -> Iterator[Examples]:
        """The batches of a training, in order.

        Args:
          key: `[2]`, of all chance in it.
          first: the number of the batch to begin with: a training that is resumed goes on
            with the batch that an unbroken one would have had.

        Returns:
          Pytrees of `[B, ...]` arrays.
        """
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
        source: Source | StreamingSource,
        num_members: int = 1,
        devices: Sequence[jax.Device] | None = None,
        unit: Literal["updates", "examples"] = "updates",
    ) -> None:
        """Loads the training split, if the source has one; see `PopulationRunner`."""
        per_update = agent.batch_size if unit == "examples" else 1
        super().__init__(agent, num_members, unit, per_update, devices=devices)
        self.source: Any = source
        self._is_streaming = not isinstance(source, Source)
        self._streams: list[Iterator[Examples]] = []
        self._next: Any = None  # The batch of the next update, on its way to the devices.
        if isinstance(source, Source):
            self.use(source.load("train"))

    @property
    def data(self) -> Any:
        """The arrays that are learned from."""
        return self._data

    def use(self, data: Any) -> None:
        """Learns from other arrays from now on, in the same compiled program.

        Args:
          data: what `sample` of the source reads, of the shapes that it had.

        Raises:
          ValueError: if a shape or type differs.
        """
        had, given = _shapes(self._data), _shapes(data)
        if self._compiled is not None and had != given:
            raise ValueError(
                f"data of {given}: must have the shapes of those before, {had}. Train on "
                "them in a run of their own."
            )
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        self._data = jax.device_put(data, everywhere)

    def init(self, keys: Array, hyperparameters: Any = None) -> TrainState:
        """Starts P members from keys `[P, 2]`; equal keys give equal trainings."""
        del hyperparameters  # No supervised agent has any.
        like = next(iter(self.source.stream(keys[0], 0))) if self._is_streaming else None

        size = self.agent.batch_size
        shapes = like
        if not self._is_streaming:
            draw = partial(self.source.sample, batch_size=size)
            shapes = jax.eval_shape(draw, self._data, KEY)
        check_memory(f"batch_size={size}: the examples of an update", bytes_of(shapes))
        check_learner(self.agent, shapes)

        def start(keys: Array, examples: Examples) -> TrainState:
            pairs = jax.vmap(jax.random.split)(keys)  # [P, 2, 2]
            if not self._is_streaming:
                examples = self.source.sample(self._data, keys[0], self.agent.batch_size)
            learner = jax.vmap(self.agent.init, (0, None))(pairs[:, 1], examples)
            return TrainState(learner, pairs[:, 0], jnp.zeros(len(keys), jnp.int32))

        return self.place(jax.jit(start)(keys, like))

    def prepare(self, state: TrainState, total_updates: int) -> TrainState:
        """Compiles the program, and opens streams where the state has come to."""
        if self._is_streaming:
            keys, firsts = jax.device_get((state.keys, state.updates))
            self._streams = [
                iter(self.source.stream(jnp.asarray(key), int(first)))
                for key, first in zip(keys, firsts, strict=True)
            ]
            self._next = self._fetch()
            self._data = self._take_next(state)  # Its shapes are compiled for.
        return super().prepare(state, total_updates)

    def train(self, state: TrainState, num_updates: int) -> tuple[TrainState, Any]:
        """See `PopulationRunner.train`; of a stream, batch after batch from the host.

        Raises:
          ValueError: if a stream ends too early.
        """
        if not self._is_streaming or num_updates == 0:
            return super().train(state, num_updates)
        rows: list[dict[str, Array]] = []
        for _ in range(num_updates):
            self._data = self._take_next(state)
            state, row = super().train(state, 1)
            self._next = self._fetch()  # While the devices learn.
            rows.append(row)
            if not is_finite(rows[max(len(rows) - 2, 0)]).any():
                break
        stacked = as_means({name: jnp.stack([r[name] for r in rows]) for name in rows[0]})
        return state, {
            n: mean.total.sum(0) / mean.size.sum(0) for n, mean in stacked.items()
        }

    def _fetch(self) -> Any:
        """A batch of every member, `[P, B, ...]`, on its way; None where a stream ended."""
        try:
            batches = [next(stream) for stream in self._streams]
        except StopIteration:
            return None
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
        return jax.device_put(stacked, NamedSharding(self.mesh, PartitionSpec(MEMBERS)))

    def _take_next(self, state: TrainState) -> Any:
        if self._next is None:
            raise ValueError(
                f"the stream of examples ended after {int(np.max(state.updates))} batches: "
                "train for fewer updates, or let the source start anew."
            )
        return self._next

    def _data_spec(self) -> PartitionSpec:
        return PartitionSpec(MEMBERS) if self._is_streaming else PartitionSpec()

    def _update(
        self, state: TrainState, data: Any, total_updates: Array
    ) -> tuple[TrainState, dict[str, Mean]]:
        """One batch and one update of every member."""

        def one(
            learner: LearnerState, key: Array, updates: Array, batch: Any
        ) -> tuple[LearnerState, Array, dict[str, Array]]:
            if self._is_streaming:  # The key stays: it names the stream at a resume.
                examples, update_key = batch, jax.random.fold_in(key, updates)
            else:
                key, sample_key, update_key = jax.random.split(key, 3)
                examples = self.source.sample(data, sample_key, self.agent.batch_size)
            progress = updates / jnp.maximum(total_updates, 1)
            learner, metrics, _ = self.agent.update(learner, examples, update_key, progress)
            return learner, key, dict(metrics)

        batch = data if self._is_streaming else None
        learner, keys, metrics = over_members(one)(
            state.learner, state.keys, state.updates, batch
        )
        return TrainState(learner, keys, state.updates + 1), as_means(metrics)


def _shapes(data: Any) -> str:
    return ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(data))


@register_runner("on-device/learns")
def make_learning_runner(job: Job, folder: RunFolder) -> SupervisedRunner:
    """Drawing examples and learning from them in one program."""
    del folder
    if job.config.num_envs:
        raise ValueError(
            f"num_envs={job.config.num_envs}: there are none, agent {job.config.agent!r} "
            "learns from examples. Leave --num-envs out."
        )
    agent, task = job.make_agent(), job.source.task()
    return SupervisedRunner(agent, task, devices=chosen_devices(job), unit="examples")
