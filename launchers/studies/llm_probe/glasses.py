"""What the studies of "Transformers need glasses" share: the models that they look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.agents.llm_probe.glasses.tasks import CHARACTERS
from tolman.envs.data import data_set
from tolman.launchers.probe.battery import Findings, Row
from tolman.launchers.probe.characters import CharacterTokenizer
from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.probe.llama2c import load_llama2c
from tolman.launchers.probe.model import ProbedModel
from tolman.networks.language import LanguageModel, LanguageModelConfig

BEFORE = "Sequence:"  # So that no token for the start counts.


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


def tokens_added(model: ProbedModel, text: str) -> int | None:
    """Tokens that a text adds to what stands before it; None where a model tells none."""
    before, after = model.num_tokens(BEFORE), model.num_tokens(BEFORE + text)
    return None if before is None or after is None else after - before


def tell_merging(rows: Sequence[Row], findings: Findings) -> None:
    """Says so where a tokenizer makes one token of several digits.

    Args:
      rows: of each its `length`, in digits, and its `tokens`, as `tokens_added` tells.
      findings: of the study.
    """
    # One digit may be in a token with what stands before it.
    merged = [row for row in rows if row["tokens"] and row["tokens"] < row["length"] - 1]
    if merged:
        longest = max(merged, key=lambda row: row["length"])
        findings.note(
            f"This tokenizer merges digits: {longest['length']} of them are "
            f"{longest['tokens']} tokens. What is asked is then another question than the "
            "paper's, of fewer tokens: compare with commas, or with a model that has a "
            "token for each digit."
        )


def pretrained_model() -> HaikuModel | None:
    """`stories260K` of the data folder; None where it is absent."""
    folder: Path | None = data_set("stories260K")
    if folder is None:
        return None
    return load_llama2c(folder / "stories260K.bin", folder / "tok512.bin")
