"""Recurrent advantage actor-critic (Mnih et al. 2016; V-trace: Espeholt et al. 2018)."""

from tolman.agents.actor_critic.agent import ActorCritic, Hyperparameters
from tolman.agents.actor_critic.config import ActorCriticConfig
from tolman.agents.auxiliary import AuxiliaryTask

__all__ = ["ActorCritic", "ActorCriticConfig", "AuxiliaryTask", "Hyperparameters"]
