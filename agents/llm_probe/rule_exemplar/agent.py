"""A small Transformer that labels a stimulus after a context, read top to bottom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Gt

from tolman.agents.agent import Array, Learned, Params
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.llm_probe.learner import LearnerState, take_step
from tolman.agents.llm_probe.rule_exemplar.stimuli import Examples
from tolman.agents.supervised import Answers
from tolman.networks.language import LanguageModel, LanguageModelConfig


@dataclass(frozen=True)
class RuleExemplarConfig:
    """Settings of the learner. Those of Chan et al. 2022 are larger: 12 layers.

    Attributes:
      batch_size: sequences in one update.
      learning_rate: Adam's largest; it rises over the first 5 % and falls to a tenth.
      hidden_size: D.
      num_layers: of the Transformer.
      num_heads: of each.
    """

    batch_size: Annotated[int, Ge(1)] = 64
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    hidden_size: Annotated[int, Ge(1)] = 64
    num_layers: Annotated[int, Ge(1)] = 2
    num_heads: Annotated[int, Ge(1)] = 8


class RuleExemplarLearner:
    """Reads labelled stimuli, and labels the last one.

    A stimulus and its label are one token, the sum of what they are embedded as.
    Departure: Chan et al. 2022 have two, one after the other. To join them takes a small
    Transformer longer than all else here (README).

    The methods are those of `tolman.agents.supervised.SupervisedAgent`.
    """

    def __init__(self, config: RuleExemplarConfig, num_labels: int) -> None:
        self.config, self.num_labels = config, num_labels
        self.batch_size = config.batch_size
        self._network: hk.Transformed = hk.without_apply_rng(hk.transform(self._label))
        self.gradient_step = GradientStep(optax.scale_by_adam(), 1.0)

    def init(self, key: Array, examples: Examples) -> LearnerState:
        params = self._network.init(key, examples)
        return LearnerState(params, self.gradient_step.init(params))

    def update(
        self, learner_state: LearnerState, batch: Examples, key: Array, progress: Array
    ) -> Learned:
        """Takes one gradient step on the batch."""
        del key
        loss = partial(self.loss, examples=batch)
        rate = self.config.learning_rate
        return take_step(self.gradient_step, rate, loss, learner_state, progress)

    def answer(self, params: Params, examples: Examples, key: Array) -> Answers:
        """Logits of the labels, `[B, C]`; no chance is in them."""
        del key
        return Answers(self._network.apply(params, examples), {})

    def loss(self, params: Params, examples: Examples) -> Loss:
        """The mean cross-entropy of the label that is asked, in nats."""
        logits = self._network.apply(params, examples)
        log_p = jax.nn.log_softmax(logits)
        total = -jnp.take_along_axis(log_p, examples.target[:, None], 1).mean()
        right = (logits.argmax(-1) == examples.target).mean()
        return Loss(total, {"loss/total": total, "train/accuracy": right})

    def _label(self, examples: Examples) -> Array:
        config = self.config
        size = config.hidden_size
        stimuli = hk.Linear(size, name="stimulus")(examples.stimuli)  # [B, N + 1, D]
        labels = hk.Embed(self.num_labels, size, name="label")(examples.labels)
        embedded = jnp.concatenate([stimuli[:, :-1] + labels, stimuli[:, -1:]], axis=1)
        model = LanguageModel(
            LanguageModelConfig(
                vocabulary_size=1,
                hidden_size=size,
                num_layers=config.num_layers,
                num_heads=config.num_heads,
                num_key_value_heads=config.num_heads,
                mlp_size=4 * size,
            )
        )
        final = model.read(embedded).hidden[-1][:, -1]
        return hk.Linear(self.num_labels, name="answer")(final)
