"""Models of memax, which are modules of Equinox: one residual layer, as memax makes it."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from tolman.networks.others.core import SequenceModel, is_parameter, read_keywords


@functools.cache
def make_memax(name: str, hidden_size: int, keywords: str) -> SequenceModel:
    """The model of that name in memax.equinox.train_utils.

    Args:
      name: such as LRU.
      hidden_size: of inputs, layer and outputs.
      keywords: of the layer, as JSON.

    Raises:
      ValueError: if there is none, or it does not take these keywords.
    """
    from memax.equinox.train_utils import get_residual_memory_models

    given = read_keywords(f"memax:{name}", keywords)
    layer_kwargs = {name: given} if given else {}

    def make(key: Any) -> Any:
        sizes = (hidden_size,) * 3
        made = get_residual_memory_models(
            *sizes, num_layers=1, models=[name], key=key, layer_kwargs=layer_kwargs
        )
        return made[name]

    try:
        with jax.ensure_compile_time_eval():
            template = make(jax.random.PRNGKey(0))
    except KeyError:
        raise ValueError(f"core 'memax:{name}': memax has no model {name!r}.") from None
    except TypeError as error:
        raise ValueError(f"core 'memax:{name}': {error}.") from error
    leaves, structure = jax.tree.flatten(template)

    def bound(params: list[Any]) -> Any:
        learnt = iter(params)
        return jax.tree.unflatten(
            structure, [next(learnt) if is_parameter(leaf) else leaf for leaf in leaves]
        )

    def start(batch_size: int) -> Any:
        return jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (batch_size, *jnp.shape(leaf))),
            template.initialize_carry(),
        )

    def apply(params: list[Any], x: Any, reset: Any, state: Any) -> tuple[Any, Any]:
        model = bound(params)

        def one(x: Any, reset: Any, state: Any) -> tuple[Any, Any]:
            states, outputs = model(state, (x, reset))
            return outputs, model.latest_recurrent_state(states)

        return jax.vmap(one)(x, reset, state)

    return SequenceModel(
        lambda key: [leaf for leaf in jax.tree.leaves(make(key)) if is_parameter(leaf)],
        start,
        apply,
    )
