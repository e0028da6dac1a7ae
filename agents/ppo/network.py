"""PPO's network: the actor-critic's on normalised observations, with orthogonal weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tolman.agents.actor_critic.network import Output
from tolman.agents.actor_critic.network import make_network as make_actor_critic
from tolman.agents.agent import ActorState, Array, Unroll
from tolman.agents.auxiliary import AuxiliaryTask
from tolman.agents.inputs import plan_inputs
from tolman.agents.policies import Policy
from tolman.agents.ppo.config import PPOConfig
from tolman.agents.ppo.normalization import (
    Statistics,
    initial_moments,
    normalize_observation,
    normalized_parts,
)
from tolman.agents.recurrent import Network
from tolman.envs.environment import TimeStep
from tolman.networks.core import MemoryCore, State

# Gains of orthogonal weights, by what a module's name has in it.
GAINS = {
    "torso": math.sqrt(2.0),
    "feedforward": math.sqrt(2.0),
    "heads/policy": 0.01,
    "heads/value": 1.0,
}


class Params(NamedTuple):
    """What acting needs; it travels with every checkpoint.

    Attributes:
      network: trained weights.
      statistics: what observations and rewards are normalised by.
    """

    network: Any
    statistics: Statistics


def make_network(
    config: PPOConfig,
    observation_spec: Any,
    action_spec: Any,
    policy: Policy,
    make_core: Callable[[], MemoryCore],
    auxiliary_tasks: Sequence[AuxiliaryTask] = (),
) -> Network[Output]:
    """Builds the network; its parameters are `Params`."""
    inner = make_actor_critic(
        config,
        observation_spec,
        action_spec,
        policy,
        make_core,
        auxiliary_tasks,
        has_value_trunk=config.value_network == "own",
    )
    targets = [name for task in auxiliary_tasks for name in task.targets]
    parts = plan_inputs(observation_spec, config, targets)
    leaves = jax.tree.leaves(observation_spec)
    normalized = (
        normalized_parts(observation_spec, parts) if config.normalize_observations else []
    )

    def see(params: Params, timestep: TimeStep) -> TimeStep:
        moments = params.statistics.observation
        observation = normalize_observation(
            timestep.observation, moments, config.observation_clip
        )
        return timestep._replace(observation=observation)

    def init(key: Array) -> Params:
        weights_key, orthogonal_key = jax.random.split(key)
        weights = inner.init(weights_key)
        if config.use_orthogonal_init:
            weights = orthogonal(weights, orthogonal_key)
        moments = {index: initial_moments(leaves[index].shape) for index in normalized}
        return Params(weights, Statistics(moments, initial_moments(())))

    def step(params: Params, timestep: TimeStep, state: ActorState) -> tuple[Output, State]:
        return inner.step(params.network, see(params, timestep), state)

    def unroll(params: Params, unroll: Unroll, burn_in: int = 0) -> Output:
        seen = unroll._replace(timestep=see(params, unroll.timestep))
        return inner.unroll(params.network, seen, burn_in)

    return Network(init, inner.initial_state, step, unroll)


def orthogonal(weights: Any, key: Array) -> Any:
    """The weights of the modules in `GAINS` drawn anew, orthogonal, by their gains.

    Source: Saxe et al. 2014; Huang et al. 2022, detail 2.
    """
    keys = jax.random.split(key, len(weights))

    def draw(module: str, name: str, leaf: Array, key: Array) -> Array:
        gains = [gain for part, gain in GAINS.items() if part in module]
        if not gains or name != "w":
            return leaf
        return jax.nn.initializers.orthogonal(gains[-1])(key, leaf.shape, jnp.float32)

    return {
        module: {name: draw(module, name, leaf, own) for name, leaf in leaves.items()}
        for (module, leaves), own in zip(weights.items(), keys, strict=True)
    }
