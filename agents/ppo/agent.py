"""Proximal policy optimisation, read top to bottom: init, act, update.

Source: Schulman et al. 2017; Huang et al. 2022, "The 37 implementation details of PPO".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from tolman.agents.actor_critic.agent import Hyperparameters, hyperparameters_of
from tolman.agents.actor_critic.loss import advantage_targets, vtrace_targets
from tolman.agents.agent import (
    Array,
    DataSpec,
    Decision,
    Learned,
    Metrics,
    Unroll,
    decision_mask,
    register_agent,
)
from tolman.agents.auxiliary import AuxiliaryTask, auxiliary_loss, make_auxiliary_tasks
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.policies import Policy
from tolman.agents.ppo.config import PPOConfig
from tolman.agents.ppo.loss import Old, normalize, ppo_loss
from tolman.agents.ppo.network import Params, make_network
from tolman.agents.ppo.normalization import (
    Statistics,
    discounted_returns,
    follow_return,
    join,
    scale_rewards,
)
from tolman.agents.ppo.pieces import cut, pick, pick_unroll
from tolman.agents.schedules import linear
from tolman.envs.environment import TimeStep
from tolman.networks.core import MemoryCore, State


class ActorState(NamedTuple):
    """Attributes:
    core: the memory core's state.
    previous_action: `[B, ...]`, like the action spec.
    discounted_return: `[B]`, of the episode so far; rewards are scaled by its deviation.
    """

    core: State
    previous_action: Any
    discounted_return: Array


class LearnerState(NamedTuple):
    """Attributes:
    params: what actors get.
    optimizer_state: Adam's moments.
    hyperparameters: constant through a run.
    """

    params: Params
    optimizer_state: optax.OptState
    hyperparameters: Hyperparameters


@register_agent("ppo")
class PPO:
    """PPO with any memory core, on numbered, continuous and nested actions.

    The methods are those of `tolman.agents.agent.Agent`.
    """

    def __init__(
        self,
        config: PPOConfig,
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
        if config.piece_length and jax.tree.leaves(self.network.initial_state(1).core):
            raise ValueError(
                f"agent.piece_length={config.piece_length}: must be 0 for a core with a "
                "memory, which learns from whole sequences. Set --agent.piece-length 0, or "
                "--core feedforward."
            )
        self.gradient_step = GradientStep(
            optax.scale_by_adam(eps=config.adam_epsilon), config.max_gradient_norm
        )

    def init(
        self, key: Array, hyperparameters: Hyperparameters | None = None
    ) -> LearnerState:
        """Returns a fresh learner; `hyperparameters` stand in for the config's."""
        if hyperparameters is None:
            hyperparameters = hyperparameters_of(self.config)
        params = self.network.init(key)
        optimizer_state = self.gradient_step.init(params.network)
        return LearnerState(params, optimizer_state, hyperparameters)

    def initial_actor_state(self, batch_size: int) -> ActorState:
        """Returns empty memories, no previous action, and nothing earned."""
        empty = self.network.initial_state(batch_size)
        return ActorState(empty.core, empty.previous_action, jnp.zeros(batch_size))

    def draw_noise(self, key: Array, batch_size: int) -> Any:
        """What the policy samples with, `[B, ...]`."""
        return self.policy.draw_noise(key, batch_size)

    def greedy_noise(self, batch_size: int) -> Any:
        """Noise with which `act` takes what the policy holds best."""
        return self.policy.greedy_noise(batch_size)

    def act(
        self, params: Params, noise: Any, timestep: TimeStep, actor_state: ActorState
    ) -> tuple[Decision, ActorState]:
        """Samples an action for each of `[B]` time steps; `noise` is from `draw_noise`."""
        output, core_state = self.network.step(params, timestep, actor_state)
        action = self.policy.sample(output.policy, noise)
        earned = follow_return(
            actor_state.discounted_return, timestep, self.config.discount
        )
        return Decision(action, output.policy), ActorState(core_state, action, earned)

    def update(
        self, learner_state: LearnerState, batch: Unroll, key: Array, progress: Array
    ) -> Learned:
        """Passes over the batch `num_epochs` times, minibatch by minibatch.

        What observations and rewards are normalised by stays as it was when the batch was
        acted, and takes the batch in afterwards.
        """
        config = self.config
        params, optimizer_state, hyperparameters = learner_state
        old = self._old(params, batch, hyperparameters.discount)
        pieces = batch
        if config.piece_length:
            pieces, old = cut(batch, old, config.piece_length)
        step_size = hyperparameters.learning_rate * linear(
            1.0, config.final_learning_rate_scale, progress
        )

        def step(carry: Any, members: Array) -> Any:
            weights, optimizer_state, has_moved = carry
            unroll, own = pick_unroll(pieces, members), pick(old, members)
            if config.normalize_advantages:
                own = own._replace(advantage=normalize(own.advantage, own.mask))
            stepped = self.gradient_step(
                lambda weights: self.loss(
                    params._replace(network=weights),
                    unroll,
                    own,
                    hyperparameters.entropy_cost,
                ),
                weights,
                optimizer_state,
                step_size,
            )
            if config.target_kl > 0:
                has_moved |= stepped.metrics["ppo/kl"] > config.target_kl
            new, before = (stepped.params, stepped.optimizer_state), carry[:2]
            kept = jax.tree.map(lambda a, b: jnp.where(has_moved, b, a), new, before)
            return (*kept, has_moved), (stepped.metrics, 1.0 - has_moved)

        minibatches = self._minibatches(key)  # [epochs * minibatches, B / minibatches]
        carry = (params.network, optimizer_state, jnp.bool_(False))
        carry, (metrics, taken) = lax.scan(step, carry, minibatches)
        weights, optimizer_state, _ = carry
        statistics = self._statistics(params.statistics, batch)
        state = LearnerState(Params(weights, statistics), optimizer_state, hyperparameters)
        return Learned(state, _means(metrics, taken))

    def loss(self, params: Params, unroll: Unroll, old: Old, entropy_cost: Array) -> Loss:
        """The loss of whole sequences, recomputed from the stored actor state."""
        config = self.config
        output = self.network.unroll(params, unroll)  # [T + 1, B, ...]
        policy = jax.tree.map(lambda leaf: leaf[:-1], output.policy)
        total, metrics = ppo_loss(
            self.policy.log_probability(policy, unroll.action),
            self.policy.entropy(policy),
            output.value[:-1],
            old,
            config.clip_range,
            config.value_clip_range,
            entropy_cost,
            config.value_cost,
        )
        auxiliary, auxiliary_metrics = auxiliary_loss(
            self._auxiliary_tasks, output.auxiliary, unroll, old.mask
        )
        total += auxiliary / len(old.mask)
        return Loss(total, {**metrics, **auxiliary_metrics, "loss/total": total})

    def _old(self, params: Params, unroll: Unroll, discount: Array) -> Old:
        """Values, advantages and log probabilities before the first step."""
        config, timestep = self.config, unroll.timestep
        if config.normalize_rewards:
            moments = params.statistics.discounted_return
            reward = scale_rewards(timestep.reward, moments, config.reward_clip)
            timestep = timestep._replace(reward=reward)
        output = self.network.unroll(params, unroll)
        acted = self.policy.log_probability(unroll.policy, unroll.action)
        if config.off_policy_correction == "vtrace":
            policy = jax.tree.map(lambda leaf: leaf[:-1], output.policy)
            before = self.policy.log_probability(policy, unroll.action)
            ratio = jnp.exp(before - acted)
            targets = vtrace_targets(
                output.value, timestep, discount, config.gae_lambda, ratio
            )
        else:
            before = acted
            targets = advantage_targets(output.value, timestep, discount, config.gae_lambda)
        mask = decision_mask(timestep)
        return Old(before, output.value[:-1], targets.advantage, targets.value, mask)

    def _minibatches(self, key: Array) -> Array:
        """Each epoch's order of the pieces, cut into minibatches."""
        config = self.config
        keys = jax.random.split(key, config.num_epochs)
        orders = jax.vmap(lambda key: jax.random.permutation(key, config.num_pieces))(keys)
        return orders.reshape(config.num_epochs * config.num_minibatches, -1)

    def _statistics(self, statistics: Statistics, batch: Unroll) -> Statistics:
        """Takes the batch in: row T is row 0 of the next one."""
        leaves = jax.tree.leaves(batch.timestep.observation)
        moments = {}
        for index, own in statistics.observation.items():
            rows = leaves[index][:-1]
            rows = rows.reshape(-1, *rows.shape[2:])
            moments[index] = join(own, rows, jnp.ones(len(rows)))
        earned = discounted_returns(
            batch.actor_state.discounted_return, batch.timestep, self.config.discount
        )
        counts = 1.0 - batch.timestep.is_first()[1:].astype(jnp.float32)
        returns = join(
            statistics.discounted_return, earned[1:].reshape(-1), counts.reshape(-1)
        )
        return Statistics(moments, returns)


def _means(metrics: Metrics, taken: Array) -> Metrics:
    """Over the steps that were taken, where `taken` `[N]` is 1, and the share of those."""
    count = jnp.maximum(taken.sum(), 1.0)
    means = {
        name: jnp.where(taken > 0, values, 0.0).sum() / count
        for name, values in metrics.items()
    }
    return {**means, "ppo/steps_taken": taken.mean()}
