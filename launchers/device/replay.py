"""A replay in the memory of the device: a ring of rows, and sequences that begin in it.

A row is stored once, however many sequences hold it; the actor's state is stored where a
sequence begins. Environments act in *rounds*, of as many decisions as there are from the
start of one sequence to that of the next: once the first one is long enough, each round
completes a sequence of every environment, and the oldest of each makes room for it.

Shapes: E environments, p decisions a round, K rounds in the ring, T decisions a sequence,
B sequences drawn. The sequence that began in round r of environment e is item
(r mod K) E + e.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from tolman.agents.agent import Array, DataSpec, Decision, Unroll
from tolman.envs.environment import TimeStep
from tolman.launchers.device.rows import Rows, pack, unpack
from tolman.launchers.device.sum_tree import (
    SumTree,
    draw_items,
    make_sum_tree,
    set_weights,
)

LARGEST_INTEGER = 2**30  # Sums of two stay in 32 bits.


class Row(NamedTuple):
    """Attributes:
    decision: what was decided.
    timestep: what followed.
    """

    decision: Decision
    timestep: TimeStep


class Ring(NamedTuple):
    """The content of a replay.

    Attributes:
      rows: `[K p, E, ...]`, of `Row`s.
      actor_state: `[K, E, ...]`, before the first decision of a round.
      versions: `[K]` int32, updates before that decision.
      weights: of items, in a prioritised replay; else `()`.
    """

    rows: Rows
    actor_state: Any
    versions: Array
    weights: SumTree


class Scale(NamedTuple):
    """How priorities are stored; see `tolman.launchers.host.priorities`.

    Attributes:
      unit: `[]`, the largest priority of the first batch; 0 before there is one.
      largest: `[]`, stored so far, as a multiple of the unit.
    """

    unit: Array
    largest: Array


class ReplayState(NamedTuple):
    """A replay, and how far it is.

    Attributes:
      rounds: `[]` int32, acted so far.
      age: `[]` int32, of them, since the ring was empty.
      credit: `[]` int32, samples that may be drawn; see `Rate`.
      scale: of priorities, in a prioritised replay; else `()`.
      ring: the content.
    """

    rounds: Array
    age: Array
    credit: Array
    scale: Scale | tuple[()]
    ring: Ring


class Rate(NamedTuple):
    """When updates are due, in whole numbers, so that nothing is lost to rounding.

    Attributes:
      first_round: the one after which there are enough items.
      first_gain: credit of that round.
      gain: credit of every later one.
      cost: credit that an update takes.
    """

    first_round: int
    first_gain: int
    gain: int
    cost: int


@dataclass(frozen=True)
class Replay:
    """How a replay works; what it holds is a `ReplayState` of one member.

    Attributes:
      data: what the agent asks for.
      num_envs: E.
    """

    data: DataSpec
    num_envs: int

    @property
    def period(self) -> int:
        """Decisions a round: p."""
        return self.data.period or self.data.unroll_length

    @property
    def _lead(self) -> int:
        """Rounds until a sequence is complete, its first one included."""
        return math.ceil(self.data.unroll_length / self.period)

    @property
    def _num_kept(self) -> int:
        """Complete sequences of each environment; as many rows as all of them need."""
        data = self.data
        least = math.ceil(data.min_size / self.num_envs)
        return max(data.capacity // self.num_envs, least)

    @property
    def num_rounds(self) -> int:
        """K."""
        return self._num_kept + self._lead

    @property
    def _is_prioritized(self) -> bool:
        return self.data.replay == "prioritized"

    @cached_property
    def rate(self) -> Rate:
        """Of updates to rounds, as near to `samples_per_insert` as 32 bits can tell."""
        data, num_envs = self.data, self.num_envs
        size = max(data.batch_size, num_envs * math.ceil(data.samples_per_insert))
        fraction = Fraction(data.samples_per_insert)
        samples, inserts = fraction.limit_denominator(
            max(LARGEST_INTEGER // size, 1)
        ).as_integer_ratio()
        num_rounds = math.ceil(data.min_size / num_envs)
        return Rate(
            self._lead - 1 + num_rounds,
            (num_envs * num_rounds - data.min_size) * samples,
            num_envs * samples,
            data.batch_size * inserts,
        )

    def start(self, opening: TimeStep, row: Row, actor_state: Any) -> ReplayState:
        """An empty replay.

        Args:
          opening: `[E, ...]`, what the environments show first.
          row: whose leaves have the dtypes, and `[E, ...]` shapes, of those to come.
          actor_state: likewise.
        """
        zero = jnp.int32(0)
        num_rounds, period = self.num_rounds, self.period

        def zeros(length: int, tree: Any) -> Any:
            return jax.tree.map(
                lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), tree
            )

        first = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), row)
        first = pack(first._replace(timestep=opening), 1)
        rows = jax.tree.map(  # Round 0 takes the rows from `period` on.
            lambda leaf, first: leaf.at[period - 1].set(first),
            zeros(num_rounds * period, first),
            first,
        )
        is_prioritized = self._is_prioritized
        return ReplayState(
            rounds=zero,
            age=zero,
            credit=zero,
            scale=Scale(jnp.float32(0.0), jnp.float32(1.0)) if is_prioritized else (),
            ring=Ring(
                rows=rows,
                actor_state=zeros(num_rounds, actor_state),
                versions=jnp.zeros(num_rounds, jnp.int32),
                weights=(
                    make_sum_tree(num_rounds * self.num_envs) if is_prioritized else ()
                ),
            ),
        )

    def num_items(self, age: Array) -> Array:
        """Sequences that can be drawn, `[]` int32."""
        return jnp.clip(age - self._lead + 1, 0, self._num_kept) * self.num_envs

    def is_due(self, credit: Array) -> Array:
        """Whether an update is, `[]` bool; else a round is."""
        return credit >= self.rate.cost

    def add(
        self, ring: Ring, age: Array, scale: Any, row: Row, actor_state: Any, version: Array
    ) -> Ring:
        """Puts in one round.

        Args:
          ring: before it.
          age: `[]`, rounds in it so far.
          scale: of priorities; a new item has the largest so far.
          row: `[p, E, ...]`.
          actor_state: `[E, ...]`, before it.
          version: `[]`, updates before it.
        """
        block, slot = (age + 1) % self.num_rounds, age % self.num_rounds
        rows = jax.tree.map(
            lambda kept, new: lax.dynamic_update_slice_in_dim(
                kept, new, block * self.period, 0
            ),
            ring.rows,
            pack(row, 2),
        )
        actor_state, versions = jax.tree.map(
            lambda kept, new: lax.dynamic_update_index_in_dim(kept, new, slot, 0),
            (ring.actor_state, ring.versions),
            (actor_state, version),
        )
        weights = ring.weights
        if self._is_prioritized:
            weights = self._exchange(weights, age + 1, scale.largest)
        return Ring(rows, actor_state, versions, weights)

    def _exchange(self, weights: SumTree, age: Array, priority: Array) -> SumTree:
        """Weighs the items that `age` rounds complete, and those that go for them."""
        each = jnp.arange(self.num_envs)
        complete = age - self._lead  # The round in which they began.
        gone = (complete - self._num_kept) % self.num_rounds
        weight = jnp.where(complete >= 0, priority**self.data.priority_exponent, 0.0)
        begun = jnp.stack([gone, complete % self.num_rounds])
        items = begun[:, None] * self.num_envs + each
        new = jnp.stack([jnp.zeros(self.num_envs), jnp.full(self.num_envs, weight)])
        return set_weights(weights, items.reshape(-1), new.reshape(-1))

    def count_round(self, state: ReplayState) -> ReplayState:
        """One round more, and the updates that it earns."""
        age, rate = state.age + 1, self.rate
        gain = jnp.where(age == rate.first_round, rate.first_gain, rate.gain)
        earned = jnp.where(age < rate.first_round, 0, gain)
        return state._replace(
            rounds=state.rounds + 1, age=age, credit=state.credit + earned
        )

    def draw(self, ring: Ring, age: Array, key: Array) -> tuple[Array, Array | None]:
        """Draws `[B]` items, and their probability in a prioritised replay."""
        batch_size = self.data.batch_size
        if self._is_prioritized:
            return draw_items(ring.weights, key, batch_size)
        oldest = jnp.maximum(age - self._lead + 1 - self._num_kept, 0)
        number = jax.random.randint(key, (batch_size,), 0, self.num_items(age))
        began, env = jnp.divmod(number, self.num_envs)
        return (oldest + began) % self.num_rounds * self.num_envs + env, None

    def read(
        self, ring: Ring, items: Array, probability: Array | None
    ) -> tuple[Unroll, Array]:
        """The sequences of `[B]` items, and the versions that began them, `[B]`."""
        slot, env = jnp.divmod(items, self.num_envs)
        first = (slot + 1) * self.period - 1  # The row that led to the first time step.
        after = jnp.arange(self.data.unroll_length + 1)[:, None]
        places = (first + after) % (self.num_rounds * self.period)  # [T + 1, B]
        row = unpack(jax.tree.map(lambda leaf: leaf[places, env], ring.rows))
        action, policy = jax.tree.map(lambda leaf: leaf[1:], row.decision)
        state = jax.tree.map(lambda leaf: leaf[slot, env], ring.actor_state)
        unroll = Unroll(row.timestep, action, policy, state, probability)
        return unroll, ring.versions[slot]

    def reweigh(
        self, weights: SumTree, scale: Any, items: Array, priorities: Array | None
    ) -> tuple[SumTree, Any]:
        """Takes up the `[B]` priorities that an update returned."""
        if not self._is_prioritized or priorities is None:
            return weights, scale
        unit = jnp.where(scale.unit > 0.0, scale.unit, priorities.max())
        stored = priorities / unit
        # An item that was drawn twice may have been rounded differently.
        is_same = items[:, None] == items  # [B, B]
        stored = jnp.where(is_same, stored, 0.0).max(-1)
        scale = Scale(unit, jnp.maximum(scale.largest, stored.max()))
        weights = set_weights(weights, items, stored**self.data.priority_exponent)
        return weights, scale
