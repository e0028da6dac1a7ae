"""Proximal policy optimisation with any memory core (Schulman et al. 2017)."""

from tolman.agents.ppo.agent import PPO
from tolman.agents.ppo.config import PPOConfig

__all__ = ["PPO", "PPOConfig"]
