"""Stable-Baselines3 itself, at settings of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from tolman.launchers.measuring.peers.settings import (
    A2CSettings,
    DQNSettings,
    PPOSettings,
)
from tolman.launchers.measuring.peers.torch_loops import count, trunk

Part = Callable[[int], None]


class Trunk(BaseFeaturesExtractor):
    """The two layers, shared by all heads."""

    def __init__(self, observation_space: Any, features_dim: int) -> None:
        super().__init__(observation_space, features_dim)
        self.layers = trunk(observation_space.shape[0], features_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def ppo(environment: str, settings: PPOSettings) -> tuple[Part, int]:
    """Returns what takes so many updates, and the number of weights."""
    model = PPO(
        "MlpPolicy",
        make_vec_env(environment, settings.num_envs, seed=0),
        n_steps=settings.unroll_length,
        batch_size=settings.minibatch_size,
        n_epochs=settings.num_epochs,
        learning_rate=settings.learning_rate,
        gamma=settings.discount,
        ent_coef=0.01,
        policy_kwargs=_shared(settings.units),
        device="cpu",
    )
    steps = settings.num_envs * settings.unroll_length
    return _taking(model, steps), count(model.policy)


def a2c(environment: str, settings: A2CSettings) -> tuple[Part, int]:
    """Returns what takes so many updates, and the number of weights."""
    model = A2C(
        "MlpPolicy",
        make_vec_env(environment, settings.num_envs, seed=0),
        n_steps=settings.unroll_length,
        learning_rate=settings.learning_rate,
        gamma=settings.discount,
        policy_kwargs=_shared(settings.units),
        device="cpu",
    )
    steps = settings.num_envs * settings.unroll_length
    return _taking(model, steps), count(model.policy)


def dqn(environment: str, settings: DQNSettings) -> tuple[Part, int]:
    """Returns what steps all environments so often, with the updates, and the number of
    weights. It is not double.
    """
    model = DQN(
        "MlpPolicy",
        make_vec_env(environment, settings.num_envs, seed=0),
        train_freq=1,
        gradient_steps=settings.updates_per_row,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        gamma=settings.discount,
        buffer_size=settings.capacity,
        learning_starts=settings.min_size,
        target_update_interval=settings.target_update_period * settings.steps_per_update,
        exploration_initial_eps=settings.epsilon,
        exploration_final_eps=settings.epsilon,
        policy_kwargs={"net_arch": [settings.units, settings.units]},
        device="cpu",
    )
    model.learn(settings.min_size + settings.num_envs)
    return _taking(model, settings.num_envs), count(model.q_net)


def _shared(units: int) -> dict[str, Any]:
    return {
        "features_extractor_class": Trunk,
        "features_extractor_kwargs": {"features_dim": units},
        "net_arch": [],
    }


def _taking(model: Any, steps: int) -> Part:
    """Steps of all environments to one of what is counted."""
    return lambda count: model.learn(count * steps, reset_num_timesteps=False)
