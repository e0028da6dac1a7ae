"""A Transformer over tokens, with a cache of keys and values for decoding.

Rows of a batch are padded on the right, so that a token's place in its row is its
position, and no token that counts ever sees padding. Each token sees itself and what
stands before it, or the whole row where `is_causal` is False, and may look at a context
beside the row. `hk.transform` a function that calls the module:

    def forward(tokens):
        model = LanguageModel(config)
        return model.logits(model(tokens).hidden[-1])

Shapes: B batch, T tokens, S places of keys (T without a cache), D hidden size, L layers,
H heads of queries, G heads of keys and values, R = H / G, K features of a head,
V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt

from tolman.networks import attention
from tolman.networks.core import Array
from tolman.networks.positions import alibi_slopes, rotate

EPSILON = 1e-5  # Under the root of a normalisation; Touvron et al.'s code.


@dataclass(frozen=True)
class LanguageModelConfig:
    """Settings of the language model; the defaults are those of a small one.

    Attributes:
      vocabulary_size: V, tokens.
      max_length: the longest row of tokens that it is meant for, its context.
      hidden_size: D, a multiple of `num_heads`.
      num_layers: L, each an attention and an MLP.
      num_heads: H, a multiple of `num_key_value_heads`.
      num_key_value_heads: G; fewer than H share keys and values among groups of queries.
        Ainslie et al. 2023.
      mlp_size: units between the two maps of an MLP.
      positions: how a token knows where it stands: not at all, by what is added to its
        embedding, by rotated queries and keys, or by a penalty of the distance.
      rope_base: wavelengths of "rope" go from 2 pi to 2 pi times this.
      has_tied_embeddings: logits are dot products with the embeddings of the tokens.
      is_causal: a token sees none that stands behind it.
      dtype: of activations and of what is multiplied. Sums of products, normalisations,
        softmax and logits are taken in float32, and parameters are kept so.
    """

    vocabulary_size: Annotated[int, Ge(1)]
    max_length: Annotated[int, Ge(1)] = 512
    hidden_size: Annotated[int, Ge(1)] = 64
    num_layers: Annotated[int, Ge(1)] = 4
    num_heads: Annotated[int, Ge(1)] = 4
    num_key_value_heads: Annotated[int, Ge(1)] = 4
    mlp_size: Annotated[int, Ge(1)] = 176
    positions: Literal["none", "sinusoidal", "rope", "alibi"] = "rope"
    rope_base: Annotated[float, Gt(1)] = 10_000.0
    has_tied_embeddings: bool = True
    is_causal: bool = True
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @property
    def head_size(self) -> int:
        """K."""
        return self.hidden_size // self.num_heads

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.hidden_size % self.num_heads:
            yield "hidden_size", f"a multiple of num_heads = {self.num_heads}"
        if self.num_heads % self.num_key_value_heads:
            groups = self.num_key_value_heads
            yield "num_heads", f"a multiple of num_key_value_heads = {groups}"
        if self.positions == "rope" and self.head_size % 2:
            yield "hidden_size", "an even multiple of num_heads, for rope"
        if self.positions == "sinusoidal" and self.hidden_size % 2:
            yield "hidden_size", "even, for sinusoidal positions"


class Cache(NamedTuple):
    """What decoding keeps of the tokens so far.

    Attributes:
      keys: `[L, B, S, G, K]`, rotated already where positions are "rope".
      values: `[L, B, S, G, K]`.
      length: `[B]` int32, places that are taken. What stands behind is written over
        before it is seen.
    """

    keys: Array
    values: Array
    length: Array


class Context(NamedTuple):
    """What tokens look at beside their row, such as an image; see `LanguageModel.context`.

    Attributes:
      keys, values: `[L, B, S, H, K]`.
      is_there: `[B, S]` bool, the others are padding.
    """

    keys: Array
    values: Array
    is_there: Array


class Reading(NamedTuple):
    """What reading tokens gives.

    Attributes:
      hidden: L + 1 arrays `[B, T, D]`: the embeddings, then the stream after each layer,
        the last of them normalised; that is what logits are made of.
      attention: of each layer `[B, H, T, S]` float32, weights that sum to 1.
      cache: with the new tokens; None if there was none.
    """

    hidden: tuple[Array, ...]
    attention: tuple[Array, ...]
    cache: Cache | None


def empty_cache(config: LanguageModelConfig, batch_size: int, capacity: int) -> Cache:
    """A cache of S = `capacity` free places for each of B = `batch_size` rows."""
    heads, size = config.num_key_value_heads, config.head_size
    shape = config.num_layers, batch_size, capacity, heads, size
    empty = jnp.zeros(shape, config.dtype)
    return Cache(empty, empty, jnp.zeros(batch_size, jnp.int32))


class LanguageModel(hk.Module):
    """Layers of causal attention and gated MLPs around a residual stream.

    Source: Vaswani et al. 2017 (attention), Touvron et al. 2023, section 2.2 (RMSNorm
      before each part, SwiGLU, no biases), Ainslie et al. 2023 (groups of queries).
    """

    def __init__(
        self,
        config: LanguageModelConfig,
        name: str | None = "language_model",
        attention_is_constant: bool = False,
    ) -> None:
        """Builds the module.

        Args:
          config: its sizes.
          name: of the module.
          attention_is_constant: no derivative goes through the weights of the attention.
        """
        super().__init__(name)
        self._config = config
        self._layers = [
            _Layer(config, attention_is_constant, f"layer_{i}")
            for i in range(config.num_layers)
        ]

    def __call__(
        self, tokens: Array, cache: Cache | None = None, num_new: Array | None = None
    ) -> Reading:
        """Reads tokens; see `read`.

        Args:
          tokens: `[B, T]` integers in [0, V).
          cache: of the tokens before them, or None if these are the first.
          num_new: as in `read`.
        """
        start = jnp.zeros(len(tokens), jnp.int32) if cache is None else cache.length
        return self.read(self.embed(tokens, start), cache, num_new)

    def embed(self, tokens: Array, start: Array) -> Array:
        """What the first layer is given of the tokens.

        Args:
          tokens: `[B, T]` integers in [0, V).
          start: `[B]`, the position of the first of each row.

        Returns:
          `[B, T, D]`.

        Source: Vaswani et al. 2017, sections 3.4 (the scale) and 3.5, where positions are
          "sinusoidal".
        """
        config = self._config
        embedded = self._embeddings()[tokens]
        if config.positions == "sinusoidal":
            table = attention.sinusoids(config.max_length, config.hidden_size)
            position = start[:, None] + jnp.arange(tokens.shape[1])
            embedded = math.sqrt(config.hidden_size) * embedded + table[position]
        return embedded.astype(config.dtype)

    def context(self, rows: Array, is_there: Array) -> Context:
        """Keys and values of what tokens may look at beside their row.

        Args:
          rows: `[B, S, F]`.
          is_there: `[B, S]` bool; one of each S at least.
        """
        pairs = [layer.context(rows) for layer in self._layers]
        keys, values = (jnp.stack(part) for part in zip(*pairs, strict=True))
        return Context(keys, values, is_there)

    def read(
        self,
        embedded: Array,
        cache: Cache | None = None,
        num_new: Array | None = None,
        context: Context | None = None,
    ) -> Reading:
        """Reads what `embed`, or something else such as an encoder of images, gives.

        Args:
          embedded: `[B, T, D]`.
          cache: of what came before, with at least T places free in every row.
          num_new: `[B]`, how many of each row's T count, the others are padding; None
            for all.
          context: of `context`, looked at between attention and MLP of every layer.
        """
        config = self._config
        batch_size, num_tokens = embedded.shape[:2]
        start = jnp.zeros(batch_size, jnp.int32) if cache is None else cache.length
        num_places = num_tokens if cache is None else cache.keys.shape[2]
        position = start[:, None] + jnp.arange(num_tokens)  # [B, T]
        length = start + (num_tokens if num_new is None else num_new)
        place = jnp.arange(num_places)
        row = (place < length[:, None])[:, None]  # [B, 1, S]
        sees = position[:, :, None] >= place if config.is_causal else row
        stream = embedded.astype(config.dtype)
        hidden, weights, keys, values = [stream], [], [], []
        for index, layer in enumerate(self._layers):
            before = None if cache is None else (cache.keys[index], cache.values[index])
            stream, weight, (key, value) = layer.attend(stream, position, sees, before)
            if context is not None:
                rows = context.keys[index], context.values[index], context.is_there
                stream = layer.look(stream, *rows)
            stream = layer.think(stream)
            hidden.append(stream)
            weights.append(weight)
            keys.append(key)
            values.append(value)
        hidden[-1] = _normalise(stream, "final_scale")
        if cache is not None:
            cache = Cache(jnp.stack(keys), jnp.stack(values), length)
        return Reading(tuple(hidden), tuple(weights), cache)

    def logits(self, final: Array) -> Array:
        """`[..., V]` float32 of the token that follows each place.

        Args:
          final: `[..., D]`, of `Reading.hidden[-1]`.
        """
        config = self._config
        weights = (
            self._embeddings()
            if config.has_tied_embeddings
            else _weights("unembedding", config.vocabulary_size, config.hidden_size)
        )
        return attention.contract("...d,vd->...v", final, weights, dtype=config.dtype)

    def _embeddings(self) -> Array:
        config = self._config
        return _weights("embeddings", config.vocabulary_size, config.hidden_size)


class _Layer(hk.Module):
    """Attention and a gated MLP, each behind a normalisation and added to the stream.

    Between them may stand attention to a context.
    """

    def __init__(
        self, config: LanguageModelConfig, attention_is_constant: bool, name: str
    ) -> None:
        super().__init__(name)
        self._config, self._attention_is_constant = config, attention_is_constant

    def attend(
        self,
        stream: Array,
        position: Array,
        sees: Array,
        before: tuple[Array, Array] | None,
    ) -> tuple[Array, Array, tuple[Array, Array]]:
        """Adds to the stream what is seen among the tokens.

        Args:
          stream: `[B, T, D]`.
          position: `[B, T]` of its tokens.
          sees: `[B, T or 1, S]` bool.
          before: keys and values `[B, S, G, K]` that the new ones are written among.

        Returns:
          the stream, the weights `[B, H, T, S]`, and the keys and values `[B, S, G, K]`.
        """
        config = self._config
        normal = _normalise(stream, "attention_scale")
        query = self._heads(normal, "query", config.num_heads)
        key = self._heads(normal, "key", config.num_key_value_heads)
        value = self._heads(normal, "value", config.num_key_value_heads)
        if config.positions == "rope":
            query = rotate(query, position, config.rope_base)
            key = rotate(key, position, config.rope_base)
        if before is not None:
            start = position[:, 0]
            key, value = write(before[0], key, start), write(before[1], value, start)
        distance = position[:, :, None] - jnp.arange(sees.shape[-1])  # [B, T, S]
        logits = self._attention_logits(query, key, distance)
        weights = attention.masked_softmax(logits, sees[:, None])
        if self._attention_is_constant:
            weights = jax.lax.stop_gradient(weights)
        stream = stream + self._linear(self._mix(weights, value), "attended")
        return stream, weights, (key, value)

    def context(self, rows: Array) -> tuple[Array, Array]:
        """Keys and values `[B, S, H, K]` of the rows `[B, S, F]` of a context."""
        heads = self._config.num_heads
        key = self._heads(rows, "context_key", heads)
        return key, self._heads(rows, "context_value", heads)

    def look(self, stream: Array, key: Array, value: Array, is_there: Array) -> Array:
        """Adds to the stream what is found in a context; see `Context`."""
        config = self._config
        normal = _normalise(stream, "context_scale")
        query = self._heads(normal, "context_query", config.num_heads)
        logits = attention.contract("bthk,bshk->bhts", query, key, dtype=config.dtype)
        logits /= math.sqrt(config.head_size)
        weights = attention.masked_softmax(logits, is_there[:, None, None])
        return stream + self._linear(self._mix(weights, value), "looked_up")

    def think(self, stream: Array) -> Array:
        """Adds the MLP to the stream."""
        normal, size = _normalise(stream, "mlp_scale"), self._config.mlp_size
        gate = jax.nn.silu(self._linear(normal, "gate", size))
        inner = gate * self._linear(normal, "up", size)
        return stream + self._linear(inner, "down")

    def _attention_logits(self, query: Array, key: Array, distance: Array) -> Array:
        """`[B, H, T, S]` of queries `[B, T, H, K]` and keys `[B, S, G, K]`."""
        config = self._config
        groups = config.num_key_value_heads
        batch_size, num_tokens, heads, size = query.shape
        query = query.reshape(batch_size, num_tokens, groups, heads // groups, size)
        logits = attention.contract("btgrk,bsgk->bgrts", query, key, dtype=config.dtype)
        logits = logits.reshape(batch_size, heads, num_tokens, -1) / math.sqrt(size)
        if config.positions == "alibi":
            logits -= alibi_slopes(heads)[:, None, None] * jnp.abs(distance)[:, None]
        return logits

    def _mix(self, weights: Array, value: Array) -> Array:
        """`[B, T, D]`: the values `[B, S, G, K]`, averaged by the weights of each head."""
        batch_size, _, num_tokens, num_places = weights.shape
        groups, dtype = value.shape[2], self._config.dtype
        weights = weights.reshape(batch_size, groups, -1, num_tokens, num_places)
        mean = attention.contract("bgrts,bsgk->btgrk", weights, value, dtype=dtype)
        return mean.reshape(batch_size, num_tokens, -1).astype(dtype)

    def _heads(self, x: Array, name: str, num_heads: int) -> Array:
        """`[B, T, num_heads, K]`."""
        flat = self._linear(x, name, num_heads * self._config.head_size)
        return flat.reshape(*x.shape[:-1], num_heads, -1)

    def _linear(self, x: Array, name: str, size: int | None = None) -> Array:
        """A linear map to `size` features, D if None."""
        weights = _weights(name, size or self._config.hidden_size, x.shape[-1])
        dtype = self._config.dtype
        return attention.contract("...d,hd->...h", x, weights, dtype=dtype).astype(dtype)


def write(rows: Array, new: Array, start: Array) -> Array:
    """Puts new keys or values `[B, T, G, K]` into `[B, S, G, K]`, from places `[B]` on."""

    def write_row(row: Array, part: Array, place: Array) -> Array:
        return jax.lax.dynamic_update_slice(row, part, (place, 0, 0))

    return jax.vmap(write_row)(rows, new, start)


def _normalise(x: Array, name: str) -> Array:
    """Divides by the root of the mean square over the last axis, and scales.

    Source: Zhang and Sennrich 2019, equation 4.
    """
    wide = x.astype(jnp.float32)
    normal = wide * jax.lax.rsqrt((wide**2).mean(-1, keepdims=True) + EPSILON)
    scale = hk.get_parameter(name, x.shape[-1:], jnp.float32, init=jnp.ones)
    return normal.astype(x.dtype) * scale.astype(x.dtype)


def _weights(name: str, size: int, fan_in: int) -> Array:
    """`[size, fan_in]`."""
    init = hk.initializers.TruncatedNormal(fan_in**-0.5)
    return hk.get_parameter(name, (size, fan_in), jnp.float32, init=init)
