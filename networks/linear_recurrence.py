"""The recurrence h_t = a_t h_{t-1} + b_t, taken step by step or in parallel.

All cores whose memory is a sum that decays stand on it. The decays may be complex; memories
are real arrays then, twice as wide: real parts, and then imaginary ones. A task that opens
is a decay of zero: nothing but h is carried from row to row or from unroll to unroll, and
no gradient crosses.

Shapes: B batch, T time, R = T B rows, N the axes of the decays; M those of the memory, of
which the first is twice that of N where decays are complex.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Gt

from tolman.networks.core import Array, join_rows, scan_steps, split_rows

FITTING = 2**20  # Numbers of T memories that the caches of a CPU hold.
LARGE_BATCH = 32  # From here on the products of one row's matrices are quick.
Way = Literal["auto", "associative", "sequential"]  # What `--core.scan` allows.


class ComplexState(NamedTuple):
    """A complex memory as real arrays, which every replay and checkpoint can hold.

    Attributes:
      real: `[B, ...]`.
      imaginary: `[B, ...]`.
    """

    real: Array
    imaginary: Array


@dataclass(frozen=True)
class SpreadMemory:
    """Settings of a core whose parts remember for different times.

    Attributes:
      shortest_memory: steps that the part of the shortest memory keeps a content at first.
      longest_memory: of the longest; the others lie between, evenly in logarithms. For what
        must be kept N steps, at least N.
    """

    shortest_memory: Annotated[float, Gt(1)] = 10.0
    longest_memory: Annotated[float, Gt(1)] = 1000.0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.longest_memory < self.shortest_memory:
            yield "longest_memory", f"at least shortest_memory = {self.shortest_memory:g}"


def unroll_linear(
    enter: Callable[[Array], tuple[Array, Array]],
    leave: Callable[[Array, Array], Array],
    x: Array,
    reset: Array,
    state: Array,
    way: Way = "auto",
) -> tuple[Array, Array]:
    """Unrolls a core of two maps around h_t = a_t h_{t-1} + b_t, inside a Haiku transform.

    Args:
      enter: maps rows of inputs `[R, D]` to decays a, `[R, N]`, or `[N]` where they are
        those of all rows, of modulus 1 at most; and to values b, `[R, M]` or what
        broadcasts to that.
      leave: maps rows of memories h, `[R, M]`, and of inputs to outputs `[R, H]`.
      x: `[T, B, D]` inputs.
      reset: `[T, B]` bool; a is 0 where it is True.
      state: h before the first row, `[B, M]`.
      way: "sequential" takes a row after the other, "associative" all at once, by some
        2 log2 T products of all decays; "auto" the former on a CPU and the latter
        elsewhere. The results differ by rounding alone.

    Returns:
      The outputs `[T, B, H]`, and h after the last row.

    Source: Blelloch 1990, "Prefix Sums and Their Applications", for the parallel way.
    """
    if way == "auto":
        way = "sequential" if jax.default_backend() == "cpu" else "associative"
    recur = _steps if way == "sequential" else _parallel

    def take(x: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        rows = join_rows(x)
        decay, value = enter(rows)
        is_of_all_rows = decay.ndim < value.ndim
        decay = decay if is_of_all_rows else split_rows(decay, len(x))
        memory = recur(decay, split_rows(value, len(x)), reset, state)
        return split_rows(leave(join_rows(memory), rows), len(x)), memory[-1]

    def step(x: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        outputs, state = take(x[None], reset[None], state)
        return outputs[0], state

    if way == "sequential" and not maps_take_all_rows(len(x), *state.shape):
        # The way back computes a row anew: faster than to read what the maps stored.
        return scan_steps(hk.remat(step, prevent_cse=False), (x, reset), state)
    return take(x, reset, state)


def maps_take_all_rows(num_rows: int, batch_size: int, *memory: int) -> bool:
    """Whether the sequential way has the maps before and after take all rows at once.

    The recurrence between them goes row by row. Where the caches do not hold all
    memories, and a row alone makes matrices that are large, so do the maps. Measured:
    docs/cores.md.

    Args:
      num_rows: T.
      batch_size: B.
      *memory: M.
    """
    return batch_size < LARGE_BATCH or num_rows * batch_size * math.prod(memory) <= FITTING


def _steps(decay: Array, value: Array, reset: Array, state: Array) -> Array:
    """The memories after each row, `[T, B, M]`."""
    is_of_each_row = decay.ndim == value.ndim

    def body(state: Array, row: tuple[Array | None, Array, Array]) -> tuple[Array, Array]:
        own_decay, value, reset = row
        state = jnp.where(_like(reset, state), 0.0, state)
        state = turn(decay if own_decay is None else own_decay, state) + value
        return state, state

    rows = (decay if is_of_each_row else None, value, reset)
    return jax.lax.scan(body, state, rows)[1]


def _parallel(decay: Array, value: Array, reset: Array, state: Array) -> Array:
    """The memories after each row, `[T, B, M]`."""
    value = jnp.broadcast_to(value, (len(value), *state.shape))
    first = turn(decay[0] if decay.ndim == value.ndim else decay, state)
    # The state before the first row enters as a part of the first value.
    value = value.at[0].add(jnp.where(_like(reset[0], state), 0.0, first))
    is_complex = jnp.iscomplexobj(decay)
    value = jax.lax.complex(*jnp.split(value, 2, axis=2)) if is_complex else value
    decay = jnp.where(_like(reset, value), 0.0, decay)
    memory = jax.lax.associative_scan(_join, (decay, value))[1]
    return jnp.concatenate([memory.real, memory.imag], axis=2) if is_complex else memory


def _like(reset: Array, memory: Array) -> Array:
    """With as many axes as `memory`."""
    return reset.reshape(reset.shape + (1,) * (memory.ndim - reset.ndim))


def turn(decay: Array, memory: Array) -> Array:
    """The product of both, `[B, M]`.

    Args:
      decay: `[B, N]` or `[N]`, real or complex.
      memory: `[B, M]`, real.
    """
    if not jnp.iscomplexobj(decay):
        return decay * memory
    real, imaginary = jnp.split(memory, 2, axis=1)
    a, b = decay.real, decay.imag
    return jnp.concatenate([a * real - b * imaginary, a * imaginary + b * real], axis=1)


def _join(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
    """Two stretches of rows as one: h -> a h + b, after one another."""
    return earlier[0] * later[0], later[0] * earlier[1] + later[1]


def zero_complex_state(*shape: int) -> ComplexState:
    """An empty complex memory of that shape."""
    return ComplexState(jnp.zeros(shape), jnp.zeros(shape))


def to_halves(state: ComplexState) -> Array:
    """The memory as one real array: real parts and then imaginary ones."""
    return jnp.concatenate([state.real, state.imaginary], axis=1)


def from_halves(memory: Array) -> ComplexState:
    """That array as the state that is carried."""
    return ComplexState(*jnp.split(memory, 2, axis=1))


def to_complex(state: ComplexState) -> Array:
    """The memory as one complex array."""
    return jax.lax.complex(state.real, state.imaginary)


def from_complex(memory: Array) -> ComplexState:
    """The complex array as the state that is carried."""
    return ComplexState(memory.real, memory.imag)


def spread_steps(shortest: float, longest: float, size: int) -> np.ndarray:
    """How many steps each of `size` units remembers at first, evenly spread in logarithms.

    Args:
      shortest: of the first unit, at least 1.
      longest: of the last.
      size: number of units.

    Returns:
      `[size]`, ascending; one unit alone gets the longest.

    Source: Tallec and Ollivier 2018, "Can Recurrent Neural Networks Warp Time?".
      Departure: they draw them evenly between 1 and the longest, so that few are short.
    """
    if size == 1:
        return np.array([longest], np.float32)
    return np.geomspace(shortest, longest, size).astype(np.float32)
