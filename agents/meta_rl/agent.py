"""Meta-RL is the actor-critic with memory, previous action and previous reward as inputs.

Learning to learn needs nothing else: a distribution of tasks, a memory that lives
through a task, and the two inputs that tell the memory what its last action earned.

Source: Wang et al. 2016, section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tolman.agents.actor_critic.agent import ActorCritic
from tolman.agents.agent import register_agent
from tolman.agents.meta_rl.config import MetaRLConfig
from tolman.networks.core import MemoryCore


@register_agent("meta_rl")
def make_meta_rl(
    config: MetaRLConfig,
    observation_spec: Any,
    action_spec: Any,
    make_core: Callable[[], MemoryCore],
) -> ActorCritic:
    """Meta-RL: the actor-critic as a learner of learning, with the paper's settings.

    The arguments are those of `ActorCritic`.
    """
    return ActorCritic(config, observation_spec, action_spec, make_core)
