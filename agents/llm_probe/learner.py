"""A small language model that learns some tokens of its rows, read top to bottom.

Shapes: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Gt

from tolman.agents.agent import Array, Learned, Params
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.schedules import rise_and_cosine
from tolman.agents.supervised import Answers
from tolman.networks.language import LanguageModel, LanguageModelConfig


class TokenExamples(NamedTuple):
    """Attributes:
    tokens: `[B, T]` int32, 0 behind the end of a row.
    is_asked: `[B, T]` bool, tokens that are learned from those before them; no first one.
    """

    tokens: Array
    is_asked: Array


@dataclass(frozen=True)
class TokenLearnerConfig:
    """How a language model is trained.

    Attributes:
      batch_size: rows in one update.
      learning_rate: Adam's largest; it rises over the first 5 % and falls to a tenth.
    """

    batch_size: Annotated[int, Ge(1)] = 64
    learning_rate: Annotated[float, Gt(0)] = 2e-3


class LearnerState(NamedTuple):
    """Attributes:
    params: of the language model.
    optimizer_state: Adam's moments.
    """

    params: Params
    optimizer_state: optax.OptState


def take_step(
    step: GradientStep,
    learning_rate: float,
    loss: Callable[[Params], Loss],
    learner_state: LearnerState,
    progress: Array,
) -> Learned:
    """One step along the loss; the rate rises over the first 5 % and falls to a tenth.

    Args:
      step: takes it.
      learning_rate: the largest.
      loss: of parameters.
      learner_state: before it.
      progress: `[]`, the share of training that is done.
    """
    rate = rise_and_cosine(learning_rate, 0.05, 0.1, progress)
    stepped = step(loss, *learner_state, rate)
    learned = LearnerState(stepped.params, stepped.optimizer_state)
    return Learned(learned, stepped.metrics)


class TokenLearner:
    """Learns to tell the tokens that are asked for.

    The methods are those of `tolman.agents.supervised.SupervisedAgent`; the parameters are
    those of `LanguageModel(model)`.
    """

    def __init__(self, config: TokenLearnerConfig, model: LanguageModelConfig) -> None:
        self.config, self.model = config, model
        self.batch_size = config.batch_size
        self._network: hk.Transformed = hk.without_apply_rng(hk.transform(self._logits))
        self.gradient_step = GradientStep(optax.scale_by_adam(), 1.0)

    def init(self, key: Array, examples: TokenExamples) -> LearnerState:
        params = self._network.init(key, examples.tokens)
        return LearnerState(params, self.gradient_step.init(params))

    def update(
        self, learner_state: LearnerState, batch: TokenExamples, key: Array, progress: Array
    ) -> Learned:
        """Takes one gradient step on the batch."""
        del key
        loss = partial(self.loss, examples=batch)
        rate = self.config.learning_rate
        return take_step(self.gradient_step, rate, loss, learner_state, progress)

    def answer(self, params: Params, examples: TokenExamples, key: Array) -> Answers:
        """Logits of each token from those before it, `[B, T - 1, V]`."""
        del key
        return Answers(self._network.apply(params, examples.tokens), {})

    def loss(self, params: Params, examples: TokenExamples) -> Loss:
        """The mean cross-entropy of the tokens that are asked for, in nats."""
        logits = self._network.apply(params, examples.tokens)
        wanted, is_asked = examples.tokens[:, 1:], examples.is_asked[:, 1:]
        log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), wanted[..., None], 2)
        total = -(log_p[..., 0] * is_asked).sum() / is_asked.sum()
        is_right = (logits.argmax(-1) == wanted) | ~is_asked
        right = is_right.all(1).mean()
        return Loss(total, {"loss/total": total, "train/accuracy": right})

    def _logits(self, tokens: Array) -> Array:
        model = LanguageModel(self.model)
        return model.logits(model(tokens[:, :-1]).hidden[-1])
