"""The recurrence h_t = a_t h_{t-1} + b_t, taken step by step or in parallel.

All cores whose memory is a sum that decays stand on it; the decays may be complex. A task
that opens is a decay of zero: nothing but h is carried from row to row or from unroll to
unroll, and no gradient crosses.

Shapes: B batch, T time, ... any axes of the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Gt

from tolman.networks.core import Array, scan_steps

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
      enter: maps inputs `[..., B, D]` to decays a, `[..., B, N]` or what broadcasts to
        that, of modulus 1 at most, and to values b, `[..., B, N]`.
      leave: maps memories h `[..., B, N]` and inputs to outputs `[..., B, H]`.
      x: `[T, B, D]` inputs.
      reset: `[T, B]` bool; a is 0 where it is True.
      state: h before the first row, `[B, N]`.
      way: "sequential" takes a row after the other through both maps, "associative" all at
        once, and some 2 log2 T products of all decays; "auto" the former on a CPU and the
        latter elsewhere. The results differ by rounding alone.

    Returns:
      The outputs `[T, B, H]`, and h after the last row.

    Source: Blelloch 1990, "Prefix Sums and Their Applications", for the parallel way.
    """
    if way == "auto":
        way = "sequential" if jax.default_backend() == "cpu" else "associative"

    def step(x: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        decay, value = enter(x)
        state = _cut(decay, reset, value) * state + value
        return leave(state, x), state

    if way == "sequential":
        # The way back computes a row anew: on a CPU twice as fast as storing it all.
        return scan_steps(hk.remat(step, prevent_cse=False), (x, reset), state)
    decay, value = enter(x)
    decay = _cut(decay, reset, value)
    # The state before the first row enters as a part of the first value.
    value = value.at[0].add(decay[0] * state)
    memory = jax.lax.associative_scan(_join, (decay, value))[1]
    return leave(memory, x), memory[-1]


def _cut(decay: Array, reset: Array, value: Array) -> Array:
    """The decay, and zero where a task opens, with the axes of `value`."""
    opens = reset.reshape(reset.shape + (1,) * (value.ndim - reset.ndim))
    return decay * (1.0 - opens.astype(value.real.dtype))


def _join(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
    """Two stretches of rows as one: h -> a h + b, after one another."""
    return earlier[0] * later[0], later[0] * earlier[1] + later[1]


def zero_complex_state(*shape: int) -> ComplexState:
    """An empty complex memory of that shape."""
    return ComplexState(jnp.zeros(shape), jnp.zeros(shape))


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
