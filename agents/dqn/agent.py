"""Double DQN with any memory core, read top to bottom: init, act, update.

Source: van Hasselt et al. 2016, on Mnih et al. 2015; prioritised replay: Schaul et al.
2016; sequences with burn-in: Kapturowski et al. 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from dm_env import specs

from tolman.agents.agent import (
    Array,
    DataSpec,
    Decision,
    Learned,
    Unroll,
    decision_mask,
    register_agent,
)
from tolman.agents.distributions import ILLEGAL
from tolman.agents.dqn.config import DQNConfig
from tolman.agents.dqn.loss import (
    double_q_values,
    importance_weights,
    n_step_returns,
    q_loss,
    sequence_priorities,
)
from tolman.agents.dqn.network import make_network
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.recurrent import RecurrentState, count_actions
from tolman.agents.rescaling import rescale, restore
from tolman.agents.schedules import linear
from tolman.envs.environment import TimeStep
from tolman.networks.core import MemoryCore

Weights = Any  # Pytree of arrays.


class Hyperparameters(NamedTuple):
    """The settings that a sweep varies; arrays, so that one program trains many of them.

    Attributes:
      learning_rate: `[]`.
      discount: `[]`.
    """

    learning_rate: Array
    discount: Array


class Params(NamedTuple):
    """What acting needs. `update` sets epsilon, so that it reaches every actor.

    Attributes:
      weights: of the network.
      epsilon: `[]`, share of random actions; not trained.
    """

    weights: Weights
    epsilon: Array


class Noise(NamedTuple):
    """Attributes:
    uniform: `[B]` in [0, 1); a number below epsilon explores.
    score: `[B, A]` in [0, 1); the legal action of the highest score is taken there.
    """

    uniform: Array
    score: Array


class LearnerState(NamedTuple):
    """Attributes:
    params: what actors get.
    target_weights: the network's weights some updates ago.
    optimizer_state: running moments of the gradient.
    hyperparameters: constant through a run.
    updates: `[]` int32, done so far.
    """

    params: Params
    target_weights: Weights
    optimizer_state: optax.OptState
    hyperparameters: Hyperparameters
    updates: Array


@register_agent("dqn")
class DQN:
    """Double DQN on transitions, or on sequences with a memory.

    The methods are those of `tolman.agents.agent.Agent`.
    """

    def __init__(
        self,
        config: DQNConfig,
        observation_spec: Any,
        action_spec: specs.DiscreteArray,
        make_core: Callable[[], MemoryCore],
    ) -> None:
        self.config = config
        self._num_actions = count_actions(action_spec)
        self.data = DataSpec(
            config.unroll_length,
            config.batch_size,
            replay=config.replay,
            period=config.period,
            capacity=config.capacity,
            min_size=config.min_size,
            samples_per_insert=config.samples_per_insert,
            priority_exponent=config.priority_exponent,
        )
        self.network = make_network(config, observation_spec, action_spec, make_core)
        self.gradient_step = GradientStep(
            optax.scale_by_adam(eps=config.optimizer_epsilon)
            if config.optimizer == "adam"
            else optax.scale_by_stddev(config.rmsprop_decay, config.optimizer_epsilon),
            config.max_gradient_norm,
        )

    def init(
        self, key: Array, hyperparameters: Hyperparameters | None = None
    ) -> LearnerState:
        """Returns a fresh learner; `hyperparameters` stand in for the config's."""
        config = self.config
        if hyperparameters is None:
            hyperparameters = Hyperparameters(
                jnp.float32(config.learning_rate), jnp.float32(config.discount)
            )
        weights = self.network.init(key)
        return LearnerState(
            params=Params(weights, jnp.float32(config.epsilon)),
            # A copy: the runner may give away the memory of each leaf.
            target_weights=jax.tree.map(jnp.copy, weights),
            optimizer_state=self.gradient_step.init(weights),
            hyperparameters=hyperparameters,
            updates=jnp.int32(0),
        )

    def initial_actor_state(self, batch_size: int) -> RecurrentState:
        """Returns empty memories and no previous action."""
        return self.network.initial_state(batch_size)

    def draw_noise(self, key: Array, batch_size: int) -> Noise:
        """Draws whether to explore, and where to."""
        uniform_key, score_key = jax.random.split(key)
        return Noise(
            jax.random.uniform(uniform_key, (batch_size,)),
            jax.random.uniform(score_key, (batch_size, self._num_actions)),
        )

    def greedy_noise(self, batch_size: int) -> Noise:
        """Noise that never explores."""
        noise = self.draw_noise(jax.random.PRNGKey(0), batch_size)
        return noise._replace(uniform=jnp.ones(batch_size))

    def act(
        self, params: Params, noise: Noise, timestep: TimeStep, actor_state: RecurrentState
    ) -> tuple[Decision, RecurrentState]:
        """Takes the best of `[B]` actions, or with probability epsilon any."""
        output, core_state = self.network.step(params.weights, timestep, actor_state)
        best = jnp.argmax(output.policy, axis=-1).astype(jnp.int32)
        # A uniform choice among the legal ones: of independent scores, the highest.
        scores = jnp.where(output.policy == ILLEGAL, -1.0, noise.score)
        explored = jnp.argmax(scores, axis=-1).astype(jnp.int32)
        action = jnp.where(noise.uniform < params.epsilon, explored, best)
        return Decision(action, output.policy), RecurrentState(core_state, action)

    def update(
        self, learner_state: LearnerState, batch: Unroll, key: Array, progress: Array
    ) -> Learned:
        """Takes one gradient step, and copies the network to the target when it is due."""
        del key
        params, target_weights, optimizer_state, hyperparameters, updates = learner_state
        step_size = hyperparameters.learning_rate * linear(
            1.0, self.config.final_learning_rate_scale, progress
        )
        stepped = self.gradient_step(
            lambda weights: self.loss(
                weights, target_weights, batch, hyperparameters, progress
            ),
            params.weights,
            optimizer_state,
            step_size,
        )
        weights, updates = stepped.params, updates + 1
        is_due = updates % self.config.target_update_period == 0
        target_weights = jax.tree.map(
            lambda new, old: jnp.where(is_due, new, old), weights, target_weights
        )
        epsilon = self._epsilon(progress)
        learner_state = LearnerState(
            Params(weights, epsilon),
            target_weights,
            stepped.optimizer_state,
            hyperparameters,
            updates,
        )
        metrics = {**stepped.metrics, "train/epsilon": epsilon}
        is_prioritized = self.data.replay == "prioritized"
        return Learned(learner_state, metrics, stepped.extra if is_prioritized else None)

    def loss(
        self,
        weights: Weights,
        target_weights: Weights,
        unroll: Unroll,
        hyperparameters: Hyperparameters,
        progress: Array,
    ) -> Loss:
        """The loss of one unroll; `extra` is the sequences' priorities `[B]`.

        Both networks start from the stored actor state and share the burn-in rows.
        """
        config, burn_in = self.config, self.config.burn_in
        online = self.network.unroll(weights, unroll, burn_in).policy  # [T + 1, B, A]
        target = self.network.unroll(target_weights, unroll, burn_in).policy
        timestep = jax.tree.map(lambda leaf: leaf[burn_in:], unroll.timestep)
        action = unroll.action[burn_in:]  # [T, B]; T is now without the burn-in.

        bootstrap = double_q_values(online, target)  # [T + 1, B]
        if config.use_value_rescaling:
            bootstrap = restore(bootstrap)
        returns = n_step_returns(
            bootstrap, timestep, hyperparameters.discount, config.n_step
        )
        if config.use_value_rescaling:
            returns = rescale(returns)
        values = jnp.take_along_axis(online[:-1], action[..., None], -1)[..., 0]

        num_learned = len(action) - config.n_step + 1  # Later returns are cut short.
        errors = (returns - values)[:num_learned]
        mask = decision_mask(timestep)[:num_learned]
        exponent = linear(
            config.importance_exponent, config.final_importance_exponent, progress
        )
        importance = importance_weights(unroll.probability, exponent)
        total, metrics = q_loss(errors, mask, importance, config.huber_threshold)
        mean_value = jnp.sum(values[:num_learned] * mask) / jnp.maximum(mask.sum(), 1.0)
        priorities = sequence_priorities(
            errors, mask, config.priority_max_share, config.min_priority
        )
        return Loss(total, {**metrics, "value/mean": mean_value}, priorities)

    def _epsilon(self, progress: Array) -> Array:
        config = self.config
        fallen = progress / jnp.maximum(config.exploration_share, 1e-9)
        return linear(config.epsilon, config.final_epsilon, jnp.minimum(fallen, 1.0))


def with_epsilon(params: Params, epsilon: float) -> Params:
    """The same network with another share of random actions: 0 to act greedily."""
    return params._replace(epsilon=jnp.full_like(params.epsilon, epsilon))
