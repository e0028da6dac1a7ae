"""The supervised runner: drawing examples and learning from them, in one jitted program.

A *population* of P independent members trains in the same program, shared out among the
devices; members never exchange anything.

Shapes: P members, B examples of an update.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tolman.agents.agent import Array, LearnerState
from tolman.agents.supervised import Examples, SupervisedAgent
from tolman.launchers.device.devices import dividing

MEMBERS = "members"


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


class SupervisedRunner:
    """Trains a population of one agent on one source of examples.

    Attributes:
      agent: pure functions; see `tolman.agents.supervised`.
      source: of examples.
      num_members: P.
      mesh: the devices in use; members are shared out among them.
    """

    def __init__(
        self,
        agent: SupervisedAgent,
        source: Source,
        num_members: int = 1,
        devices: list[jax.Device] | None = None,
    ) -> None:
        """Loads the training split; nothing is compiled yet.

        Args:
          agent: what learns.
          source: what it learns from.
          num_members: P.
          devices: those to use; None takes all that divide the members evenly.
        """
        self.agent, self.source, self.num_members = agent, source, num_members
        if devices is None:
            devices = dividing(jax.devices(), num_members)
        elif num_members % len(devices):
            raise ValueError(
                f"{len(devices)} devices cannot share {num_members} members evenly: use a "
                "divisor."
            )
        self.mesh = Mesh(devices, (MEMBERS,))
        self._data = jax.device_put(
            source.load("train"), NamedSharding(self.mesh, PartitionSpec())
        )
        self._compiled: Any = None

    @property
    def units_per_update(self) -> int:
        """Examples that one update of one member takes."""
        return self.agent.batch_size

    def init(self, keys: Array) -> TrainState:
        """Starts P members from keys `[P, 2]`; equal keys give equal trainings."""

        def start(keys: Array) -> TrainState:
            pairs = jax.vmap(jax.random.split)(keys)  # [P, 2, 2]
            examples = self.source.sample(self._data, keys[0], self.agent.batch_size)
            learner = jax.vmap(self.agent.init, (0, None))(pairs[:, 1], examples)
            return TrainState(learner, pairs[:, 0], jnp.zeros(len(keys), jnp.int32))

        return self.place(jax.jit(start)(keys))

    def place(self, state: TrainState) -> TrainState:
        """Puts a state (fresh, or restored on the host) on the runner's devices."""
        return jax.device_put(state, NamedSharding(self.mesh, PartitionSpec(MEMBERS)))

    def train(
        self, state: TrainState, num_updates: int, total_updates: int
    ) -> tuple[TrainState, dict[str, Array]]:
        """Takes `num_updates` updates without a word to the host; consumes `state`.

        Stops early when no member has a finite loss left; `updates` of the returned state
        tells where.

        Args:
          state: from `init`, `place` or the last `train`.
          num_updates: to take now. Any number runs the same compiled program.
          total_updates: of the whole training; schedules depend on it.

        Returns:
          The new state, and metrics: `[P]` each, means over the updates in which they are
          not NaN. A loss (`loss/...`) is NaN once it has been.
        """
        if self._compiled is None:
            self._compiled = self._compile()
        return self._compiled(
            state, self._data, jnp.int32(num_updates), jnp.int32(total_updates)
        )

    def num_compilations(self) -> int:
        """How many programs `train` has compiled; more than one means wasted time."""
        return self._compiled._cache_size() if self._compiled else 0

    def _compile(self) -> Any:
        members, everywhere = PartitionSpec(MEMBERS), PartitionSpec()
        train = jax.shard_map(
            self._train_members,
            mesh=self.mesh,
            in_specs=(members, everywhere, everywhere, everywhere),
            out_specs=(members, members),
            check_vma=False,
        )
        return jax.jit(train, donate_argnums=0)

    def _train_members(
        self, state: TrainState, data: Any, num_updates: Array, total_updates: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        """`train` for the members that live on one device."""
        update = partial(self._update, data=data, total_updates=total_updates)
        _, shapes = jax.eval_shape(update, state)
        zeros = {name: jnp.zeros(like.shape, like.dtype) for name, like in shapes.items()}
        Carry = tuple[Array, TrainState, Any, Any, Array]

        def unfinished(carry: Carry) -> Array:
            step, _, _, _, some_finite = carry
            return (step < num_updates) & some_finite

        def body(carry: Carry) -> Carry:
            step, state, sums, counts, _ = carry
            state, metrics = update(state)
            told = {
                name: jnp.isfinite(value) | name.startswith("loss/")
                for name, value in metrics.items()
            }
            sums = {
                name: sums[name] + jnp.where(told[name], value, 0.0)
                for name, value in metrics.items()
            }
            counts = {name: counts[name] + told[name] for name in metrics}
            losses = [v for name, v in metrics.items() if name.startswith("loss/")]
            return (
                step + 1,
                state,
                sums,
                counts,
                jnp.isfinite(jnp.stack(losses)).all(0).any(),
            )

        start = (jnp.int32(0), state, zeros, zeros, jnp.bool_(True))
        _, state, sums, counts, _ = lax.while_loop(unfinished, body, start)
        return state, {name: sums[name] / counts[name] for name in sums}

    def _update(
        self, state: TrainState, data: Any, total_updates: Array
    ) -> tuple[TrainState, dict[str, Array]]:
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
        return TrainState(learner, keys, state.updates + 1), metrics
