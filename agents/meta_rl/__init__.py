"""Meta-RL: an LSTM actor-critic that learns to reinforcement learn (Wang et al. 2016)."""

from tolman.agents.meta_rl.agent import make_meta_rl
from tolman.agents.meta_rl.config import MetaRLConfig

__all__ = ["MetaRLConfig", "make_meta_rl"]
