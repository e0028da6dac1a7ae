"""MEMO and its baselines by name: `tolman train memo --env associative_inference`."""

from __future__ import annotations

from dataclasses import dataclass, field

from tolman.agents.agent import register_agent
from tolman.agents.memo.agent import Reasoner
from tolman.agents.memo.baselines.config import (
    DNCReaderConfig,
    MemoryNetworkConfig,
    UniversalTransformerConfig,
)
from tolman.agents.memo.config import MemoConfig, TrainingConfig
from tolman.envs.reasoning.task import Task


@dataclass(frozen=True)
class ReasonerConfig:
    """What MEMO and its baselines share; each adds `model`, the sizes of its network.

    Attributes:
      training: how it learns.
    """

    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class MemoReasonerConfig(ReasonerConfig):
    """See `ReasonerConfig`."""

    model: MemoConfig = field(default_factory=MemoConfig)


@dataclass(frozen=True)
class MemoryNetworkReasonerConfig(ReasonerConfig):
    """See `ReasonerConfig`."""

    model: MemoryNetworkConfig = field(default_factory=MemoryNetworkConfig)


@dataclass(frozen=True)
class DNCReasonerConfig(ReasonerConfig):
    """See `ReasonerConfig`."""

    model: DNCReaderConfig = field(default_factory=DNCReaderConfig)


@dataclass(frozen=True)
class UniversalTransformerReasonerConfig(ReasonerConfig):
    """See `ReasonerConfig`."""

    model: UniversalTransformerConfig = field(default_factory=UniversalTransformerConfig)


@register_agent("memo", kind="learns")
def make_memo(config: MemoReasonerConfig, task: Task) -> Reasoner:
    """MEMO: joins facts in several hops, and learns when to stop."""
    return Reasoner(config.training, config.model, task)


@register_agent("memory_network", kind="learns")
def make_memory_network(config: MemoryNetworkReasonerConfig, task: Task) -> Reasoner:
    """MEMO's baseline: the end-to-end memory network."""
    return Reasoner(config.training, config.model, task)


@register_agent("dnc_reader", kind="learns")
def make_dnc_reader(config: DNCReasonerConfig, task: Task) -> Reasoner:
    """MEMO's baseline: a differentiable neural computer that reads facts one by one."""
    return Reasoner(config.training, config.model, task)


@register_agent("universal_transformer", kind="learns")
def make_universal_transformer(
    config: UniversalTransformerReasonerConfig, task: Task
) -> Reasoner:
    """MEMO's baseline: the universal transformer with adaptive computation time."""
    return Reasoner(config.training, config.model, task)
