"""A sequence model of another library as a memory core.

Shapes: B batch, T time, D features, H output size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from annotated_types import Ge

from tolman.networks.core import Array, UnrolledCore
from tolman.networks.linear_recurrence import ComplexState, from_complex, to_complex


class SequenceModel(NamedTuple):
    """A model as functions of arrays.

    Attributes:
      init: takes a key; returns its parameters, a list of arrays.
      start: takes a batch size; returns the state of empty memories.
      apply: takes the parameters, inputs `[B, T, H]`, resets `[B, T]` and the state;
        returns outputs `[B, T, H]` and the state after the last row.
    """

    init: Callable[[Array], list[Array]]
    start: Callable[[int], Any]
    apply: Callable[[list[Array], Array, Array, Any], tuple[Array, Any]]


@dataclass(frozen=True)
class OtherConfig:
    """Settings of a model of another library.

    Attributes:
      hidden_size: what it takes as its size.
      keywords: of its constructor, as JSON: '{"num_heads": 2}'.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    keywords: str = "{}"


class OtherCore(UnrolledCore):
    """A model of another library behind a linear map of the inputs to its size.

    The model is as it is: `tolman check-core` tells what it breaks.

    Attributes:
      make: builds it of a name, a size and keywords.
      model: its name.
    """

    make: Callable[..., SequenceModel]
    model: str

    def __init__(self, config: OtherConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> Any:
        return jax.tree.map(_carried, self._model().start(batch_size))

    def unroll(self, x: Array, reset: Array, state: Any) -> tuple[Array, Any]:
        model = self._model()
        shapes = jax.eval_shape(model.init, jax.random.PRNGKey(0))
        made = model.init(hk.next_rng_key()) if hk.running_init() else shapes
        params = [
            hk.get_parameter(
                f"leaf_{number}", leaf.shape, leaf.dtype, init=lambda *_, leaf=leaf: leaf
            )
            for number, leaf in enumerate(made)
        ]
        state = jax.tree.map(
            _resumed, state, is_leaf=lambda leaf: isinstance(leaf, ComplexState)
        )
        x = hk.Linear(self._config.hidden_size, name="input")(x)
        outputs, state = model.apply(
            params, jnp.swapaxes(x, 0, 1), jnp.swapaxes(reset, 0, 1), state
        )
        return jnp.swapaxes(outputs, 0, 1), jax.tree.map(_carried, state)

    def _model(self) -> SequenceModel:
        config = self._config
        return type(self).make(self.model, config.hidden_size, config.keywords)


def _carried(leaf: Array) -> Any:
    """What replays and checkpoints can hold: complex numbers as pairs."""
    leaf = jnp.asarray(leaf)
    return from_complex(leaf) if jnp.iscomplexobj(leaf) else leaf


def _resumed(leaf: Any) -> Array:
    return to_complex(leaf) if isinstance(leaf, ComplexState) else leaf


def read_keywords(name: str, text: str) -> dict[str, Any]:
    """The keywords that a JSON object spells.

    Raises:
      ValueError: for what is none.
    """
    import json

    try:
        keywords = json.loads(text)
    except ValueError:
        keywords = None
    if not isinstance(keywords, dict):
        raise ValueError(
            f"core {name!r}: keywords={text!r}: must be a JSON object, such as "
            "'{\"num_heads\": 2}'."
        )
    return keywords


def is_parameter(leaf: Any) -> bool:
    """Whether a leaf of a model is an array that learns."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact)
