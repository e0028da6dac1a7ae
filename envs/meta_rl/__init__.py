"""The tasks of Wang et al. 2016; importing this package registers them."""

from tolman.envs.meta_rl.bandits import (
    DependentBandit,
    IndependentBandit,
    InformativeBandit,
)
from tolman.envs.meta_rl.harlow import Harlow
from tolman.envs.meta_rl.harlow_choice import HarlowChoice
from tolman.envs.meta_rl.restless import RestlessBandit
from tolman.envs.meta_rl.two_step import TwoStep

__all__ = [
    "DependentBandit",
    "Harlow",
    "HarlowChoice",
    "IndependentBandit",
    "InformativeBandit",
    "RestlessBandit",
    "TwoStep",
]
