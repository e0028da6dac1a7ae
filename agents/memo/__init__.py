"""MEMO: flexible combination of facts in memory (Banino et al. 2020), and its baselines."""

from tolman.agents.memo.agent import Reasoner
from tolman.agents.memo.baselines.config import (
    DNCReaderConfig,
    MemoryNetworkConfig,
    UniversalTransformerConfig,
)
from tolman.agents.memo.config import MemoConfig, TrainingConfig
from tolman.agents.memo.models import MODELS, ModelConfig

__all__ = [
    "MODELS",
    "DNCReaderConfig",
    "MemoConfig",
    "MemoryNetworkConfig",
    "ModelConfig",
    "Reasoner",
    "TrainingConfig",
    "UniversalTransformerConfig",
]
