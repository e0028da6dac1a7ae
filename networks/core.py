"""The memory-core contract, and the table of registered cores.

Shapes: B batch, T time, D features, H output size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import haiku as hk
import jax

Array = jax.Array
State = Any  # Any pytree of arrays with a leading batch axis; () for a core without memory.
Input = Any  # An array; of a core that names its inputs, a mapping of these to arrays.
Diagnostics = Mapping[str, Array]  # Name to `[T, B, ...]`, or `[B, ...]` of one step.


@runtime_checkable
class MemoryCore(Protocol):
    """Memory of a policy: any sequence model with a carried state.

    `reset[t]` is True when observation t opens a new *task*: nothing from before t may
    then influence output t or any later one. The environment decides when: in meta-RL
    a task spans many trials, so wiping at every episode start would be wrong.

    A core is a Haiku module whose constructor takes one frozen dataclass, annotated:
    `def __init__(self, config: LSTMConfig, name: str | None = None)`. That dataclass is
    what `--core.KEY` sets on the command line.

    A core whose layers take different inputs has an attribute `inputs`, a tuple of names:
    "features" (of what the agent sees), "previous_action", "previous_reward", or a part of
    the observation. Its `x` is then a mapping of these names to arrays `[B, D]`; any other
    core gets all inputs joined.

    A core that can tell what went on inside it at each step, for a loss or a plot, also
    has a method `diagnose`; see `run_core`.
    """

    def initial_state(self, batch_size: int) -> State:
        """Returns the state of `batch_size` empty memories; every leaf is `[B, ...]`."""
        ...

    def __call__(self, x: Array, reset: Array, state: State) -> tuple[Array, State]:
        """Takes one step.

        Args:
          x: `[B, D]` input.
          reset: `[B]` bool, True where `x` opens a new task.
          state: the state before `x`.

        Returns:
          `[B, H]` output, and the state after `x`.
        """
        ...

    def unroll(self, x: Array, reset: Array, state: State) -> tuple[Array, State]:
        """Takes T steps at once, with the result of T calls of `__call__`.

        Args:
          x: `[T, B, D]` inputs.
          reset: `[T, B]` bool.
          state: the state before `x[0]`.

        Returns:
          `[T, B, H]` outputs, and the state after `x[T - 1]`.
        """
        ...


def run_core(
    core: MemoryCore, x: Input, reset: Array, state: State
) -> tuple[Array, State, Diagnostics]:
    """Takes one step or T, and returns the core's diagnostics of them too.

    They come from the core's method `diagnose(x, reset, state)`, which takes what `unroll`
    takes and returns what it returns, and a mapping of names to arrays `[T, B, ...]`. A
    core without that method has none.

    Args:
      core: the core.
      x: `[B, D]` for one step, `[T, B, D]` for an unroll; or a mapping to these.
      reset: `[B]` or `[T, B]` bool.
      state: the state before `x`.

    Returns:
      Outputs `[B, H]` or `[T, B, H]`, the state after `x`, and the diagnostics.

    Raises:
      ValueError: if a core returns outputs of another number of rows.
    """
    diagnose = getattr(core, "diagnose", None)
    is_step = reset.ndim == 1
    if diagnose is None:
        outputs, state = (core if is_step else core.unroll)(x, reset, state)
        shape = getattr(outputs, "shape", ())
        if shape[:-1] != reset.shape:
            raise ValueError(
                f"core {type(core).__name__}: returned outputs of shape {shape}; must be "
                f"{reset.shape} and an axis of features. tolman check-core tells more."
            )
        return outputs, state, {}
    if not is_step:
        return diagnose(x, reset, state)
    row = jax.tree.map(lambda leaf: leaf[None], x)
    outputs, state, diagnostics = diagnose(row, reset[None], state)
    return outputs[0], state, {name: value[0] for name, value in diagnostics.items()}


def split_inputs(core: MemoryCore, x: Array) -> Input:
    """An array `[..., D]` as the core takes it: cut into the inputs that it names."""
    names = tuple(getattr(core, "inputs", ()))
    if not names:
        return x
    parts = jax.numpy.array_split(x, len(names), axis=-1)
    return dict(zip(names, parts, strict=True))


CORES: dict[str, type] = {}

CoreClass = TypeVar("CoreClass", bound=type)


def register_core(name: str) -> Callable[[CoreClass], CoreClass]:
    """Makes a core known by `name`, so that `--core NAME` finds it.

    Raises:
      ValueError: if the name is taken by another class.
    """

    def register(core_class: CoreClass) -> CoreClass:
        if CORES.get(name, core_class) is not core_class:
            raise ValueError(
                f"core name {name!r} is taken by {CORES[name].__qualname__}: "
                "register the new core under another name."
            )
        CORES[name] = core_class
        return core_class

    return register


class UnrolledCore(hk.Module):
    """Base of a core whose step is an unroll of one row; it adds `unroll`."""

    def __call__(self, x: Array, reset: Array, state: State) -> tuple[Array, State]:
        outputs, state = self.unroll(x[None], reset[None], state)
        return outputs[0], state

    def unroll(self, x: Array, reset: Array, state: State) -> tuple[Array, State]:
        """See `MemoryCore.unroll`."""
        raise NotImplementedError


def scan_steps(step: Callable[..., tuple[Array, State]], rows: Any, state: State) -> Any:
    """Unrolls a core step by step, inside a Haiku transform.

    Args:
      step: maps a row's parts and the state to the output and the next state.
      rows: tuple of what `step` takes, `[T, ...]`.
      state: before the first row.

    Returns:
      The outputs, `[T, ...]`, and the last state.
    """

    def body(state: State, row: Any) -> tuple[State, Array]:
        output, state = step(*row, state)
        return state, output

    state, outputs = hk.scan(body, state, rows)
    return outputs, state


def join_rows(tree: Any) -> Any:
    """Arrays `[T, B, ...]` as `[T B, ...]`, for a map that takes each row by itself.

    So a linear map has its weights' gradient from one product of two matrices. Of arrays
    `[T, B, D]` XLA copies one into another order first, which on a CPU takes as long.
    """
    return jax.tree.map(
        lambda leaf: leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]), tree
    )


def split_rows(tree: Any, num_rows: int) -> Any:
    """The way back: arrays `[T B, ...]` as `[T, B, ...]`, of T = `num_rows`."""
    return jax.tree.map(lambda leaf: leaf.reshape(num_rows, -1, *leaf.shape[1:]), tree)


def reset_state(state: State, initial: State, reset: Array) -> State:
    """Replaces the rows of `state` where `reset` is True by those of `initial`.

    Args:
      state: pytree of `[B, ...]`.
      initial: pytree of the same structure and shapes.
      reset: `[B]` bool.
    """

    def select(initial_leaf: Array, leaf: Array) -> Array:
        mask = reset.reshape(reset.shape + (1,) * (leaf.ndim - reset.ndim))
        return jax.numpy.where(mask, initial_leaf, leaf)

    return jax.tree.map(select, initial, state)
