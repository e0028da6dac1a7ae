"""Partial exposure as a text of one step: rule or exemplars?

Words are numbers from 1 on. A text is eight examples, each two features and a label, then
the two features that are asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Interval
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition

# Combinations: the deciding feature and the other one. Both labels are seen equally often.
AX, AW, BW, BX = (0, 0), (0, 1), (1, 1), (1, 0)
CONTEXT = np.array([AX, AX, AW, AW, BW, BW, BW, BW])
SEEN = np.array([AX, AW, BW, BW])
NUM_LABELS = 2
FIRST_LABEL = 1  # Words 1 and 2 are the labels; the features come after them.
FIRST_WORD = FIRST_LABEL + NUM_LABELS
LENGTH = 3 * len(CONTEXT) + 2


class Questions(NamedTuple):
    """One text and its answer.

    Attributes:
      examples: `[8, 3]` int32, words: two features and a label.
      query: `[2]` int32, words.
      answer: `[]` int32, the number of the label, 0 or 1; of BX that by the rule.
      is_held_out: `[]` bool, BX is asked.
    """

    examples: Array
    query: Array
    answer: Array
    is_held_out: Array


def draw(key: Array, num_words: int, held_out_share: Array | float) -> Questions:
    """Draws four features, which place decides, the labels, the order and what is asked.

    Args:
      key: `[2]`.
      num_words: that features are drawn from, at least 4.
      held_out_share: of BX among what is asked, in [0, 1].

    Source: Dasgupta et al. 2022, "Distinguishing rule- and exemplar-based generalization in
      learning systems"; Chan et al. 2022.
    """
    word_key, swap_key, label_key, order_key, share_key, seen_key = jax.random.split(key, 6)
    words = FIRST_WORD + jax.random.permutation(word_key, num_words)[:4].reshape(2, 2)
    labels = jax.random.permutation(label_key, NUM_LABELS)  # Of A and of B.
    is_held_out = jax.random.bernoulli(share_key, held_out_share)
    seen = jnp.array(SEEN)[jax.random.randint(seen_key, (), 0, len(SEEN))]
    query = jnp.where(is_held_out, jnp.array(BX), seen)
    context = jnp.array(CONTEXT)[jax.random.permutation(order_key, len(CONTEXT))]
    pairs = jnp.concatenate([context, query[None]])
    shown = jnp.stack([words[0][pairs[:, 0]], words[1][pairs[:, 1]]], axis=1)
    shown = jnp.where(jax.random.bernoulli(swap_key), shown[:, ::-1], shown)
    told = FIRST_LABEL + labels[context[:, 0]]
    examples = jnp.concatenate([shown[:-1], told[:, None]], axis=1).astype(jnp.int32)
    answer = labels[query[0]].astype(jnp.int32)
    return Questions(examples, shown[-1].astype(jnp.int32), answer, is_held_out)


class PartialExposureState(NamedTuple):
    """What is asked.

    Attributes:
      answer: `[]` int32.
      has_ended: `[]` bool.
    """

    answer: Array
    has_ended: Array


@register_env("language/partial_exposure")
@dataclass(frozen=True)
class PartialExposure:
    """Shows a text of 26 words; the action names a label, and pays 1 if it is right.

    Where the held-out combination BX is asked, the label by the rule pays: an agent that
    was trained without it and is evaluated with `held_out_share` 1 returns its share of
    answers by the rule, one that goes by exemplars 0.5. Chance is 0.5 throughout.

    Source: Chan et al. 2022. Departure: words in place of images.

    Attributes:
      num_words: that the four features of a text are drawn from.
      held_out_share: of the texts that ask for BX.
    """

    num_words: Annotated[int, Ge(4)] = 16
    held_out_share: Annotated[float, Interval(ge=0, le=1)] = 0.0

    def reset(self, key: Array) -> tuple[PartialExposureState, TimeStep]:
        """Draws a text."""
        asked = draw(key, self.num_words, self.held_out_share)
        text = jnp.concatenate([asked.examples.reshape(-1), asked.query])
        return PartialExposureState(asked.answer, jnp.bool_(False)), restart(text)

    def step(
        self, state: PartialExposureState, action: Array
    ) -> tuple[PartialExposureState, TimeStep]:
        """Pays the answer; nothing is shown any more."""
        reward = jnp.where((action == state.answer) & ~state.has_ended, 1.0, 0.0)
        empty = jnp.zeros(LENGTH, jnp.int32)
        ended = state._replace(has_ended=jnp.bool_(True))
        return ended, transition(reward, empty, terminated=jnp.bool_(True))

    def observation_spec(self) -> specs.BoundedArray:
        """`[26]` words of a vocabulary of `num_words` + 3; 0 is padding."""
        largest = FIRST_WORD + self.num_words - 1
        return specs.BoundedArray((LENGTH,), np.int32, 0, largest, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """The number of a label."""
        return specs.DiscreteArray(NUM_LABELS, name="action")
