"""What is computed of a language model, as functions of parameters and arrays.

Shapes: B rows of a batch, T tokens of a row, C tokens of a continuation, P prefixes,
R tokens that follow one, S places of a cache, L layers, H heads, D hidden size,
V vocabulary.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.networks.core import Array
from tolman.networks.language import (
    Cache,
    LanguageModel,
    LanguageModelConfig,
    empty_cache,
)

Params = Any
NUM_FIRST_TOKENS = 20  # That `first_token` tells, as endpoints do.


def transformed(config: LanguageModelConfig, function: Any) -> Any:
    """A function of the model and arrays as one of parameters and arrays."""

    def forward(*args: Any, **static: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return function(config, LanguageModel(config), *args, **static)

    transformed: hk.Transformed = hk.without_apply_rng(hk.transform(forward))
    return transformed.apply


def score(
    config: LanguageModelConfig,
    model: LanguageModel,
    tokens: Array,
    places: Array,
    counted: Array,
) -> Array:
    """`[B]`, summed log-probabilities.

    Args:
      config: of the model.
      model: that reads.
      tokens: `[B, T]`.
      places: `[B, C]`, of the tokens that are asked for; each from 1.
      counted: `[B, C]` bool, False where there is none.
    """
    del config
    return _log_probability(model, model(tokens).hidden[-1], tokens, places, counted)


def score_behind(
    config: LanguageModelConfig,
    model: LanguageModel,
    prefixes: Array,
    lengths: Array,
    which: Array,
    tokens: Array,
    places: Array,
    counted: Array,
) -> Array:
    """`[B]`, summed log-probabilities of what follows P prefixes, each read once.

    Args:
      config: of the model.
      model: that reads.
      prefixes: `[P, T]`.
      lengths: `[P]`, tokens of each.
      which: `[B]`, the prefix that a row follows.
      tokens: `[B, R]`, of the rows.
      places: `[B, C]`, in a row, of the tokens that are asked for; each from 1.
      counted: `[B, C]` bool, False where there is none.
    """
    capacity = prefixes.shape[1] + tokens.shape[1]
    empty = empty_cache(config, len(prefixes), capacity)
    kept: Any = model(prefixes, empty, lengths).cache
    own = Cache(kept.keys[:, which], kept.values[:, which], kept.length[which])
    final = model(tokens, own).hidden[-1]
    return _log_probability(model, final, tokens, places, counted)


def _log_probability(
    model: LanguageModel, final: Array, tokens: Array, places: Array, counted: Array
) -> Array:
    """`[B]`, summed over the tokens that are asked for."""
    # Logits are made where they are asked for alone: they are most of the memory.
    before = jnp.take_along_axis(final, jnp.maximum(places - 1, 0)[..., None], 1)
    log_p = jax.nn.log_softmax(model.logits(before))  # [B, C, V]
    asked = jnp.take_along_axis(tokens, places, 1, mode="clip")
    own = jnp.take_along_axis(log_p, asked[..., None], 2)[..., 0]
    return jnp.where(counted, own, 0.0).sum(1)


def hidden_states(
    config: LanguageModelConfig, model: LanguageModel, tokens: Array
) -> Array:
    """`[L + 1, B, T, D]` float32, which holds narrower numbers exactly."""
    del config
    return jnp.stack(model(tokens).hidden).astype(jnp.float32)


def attention(config: LanguageModelConfig, model: LanguageModel, tokens: Array) -> Array:
    """`[L, B, H, T, T]`."""
    del config
    return jnp.stack(model(tokens).attention)


def first_token(
    config: LanguageModelConfig, model: LanguageModel, tokens: Array, lengths: Array
) -> tuple[Array, Array]:
    """Log-probabilities and tokens, `[B, NUM_FIRST_TOKENS]`, the likeliest first."""
    final = model(tokens).hidden[-1]
    last = jnp.take_along_axis(final, (lengths - 1)[:, None, None], 1)[:, 0]
    log_p = jax.nn.log_softmax(model.logits(last))
    return jax.lax.top_k(log_p, min(NUM_FIRST_TOKENS, config.vocabulary_size))


def jacobian(config: LanguageModelConfig) -> Any:
    """A function of parameters and tokens `[1, T]` that gives `[T, D, D]` float32."""

    def embed(model: LanguageModel, tokens: Array) -> Array:
        return model.embed(tokens, jnp.zeros(len(tokens), jnp.int32))

    def last(model: LanguageModel, embedded: Array) -> Array:
        return model.read(embedded).hidden[-1][0, -1].astype(jnp.float32)

    embedding = transformed(config, lambda _, model, tokens: embed(model, tokens))
    final = transformed(config, lambda _, model, embedded: last(model, embedded))

    def jacobian(params: Params, tokens: Array) -> Array:
        embedded = embedding(params, tokens).astype(jnp.float32)
        by_token = jax.jacrev(final, argnums=1)(params, embedded)  # [D, 1, T, D]
        return jnp.moveaxis(by_token[:, 0], 1, 0)

    return jacobian


def generate(
    config: LanguageModelConfig,
    model: LanguageModel,
    tokens: Array,
    lengths: Array,
    max_new_tokens: Array,
    temperature: Array,
    seeds: Array,
    *,
    is_drawn: bool,
    capacity: int,
    stops: tuple[int, ...],
) -> Array:
    """The likeliest tokens or drawn ones, `[B, S]`; -1 where a row has ended.

    Args:
      config: of the model.
      model: that reads.
      tokens: `[B, T]`, the prompts.
      lengths: `[B]`, tokens of each.
      max_new_tokens: `[]`, M at most; S is enough for it, or is the context.
      temperature: `[]`, of drawing.
      seeds: `[B]`, of drawing.
      is_drawn: tokens are drawn.
      capacity: S.
      stops: tokens that end a row.
    """
    batch_size = len(tokens)
    reading = model(tokens, empty_cache(config, batch_size, capacity), lengths)
    last = jnp.take_along_axis(reading.hidden[-1], (lengths - 1)[:, None, None], 1)

    def choose(final: Array, step: Array) -> Array:
        logits = model.logits(final[:, 0])
        if is_drawn:  # The largest of these is a draw.
            keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.PRNGKey(seed), step))
            noise = jax.vmap(partial(jax.random.gumbel, shape=logits.shape[1:]))
            logits += temperature * noise(keys(seeds))
        return logits.argmax(-1).astype(jnp.int32)

    def body(carry: Any) -> Any:
        step, token, has_ended, cache, found = carry
        has_ended |= jnp.isin(token, jnp.array(stops, jnp.int32))
        found = found.at[:, step].set(jnp.where(has_ended, -1, token))
        has_ended |= cache.length >= config.max_length
        read = model(token[:, None], cache)  # A row that has ended goes on unseen.
        token = choose(read.hidden[-1], step + 1)
        return step + 1, token, has_ended, read.cache, found

    def goes_on(carry: Any) -> Array:
        step, _, has_ended, _, _ = carry
        return (step < max_new_tokens) & ~has_ended.all()

    start = (
        jnp.int32(0),
        choose(last, jnp.int32(0)),
        jnp.zeros(batch_size, bool),
        reading.cache,
        jnp.full((batch_size, capacity), -1, jnp.int32),
    )
    return hk.while_loop(goes_on, body, start)[-1]
