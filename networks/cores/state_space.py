"""Linear state spaces with a complex diagonal: LRU and S5.

h_t = a h_{t-1} + B x_t with one complex decay a per unit; y_t = Re(C h_t) + D x_t; then a
gate. The two differ in where a and B begin and in what is learned of them.
Shapes: B batch, T time, D features, N complex units, H output size.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Interval, MultipleOf

from tolman.networks.core import Array, UnrolledCore, register_core
from tolman.networks.linear_recurrence import (
    ComplexState,
    Way,
    from_halves,
    to_halves,
    turn,
    unroll_linear,
    zero_complex_state,
)

Radius = Annotated[float, Interval(gt=0, lt=1)]


@dataclass(frozen=True)
class LRUConfig:
    """Settings of the linear recurrent unit.

    Attributes:
      hidden_size: units of the output.
      state_size: complex units of the memory.
      radius_min: the least modulus that a decay starts with. A modulus of 1 - 1/N
        leaves 0.37 of a content after N steps.
      radius_max: the largest. For what must be kept N steps, at least 1 - 1/N.
      phase_max: the largest angle that a decay starts with, in radians; a small one for
        long sequences (Orvieto et al. 2023).
      scan: how an unroll is taken, with the same result: step by step, which is faster on a
        CPU, or associative, in parallel.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    state_size: Annotated[int, Ge(1)] = 48
    radius_min: Radius = 0.9
    radius_max: Radius = 0.999
    phase_max: Annotated[float, Interval(gt=0, le=2 * math.pi)] = math.pi / 10
    scan: Way = "auto"

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.radius_max < self.radius_min:
            yield "radius_max", f"at least radius_min = {self.radius_min:g}"


@register_core("lru")
class LRU(UnrolledCore):
    """Linear recurrent unit.

    Source: Orvieto et al. 2023, "Resurrecting Recurrent Neural Networks for Long
      Sequences".
      Departure: D is a matrix, for input and output differ in size; the layer ends in a
      gate of one matrix (as `S5`), without the norm and the residual path of theirs.
    """

    def __init__(self, config: LRUConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> ComplexState:
        return zero_complex_state(batch_size, self._config.state_size)

    def unroll(
        self, x: Array, reset: Array, state: ComplexState
    ) -> tuple[Array, ComplexState]:
        config, size = self._config, self._config.state_size
        rate = jnp.exp(hk.get_parameter("log_rate", (size,), init=self._first_log_rates))
        phase = jnp.exp(hk.get_parameter("log_phase", (size,), init=self._first_log_phases))
        # A unit then varies as much as its input.
        scale = hk.get_parameter(
            "log_scale", (size,), init=lambda *_: 0.5 * jnp.log(1.0 - jnp.exp(-2.0 * rate))
        )
        layer = _Layer(
            _linear(2 * size, (2 * x.shape[-1]) ** -0.5, "enter"),
            _linear(config.hidden_size, size**-0.5, "leave"),
        )
        decay = jnp.exp(jax.lax.complex(-rate, phase))
        return layer.unroll(
            decay, jnp.tile(jnp.exp(scale), 2), x, reset, state, config.scan
        )

    def _first_log_rates(self, shape: Sequence[int], dtype: Any) -> Array:
        """Moduli even over the area of a ring."""
        low, high = self._config.radius_min**2, self._config.radius_max**2
        squares = hk.initializers.RandomUniform(low, high)(shape, dtype)
        return jnp.log(-0.5 * jnp.log(squares))

    def _first_log_phases(self, shape: Sequence[int], dtype: Any) -> Array:
        largest = self._config.phase_max
        return jnp.log(hk.initializers.RandomUniform(1e-6 * largest, largest)(shape, dtype))


@dataclass(frozen=True)
class S5Config:
    """Settings of S5.

    Attributes:
      hidden_size: units of the output.
      state_size: of the state space, even: of each conjugate pair one complex unit is kept.
      time_step_min: the least time step that a unit starts with. A unit keeps 0.37 of a
        content for 2 / time_step steps at first; 0.001 and 0.1 are those of Smith et al.
        2023.
      time_step_max: the largest. For what must be kept N steps, `time_step_min` at most
        2 / N.
      scan: how an unroll is taken, with the same result: step by step, which is faster on a
        CPU, or associative, in parallel.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    state_size: Annotated[int, Ge(2), MultipleOf(2)] = 96
    time_step_min: Annotated[float, Gt(0)] = 0.001
    time_step_max: Annotated[float, Gt(0)] = 0.1
    scan: Way = "auto"

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.time_step_max < self.time_step_min:
            yield "time_step_max", f"at least time_step_min = {self.time_step_min:g}"


@register_core("s5")
class S5(UnrolledCore):
    """Simplified state space, with the diagonal of HiPPO-LegS at the start.

    Source: Smith et al. 2023, "Simplified State Space Layers for Sequence Modeling".
      Departure: decays stay below 1 in modulus, for their real part is learned as a
      logarithm; D is a matrix, for input and output differ in size; one block, without the
      norm and the residual path of theirs.
    """

    def __init__(self, config: S5Config, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> ComplexState:
        return zero_complex_state(batch_size, self._config.state_size // 2)

    def unroll(
        self, x: Array, reset: Array, state: ComplexState
    ) -> tuple[Array, ComplexState]:
        config, size = self._config, self._config.state_size // 2
        eigenvalues, vectors = hippo(config.state_size)
        log_rate = hk.get_parameter(
            "log_rate", (size,), init=hk.initializers.Constant(np.log(-eigenvalues.real))
        )
        frequency = hk.get_parameter(
            "frequency", (size,), init=hk.initializers.Constant(eigenvalues.imag)
        )
        time_step = jnp.exp(
            hk.get_parameter("log_time_step", (size,), init=self._first_log_time_steps)
        )
        eigenvalue = jax.lax.complex(-jnp.exp(log_rate), frequency)
        decay = jnp.exp(eigenvalue * time_step)  # [N]
        layer = _Layer(
            hk.Linear(2 * size, False, _enter_weights(vectors), name="enter"),
            hk.Linear(config.hidden_size, False, _leave_weights(vectors), name="leave"),
        )
        hold = (decay - 1.0) / eigenvalue  # Zero-order hold.
        return layer.unroll(decay, hold, x, reset, state, config.scan)

    def _first_log_time_steps(self, shape: Sequence[int], dtype: Any) -> Array:
        low, high = (
            math.log(self._config.time_step_min),
            math.log(self._config.time_step_max),
        )
        return hk.initializers.RandomUniform(low, high)(shape, dtype)


@functools.cache
def hippo(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of the normal part of HiPPO-LegS.

    Args:
      size: P, even.

    Returns:
      `[P / 2]`, those of positive imaginary part, and `[P, P / 2]`, in its columns.

    Source: Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State
      Space Models"; Smith et al. 2023.
    """
    root = np.sqrt(np.arange(size) + 0.5)
    lower = np.tril(np.outer(root, root), -1)
    # Its diagonal is -1/2 and the rest is skew: -i times that is Hermitian.
    frequencies, vectors = np.linalg.eigh(-1j * (lower.T - lower))
    kept = frequencies > 0
    return -0.5 + 1j * frequencies[kept], vectors[:, kept]


def _enter_weights(vectors: np.ndarray) -> hk.initializers.Initializer:
    """Normal real weights `[D, P]` in the coordinates of the eigenvectors, `[D, 2 N]`."""

    def init(shape: Sequence[int], dtype: Any) -> Array:
        deviation = shape[0] ** -0.5
        weights = hk.initializers.RandomNormal(deviation)((shape[0], len(vectors)), dtype)
        return weights @ jnp.concatenate([vectors.real, -vectors.imag], axis=1)

    return init


def _leave_weights(vectors: np.ndarray) -> hk.initializers.Initializer:
    """The same of `[P, H]`: `[2 N, H]`, for real and imaginary parts.

    Each unit that is kept stands for itself and its conjugate, hence twice.
    """

    def init(shape: Sequence[int], dtype: Any) -> Array:
        size = len(vectors)
        weights = hk.initializers.RandomNormal(size**-0.5)((size, shape[1]), dtype)
        return 2.0 * jnp.concatenate([vectors.real, -vectors.imag], axis=1).T @ weights

    return init


def _linear(size: int, deviation: float, name: str) -> hk.Linear:
    init = hk.initializers.RandomNormal(deviation)
    return hk.Linear(size, with_bias=False, w_init=init, name=name)


class _Layer(hk.Module):
    """What LRU and S5 do once their decays are known."""

    def __init__(self, enter: hk.Linear, leave: hk.Linear) -> None:
        """Sets the two maps.

        Args:
          enter: the map B to real parts and then imaginary ones, `[..., 2 N]`.
          leave: the map C from these, `[..., H]`; of imaginary parts it holds -Im C.
        """
        super().__init__("layer")
        size = leave.output_size
        self._to_memory, self._from_memory = enter, leave
        self._feedthrough = hk.Linear(size, with_bias=False, name="feedthrough")
        self._gate = hk.Linear(size, with_bias=False, name="gate")

    def unroll(
        self,
        decay: Array,
        scale: Array,
        x: Array,
        reset: Array,
        state: ComplexState,
        way: Way,
    ) -> tuple[Array, ComplexState]:
        """Takes T steps.

        Args:
          decay: `[N]`, complex.
          scale: of what enters, complex `[N]` or real `[2 N]`.
          x: `[T, B, D]`.
          reset: `[T, B]`.
          state: before the first row.
          way: see `unroll_linear`.
        """

        def enter(x: Array) -> tuple[Array, Array]:
            return decay, turn(scale, self._to_memory(x))

        memory = to_halves(state)
        outputs, memory = unroll_linear(enter, self._leave, x, reset, memory, way)
        return outputs, from_halves(memory)

    def _leave(self, memory: Array, x: Array) -> Array:
        """Adds D x, and lets through what a gate of the sum says.

        Source: Smith et al. 2023.
        """
        outputs = jax.nn.gelu(self._from_memory(memory) + self._feedthrough(x))
        return outputs * jax.nn.sigmoid(self._gate(outputs))
