"""A learner to reason, MEMO or a baseline, read top to bottom: init, update, answer.

Source: Banino et al. 2020, section 3 and appendix.
"""

from __future__ import annotations

from typing import NamedTuple

import haiku as hk
import jax.numpy as jnp
import optax

from tolman.agents.agent import Array, Learned, Params
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.memo.config import TrainingConfig
from tolman.agents.memo.loss import answer_loss, halting_loss, is_right
from tolman.agents.memo.models import ModelConfig, make_model
from tolman.agents.memo.reading import Mode, Reading
from tolman.agents.schedules import rise_and_cosine
from tolman.agents.supervised import Answers
from tolman.envs.reasoning.task import Examples, Task


class LearnerState(NamedTuple):
    """Attributes:
    params: of the network.
    optimizer_state: Adam's moments.
    """

    params: Params
    optimizer_state: optax.OptState


class Reasoner:
    """Learns to answer a task's questions with MEMO or one of its baselines.

    The methods are those of `tolman.agents.supervised.SupervisedAgent`.
    """

    def __init__(self, training: TrainingConfig, model: ModelConfig, task: Task) -> None:
        """Builds the agent.

        Args:
          training: how it learns.
          model: which network, and its sizes.
          task: what it is asked; only its sizes and the names of its kinds are read.
        """
        self.training, self.model = training, model
        self.batch_size = training.batch_size
        self.kinds = task.kinds
        self._network = hk.transform(
            lambda examples, mode: make_model(model, task)(examples, mode)
        )
        self.gradient_step = GradientStep(optax.scale_by_adam(), training.max_gradient_norm)

    def init(self, key: Array, examples: Examples) -> LearnerState:
        params = self._network.init(key, examples, "train")
        return LearnerState(params, self.gradient_step.init(params))

    def update(
        self, learner_state: LearnerState, batch: Examples, key: Array, progress: Array
    ) -> Learned:
        """Takes one gradient step on the batch; `key` draws dropout and halting."""
        stepped = self.gradient_step(
            lambda params: self.loss(params, batch, key, progress),
            *learner_state,
            self.learning_rate(progress),
        )
        learner_state = LearnerState(stepped.params, stepped.optimizer_state)
        return Learned(learner_state, stepped.metrics)

    def answer(
        self, params: Params, examples: Examples, key: Array, mode: Mode = "greedy"
    ) -> Answers:
        """Answers without dropout; "sampled" draws the number of hops as in training.

        The diagnostics are `hops` `[B]` and `attention` `[B, N, heads, I]`.
        """
        reading = self.read(params, examples, key, mode)
        attention = jnp.moveaxis(reading.attention, 0, 1)
        return Answers(reading.logits, {"hops": reading.hops, "attention": attention})

    def read(self, params: Params, examples: Examples, key: Array, mode: Mode) -> Reading:
        """What the network makes of the questions."""
        return self._network.apply(params, key, examples, mode)

    def loss(self, params: Params, examples: Examples, key: Array, progress: Array) -> Loss:
        """The loss of one batch, and its metrics.

        The answer is that of the hop at which it stopped, and no other hop's is taught.
        """
        training = self.training
        reading = self.read(params, examples, key, "train")
        answers = answer_loss(reading.logits, examples.target).mean()
        right = is_right(reading.logits, examples.target)
        starts = progress >= training.halting_start
        total = answers + starts * training.hop_cost * reading.hop_cost.mean()
        metrics = {
            "loss/answer": answers,
            "train/hops": reading.hops.mean(),
            "train/accuracy": right.mean(),
        }
        if reading.halting is not None:
            reward = right.astype(jnp.float32)
            halting = halting_loss(
                *reading.halting, reading.hops, reward, training.discount
            )
            policy = halting.policy - training.entropy_cost * halting.entropy
            total += starts * (policy + training.value_cost * halting.value)
            metrics |= {
                "loss/policy": halting.policy,
                "loss/value": halting.value,
                "loss/entropy": halting.entropy,
            }
        for number, kind in enumerate(self.kinds):
            is_kind = examples.kind == number  # Without any, the mean is NaN.
            metrics[f"accuracy/{kind}"] = (right & is_kind).sum() / is_kind.sum()
        return Loss(total, {**metrics, "loss/total": total})

    def learning_rate(self, progress: Array) -> Array:
        """A linear rise, then a cosine down to the final rate."""
        training = self.training
        return rise_and_cosine(
            training.learning_rate,
            training.warmup_share,
            training.final_learning_rate_scale,
            progress,
        )
