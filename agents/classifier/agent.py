"""A classifier, read top to bottom: init, update, answer."""

from __future__ import annotations

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from tolman.agents.agent import Array, Learned, Params, register_agent
from tolman.agents.classifier.config import ClassifierConfig
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.supervised import Answers
from tolman.envs.classification.task import ClassificationTask, Examples


class LearnerState(NamedTuple):
    """Attributes:
    params: of the network.
    optimizer_state: Adam's moments, of plain gradient descent nothing.
    """

    params: Params
    optimizer_state: optax.OptState


@register_agent("classifier", kind="learns")
class Classifier:
    """A fully connected ReLU network that learns to tell classes apart.

    The methods are those of `tolman.agents.supervised.SupervisedAgent`.
    """

    def __init__(self, config: ClassifierConfig, task: ClassificationTask) -> None:
        """Builds the agent; of the task only the number of classes is read."""
        self.config = config
        self.batch_size = config.batch_size
        sizes = (*config.hidden_sizes, task.num_classes)
        # He et al. 2015, for ReLU.
        draw = hk.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal")
        self._network = hk.transform(lambda x: hk.nets.MLP(sizes, w_init=draw)(x))
        self.gradient_step = GradientStep(
            optax.identity() if config.optimizer == "sgd" else optax.scale_by_adam()
        )

    def init(self, key: Array, examples: Examples) -> LearnerState:
        params = self._network.init(key, examples.x)
        return LearnerState(params, self.gradient_step.init(params))

    def update(
        self, learner_state: LearnerState, batch: Examples, key: Array, progress: Array
    ) -> Learned:
        """Takes one gradient step on the batch."""
        del key, progress
        stepped = self.gradient_step(
            lambda params: self.loss(params, batch),
            *learner_state,
            jnp.float32(self.config.learning_rate),
        )
        return Learned(
            LearnerState(stepped.params, stepped.optimizer_state), stepped.metrics
        )

    def answer(self, params: Params, examples: Examples, key: Array) -> Answers:
        """Logits of the classes, `[B, C]`; no chance is in them."""
        del key
        return Answers(self._network.apply(params, None, examples.x), {})

    def loss(self, params: Params, examples: Examples) -> Loss:
        """The mean cross-entropy of a batch, in nats, and how many answers are right."""
        logits = self._network.apply(params, None, examples.x)
        log_p = jax.nn.log_softmax(logits)
        total = -jnp.take_along_axis(log_p, examples.target[:, None], 1).mean()
        right = (logits.argmax(-1) == examples.target).mean()
        return Loss(total, {"loss/total": total, "train/accuracy": right})
