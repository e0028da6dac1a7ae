"""The five properties of the memory-core contract, for our cores and a user's own.

Shapes: B batch, T time, D features, H output size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tolman.networks.core import (
    Array,
    Diagnostics,
    MemoryCore,
    State,
    run_core,
    split_inputs,
)

BATCH, TIME, FEATURES = 3, 22, 5
MIDDLE = TIME // 2  # Both halves are of one length, and share a compiled program.
PROPERTIES = (
    "step by step equals unroll",
    "unroll in two parts equals unroll in one",
    "nothing leaks across a reset",
    "nothing leaks between batch rows",
    "final states agree",
)


class ConformanceError(ValueError):
    """A core breaks its contract; the message names the property."""


class _Apply(NamedTuple):
    """The core's methods as pure functions, its parameters bound."""

    initial_state: Callable[[int], State]
    step: Callable[[np.ndarray, np.ndarray, State], tuple[Array, State]]
    unroll: Callable[[np.ndarray, np.ndarray, State], tuple[Array, State]]
    diagnose: Callable[[np.ndarray, np.ndarray, State], tuple[Array, State, Diagnostics]]


def check_core(
    make_core: Callable[[], MemoryCore],
    tolerance: float = 1e-5,
    dtype: Any = jnp.float32,
    seed: int = 0,
) -> dict[str, float]:
    """Measures the five properties on random inputs with random resets.

    Args:
      make_core: builds the core; called inside a Haiku transform.
      tolerance: largest difference allowed, relative to the largest number compared where
        that exceeds 1.
      dtype: of the inputs.
      seed: of parameters, inputs and resets.

    Returns:
      Property to the largest difference seen.

    Raises:
      ConformanceError: naming the first property that does not hold.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(TIME, BATCH, FEATURES)).astype(dtype)
    reset = rng.random((TIME, BATCH)) < 0.15
    apply = _bind(make_core, x, reset, seed)
    state = _warm_state(apply, x)
    outputs, final = apply.unroll(x, reset, state)
    if outputs.shape[:2] != (TIME, BATCH):
        raise ConformanceError(
            f"unroll returned shape {outputs.shape}, must begin with [T, B] = "
            f"{(TIME, BATCH)}: return one output a step and row."
        )

    _check_diagnostics(apply, x, reset, state, outputs, tolerance)
    step_outputs, step_final = _step_by_step(apply, x, reset, state)
    head, between = apply.unroll(x[:MIDDLE], reset[:MIDDLE], state)
    tail, halves_final = apply.unroll(x[MIDDLE:], reset[MIDDLE:], between)
    differences = {
        PROPERTIES[0]: _difference(outputs, step_outputs),
        PROPERTIES[1]: _difference(outputs, np.concatenate([head, tail])),
        PROPERTIES[2]: _leak_across_reset(apply, x, reset, state),
        PROPERTIES[3]: _leak_between_rows(apply, x, reset, state),
        PROPERTIES[4]: _difference((final, final), (step_final, halves_final)),
    }
    for name, difference in differences.items():
        if not difference <= tolerance:
            raise ConformanceError(
                f"{name!r} does not hold: largest difference {difference:.3g}, allowed "
                f"{tolerance:.3g}. See MemoryCore in tolman.networks.core."
            )
    return differences


def _bind(
    make_core: Callable[[], MemoryCore], x: np.ndarray, reset: np.ndarray, seed: int
) -> _Apply:
    def build() -> Any:
        core = make_core()

        def init(x: Array, reset: Array) -> Any:
            return unroll(x, reset, core.initial_state(BATCH))

        def step(x: Array, reset: Array, state: State) -> Any:
            return core(split_inputs(core, x), reset, state)

        def unroll(x: Array, reset: Array, state: State) -> Any:
            return core.unroll(split_inputs(core, x), reset, state)

        def diagnose(x: Array, reset: Array, state: State) -> Any:
            return run_core(core, split_inputs(core, x), reset, state)

        return init, (core.initial_state, step, unroll, diagnose)

    transformed = hk.without_apply_rng(hk.multi_transform(build))
    params = jax.jit(transformed.init)(jax.random.PRNGKey(seed), x, reset)
    # Large parameters make a leak visible: a gate that is shut hides it.
    params = jax.tree.map(lambda leaf: 2.0 * np.asarray(leaf), params)
    initial_state, *others = transformed.apply
    return _Apply(
        functools.partial(jax.jit(initial_state, static_argnums=1), params),
        *(functools.partial(jax.jit(method), params) for method in others),
    )


def _warm_state(apply: _Apply, x: np.ndarray) -> State:
    """A state that has seen something: the unrolls start in the middle of a task."""
    no_reset = np.zeros((TIME, BATCH), bool)
    return apply.unroll(x[::-1], no_reset, apply.initial_state(BATCH))[1]


def _check_diagnostics(
    apply: _Apply,
    x: np.ndarray,
    reset: np.ndarray,
    state: State,
    outputs: Array,
    tolerance: float,
) -> None:
    """A core that diagnoses does nothing else than without, and tells of every step."""
    _, _, shapes = jax.eval_shape(apply.diagnose, x, reset, state)
    if not shapes:
        return
    for name, leaf in shapes.items():
        if leaf.shape[:2] != (TIME, BATCH):
            raise ConformanceError(
                f"diagnostic {name!r} has shape {leaf.shape}, must begin with [T, B] = "
                f"{(TIME, BATCH)}: tell of every step and row."
            )
    difference = _difference(outputs, apply.diagnose(x, reset, state)[0])
    if not difference <= tolerance:
        raise ConformanceError(
            f"diagnose returned outputs that differ from unroll's by {difference:.3g}, "
            f"allowed {tolerance:.3g}: make unroll call it."
        )


def _step_by_step(
    apply: _Apply, x: np.ndarray, reset: np.ndarray, state: State
) -> tuple[np.ndarray, State]:
    outputs = []
    for t in range(TIME):
        output, state = apply.step(x[t], reset[t], state)
        outputs.append(output)
    return np.stack(outputs), state


def _leak_across_reset(
    apply: _Apply, x: np.ndarray, reset: np.ndarray, state: State
) -> float:
    """Changes all that came before a reset, inputs and state; nothing after may change."""
    reset, other_x = reset.copy(), x.copy()
    reset[MIDDLE] = True
    other_x[:MIDDLE] *= -3.0
    other_state = apply.initial_state(BATCH)
    outputs, final = apply.unroll(x, reset, state)
    other_outputs, other_final = apply.unroll(other_x, reset, other_state)
    fresh_outputs, _ = apply.unroll(x[MIDDLE:], reset[MIDDLE:], other_state)
    # A memory may hold old slots that it masks out, so outputs are compared, not states.
    following, _ = apply.step(x[0], reset[0], final)
    other_following, _ = apply.step(x[0], reset[0], other_final)
    after = np.asarray(outputs)[MIDDLE:]
    return _difference(
        (after, after, following),
        (np.asarray(other_outputs)[MIDDLE:], fresh_outputs, other_following),
    )


def _leak_between_rows(
    apply: _Apply, x: np.ndarray, reset: np.ndarray, state: State
) -> float:
    """Changes row 0, its resets too; the outputs of the other rows may not change."""
    other_x, other_reset = x.copy(), reset.copy()
    other_x[:, 0] *= -3.0
    other_reset[:, 0] = ~reset[:, 0]
    outputs, _ = apply.unroll(x, reset, state)
    other_outputs, _ = apply.unroll(other_x, other_reset, state)
    return _difference(np.asarray(outputs)[:, 1:], np.asarray(other_outputs)[:, 1:])


def _difference(a: Any, b: Any) -> float:
    """The largest difference between two pytrees, relative to a leaf's size above 1."""

    def gap(x: Any, y: Any) -> Any:
        x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
        with np.errstate(invalid="ignore"):  # Infinities that meet: not a number, told.
            return np.abs(x - y).max(initial=0.0) / np.abs(x).max(initial=1.0)

    return float(np.max([0.0, *jax.tree.leaves(jax.tree.map(gap, a, b))]))
