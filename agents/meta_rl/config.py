"""Settings of the meta-RL agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tolman.agents.actor_critic.config import ActorCriticConfig
from tolman.agents.settings import Preset, Torso, of_agent


@dataclass(frozen=True)
class MetaRLConfig(ActorCriticConfig):
    """The actor-critic's settings with the defaults of Wang et al. 2016, table 1.

    Only what differs from `ActorCriticConfig` stands here.

    Attributes:
      unroll_length: table 1: 100 for the bandits. One more than an episode's decisions
        covers the closing row, so that unrolls and episodes stay aligned.
      batch_size: Departure: table 1 has one thread; 16 learn in fewer updates and fill
        the machine.
      discount: table 1: 0.8 where it is not tuned.
      gae_lambda: n-step returns, as Mnih et al. 2016, whose actor-critic the paper takes.
      entropy_cost: table 1: annealed from 1 to 0.
      final_entropy_cost: see `entropy_cost`.
      value_cost: table 1: 0.05.
      use_value_rescaling: not in Mnih et al. 2016.
      optimizer: that of Mnih et al. 2016.
      learning_rate: table 1: 0.001 where it is not tuned.
      final_learning_rate_scale: the paper names no decay.
      rmsprop_epsilon: Departure: 1e-8 in place of 0.1, which presupposes the gradient scale
        of Atari: here it would decide the size of every step, and 1e-5 still does that of
        most (README).
      max_gradient_norm: as in Mnih et al. 2016.
      torso: section 3.1: observation, action and reward enter the LSTM directly.
    """

    unroll_length: int = 101
    batch_size: int = 16
    discount: float = 0.8
    gae_lambda: float = 1.0
    entropy_cost: float = 1.0
    final_entropy_cost: float = 0.0
    value_cost: float = 0.05
    use_value_rescaling: bool = False
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    learning_rate: float = 1e-3
    final_learning_rate_scale: float = 1.0
    rmsprop_epsilon: float = 1e-8
    max_gradient_norm: float = 40.0
    torso: Torso = "flat"


PRESETS = {
    "bandit": Preset(
        "bandits of 100 trials (Wang et al. 2016, section 3.1.1)",
        of_agent(
            discount=0.96,
            gae_lambda=0.9,
            entropy_cost=0.2,
            learning_rate=1.2e-2,
            final_learning_rate_scale=0.0,
        ),
    ),
}
