"""What the studies of "Transformers need glasses" share: the models that they look at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.agents.llm_probe.glasses.tasks import CHARACTERS
from tolman.envs.data import data_set
from tolman.launchers.probe.characters import CharacterTokenizer
from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.probe.llama2c import load_llama2c
from tolman.networks.language import LanguageModel, LanguageModelConfig


def random_model(config: LanguageModelConfig, seed: int = 0) -> HaikuModel:
    """A model of digits and commas with parameters as they are drawn before training."""
    tokenizer = CharacterTokenizer(CHARACTERS)
    return HaikuModel(config, random_params(config, seed), tokenizer)


def draw_params(models: Iterable[HaikuModel], seed: int) -> None:
    """Gives models other random parameters, without compiling anything anew."""
    for model in models:
        model.params = random_params(model.config, seed)


def random_params(config: LanguageModelConfig, seed: int) -> Any:
    """Parameters of a model as they are drawn before training."""

    def forward(tokens: jax.Array) -> jax.Array:
        model = LanguageModel(config)
        return model.logits(model(tokens).hidden[-1])

    init = hk.transform(forward).init
    return init(jax.random.PRNGKey(seed), jnp.zeros((1, 2), jnp.int32))


def pretrained_model() -> HaikuModel | None:
    """`stories260K` of the data folder; None where it is absent."""
    folder: Path | None = data_set("stories260K")
    if folder is None:
        return None
    return load_llama2c(folder / "stories260K.bin", folder / "tok512.bin")
