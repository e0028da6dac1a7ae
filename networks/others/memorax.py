"""Models of Memorax, which are modules of Flax."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from tolman.networks.others.core import SequenceModel, read_keywords

NUM_HEADS = 4  # Where a model asks for heads and no keyword says how many.


@functools.cache
def make_memorax(name: str, hidden_size: int, keywords: str) -> SequenceModel:
    """The model of that name in memorax.networks.sequence_models, or a cell of Flax.

    Args:
      name: such as S5Cell; cells are scanned as Memorax does it.
      hidden_size: for every size that the model asks for; what else it asks for is as in
        Flax: float32, kernels of variance 1 / inputs, biases of zero.
      keywords: of its constructor, as JSON.

    Raises:
      ValueError: if there is none, or it does not take these keywords.
    """
    model = _make(name, hidden_size, read_keywords(f"memorax:{name}", keywords))
    shape = (hidden_size,)

    def start(batch_size: int) -> Any:
        carry = model.initialize_carry(jax.random.PRNGKey(0), (batch_size, *shape))
        return jax.tree.map(jnp.asarray, carry)

    def init_params(key: Any) -> Any:
        x, reset = jnp.zeros((1, 1, *shape)), jnp.zeros((1, 1), bool)
        return model.init(key, x, reset, start(1))

    @functools.cache
    def structure() -> Any:
        return jax.tree.structure(jax.eval_shape(init_params, jax.random.PRNGKey(0)))

    def apply(params: list[Any], x: Any, reset: Any, state: Any) -> tuple[Any, Any]:
        named = jax.tree.unflatten(structure(), params)
        state, outputs = model.apply(named, x, reset, state)
        return outputs, state

    return SequenceModel(lambda key: jax.tree.leaves(init_params(key)), start, apply)


def _make(name: str, hidden_size: int, keywords: dict[str, Any]) -> Any:
    from memorax.networks import sequence_models

    kind = getattr(sequence_models, name, None) or _flax_cell(name)
    if not hasattr(kind, "initialize_carry"):
        known = [item for item in dir(sequence_models) if item.endswith("Cell")]
        raise ValueError(
            f"core 'memorax:{name}': Memorax has no model {name!r}: use one of "
            f"{', '.join(known)}."
        )
    given = {
        "num_heads": NUM_HEADS,
        "head_dim": math.ceil(hidden_size / NUM_HEADS),
        "dtype": jnp.float32,
        "param_dtype": jnp.float32,
        "kernel_init": jax.nn.initializers.lecun_normal(),
        "bias_init": jax.nn.initializers.zeros,
    }
    required = [
        item.name
        for item in dataclasses.fields(kind)
        if item.init
        and item.default is dataclasses.MISSING
        and item.default_factory is dataclasses.MISSING
    ]
    filled = {item: given.get(item, hidden_size) for item in required}
    try:
        made = kind(**{**filled, **keywords})
    except TypeError as error:
        raise ValueError(f"core 'memorax:{name}': {error}.") from error
    if hasattr(made, "binary_operator"):
        return sequence_models.Memoroid(cell=made)
    if isinstance(made, sequence_models.SequenceModel):
        return made
    return sequence_models.RNN(cell=made)


def _flax_cell(name: str) -> Any:
    from flax import linen

    return getattr(linen, name, None)
