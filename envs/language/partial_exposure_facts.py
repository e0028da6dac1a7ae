"""Partial exposure as facts and a query, for MEMO and its baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from annotated_types import Ge, Interval

from tolman.envs.language.partial_exposure import FIRST_WORD, NUM_LABELS, draw
from tolman.envs.reasoning.task import Array, Examples, register_source


@register_source("partial_exposure")
@dataclass(frozen=True)
class PartialExposureFacts:
    """The texts of `language/partial_exposure`: eight facts of three words, and a pair.

    Training asks for combinations that were shown; validation and testing ask BX, whose
    answer is that by the rule, in every second question.

    Source: Chan et al. 2022. Departure: words in place of images.

    Attributes:
      num_feature_words: that the four features of a text are drawn from.
      held_out_share: of BX among the questions of training.
    """

    num_feature_words: Annotated[int, Ge(4)] = 16
    held_out_share: Annotated[float, Interval(ge=0, le=1)] = 0.0

    num_classes = NUM_LABELS
    num_answers = 1
    kinds = ("seen", "held out")

    @property
    def num_words(self) -> int:
        """Padding and labels included."""
        return FIRST_WORD + self.num_feature_words

    def load(self, split: str) -> Any:
        """`[]`, the share of questions that ask for BX."""
        return jnp.float32(self.held_out_share if split == "train" else 0.5)

    def sample(self, data: Any, key: Array, batch_size: int) -> Examples:
        keys = jax.random.split(key, batch_size)
        asked = jax.vmap(lambda one: draw(one, self.num_feature_words, data))(keys)
        return Examples(
            asked.examples,
            jnp.ones(asked.examples.shape[:2], bool),
            asked.query,
            asked.answer[:, None],
            asked.is_held_out.astype(jnp.int32),
        )
