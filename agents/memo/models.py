"""The models of reasoning by name, and what builds each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tolman.agents.memo.baselines.config import (
    DNCReaderConfig,
    MemoryNetworkConfig,
    UniversalTransformerConfig,
)
from tolman.agents.memo.baselines.dnc import DNCReader
from tolman.agents.memo.baselines.memory_network import MemoryNetwork
from tolman.agents.memo.baselines.universal_transformer import UniversalTransformer
from tolman.agents.memo.config import MemoConfig
from tolman.agents.memo.network import Memo
from tolman.agents.memo.reading import Mode, Reading
from tolman.envs.reasoning.task import Examples, Task

ModelConfig = (
    MemoConfig | MemoryNetworkConfig | DNCReaderConfig | UniversalTransformerConfig
)


class Model(NamedTuple):
    """Attributes:
    config: the dataclass of its sizes.
    module: Haiku's; built from its config and the task, of which it reads the sizes.
    """

    config: type
    module: Callable[..., Callable[[Examples, Mode], Reading]]


MODELS = {
    "memo": Model(MemoConfig, Memo),
    "emn": Model(MemoryNetworkConfig, MemoryNetwork),
    "dnc": Model(DNCReaderConfig, DNCReader),
    "ut": Model(UniversalTransformerConfig, UniversalTransformer),
}


def make_model(config: ModelConfig, task: Task) -> Callable[[Examples, Mode], Reading]:
    """Builds the model that `config` is of; call it inside a Haiku transform."""
    for model in MODELS.values():
        if type(config) is model.config:
            return model.module(config, task, name="model")
    known = ", ".join(model.config.__name__ for model in MODELS.values())
    raise ValueError(f"model={config!r}: must be one of {known}.")
