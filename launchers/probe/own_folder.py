"""Folders of language models that were made here: settings, characters, parameters.

`model.json` has the settings of the network and the characters of its tokenizer, in the
order of their tokens; `parameters.npz` has one array a parameter, MODULE:NAME.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tolman.launchers.probe.characters import CharacterTokenizer
from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.settings.bounds import check_settings
from tolman.networks.language import LanguageModel, LanguageModelConfig

SETTINGS, PARAMETERS = "model.json", "parameters.npz"


def save_model(folder: Path, model: HaikuModel) -> None:
    """Writes a model into a new folder, or over one.

    Args:
      folder: is made where it is not there.
      model: whose tokenizer is one of characters.

    Raises:
      ValueError: for another tokenizer.
    """
    tokenizer = model.tokenizer
    if not isinstance(tokenizer, CharacterTokenizer):
        raise ValueError(
            f"{folder}: the tokenizer is a {type(tokenizer).__name__}: must be a "
            "CharacterTokenizer. Others are kept in their own format."
        )
    folder.mkdir(parents=True, exist_ok=True)
    arrays: Any = {
        f"{module}:{name}": np.asarray(value)
        for module, own in model.params.items()
        for name, value in own.items()
    }
    np.savez(folder / PARAMETERS, **arrays)
    content = {
        "characters": tokenizer.characters,
        "language_model": dataclasses.asdict(model.config),
    }
    # Last, so that a folder with settings is whole.
    (folder / SETTINGS).write_text(json.dumps(content, indent=2) + "\n")


def load_model(folder: Path, dtype: Any) -> HaikuModel:
    """A model that `save_model` has written.

    Args:
      folder: its own.
      dtype: in which it is run.

    Raises:
      ValueError: if a part is missing or broken, or parts do not fit together.
    """
    try:
        content = json.loads((folder / SETTINGS).read_text())
        characters, settings = content["characters"], content["language_model"]
        config = LanguageModelConfig(**{**settings, "dtype": dtype})
        tokenizer = CharacterTokenizer(characters)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(folder, SETTINGS, error) from None
    check_settings(config)
    try:
        with np.load(folder / PARAMETERS) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # NumPy's own are many.
        raise _broken(folder, PARAMETERS, error) from None
    wanted = _shapes(config)
    shapes = {name: value.shape for name, value in arrays.items()}
    for name in sorted(wanted.keys() | shapes.keys()):
        if shapes.get(name) != wanted.get(name):
            raise ValueError(
                f"MODEL {str(folder)!r}: parameter {name} has the shape "
                f"{shapes.get(name, 'of none')}: must have {wanted.get(name, 'none')} by "
                f"{SETTINGS}. Copy the folder anew."
            )
    params: dict[str, dict[str, np.ndarray]] = {}
    for name, value in arrays.items():
        module, _, own = name.rpartition(":")
        params.setdefault(module, {})[own] = value
    return HaikuModel(config, params, tokenizer)


def _shapes(config: LanguageModelConfig) -> dict[str, tuple[int, ...]]:
    """Of every parameter that a network with these settings has."""

    def forward(tokens: jax.Array) -> jax.Array:
        model = LanguageModel(config)
        return model.logits(model(tokens).hidden[-1])

    tokens = jnp.zeros((1, 1), jnp.int32)
    shapes: Mapping[str, Any] = jax.eval_shape(
        hk.transform(forward).init, jax.random.PRNGKey(0), tokens
    )
    return {
        f"{module}:{name}": value.shape
        for module, own in shapes.items()
        for name, value in own.items()
    }


def _broken(folder: Path, name: str, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return ValueError(
        f"MODEL {str(folder)!r}: its {name} cannot be read ({reason}). Copy the "
        "folder anew."
    )
