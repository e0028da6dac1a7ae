"""Tolman's own language model behind the protocol of the probe.

Shapes: N texts, B rows of a batch, T tokens of a row, C tokens of a continuation, S places
of a cache, M tokens that are generated.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from tolman.launchers.probe import haiku_functions as functions
from tolman.launchers.probe.batches import (
    MAX_BATCH_TOKENS,
    Batch,
    in_batches,
    power_of_two,
    stack,
)
from tolman.launchers.probe.model import (
    Sampling,
    Scores,
    TextTooLongError,
    WhiteBoxModel,
    check_sampling,
)
from tolman.launchers.probe.prefixes import SharedBatch, groups_of, in_shared_batches
from tolman.launchers.probe.tokenizer import Tokenizer, brief, encode_pair, pairs_of
from tolman.networks.language import LanguageModelConfig

MIN_ASKED = 32  # Places of a continuation in a row behind a prefix.


class HaikuModel(WhiteBoxModel):
    """A language model of `tolman.networks.language` that is asked by text.

    The methods are those of `tolman.launchers.probe.model.ProbedModel`. Products of
    float32 numbers are taken in float32 on every device; accelerators round them unless
    told so.
    """

    def __init__(
        self, config: LanguageModelConfig, params: Any, tokenizer: Tokenizer
    ) -> None:
        """Keeps the parameters on the device.

        Args:
          config: of the model.
          params: of `LanguageModel(config)`.
          tokenizer: that the model was trained with.

        Raises:
          ValueError: if the tokenizer has tokens that the model has not.
        """
        if tokenizer.vocabulary_size > config.vocabulary_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocabulary_size} tokens: the model knows "
                f"{config.vocabulary_size}. Give the model's own tokenizer."
            )
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.params = jax.device_put(params)
        of_model = functools.partial(functions.transformed, config)
        self._score = jax.jit(of_model(functions.score))
        self._score_behind = jax.jit(of_model(functions.score_behind))
        self._generate = jax.jit(
            of_model(functions.generate),
            static_argnames=("is_drawn", "capacity", "stops"),
        )
        self._hidden_states = jax.jit(of_model(functions.hidden_states))
        self._attention = jax.jit(of_model(functions.attention))
        self._first_token = jax.jit(of_model(functions.first_token))
        self._jacobian = jax.jit(functions.jacobian(config))

    def num_tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text).tokens)

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Scores:
        pairs = [
            encode_pair(self.tokenizer, prompt, continuation)
            for prompt, continuation in pairs_of(prompts, continuations)
        ]
        texts, begins = [tokens for tokens, _ in pairs], [begin for _, begin in pairs]
        num_tokens = np.array([len(tokens) - begin for tokens, begin in pairs], np.int64)
        self._check(texts)
        total = np.zeros(len(pairs))
        groups = groups_of(texts, [begin - 1 for begin in begins])
        alone = [index for group in groups if not group.size for index in group.indices]
        self._score_alone(texts, begins, alone, total)
        shared = [group for group in groups if group.size]
        limits = MAX_BATCH_TOKENS, self.config.max_length
        for batch in in_shared_batches(shared, [len(text) for text in texts], *limits):
            self._score_shared(texts, begins, batch, total)
        for index in np.flatnonzero(~np.isfinite(total)):
            raise ValueError(
                f"the log-probability of {brief(continuations[index])} after "
                f"{brief(prompts[index])} is {total[index]}: must be finite. The model's "
                "parameters or its dtype are at fault."
            )
        return Scores(total, num_tokens)

    def _score_alone(
        self,
        texts: Sequence[Sequence[int]],
        begins: Sequence[int],
        alone: Sequence[int],
        total: np.ndarray,
    ) -> None:
        """Fills `total` in for texts that share nothing."""
        for of_alone in self._batches([texts[index] for index in alone]):
            batch = of_alone._replace(indices=[alone[i] for i in of_alone.indices])
            rows = stack(texts, batch)
            places, counted = _asked(
                [begins[index] for index in batch.indices],
                [len(texts[index]) for index in batch.indices],
                rows.shape,
                1,
            )
            found = self._score(self.params, rows, places, counted)
            total[batch.indices] = np.asarray(found, float)[: len(batch.indices)]
            num_tokens = sum(len(texts[index]) for index in batch.indices)
            self.tally.add(num_tokens, num_tokens, rows.size)

    def _score_shared(
        self,
        texts: Sequence[Sequence[int]],
        begins: Sequence[int],
        batch: SharedBatch,
        total: np.ndarray,
    ) -> None:
        """Fills `total` in for texts whose prefixes are read once."""
        heads, rests = batch.split(texts)
        prefixes = stack(
            heads, Batch([*range(len(heads))], batch.num_prefixes, batch.prefix_length)
        )
        rows = stack(rests, Batch([*range(len(rests))], batch.num_rows, batch.rest_length))
        places, counted = _asked(
            [begins[i] - size for i, size in zip(batch.indices, batch.sizes, strict=True)],
            [len(rest) for rest in rests],
            rows.shape,
            MIN_ASKED,
        )
        lengths = np.ones(len(prefixes), np.int32)
        lengths[: len(heads)] = [len(head) for head in heads]
        which = np.zeros(len(rows), np.int32)
        which[: len(rests)] = batch.which
        found = self._score_behind(
            self.params, prefixes, lengths, which, rows, places, counted
        )
        total[batch.indices] = np.asarray(found, float)[: len(rests)]
        num_asked = sum(len(texts[index]) for index in batch.indices)
        num_read = sum(map(len, heads)) + sum(map(len, rests))
        self.tally.add(num_asked, num_read, prefixes.size + rows.size)

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
        self._check(texts)
        lengths = [len(text) for text in texts]
        return in_batches(lengths, MAX_BATCH_TOKENS, self.config.max_length)

    def _check(self, texts: Sequence[Sequence[int]]) -> None:
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


def _pad(rows: np.ndarray, batch: Batch, value: int = 0) -> np.ndarray:
    """`rows` for every row of the batch, `value` for those that are padding."""
    missing = [(0, batch.num_rows - len(rows))] + [(0, 0)] * (rows.ndim - 1)
    return np.pad(rows, missing, constant_values=value)


def _asked(
    begins: Sequence[int], ends: Sequence[int], shape: tuple[int, ...], min_places: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the tokens that are asked for, and which of them count, `[B, C]`.

    Args:
      begins: of each row the first of them.
      ends: of each row the place behind the last.
      shape: rows and tokens of the batch; rows that are missing are padding.
      min_places: C is a power of two, at least this and at most the tokens of a row.
    """
    counts = np.array(ends) - np.array(begins)
    width = min(power_of_two(max(int(counts.max()), min_places)), shape[1])
    place = np.arange(width)
    rows = np.zeros((shape[0], width), np.int64)
    rows[: len(counts)] = np.array(begins)[:, None] + place
    counted = np.zeros(rows.shape, bool)
    counted[: len(counts)] = place < counts[:, None]
    return rows, counted
