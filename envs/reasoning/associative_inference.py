"""Paired associative inference: what goes with A, when A was seen with B, and B with C?

A memory holds the adjacent pairs of N sequences of L items: A-B, B-C, and so on, in random
order. A query shows a cue and two choices, one from the cue's own sequence (the match) and
one that stands at the same place in another sequence (the lure). The answer is the class of
the match. Where cue and match were never stored side by side, several facts must be joined.

Shapes: B questions, N sequences, L items of a sequence, M = N (L - 1) facts, O numbers of
an item, C classes, E exemplars of a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, Interval

from tolman.envs.reasoning.task import Array, Examples, register_source

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SPLITS = {"train": 1.0, "validation": 0.1, "test": 0.2}  # Sizes, as the paper's images.


class Exemplars(NamedTuple):
    """The items of one split, in place of photographs.

    Attributes:
      items: `[C, E, O]` float32.
    """

    items: Array


@register_source("associative_inference")
@dataclass(frozen=True)
class AssociativeInference:
    """Questions about sequences of which only neighbours were seen together.

    An item is an exemplar of a class: the class's prototype plus noise. Splits share the
    prototypes and no exemplar, as the paper's splits share ImageNet's classes and no
    photograph. The items of one memory are of different classes.

    Attributes:
      chain_length: L, items of a sequence. The paper has 3, 4 and 5.
      num_sequences: N, in one memory. The paper has 16.
      min_sequences: below N, memories are of mixed sizes: half of them of N sequences, the
        others of a number that is uniform from this to N, with room for the rest. What
        small ones teach holds for large ones, and is learned sooner. The paper's memories
        are all of N: so must be those that a learner is judged by.
      num_classes: C, of items and of answers. The paper has ImageNet's.
      item_size: O. The paper's photographs are vectors of 1,000 numbers.
      num_exemplars: E, of a class in the training split; the paper's photographs of all
        classes are 1,000,000. Validation has a tenth of it, testing a fifth.
      exemplar_noise: standard deviation of an exemplar around its prototype, whose numbers
        have one of 1.
      seed: of prototypes and exemplars.

    Source: Banino et al. 2020, section 4.1 and appendix; Banino et al. 2021 (PonderNet),
      appendix D.1, gives the sizes, the lure's place and the answer's kind.
      Departure: Gaussian items in place of photographs that a network has embedded.
      Departure: where there are several indirect distances they are equally frequent,
      so that the longest is not the rarest.
    """

    chain_length: Annotated[int, Interval(ge=2, le=len(LETTERS))] = 3
    num_sequences: Annotated[int, Ge(2)] = 16
    min_sequences: Annotated[int, Ge(2)] = 16
    num_classes: Annotated[int, Ge(1)] = 100
    item_size: Annotated[int, Ge(1)] = 32
    num_exemplars: Annotated[int, Ge(10)] = 500
    exemplar_noise: Annotated[float, Ge(0)] = 0.5
    seed: Annotated[int, Ge(0)] = 0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.min_sequences > self.num_sequences:
            yield "min_sequences", f"at most num_sequences = {self.num_sequences}"
        num_items = self.chain_length * self.num_sequences
        if self.num_classes < num_items:
            yield "num_classes", f"at least chain_length * num_sequences = {num_items}"

    @property
    def num_answers(self) -> int:
        return 1

    @property
    def num_words(self) -> int:
        return 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """Cue and match by letter, such as "A-C": nearest first, then in order."""
        return tuple(
            f"{LETTERS[first]}-{LETTERS[first + distance]}"
            for distance in range(1, self.chain_length)
            for first in range(self.chain_length - distance)
        )

    @property
    def distances(self) -> tuple[int, ...]:
        """Of each kind, how many facts lead from the cue to the match."""
        return tuple(
            distance
            for distance in range(1, self.chain_length)
            for _ in range(self.chain_length - distance)
        )

    def load(self, split: str) -> Exemplars:
        """Draws the exemplars of a split; the same ones each time.

        Raises:
          ValueError: for a split of another name, or too few classes or sequences.
        """
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: use one of {', '.join(SPLITS)}.")
        for name, must_be in self.setting_problems():  # Items would be taken twice.
            raise ValueError(f"{name}={getattr(self, name)}: must be {must_be}. Set it.")
        prototype_key, *keys = jax.random.split(jax.random.PRNGKey(self.seed), 4)
        size = self.num_classes, 1, self.item_size
        prototypes = jax.random.normal(prototype_key, size)
        number = round(SPLITS[split] * self.num_exemplars)
        size = self.num_classes, number, self.item_size
        noise = jax.random.normal(keys[list(SPLITS).index(split)], size)
        return Exemplars(prototypes + self.exemplar_noise * noise)

    def sample(self, data: Exemplars, key: Array, batch_size: int) -> Examples:
        """Draws `batch_size` questions, each about a memory of its own."""
        classes_key, exemplars_key, rows_key, size_key, question_key = jax.random.split(
            key, 5
        )
        length, num_sequences = self.chain_length, self.num_sequences
        shape = batch_size, num_sequences * length
        classes = _shuffled(classes_key, batch_size, self.num_classes)[:, : shape[1]]
        exemplar = jax.random.randint(exemplars_key, shape, 0, data.items.shape[1])
        items = data.items[classes, exemplar]  # [B, N L, O], sequence by sequence.

        rows = _shuffled(rows_key, batch_size, num_sequences * (length - 1))  # [B, M]
        sequence, place = rows // (length - 1), rows % (length - 1)
        left = sequence * length + place
        sizes = self._sizes(size_key, batch_size)
        mask = sequence < sizes[:, None]  # [B, M]
        here = jnp.arange(batch_size)
        facts = items[here[:, None, None], jnp.stack([left, left + 1], axis=-1)]
        question = self._questions(question_key, sizes)
        return Examples(
            facts=jnp.where(mask[..., None, None], facts, 0.0),
            fact_mask=mask,
            query=items[here[:, None], question.shown],
            target=classes[here, question.match][:, None].astype(jnp.int32),
            kind=question.kind,
        )

    def _sizes(self, key: Array, batch_size: int) -> Array:
        """`[B]`, of how many sequences each memory is."""
        uniform_key, full_key = jax.random.split(key)
        least, most = self.min_sequences, self.num_sequences
        uniform = jax.random.randint(uniform_key, (batch_size,), least, most + 1)
        return jnp.where(jax.random.bernoulli(full_key, shape=(batch_size,)), most, uniform)

    def _questions(self, key: Array, sizes: Array) -> _Questions:
        """Half of the questions are direct, to within one.

        Args:
          key: `[2]`.
          sizes: `[B]`, of how many sequences each memory is.
        """
        length = self.chain_length
        keys = jax.random.split(key, 7)
        order = jax.random.permutation(keys[0], len(sizes))
        is_direct = (order + jax.random.bernoulli(keys[1])) % 2 == 0  # [B]
        farther = jax.random.randint(keys[2], sizes.shape, 2, max(length, 3))
        distance = jnp.where(is_direct | (length == 2), 1, farther)
        cue_place = jax.random.randint(keys[3], sizes.shape, 0, length - distance)
        match_place = cue_place + distance
        sequence = jax.random.randint(keys[4], sizes.shape, 0, sizes)
        others = jax.random.randint(keys[5], sizes.shape, 1, sizes)
        other = (sequence + others) % sizes  # Never the cue's own.
        match, lure = sequence * length + match_place, other * length + match_place
        choices = jnp.stack([match, lure], axis=-1)
        turned = jax.random.bernoulli(keys[6], shape=sizes.shape)[:, None]
        choices = jnp.where(turned, choices[:, ::-1], choices)
        cue = sequence * length + cue_place
        shown = jnp.concatenate([cue[:, None], choices], axis=-1)
        # Kinds of a shorter distance come first: L - 1 of them, then L - 2, and so on.
        before = (distance - 1) * length - distance * (distance - 1) // 2
        return _Questions(shown, match, (before + cue_place).astype(jnp.int32))


class _Questions(NamedTuple):
    """Items by their index in a memory of N L.

    Attributes:
      shown: `[B, 3]`, the cue, then match and lure in random order.
      match: `[B]`.
      kind: `[B]` int32.
    """

    shown: Array
    match: Array
    kind: Array


def _shuffled(key: Array, batch_size: int, number: int) -> Array:
    """`[B, number]`, in each row the numbers from 0 in an order of its own."""
    # Random numbers that carry their place in their last bits: sorting them alone takes a
    # CPU a fraction of the time of sorting places by them.
    num_bits = (number - 1).bit_length()
    bits = jax.random.bits(key, (batch_size, number)) >> num_bits << num_bits
    in_order = jnp.sort(bits | jnp.arange(number, dtype=bits.dtype), axis=-1)
    return (in_order & ((1 << num_bits) - 1)).astype(jnp.int32)
