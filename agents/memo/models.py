"""The models of reasoning by name, and what builds each."""

from __future__ import annotations

from typing import Any

import haiku as hk

from tolman.agents.memo.config import MemoConfig
from tolman.agents.memo.network import Memo

ModelConfig = Any

MODELS: dict[str, tuple[type, type]] = {"memo": (MemoConfig, Memo)}


def make_model(
    config: ModelConfig, num_words: int, num_answers: int, num_classes: int
) -> hk.Module:
    """Builds the model that a config is of; call it inside a Haiku transform."""
    for config_type, model_type in MODELS.values():
        if isinstance(config, config_type):
            return model_type(config, num_words, num_answers, num_classes, name="model")
    raise ValueError(f"{config!r} is of no known model.")
