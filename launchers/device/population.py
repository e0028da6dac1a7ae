"""What trains on devices in one compiled program: a *population* of independent members.

An ordinary run is a population of one. Members never exchange anything: they are seeds, or
settings of a sweep, and are shared out among the devices. A lone member shares out its own
parts instead (environments, games), and XLA averages the gradients.

Shapes: P members.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tolman.agents.agent import Array, Params
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import MUST_BE_FINITE, Counts, RoleRow

MEMBERS = "members"  # The axis of a mesh that they are shared out along.
State = Any  # Has fields `learner` of `[P, ...]` and `updates` of `[P]`.


class Mean(NamedTuple):
    """A mean under way: `total` of `size` values, `[P]` each; NaN where there are none."""

    total: Array
    size: Array


def make_mesh(axis: str, num_parts: int, devices: Sequence[jax.Device]) -> Mesh:
    """A mesh of the first devices, as many as can take equally many parts each."""
    count = max(n for n in range(1, len(devices) + 1) if num_parts % n == 0)
    return Mesh(devices[:count], (axis,))


def share_out(
    function: Callable[..., Any], mesh: Mesh, in_specs: Any, out_specs: Any
) -> Callable[..., Any]:
    """`function` of each device's share; where one device has all, the function itself."""
    if mesh.size == 1:
        return function
    return jax.shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )


def over_members(function: Callable[..., Any], in_axes: Any = 0) -> Callable[..., Any]:
    """`jax.vmap` over members; a lone one runs the function itself.

    A product with a batch axis of one is slower than a plain one on a CPU: taking the axis
    off made whole training loops 1.13 to 1.33 times as fast.

    Args:
      function: of one member; it returns arrays.
      in_axes: as `jax.vmap` takes it: one for all arguments, or a tuple of one each, where
        None means that the members share the argument.
    """

    def call(*arguments: Any) -> Any:
        axes = in_axes if type(in_axes) is tuple else (in_axes,) * len(arguments)
        if _num_members(axes, arguments) > 1:
            return jax.vmap(function, axes)(*arguments)
        own = [
            argument if axis is None else _of_lone(axis, argument)
            for axis, argument in zip(axes, arguments, strict=True)
        ]
        return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, 0), function(*own))

    return call


def in_turn(
    function: Callable[[State], tuple[State, Any]], state: State, num_members: int
) -> tuple[State, Any]:
    """`function` of one member after another, each as a population of one.

    Args:
      function: of a state of one member; it returns the next, and arrays of `[1, ...]`.
      state: of all; every leaf is `[P, ...]` or has P equal parts along its first axis.
      num_members: P.
    """

    def own(leaf: Array, member: Any) -> Array:
        size = leaf.shape[0] // num_members
        return lax.dynamic_slice_in_dim(leaf, member * size, size)

    def put(leaf: Array, part: Array, member: Any) -> Array:
        return lax.dynamic_update_slice_in_dim(leaf, part, member * part.shape[0], 0)

    def turn(member: Any, carry: Any) -> Any:
        result = function(jax.tree.map(partial(own, member=member), carry[0]))
        return jax.tree.map(partial(put, member=member), carry, result)

    def first(state: State) -> Any:
        return function(jax.tree.map(partial(own, member=0), state))[1]

    told = jax.tree.map(
        lambda leaf: jnp.zeros((num_members, *leaf.shape[1:]), leaf.dtype),
        jax.eval_shape(first, state),
    )
    return lax.fori_loop(0, num_members, turn, (state, told))


def _num_members(axes: Sequence[Any], arguments: Sequence[Any]) -> int:
    for axis, argument in zip(axes, arguments, strict=True):
        leaves = jax.tree.leaves(argument)
        if axis is not None and leaves:
            return int(leaves[0].shape[jax.tree.leaves(axis)[0]])
    return 0


def _of_lone(axes: Any, argument: Any) -> Any:
    """The argument without the axis of members; `axes` is a prefix of its tree."""

    def squeeze(axis: int, part: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.squeeze(leaf, axis), part)

    return jax.tree.map(squeeze, axes, argument)


def as_means(metrics: Mapping[str, Array]) -> dict[str, Mean]:
    """One update's metrics as means: a value that is not finite counts only in a loss."""
    return {
        name: Mean(
            jnp.where(told := jnp.isfinite(value) | _must_be_finite(name), value, 0.0),
            told.astype(jnp.float32),
        )
        for name, value in metrics.items()
    }


def is_finite(metrics: Mapping[str, Array | np.ndarray]) -> Array:
    """Which members have every loss and gradient finite, from values of `[P]`."""
    losses = [value for name, value in metrics.items() if _must_be_finite(name)]
    return jnp.isfinite(jnp.stack(losses)).all(0) if losses else jnp.bool_([True])


def _must_be_finite(name: str) -> bool:
    return name.startswith(MUST_BE_FINITE)


class PopulationRunner:
    """What every runner on devices has in common; see `tolman.launchers.runs.protocol`.

    A runner adds `init` and `_update`, and `_within` where a lone member shares out parts.

    Attributes:
      agent: what learns.
      num_members: P.
      unit: the x axis of metrics.
      units_per_update: units that one update of a member takes.
      mesh: the devices in use.
    """

    def __init__(
        self,
        agent: Any,
        num_members: int,
        unit: str,
        units_per_update: float,
        parts: tuple[str, int] = (MEMBERS, 1),
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        """Chooses devices; nothing is compiled yet.

        Args:
          agent: what learns.
          num_members: P.
          unit: the x axis of metrics.
          units_per_update: units that one update of a member takes.
          parts: of a lone member, their name and number.
          devices: those to use; None takes all that divide the work evenly. A lone member
            on CPU cores takes one: there, sharing out costs more than it gains.

        Raises:
          ValueError: if `devices` cannot share the work evenly.
        """
        self.agent, self.num_members = agent, num_members
        self.unit, self.units_per_update = unit, units_per_update
        axis, share = (MEMBERS, num_members) if num_members > 1 else parts
        if devices is None:
            devices = jax.devices()
            if num_members == 1 and devices[0].platform == "cpu":
                devices = devices[:1]
        elif share % len(devices):
            raise ValueError(
                f"{len(devices)} devices cannot share {share} {axis} evenly: use a divisor."
            )
        self.mesh = make_mesh(axis, share, devices)
        self._data: Any = ()  # What every update reads beside the state.
        self._compiled: Any = None
        self._total_updates = 0
        # On a CPU they are faster in turn, and have the bits of lone ones.
        self._takes_turns = self.mesh.devices.flat[0].platform == "cpu"

    def place(self, state: State) -> State:
        """Puts a state (fresh, or restored on the host) on the runner's devices."""
        return jax.device_put(_strong(state), self._shardings(state))

    def prepare(self, state: State, total_updates: int) -> State:
        """Compiles the program; trains nothing."""
        self._total_updates = total_updates
        return self.train(state, 0)[0]

    def train(self, state: State, num_updates: int) -> tuple[State, dict[str, Array]]:
        """Takes `num_updates` updates without host transfers; consumes `state`.

        Stops early when no member has finite losses left, unless they take turns;
        `updates` of the returned state tells where, and the metrics name the term.

        Args:
          state: from `prepare` or the last `train`.
          num_updates: to take now. Any number runs the same compiled program.

        Returns:
          The new state, and metrics: `[P]` each, means over these updates (of what happens
          in some of them only, such as the end of an episode, over those; NaN in none). A
          loss (`loss/...`) is NaN once it has been.
        """
        if self._compiled is None:
            self._compiled = self._compile(self._shardings(state))
        return self._compiled(
            state, self._data, jnp.int32(num_updates), jnp.int32(self._total_updates)
        )

    def num_compilations(self) -> int:
        """How many programs `train` has compiled; more than one means wasted time."""
        return self._compiled._cache_size() if self._compiled else 0

    def counts(self, state: State) -> Counts:
        """Of the member that is furthest: one that diverged may have stopped earlier."""
        updates = int(np.max(np.asarray(state.updates)))
        return Counts(updates, round(updates * self.units_per_update))

    def total_updates(self, num_units: int) -> int:
        return math.ceil(num_units / self.units_per_update)

    def params(self, state: State) -> Params:
        return state.learner.params

    def save_replay(self, folder: Path) -> None:
        """Does nothing: what such a run holds is in its state."""

    def load_replay(self, folder: Path | None) -> None:
        """Does nothing; see `save_replay`."""

    def without_replay(self, state: State) -> State:
        return state  # There is no replay in it.

    def with_empty_replay(self, state: State) -> State:
        return state

    def roles(self) -> list[RoleRow]:
        return []

    def describe_devices(self) -> str:
        devices = self.mesh.devices.ravel()
        return f"{len(devices)} x {devices[0].device_kind}"

    def close(self) -> None:
        """Does nothing: nothing was started."""

    def _update(
        self, state: State, data: Any, total_updates: Array
    ) -> tuple[State, dict[str, Mean]]:
        """One update of every member that lives on one device."""
        raise NotImplementedError

    def _within(self, state: State) -> Any:
        """How a lone member is laid out: a pytree of `PartitionSpec` like `state`."""
        return jax.tree.map(lambda _: PartitionSpec(), state)

    @property
    def _by_members(self) -> bool:
        return self.mesh.axis_names == (MEMBERS,)

    def _shardings(self, state: State) -> Any:
        """How each leaf is laid out over the mesh."""
        if self._by_members:
            whole = NamedSharding(self.mesh, PartitionSpec(MEMBERS))
            return jax.tree.map(lambda _: whole, state)
        return jax.tree.map(
            lambda spec: NamedSharding(self.mesh, spec), self._within(state)
        )

    def _compile(self, shardings: Any) -> Any:
        train: Any = self._train_members
        if self._by_members:
            members, everywhere = PartitionSpec(MEMBERS), PartitionSpec()
            in_specs = (members, self._data_spec(), everywhere, everywhere)
            train = share_out(train, self.mesh, in_specs, (members, members))
        # The state leaves as it came, so that the next call finds the same program.
        outputs = shardings, shardings.updates
        return jax.jit(train, donate_argnums=0, out_shardings=outputs)

    def _data_spec(self) -> PartitionSpec:
        """How what every update reads is laid out; by default every device has all."""
        return PartitionSpec()

    def _train_members(
        self, state: State, data: Any, num_updates: Array, total_updates: Array
    ) -> tuple[State, dict[str, Array]]:
        """`train` for the members that live on one device."""
        num_members = len(state.updates)
        if num_members == 1 or not self._takes_turns:
            return self._train_together(state, data, num_updates, total_updates)

        def train(own: State) -> tuple[State, dict[str, Array]]:
            return self._train_together(own, data, num_updates, total_updates, False)

        return in_turn(train, state, num_members)

    def _train_together(
        self,
        state: State,
        data: Any,
        num_updates: Array,
        total_updates: Array,
        may_stop: bool = True,
    ) -> tuple[State, dict[str, Array]]:
        """The same, with every update one of all members."""
        _, shapes = jax.eval_shape(self._update, state, data, total_updates)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        Carry = tuple[Array, State, dict[str, Mean], Array]

        def unfinished(carry: Carry) -> Array:
            step, _, _, some_finite = carry
            return (step < num_updates) & some_finite

        def body(carry: Carry) -> Carry:
            step, state, sums, _ = carry
            state, means = self._update(state, data, total_updates)
            finite = is_finite({name: mean.total for name, mean in means.items()})
            goes_on = finite.any() if may_stop else jnp.bool_(True)
            return step + 1, state, jax.tree.map(jnp.add, sums, means), goes_on

        start = (jnp.int32(0), state, zeros, jnp.bool_(True))
        _, state, sums, _ = lax.while_loop(unfinished, body, start)
        return state, {name: mean.total / mean.size for name, mean in sums.items()}


def _strong(state: State) -> State:
    """The state with a type of its own in every leaf.

    What is made of a Python number, as in `jnp.full(2, 1.0)` or `x / 2`, may be of a weak
    type, which no output of a program is: given back to it, it would be compiled again.
    """

    def strong(leaf: Any) -> Any:
        is_weak = getattr(leaf, "weak_type", False)
        return lax.convert_element_type(leaf, leaf.dtype) if is_weak else leaf

    return jax.tree.map(strong, state)


def chosen_devices(job: Job) -> list[jax.Device] | None:
    """Those that the config asks for; None for all that divide the work evenly."""
    devices, wanted = jax.devices(), job.config.num_devices
    if wanted > len(devices):
        raise ValueError(
            f"num_devices={wanted}: there are {len(devices)}. Set --num-devices."
        )
    return devices[:wanted] if wanted else None
