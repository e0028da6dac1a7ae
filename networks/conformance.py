"""The memory-core contract as a check, for our cores and a user's own.

Shapes: B batch, T time, D features, H output size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.networks.bound_core import BoundCore, bind_core
from tolman.networks.conformance_forms import ConformanceError, check_forms
from tolman.networks.core import MemoryCore, State

TIME, FEATURES = 22, 5
MIDDLE = TIME // 2  # Both halves are of one length, and share a compiled program.
LONGEST_UNROLL = 1100  # A state may have thousands of numbers, and a window is shorter.
LARGE = 1e4  # Times as large as usual: what an observation that nobody has scaled is like.
# Each with what breaks it most often.
CAUSES = {
    "step by step equals unroll": (
        "a convolution, a position or a cache that is no part of the state, keys that are "
        "rotated again, or a reset one row late"
    ),
    "unroll in two parts equals unroll in one": (
        "positions that start anew in each call, or rows that one unroll alone holds"
    ),
    "nothing leaks across a reset": (
        "a reset that is ignored, comes one row late, or leaves a part of the state"
    ),
    "nothing leaks between batch rows": "a mean, a norm or a reshape over the batch axis",
    "final states agree": "an unroll that returns another state than its last row's",
    "unrolls of unequal length equal one": "a state that counts calls in place of rows",
    "a long unroll equals short ones": "an unroll that is longer than the window",
    "zeros and large inputs stay finite": (
        "a division by a length or sum that may be 0, or an exponential without a bound"
    ),
    "gradients of unroll equal those of steps": "a gradient that one of the two stops",
    "no gradient crosses a reset": "a state that is taken away, not cut off",
    "a long run changes nothing": "a product or a sum over all rows that grows",
}
PROPERTIES = tuple(CAUSES)
ROUNDED = PROPERTIES[6:7] + PROPERTIES[8:]  # Where rounding adds up.
REFERENCE = "equals its reference"
Reference = Callable[[Any, np.ndarray, np.ndarray], np.ndarray]


class _Trial(NamedTuple):
    """What is done to a core: the same inputs in all checks, so that programs are shared.

    Attributes:
      core: the core.
      x: `[T, B, D]`.
      reset: `[T, B]`.
      state: before the first row, of a memory that has seen something.
      outputs: of the unroll of all this.
      final: the state after it.
    """

    core: BoundCore
    x: np.ndarray
    reset: np.ndarray
    state: State
    outputs: np.ndarray
    final: State


def check_core(
    make_core: Callable[[], MemoryCore],
    tolerance: float = 1e-5,
    dtype: Any = jnp.float32,
    seed: int = 0,
    long_run: int = 1000,
    reference: Reference | None = None,
) -> dict[str, float]:
    """Measures the properties of the contract on random inputs.

    A row of the batch each has resets at random, at its first step, at its last, at two
    steps running, at none and at all.

    Args:
      make_core: builds the core; called inside a Haiku transform.
      tolerance: largest difference allowed, relative to the largest number compared where
        that exceeds 1; ten times that of gradients and of what goes on for long.
      dtype: of the inputs.
      seed: of parameters, inputs and resets.
      long_run: steps without a reset after which step and unroll are compared again, at
        least.
      reference: see `check_reference`; None to leave that out.

    Returns:
      Property to the largest difference seen.

    Raises:
      ConformanceError: naming the first property that does not hold.
    """
    x, reset = _inputs(dtype, seed)
    core = bind_core(make_core, x, reset, seed)
    check_forms(core, x, reset)
    state = core.unroll(x[::-1], np.zeros_like(reset), core.initial_state(x.shape[1]))[1]
    outputs, final = core.unroll(x, reset, state)
    trial = _Trial(core, x, reset, state, np.asarray(outputs), final)
    _check_diagnostics(trial, tolerance)
    differences: dict[str, float] = {}
    for measure in (
        _steps_and_parts,
        _lengths,
        _leaks,
        _extremes,
        _gradients,
        lambda trial: _long_run(trial, long_run),
    ):
        for name, difference in measure(trial).items():
            allowed = tolerance * (10.0 if name in ROUNDED else 1.0)
            differences[name] = _within(name, difference, allowed)
    if reference is not None:
        differences[REFERENCE] = check_reference(make_core, reference, tolerance, seed)
    return {
        name: differences[name] for name in (*PROPERTIES, REFERENCE)[: len(differences)]
    }


def check_reference(
    make_core: Callable[[], MemoryCore],
    reference: Reference,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> float:
    """Compares a core with a second implementation, from an empty memory.

    Args:
      make_core: builds the core; called inside a Haiku transform.
      reference: takes the core's Haiku parameters, `x` `[T, B, D]`, both in float64, and
        `reset` `[T, B]`; returns the outputs `[T, B, H]`. It alone can tell that the
        arithmetic is that of a paper.
      tolerance: see `check_core`.
      seed: of parameters, inputs and resets.

    Returns:
      The largest difference.

    Raises:
      ConformanceError: if it exceeds the tolerance, or there are outputs of another shape.
    """
    x, reset = _inputs(np.float32, seed)
    core = bind_core(make_core, x, reset, seed)
    outputs, _ = core.unroll(x, reset, core.initial_state(x.shape[1]))
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), core.params)
    expected = reference(params, x.astype(np.float64), reset)
    if np.shape(expected) != outputs.shape:
        raise ConformanceError(
            f"the reference returned outputs of shape {np.shape(expected)}, must be of "
            f"the core's, [T, B, H] = {outputs.shape}."
        )
    return _within(REFERENCE, _difference(expected, outputs), tolerance)


def steps_in_reach(
    make_core: Callable[[], MemoryCore], num_steps: int = 200, seed: int = 0
) -> int:
    """How many steps after an input outputs still differ by it, of so many; 0: no memory.

    Parameters are those that the core starts with, twice as large: training changes it.

    Args:
      make_core: builds the core; called inside a Haiku transform.
      num_steps: that are looked at.
      seed: of parameters and inputs.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_steps + 1, 1, FEATURES)).astype(np.float32)
    no_reset = np.zeros((num_steps + 1, 1), bool)
    core = bind_core(make_core, x, no_reset, seed)
    other = x.copy()
    other[0] *= -3.0
    both = [core.unroll(x, no_reset, core.initial_state(1))[0] for x in (x, other)]
    differs = (np.asarray(both[0]) != np.asarray(both[1])).reshape(num_steps + 1, -1)
    return int(np.flatnonzero(differs.any(1)).max(initial=0))


def _inputs(dtype: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random rows, and a kind of reset in each row of the batch."""
    rng = np.random.default_rng(seed)
    kinds = np.zeros((TIME, 6), bool)
    kinds[:, 0] = rng.random(TIME) < 0.15
    kinds[0, 1] = kinds[-1, 2] = True
    kinds[5:7, 3] = True
    kinds[:, 5] = True
    return rng.normal(size=(*kinds.shape, FEATURES)).astype(dtype), kinds


def _within(name: str, difference: float, allowed: float) -> float:
    if difference <= allowed:
        return difference
    cause = CAUSES.get(name, "an arithmetic that is not the reference's")
    raise ConformanceError(
        f"{name!r} does not hold: largest difference {difference:.3g}, allowed "
        f"{allowed:.3g}. Often the cause is {cause}; see MemoryCore in "
        "tolman.networks.core."
    )


def _check_diagnostics(trial: _Trial, tolerance: float) -> None:
    """A core that diagnoses does nothing else than without, and tells of every step."""
    core, inputs = trial.core, (trial.x, trial.reset, trial.state)
    _, _, shapes = jax.eval_shape(core.diagnose, *inputs)
    if not shapes:
        return
    for name, leaf in shapes.items():
        if leaf.shape[:2] != trial.reset.shape:
            raise ConformanceError(
                f"diagnostic {name!r} has shape {leaf.shape}, must begin with [T, B] = "
                f"{trial.reset.shape}: tell of every step and row."
            )
    difference = _difference(trial.outputs, core.diagnose(*inputs)[0])
    if not difference <= tolerance:
        raise ConformanceError(
            f"diagnose returned outputs that differ from unroll's by {difference:.3g}, "
            f"allowed {tolerance:.3g}: make unroll call it."
        )


def _steps_and_parts(trial: _Trial) -> dict[str, float]:
    core, x, reset, state, outputs, final = trial
    by_steps, steps_final = _step_by_step(core, x, reset, state)
    halves, halves_final = _in_parts(core, x, reset, state, (MIDDLE, MIDDLE))
    # One row as an unroll, a half, and the rest in steps: T and 1 mixed.
    unequal, between = _in_parts(core, x, reset, state, (1, MIDDLE))
    rest, unequal_final = _step_by_step(core, x[MIDDLE + 1 :], reset[MIDDLE + 1 :], between)
    unequal = np.concatenate([unequal, rest])
    return {
        PROPERTIES[0]: _difference(outputs, by_steps),
        PROPERTIES[1]: _difference(outputs, halves),
        PROPERTIES[4]: _difference((final, final), (steps_final, halves_final)),
        PROPERTIES[5]: _difference((outputs, final), (unequal, unequal_final)),
    }


def _step_by_step(
    core: BoundCore, x: np.ndarray, reset: np.ndarray, state: State
) -> tuple[np.ndarray, State]:
    outputs = []
    for row, opens in zip(x, reset, strict=True):
        output, state = core.step(row, opens, state)
        outputs.append(output)
    return np.stack(outputs), state


def _in_parts(
    core: BoundCore, x: np.ndarray, reset: np.ndarray, state: State, lengths: Any
) -> tuple[np.ndarray, State]:
    """Unrolls of these lengths, one after the other."""
    outputs, start = [], 0
    for length in lengths:
        rows = slice(start, start + length)
        output, state = core.unroll(x[rows], reset[rows], state)
        outputs.append(output)
        start += length
    return np.concatenate(outputs), state


def _leaks(trial: _Trial) -> dict[str, float]:
    return {
        PROPERTIES[2]: _leak_across_reset(trial),
        PROPERTIES[3]: _leak_between_rows(trial),
    }


def _leak_across_reset(trial: _Trial) -> float:
    """Changes all that came before a reset, inputs and state; nothing after may change.

    What comes after is longer than any window, in which what came before may show late.
    """
    core, x = trial.core, _long_rows(trial)
    reset = np.zeros(x.shape[:2], bool)
    reset[:TIME] = trial.reset
    reset[MIDDLE] = True
    other_x = x.copy()
    other_x[:MIDDLE] *= -3.0
    empty = core.initial_state(x.shape[1])
    # A memory may hold old slots that it masks out, so outputs are compared, not states.
    outputs, other_outputs = (
        np.asarray(core.unroll(rows, reset, state)[0])[MIDDLE:]
        for rows, state in ((x, trial.state), (other_x, empty))
    )
    fresh_outputs, _ = core.unroll(x[MIDDLE:TIME], reset[MIDDLE:TIME], empty)
    return _difference(
        (outputs, outputs[:MIDDLE]), (other_outputs, np.asarray(fresh_outputs))
    )


def _leak_between_rows(trial: _Trial) -> float:
    """Changes row 0, which alone has resets then; the others' outputs may not change."""
    core, x, reset = trial.core, trial.x, np.zeros_like(trial.reset)
    other_x, other_reset = x.copy(), reset.copy()
    other_x[:, 0] *= -3.0
    other_reset[::3, 0] = True
    outputs, other_outputs = (
        np.asarray(core.unroll(rows, opens, trial.state)[0])[:, 1:]
        for rows, opens in ((x, reset), (other_x, other_reset))
    )
    return _difference(outputs, other_outputs)


def _lengths(trial: _Trial) -> dict[str, float]:
    """One unroll that is longer than any axis of the state, and so than its window."""
    core, rows = trial.core, _long_rows(trial)
    reset = np.zeros(rows.shape[:2], bool)
    reset[3, 0] = reset[-TIME - 5, 1] = True  # The others reach back as far as they can.
    outputs, final = core.unroll(rows, reset, trial.state)
    short = _in_parts(core, rows, reset, trial.state, (TIME,) * (len(rows) // TIME))
    return {PROPERTIES[6]: _difference((outputs, final), short)}


def _long_rows(trial: _Trial) -> np.ndarray:
    """The rows over and over, every other time negated, for longer than a window holds."""
    axes = [axis for leaf in jax.tree.leaves(trial.state) for axis in leaf.shape[1:]]
    longest = min(max(axes, default=1), LONGEST_UNROLL)
    return np.concatenate([trial.x * (-1.0) ** i for i in range(longest // TIME + 2)])


def _extremes(trial: _Trial) -> dict[str, float]:
    core, x, reset = trial.core, trial.x, trial.reset
    zeros = core.unroll(np.zeros_like(x), reset, trial.state)
    large = core.unroll(x * np.asarray(LARGE, x.dtype), reset, trial.state)
    stepped = _step_by_step(core, np.zeros_like(x), reset, trial.state)
    # A number that is not finite differs from itself.
    return {PROPERTIES[7]: _difference((zeros, large), (stepped, large))}


def _gradients(trial: _Trial) -> dict[str, float]:
    core, x = trial.core, trial.x
    everywhere = np.ones(trial.reset.shape, np.float32)
    by_unroll, by_steps = core.gradients(x, trial.reset, trial.state, everywhere)
    # Copies: what has been handed over may still be read while it is computed with.
    reset, after = trial.reset.copy(), everywhere.copy()
    reset[MIDDLE] = True
    after[:MIDDLE] = 0.0
    crossing, crossing_by_steps = (
        inputs[:MIDDLE] for _, inputs in core.gradients(x, reset, trial.state, after)
    )
    nothing = np.zeros(crossing.shape, np.float32)
    return {
        PROPERTIES[8]: _difference(by_unroll, by_steps),
        PROPERTIES[9]: _difference((nothing,) * 2, (crossing, crossing_by_steps)),
    }


def _long_run(trial: _Trial, num_steps: int) -> dict[str, float]:
    """Goes on without a reset, and then compares steps with an unroll once more."""
    core, x, state = trial.core, trial.x, trial.state
    rows = _long_rows(trial)
    no_reset = np.zeros(rows.shape[:2], bool)
    for _ in range(-(-num_steps // len(rows))):
        _, state = core.unroll(rows, no_reset, state)
    unrolled = core.unroll(x, no_reset[:TIME], state)
    return {
        PROPERTIES[10]: _difference(
            unrolled, _step_by_step(core, x, no_reset[:TIME], state)
        )
    }


def _difference(a: Any, b: Any) -> float:
    """The largest difference between two pytrees, relative to a leaf's size above 1."""

    def gap(x: Any, y: Any) -> Any:
        x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
        with np.errstate(invalid="ignore"):  # Infinities that meet: not a number, told.
            return np.abs(x - y).max(initial=0.0) / np.abs(x).max(initial=1.0)

    return float(np.max([0.0, *jax.tree.leaves(jax.tree.map(gap, a, b))]))
