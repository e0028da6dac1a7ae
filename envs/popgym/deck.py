"""Cards, as all tasks of POPGym that are played with cards number them.

Card c of a deck has suit `c mod 4`, colour `c mod 2` and rank `(c mod 52) // 4`. Suits are
spades, diamonds, clubs and hearts, colours black and red, ranks ace, 2 to 10, jack, queen
and king. Several decks are shuffled into one.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge

from tolman.envs.environment import Array

DECK_SIZE = 52
NUM_SUITS, NUM_COLORS, NUM_RANKS = 4, 2, 13

Positive = Annotated[int, Ge(1)]
Feature = Literal["colors", "suits", "ranks"]
NUM_VALUES = {"colors": NUM_COLORS, "suits": NUM_SUITS, "ranks": NUM_RANKS}


class DealtState(NamedTuple):
    """A shuffled deck of n cards, dealt one a step.

    Attributes:
      cards: `[n]` int32, in the order in which they are dealt.
      time: `[]` int32, steps taken.
    """

    cards: Array
    time: Array


def shuffle(key: Array, num_decks: int) -> Array:
    """`[52 num_decks]` int32, the cards in the order in which they are dealt."""
    return jax.random.permutation(key, jnp.arange(DECK_SIZE * num_decks, dtype=jnp.int32))


def values(cards: Array, feature: Feature) -> Array:
    """`[...]` int32, what is looked at of cards `[...]`; from 0 to `NUM_VALUES` less 1."""
    if feature == "ranks":
        return cards % DECK_SIZE // 4
    return cards % NUM_VALUES[feature]


def suits(cards: Array) -> Array:
    """`[...]` int32, of cards `[...]`."""
    return values(cards, "suits")
