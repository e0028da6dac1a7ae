"""POPGym's game of pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.popgym.deck import (
    DECK_SIZE,
    NUM_VALUES,
    Feature,
    Positive,
    shuffle,
    values,
)

NONE = -1  # No card is turned.


class ConcentrationState(NamedTuple):
    """Attributes:
    cards: `[n]` int32, which card lies at each place.
    is_found: `[n]` bool, cards that lie face up for good.
    turned: `[]` int32, the place of the first card of a pair, or `NONE`.
    time: `[]` int32, steps taken.
    """

    cards: Array
    is_found: Array
    turned: Array
    time: Array


@register_env("popgym/concentration/easy")
@dataclass(frozen=True)
class Concentration:
    """Turn two cards a time and find the pairs: 52 cards, two colours.

    Every step turns one card. Two alike stay face up and pay `2 / n` of n cards; two that
    differ, or one that is turned twice, are turned back and cost `2 / L`, where L is the
    number of steps after which an episode is cut, `ceil(2 n - n / (2 n - 1))`. A card that
    lies face up already costs `1 / L` as first and `2 / L` as second, and then the first is
    turned back too.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      num_decks: shuffled into one.
      feature: what makes two cards alike.
    """

    num_decks: Positive = 1
    feature: Feature = "colors"

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if DECK_SIZE * self.num_decks // NUM_VALUES[self.feature] % 2:
            yield "num_decks", f"even, as {self.feature} come in odd numbers in one"

    def reset(self, key: Array) -> tuple[ConcentrationState, TimeStep]:
        """Shuffles, and lays all cards face down."""
        state = ConcentrationState(
            cards=shuffle(key, self.num_decks),
            is_found=jnp.zeros(DECK_SIZE * self.num_decks, bool),
            turned=jnp.int32(NONE),
            time=jnp.int32(0),
        )
        return state, restart(self._observe(state, state.is_found))

    def step(
        self, state: ConcentrationState, action: Array
    ) -> tuple[ConcentrationState, TimeStep]:
        """Turns the card at a place; the second of two is seen in this row only."""
        num_cards, max_num_steps = len(state.cards), self.max_num_steps
        places = jnp.arange(num_cards)
        is_second = state.turned != NONE
        is_turned = (places == action) | (places == state.turned)
        seen = values(state.cards, self.feature)
        is_pair = (
            is_second
            & ~state.is_found[action]
            & (state.turned != action)
            & (seen[action] == seen[state.turned])
        )
        is_failure = ~is_pair & (is_second | state.is_found[action])
        cost = jnp.where(is_second, 2.0, 1.0) / max_num_steps
        reward = is_pair * (2.0 / num_cards) - is_failure * cost

        shown = self._observe(state, state.is_found | is_turned)
        state = ConcentrationState(
            cards=state.cards,
            is_found=state.is_found | (is_pair & is_turned),
            turned=jnp.where(is_pair | is_failure, NONE, action).astype(jnp.int32),
            time=state.time + 1,
        )
        is_cut = state.time >= max_num_steps
        return state, transition(reward, shown, state.is_found.all(), is_cut)

    @property
    def max_num_steps(self) -> int:
        """After which an episode is cut."""
        num_cards = DECK_SIZE * self.num_decks
        return math.ceil(2 * num_cards - num_cards / (2 * num_cards - 1))

    def observation_spec(self) -> specs.BoundedArray:
        """`[n]`: what is seen at each place, or the number after the last for a back."""
        num_cards, highest = DECK_SIZE * self.num_decks, NUM_VALUES[self.feature]
        return specs.BoundedArray((num_cards,), np.int32, 0, highest, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """The place."""
        return specs.DiscreteArray(DECK_SIZE * self.num_decks, name="action")

    def _observe(self, state: ConcentrationState, is_up: Array) -> Array:
        seen = values(state.cards, self.feature)
        return jnp.where(is_up, seen, NUM_VALUES[self.feature])


@register_env("popgym/concentration/medium")
@dataclass(frozen=True)
class ConcentrationMedium(Concentration):
    """Turn two cards a time and find the pairs: 104 cards, two colours."""

    num_decks: Positive = 2


@register_env("popgym/concentration/hard")
@dataclass(frozen=True)
class ConcentrationHard(Concentration):
    """Turn two cards a time and find the pairs: 52 cards, 13 ranks."""

    feature: Feature = "ranks"
