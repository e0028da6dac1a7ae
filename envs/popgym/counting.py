"""POPGym's tasks of counting cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.popgym.deck import (
    DECK_SIZE,
    NUM_RANKS,
    NUM_VALUES,
    DealtState,
    Feature,
    Positive,
    shuffle,
    values,
)

HIGHER, LOWER = 0, 1  # Actions of HigherLower.


class CountRecallState(NamedTuple):
    """Two shuffled decks of n cards each, dealt one of each a step.

    Attributes:
      cards: `[n]` int32, in the order in which they are dealt.
      queries: `[n]` int32, likewise.
      time: `[]` int32, steps taken.
    """

    cards: Array
    queries: Array
    time: Array


@register_env("popgym/count_recall/easy")
@dataclass(frozen=True)
class CountRecall:
    """How many cards of the queried kind have been dealt so far? Two colours, 52 cards.

    A row shows a card and, from another deck, what is asked. The card counts already. A
    right answer pays `1 / (n - 1)` and a wrong one costs as much; of n rows the last is not
    answered.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      num_decks: shuffled into one, for the cards and for the queries each.
      feature: what makes two cards of one kind.
    """

    num_decks: Positive = 1
    feature: Feature = "colors"

    def reset(self, key: Array) -> tuple[CountRecallState, TimeStep]:
        """Shuffles both decks, and shows the first card and query."""
        key, query_key = jax.random.split(key)
        state = CountRecallState(
            shuffle(key, self.num_decks), shuffle(query_key, self.num_decks), jnp.int32(0)
        )
        return state, restart(self._observe(state))

    def step(
        self, state: CountRecallState, action: Array
    ) -> tuple[CountRecallState, TimeStep]:
        """Pays the answer, and deals."""
        num_steps = len(state.cards) - 1
        is_dealt = jnp.arange(len(state.cards)) <= state.time
        asked = values(state.queries[state.time], self.feature)
        count = jnp.sum(is_dealt & (values(state.cards, self.feature) == asked))
        reward = jnp.where(action == count, 1.0, -1.0) / num_steps
        state = state._replace(time=state.time + 1)
        return state, transition(reward, self._observe(state), state.time == num_steps)

    def observation_spec(self) -> specs.BoundedArray:
        """`[2]`: the kind of the card that was dealt, and the one that is asked for."""
        highest = NUM_VALUES[self.feature] - 1
        return specs.BoundedArray((2,), np.int32, 0, highest, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """The count, from 0 to the number of cards of a kind."""
        per_kind = DECK_SIZE * self.num_decks // NUM_VALUES[self.feature]
        return specs.DiscreteArray(per_kind + 1, name="action")

    def _observe(self, state: CountRecallState) -> Array:
        shown = jnp.stack([state.cards[state.time], state.queries[state.time]])
        return values(shown, self.feature)


@register_env("popgym/count_recall/medium")
@dataclass(frozen=True)
class CountRecallMedium(CountRecall):
    """How many cards of the queried kind have been dealt so far? Four suits, 104 cards."""

    num_decks: Positive = 2
    feature: Feature = "suits"


@register_env("popgym/count_recall/hard")
@dataclass(frozen=True)
class CountRecallHard(CountRecall):
    """How many cards of the queried kind have been dealt so far? 13 ranks, 208 cards."""

    num_decks: Positive = 4
    feature: Feature = "ranks"


@register_env("popgym/higher_lower/easy")
@dataclass(frozen=True)
class HigherLower:
    """Will the next card have a higher rank or a lower one? 52 cards.

    A right guess pays `1 / n` of n cards, a wrong one costs as much, and two cards of one
    rank pay nothing. Who counts the cards that are out guesses better. The ace is lowest.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      num_decks: shuffled into one.
    """

    num_decks: Positive = 1

    def reset(self, key: Array) -> tuple[DealtState, TimeStep]:
        """Shuffles, and shows the first card."""
        state = DealtState(shuffle(key, self.num_decks), jnp.int32(0))
        return state, restart(values(state.cards[0], "ranks"))

    def step(self, state: DealtState, action: Array) -> tuple[DealtState, TimeStep]:
        """Deals, and pays the guess."""
        num_cards = DECK_SIZE * self.num_decks
        before = values(state.cards[state.time], "ranks")
        rank = values(state.cards[state.time + 1], "ranks")
        direction = jnp.where(action == HIGHER, 1, -1)
        reward = jnp.sign(rank - before) * direction / num_cards
        state = DealtState(state.cards, state.time + 1)
        return state, transition(reward, rank, state.time == num_cards - 1)

    def observation_spec(self) -> specs.DiscreteArray:
        """The rank of the card that was dealt."""
        return specs.DiscreteArray(NUM_RANKS, name="observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Higher and lower."""
        return specs.DiscreteArray(2, name="action")


@register_env("popgym/higher_lower/medium")
@dataclass(frozen=True)
class HigherLowerMedium(HigherLower):
    """Will the next card have a higher rank or a lower one? 104 cards."""

    num_decks: Positive = 2


@register_env("popgym/higher_lower/hard")
@dataclass(frozen=True)
class HigherLowerHard(HigherLower):
    """Will the next card have a higher rank or a lower one? 156 cards."""

    num_decks: Positive = 3
