"""POPGym's tasks of repeating suits: the first, an earlier one, all in reverse order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax.numpy as jnp
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.popgym.deck import (
    DECK_SIZE,
    NUM_SUITS,
    DealtState,
    Positive,
    shuffle,
    suits,
)

WATCH, PLAY = 1, 0  # Modes of Autoencode, as they are shown.


@register_env("popgym/repeat_first/easy")
@dataclass(frozen=True)
class RepeatFirst:
    """Name the suit of the first card, at every card: 52 cards.

    A decision pays `1 / (n - 1)` where it names that suit and costs as much elsewhere, so
    that the return lies in [-1, 1]; the episode ends with the last of the n cards.

    Source: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement
      Learning"; rules and sizes are those of the package popgym 1.0.7.

    Attributes:
      num_decks: shuffled into one.
    """

    num_decks: Positive = 1

    def reset(self, key: Array) -> tuple[DealtState, TimeStep]:
        """Shuffles, and shows the first card."""
        state = DealtState(shuffle(key, self.num_decks), jnp.int32(0))
        return state, restart(suits(state.cards[0]))

    def step(self, state: DealtState, action: Array) -> tuple[DealtState, TimeStep]:
        """Pays the suit that was named, and deals."""
        num_steps = DECK_SIZE * self.num_decks - 1
        is_right = action == suits(state.cards[0])
        reward = jnp.where(is_right, 1.0, -1.0) / num_steps
        time = state.time + 1
        timestep = transition(reward, suits(state.cards[time]), time == num_steps)
        return DealtState(state.cards, time), timestep

    def observation_spec(self) -> specs.DiscreteArray:
        """The suit of the card that was dealt."""
        return specs.DiscreteArray(NUM_SUITS, name="observation")

    def action_spec(self) -> specs.DiscreteArray:
        """The suit."""
        return specs.DiscreteArray(NUM_SUITS, name="action")


@register_env("popgym/repeat_first/medium")
@dataclass(frozen=True)
class RepeatFirstMedium(RepeatFirst):
    """Name the suit of the first card, at every card: 416 cards."""

    num_decks: Positive = 8


@register_env("popgym/repeat_first/hard")
@dataclass(frozen=True)
class RepeatFirstHard(RepeatFirst):
    """Name the suit of the first card, at every card: 832 cards."""

    num_decks: Positive = 16


@register_env("popgym/repeat_previous/easy")
@dataclass(frozen=True)
class RepeatPrevious:
    """Name the suit of the card of k - 1 cards before the one shown: 52 cards, k = 4.

    The one shown is the first of the k. Of n cards the decisions from the k-th on are paid,
    `1 / (n - k)` where right and as much less where wrong.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      num_decks: shuffled into one.
      k: cards to be remembered; fewer than there are.
    """

    num_decks: Positive = 1
    k: Positive = 4

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.k >= DECK_SIZE * self.num_decks:
            yield "k", f"less than the {DECK_SIZE * self.num_decks} cards"

    def reset(self, key: Array) -> tuple[DealtState, TimeStep]:
        """Shuffles, and shows the first card."""
        state = DealtState(shuffle(key, self.num_decks), jnp.int32(0))
        return state, restart(suits(state.cards[0]))

    def step(self, state: DealtState, action: Array) -> tuple[DealtState, TimeStep]:
        """Pays the suit that was named, once k cards are out, and deals."""
        num_cards = DECK_SIZE * self.num_decks
        asked = state.time + 1 - self.k
        is_right = action == suits(state.cards[jnp.maximum(asked, 0)])
        payment = jnp.where(is_right, 1.0, -1.0) / (num_cards - self.k)
        time = state.time + 1
        timestep = transition(
            jnp.where(asked >= 0, payment, 0.0),
            suits(state.cards[time]),
            terminated=time == num_cards - 1,
        )
        return DealtState(state.cards, time), timestep

    def observation_spec(self) -> specs.DiscreteArray:
        """The suit of the card that was dealt."""
        return specs.DiscreteArray(NUM_SUITS, name="observation")

    def action_spec(self) -> specs.DiscreteArray:
        """The suit."""
        return specs.DiscreteArray(NUM_SUITS, name="action")


@register_env("popgym/repeat_previous/medium")
@dataclass(frozen=True)
class RepeatPreviousMedium(RepeatPrevious):
    """Name the suit of the card of k - 1 cards before the one shown: 104 cards, k = 32."""

    num_decks: Positive = 2
    k: Positive = 32


@register_env("popgym/repeat_previous/hard")
@dataclass(frozen=True)
class RepeatPreviousHard(RepeatPrevious):
    """Name the suit of the card of k - 1 cards before the one shown: 156 cards, k = 64."""

    num_decks: Positive = 3
    k: Positive = 64


@register_env("popgym/autoencode/easy")
@dataclass(frozen=True)
class Autoencode:
    """Watch the suits of all cards, then name them in reverse order: 52 cards.

    While n cards are dealt nothing is paid. From the row of the last one on, each of n
    decisions names a suit, `1 / n` where right and as much less where wrong; these rows
    show spades, whatever the suit was.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      num_decks: shuffled into one.
    """

    num_decks: Positive = 1

    def reset(self, key: Array) -> tuple[DealtState, TimeStep]:
        """Shuffles, and shows the first card."""
        state = DealtState(shuffle(key, self.num_decks), jnp.int32(0))
        return state, restart(self._observe(state))

    def step(self, state: DealtState, action: Array) -> tuple[DealtState, TimeStep]:
        """Deals, or pays the suit that was named."""
        num_cards = DECK_SIZE * self.num_decks
        asked = 2 * (num_cards - 1) - state.time  # The last card at time n - 1.
        is_right = action == suits(state.cards[jnp.clip(asked, 0, num_cards - 1)])
        payment = jnp.where(is_right, 1.0, -1.0) / num_cards
        reward = jnp.where(asked < num_cards, payment, 0.0)
        state = DealtState(state.cards, state.time + 1)
        return state, transition(reward, self._observe(state), asked == 0)

    def observation_spec(self) -> dict[str, specs.DiscreteArray]:
        """`mode`: 1 while cards are dealt, 0 from the last one on; `suit`: of the card."""
        return {
            "mode": specs.DiscreteArray(2, name="mode"),
            "suit": specs.DiscreteArray(NUM_SUITS, name="suit"),
        }

    def action_spec(self) -> specs.DiscreteArray:
        """The suit."""
        return specs.DiscreteArray(NUM_SUITS, name="action")

    def _observe(self, state: DealtState) -> dict[str, Array]:
        last = DECK_SIZE * self.num_decks - 1
        suit = suits(state.cards[jnp.minimum(state.time, last)])
        return {
            "mode": jnp.where(state.time < last, WATCH, PLAY).astype(jnp.int32),
            "suit": jnp.where(state.time <= last, suit, 0),
        }


@register_env("popgym/autoencode/medium")
@dataclass(frozen=True)
class AutoencodeMedium(Autoencode):
    """Watch the suits of all cards, then name them in reverse order: 104 cards."""

    num_decks: Positive = 2


@register_env("popgym/autoencode/hard")
@dataclass(frozen=True)
class AutoencodeHard(Autoencode):
    """Watch the suits of all cards, then name them in reverse order: 156 cards."""

    num_decks: Positive = 3
