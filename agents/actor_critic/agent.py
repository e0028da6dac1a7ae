"""Advantage actor-critic, read top to bottom: init, act, update.

Source: Mnih et al. 2016, algorithm S3, with synchronous batches (A2C) in place of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from tolman.agents.actor_critic.config import ActorCriticConfig
from tolman.agents.actor_critic.loss import (
    Targets,
    actor_critic_loss,
    advantage_targets,
    vtrace_targets,
)
from tolman.agents.actor_critic.network import make_network
from tolman.agents.agent import (
    Array,
    DataSpec,
    Decision,
    Learned,
    Params,
    Unroll,
    decision_mask,
    register_agent,
)
from tolman.agents.auxiliary import (
    AuxiliaryTask,
    auxiliary_loss,
    make_auxiliary_tasks,
)
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.policies import Policy
from tolman.agents.recurrent import RecurrentState
from tolman.agents.rescaling import rescale, restore
from tolman.agents.schedules import linear
from tolman.envs.environment import TimeStep
from tolman.networks.core import MemoryCore


class Hyperparameters(NamedTuple):
    """The settings that a sweep varies; arrays, so that one program trains many of them.

    Attributes:
      learning_rate: `[]`.
      discount: `[]`.
      entropy_cost: `[]`, at the start of training.
    """

    learning_rate: Array
    discount: Array
    entropy_cost: Array


def hyperparameters_of(config: Any) -> Hyperparameters:
    """Those that a config with fields of their names sets."""
    return Hyperparameters(
        jnp.float32(config.learning_rate),
        jnp.float32(config.discount),
        jnp.float32(config.entropy_cost),
    )


class LearnerState(NamedTuple):
    """Attributes:
    params: of the network.
    optimizer_state: RMSProp's running squares.
    hyperparameters: constant through a run.
    """

    params: Params
    optimizer_state: optax.OptState
    hyperparameters: Hyperparameters


@register_agent("actor_critic")
class ActorCritic:
    """Recurrent advantage actor-critic with any memory core, on-policy or with V-trace.

    The methods are those of `tolman.agents.agent.Agent`.
    """

    def __init__(
        self,
        config: ActorCriticConfig,
        observation_spec: Any,
        action_spec: Any,
        make_core: Callable[[], MemoryCore],
        auxiliary_tasks: Sequence[AuxiliaryTask] = (),
    ) -> None:
        self.config = config
        self.policy = Policy(action_spec, config.action_bounds)
        self.data = DataSpec(
            config.unroll_length,
            config.batch_size,
            max_lag=int(config.off_policy_correction == "vtrace"),
        )
        self._auxiliary_tasks = make_auxiliary_tasks(
            config.auxiliary_tasks,
            config.auxiliary_costs,
            observation_spec,
            auxiliary_tasks,
        )
        self.network = make_network(
            config,
            observation_spec,
            action_spec,
            self.policy,
            make_core,
            self._auxiliary_tasks,
        )
        scaling = {
            "rmsprop": optax.scale_by_rms(config.rmsprop_decay, config.rmsprop_epsilon),
            "adam": optax.scale_by_adam(eps=config.adam_epsilon),
        }
        self.gradient_step = GradientStep(
            scaling[config.optimizer], config.max_gradient_norm
        )

    def init(
        self, key: Array, hyperparameters: Hyperparameters | None = None
    ) -> LearnerState:
        """Returns a fresh learner; `hyperparameters` stand in for the config's."""
        if hyperparameters is None:
            hyperparameters = hyperparameters_of(self.config)
        params = self.network.init(key)
        return LearnerState(params, self.gradient_step.init(params), hyperparameters)

    def initial_actor_state(self, batch_size: int) -> RecurrentState:
        """Returns empty memories and no previous action."""
        return self.network.initial_state(batch_size)

    def draw_noise(self, key: Array, batch_size: int) -> Any:
        """What the policy samples with, `[B, ...]`."""
        return self.policy.draw_noise(key, batch_size)

    def greedy_noise(self, batch_size: int) -> Any:
        """Noise with which `act` takes what the policy holds best."""
        return self.policy.greedy_noise(batch_size)

    def act(
        self, params: Params, noise: Any, timestep: TimeStep, actor_state: RecurrentState
    ) -> tuple[Decision, RecurrentState]:
        """Samples an action for each of `[B]` time steps; `noise` is from `draw_noise`."""
        output, core_state = self.network.step(params, timestep, actor_state)
        action = self.policy.sample(output.policy, noise)
        return Decision(action, output.policy), RecurrentState(core_state, action)

    def update(
        self, learner_state: LearnerState, batch: Unroll, key: Array, progress: Array
    ) -> Learned:
        """Takes one gradient step on the unroll; draws nothing."""
        del key
        params, optimizer_state, hyperparameters = learner_state
        final_scale = self.config.final_learning_rate_scale
        stepped = self.gradient_step(
            lambda params: self.loss(params, batch, hyperparameters, progress),
            params,
            optimizer_state,
            hyperparameters.learning_rate * linear(1.0, final_scale, progress),
        )
        learner_state = LearnerState(
            stepped.params, stepped.optimizer_state, hyperparameters
        )
        return Learned(learner_state, stepped.metrics)

    def loss(
        self,
        params: Params,
        unroll: Unroll,
        hyperparameters: Hyperparameters,
        progress: Array,
    ) -> Loss:
        """The loss of one unroll, the network recomputed from the stored actor state."""
        config = self.config
        output = self.network.unroll(params, unroll)  # [T + 1, B, ...]
        mask = decision_mask(unroll.timestep)
        entropy_cost = hyperparameters.entropy_cost
        if config.final_entropy_cost >= 0.0:
            entropy_cost = linear(entropy_cost, config.final_entropy_cost, progress)

        policy = jax.tree.map(lambda leaf: leaf[:-1], output.policy)  # [T, B, ...]
        log_probability = self.policy.log_probability(policy, unroll.action)
        targets = self._targets(
            output.value, log_probability, unroll, hyperparameters.discount
        )
        total, metrics = actor_critic_loss(
            log_probability,
            self.policy.entropy(policy),
            output.value[:-1],
            targets,
            mask,
            entropy_cost,
            config.value_cost,
        )
        auxiliary, auxiliary_metrics = auxiliary_loss(
            self._auxiliary_tasks, output.auxiliary, unroll, mask
        )
        total += auxiliary
        return Loss(total, {**metrics, **auxiliary_metrics, "loss/total": total})

    def _targets(self, told: Array, now: Array, unroll: Unroll, discount: Array) -> Targets:
        """From what the network tells of values, `[T + 1, B]`, on the same scale.

        Args:
          told: `[T + 1, B]`, by the network.
          now: `[T, B]`, log probabilities of the actions taken.
          unroll: what was learned from.
          discount: per step.
        """
        config, timestep = self.config, unroll.timestep
        values = restore(told) if config.use_value_rescaling else told
        if config.off_policy_correction == "vtrace":
            then = self.policy.log_probability(unroll.policy, unroll.action)
            ratio = jax.lax.stop_gradient(jnp.exp(now - then))  # [T, B]
            targets = vtrace_targets(values, timestep, discount, config.gae_lambda, ratio)
        else:
            targets = advantage_targets(values, timestep, discount, config.gae_lambda)
        if not config.use_value_rescaling:
            return targets
        better = jax.lax.stop_gradient(values[:-1]) + targets.advantage
        advantage = rescale(better) - jax.lax.stop_gradient(told[:-1])
        return Targets(advantage, rescale(targets.value))
