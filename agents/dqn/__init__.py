"""Double DQN with prioritised replay and any memory core (van Hasselt et al. 2016)."""

from tolman.agents.dqn.agent import DQN, Hyperparameters, with_epsilon
from tolman.agents.dqn.config import DQNConfig

__all__ = ["DQN", "DQNConfig", "Hyperparameters", "with_epsilon"]
