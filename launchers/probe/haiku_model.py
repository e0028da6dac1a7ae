"""Tolman's own language model behind the protocol of the probe.

Shapes: N texts, B rows of a batch, T tokens of a row, C tokens of a continuation, S places
of a cache, M tokens that are generated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, get_args

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tolman.launchers.probe.batches import Batch, in_batches, power_of_two, stack
from tolman.launchers.probe.model import (
    Ability,
    Sampling,
    Scores,
    TextTooLongError,
    check_sampling,
)
from tolman.launchers.probe.tokenizer import Tokenizer, brief, encode_pair, pairs_of
from tolman.networks.core import Array
from tolman.networks.language import (
    LanguageModel,
    LanguageModelConfig,
    empty_cache,
)

Params = Any
QUESTIONS_AT_ONCE = 256
NUM_FIRST_TOKENS = 20  # That `first_token` tells, as endpoints do.


class HaikuModel:
    """A language model of `tolman.networks.language` that is asked by text.

    The methods are those of `tolman.launchers.probe.model.ProbedModel`. Products of
    float32 numbers are taken in float32 on every device; accelerators round them unless
    told so.
    """

    def __init__(
        self,
        config: LanguageModelConfig,
        params: Params,
        tokenizer: Tokenizer,
        max_batch_tokens: int = 4096,
    ) -> None:
        """Keeps the parameters on the device.

        Args:
          config: of the model.
          params: of `LanguageModel(config)`.
          tokenizer: that the model was trained with.
          max_batch_tokens: that go through the model at once, padding included.

        Raises:
          ValueError: if the tokenizer has tokens that the model has not.
        """
        if tokenizer.vocabulary_size > config.vocabulary_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocabulary_size} tokens: the model knows "
                f"{config.vocabulary_size}. Give the model's own tokenizer."
            )
        self.config, self.tokenizer = config, tokenizer
        self.params = jax.device_put(params)
        self._max_batch_tokens = max_batch_tokens
        self._score = jax.jit(_transformed(config, _score))
        self._generate = jax.jit(
            _transformed(config, _generate),
            static_argnames=("is_drawn", "capacity", "stops"),
        )
        self._hidden_states = jax.jit(_transformed(config, _hidden_states))
        self._attention = jax.jit(_transformed(config, _attention))
        self._first_token = jax.jit(_transformed(config, _first_token))
        self._jacobian = jax.jit(_jacobian(config))

    @property
    def abilities(self) -> frozenset[Ability]:
        return frozenset(get_args(Ability))

    @property
    def questions_at_once(self) -> int:
        return QUESTIONS_AT_ONCE

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Scores:
        pairs = [
            encode_pair(self.tokenizer, prompt, continuation)
            for prompt, continuation in pairs_of(prompts, continuations)
        ]
        texts, begins = [tokens for tokens, _ in pairs], [begin for _, begin in pairs]
        num_tokens = np.array([len(tokens) - begin for tokens, begin in pairs], np.int64)
        total = np.zeros(len(pairs))
        for batch in self._batches(texts):
            counts = num_tokens[batch.indices]
            place = np.arange(min(power_of_two(int(counts.max())), batch.length))
            begin = np.array([begins[index] for index in batch.indices])
            places = _pad(begin[:, None] + place, batch)
            counted = _pad(place < counts[:, None], batch)
            found = self._score(self.params, stack(texts, batch), places, counted)
            total[batch.indices] = np.asarray(found, float)[: len(batch.indices)]
        for index in np.flatnonzero(~np.isfinite(total)):
            raise ValueError(
                f"the log-probability of {brief(continuations[index])} after "
                f"{brief(prompts[index])} is {total[index]}: must be finite. The model's "
                "parameters or its dtype are at fault."
            )
        return Scores(total, num_tokens)

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        sampling: Sampling | None = None,
    ) -> list[str]:
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens={max_new_tokens}: must be at least 1.")
        texts = [self.tokenizer.encode(prompt).tokens for prompt in prompts]
        seeds, temperature = np.zeros(len(texts), np.uint32), 0.0
        if sampling is not None:
            check_sampling(prompts, sampling)
            seeds, temperature = np.array(sampling.seeds, np.uint32), sampling.temperature
        found = [""] * len(texts)
        for batch in self._batches(texts):
            wanted = power_of_two(batch.length + max_new_tokens)
            new = self._generate(
                self.params,
                stack(texts, batch),
                _pad(np.array([len(texts[index]) for index in batch.indices]), batch, 1),
                np.int32(max_new_tokens),
                np.float32(temperature),
                _pad(seeds[batch.indices], batch),
                is_drawn=sampling is not None,
                capacity=max(min(wanted, self.config.max_length), batch.length),
                stops=self.tokenizer.stops,
            )
            for index, row in zip(batch.indices, np.asarray(new), strict=False):
                tokens = row[row >= 0].tolist()
                found[index] = self.tokenizer.decode(tokens, is_start=not prompts[index])
        return found

    def hidden_states(self, prompts: Sequence[str]) -> list[np.ndarray]:
        return [
            states[:, : len(tokens)]
            for states, tokens in self._read(self._hidden_states, prompts)
        ]

    def attention(self, prompts: Sequence[str]) -> list[np.ndarray]:
        return [
            weights[:, :, : len(tokens), : len(tokens)]
            for weights, tokens in self._read(self._attention, prompts)
        ]

    def jacobian(self, prompts: Sequence[str]) -> list[np.ndarray]:
        texts = [self.tokenizer.encode(prompt).tokens for prompt in prompts]
        list(self._batches(texts))  # Refuses texts that are too long.
        # Not padded: a row of zeros would cost as much as one that is asked for.
        return [
            np.asarray(self._jacobian(self.params, np.array([text], np.int32)))
            for text in texts
        ]

    def first_token(self, prompts: Sequence[str]) -> list[dict[str, float]]:
        texts = [self.tokenizer.encode(prompt).tokens for prompt in prompts]
        found: list[dict[str, float]] = [{} for _ in texts]
        for batch in self._batches(texts):
            lengths = _pad(np.array([len(texts[i]) for i in batch.indices]), batch, 1)
            log_p, tokens = self._first_token(self.params, stack(texts, batch), lengths)
            for row, index in enumerate(batch.indices):
                told = zip(np.asarray(tokens)[row], np.asarray(log_p)[row], strict=True)
                for token, value in told:
                    text = self.tokenizer.decode([int(token)], is_start=False)
                    before = found[index].get(text, -np.inf)
                    found[index][text] = float(np.logaddexp(before, value))
        return found

    def _read(self, function: Any, prompts: Sequence[str]) -> list[Any]:
        """For each prompt its part of what a function of a batch gives, and its tokens."""
        texts = [self.tokenizer.encode(prompt).tokens for prompt in prompts]
        found: list[Any] = [None] * len(texts)
        for batch in self._batches(texts):
            read = np.asarray(function(self.params, stack(texts, batch)))
            for row, index in enumerate(batch.indices):
                found[index] = read[:, row], texts[index]
        return found

    def _batches(self, texts: Sequence[Sequence[int]]) -> Iterator[Batch]:
        limit = self.config.max_length
        for text in texts:
            if not text:
                raise ValueError("an empty prompt has no token: must have one. Give text.")
            if len(text) > limit:
                start = brief(self.tokenizer.decode(text, is_start=True))
                raise TextTooLongError(
                    f"{start} has {len(text)} tokens: must have at most {limit}, the "
                    "model's context. Shorten it."
                )
        return in_batches([len(text) for text in texts], self._max_batch_tokens, limit)


def _pad(rows: np.ndarray, batch: Batch, value: int = 0) -> np.ndarray:
    """`rows` for every row of the batch, `value` for those that are padding."""
    missing = [(0, batch.num_rows - len(rows))] + [(0, 0)] * (rows.ndim - 1)
    return np.pad(rows, missing, constant_values=value)


def _transformed(config: LanguageModelConfig, function: Any) -> Any:
    """A function of the model and arrays as one of parameters and arrays."""

    def forward(*args: Any, **static: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return function(config, LanguageModel(config), *args, **static)

    transformed: hk.Transformed = hk.without_apply_rng(hk.transform(forward))
    return transformed.apply


def _score(
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
    # Logits are made where they are asked for alone: they are most of the memory.
    final = model(tokens).hidden[-1]
    before = jnp.take_along_axis(final, jnp.maximum(places - 1, 0)[..., None], 1)
    log_p = jax.nn.log_softmax(model.logits(before))  # [B, C, V]
    asked = jnp.take_along_axis(tokens, places, 1, mode="clip")
    own = jnp.take_along_axis(log_p, asked[..., None], 2)[..., 0]
    return jnp.where(counted, own, 0.0).sum(1)


def _hidden_states(
    config: LanguageModelConfig, model: LanguageModel, tokens: Array
) -> Array:
    """`[L + 1, B, T, D]` float32, which holds narrower numbers exactly."""
    del config
    return jnp.stack(model(tokens).hidden).astype(jnp.float32)


def _attention(config: LanguageModelConfig, model: LanguageModel, tokens: Array) -> Array:
    """`[L, B, H, T, T]`."""
    del config
    return jnp.stack(model(tokens).attention)


def _first_token(
    config: LanguageModelConfig, model: LanguageModel, tokens: Array, lengths: Array
) -> tuple[Array, Array]:
    """Log-probabilities and tokens, `[B, NUM_FIRST_TOKENS]`, the likeliest first."""
    final = model(tokens).hidden[-1]
    last = jnp.take_along_axis(final, (lengths - 1)[:, None, None], 1)[:, 0]
    log_p = jax.nn.log_softmax(model.logits(last))
    return jax.lax.top_k(log_p, min(NUM_FIRST_TOKENS, config.vocabulary_size))


def _jacobian(config: LanguageModelConfig) -> Any:
    """A function of parameters and tokens `[1, T]` that gives `[T, D, D]` float32."""

    def embed(model: LanguageModel, tokens: Array) -> Array:
        return model.embed(tokens, jnp.zeros(len(tokens), jnp.int32))

    def last(model: LanguageModel, embedded: Array) -> Array:
        return model.read(embedded).hidden[-1][0, -1].astype(jnp.float32)

    embedding = _transformed(config, lambda _, model, tokens: embed(model, tokens))
    final = _transformed(config, lambda _, model, embedded: last(model, embedded))

    def jacobian(params: Params, tokens: Array) -> Array:
        embedded = embedding(params, tokens).astype(jnp.float32)
        by_token = jax.jacrev(final, argnums=1)(params, embedded)  # [D, 1, T, D]
        return jnp.moveaxis(by_token[:, 0], 1, 0)

    return jacobian


def _generate(
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
