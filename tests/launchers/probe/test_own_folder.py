"""A model that was made here: kept in a folder, opened by name, broken in many ways."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tolman.agents.llm_probe.glasses.tasks import CHARACTERS
from tolman.launchers import cli
from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.probe.opening import ModelConfig, open_model
from tolman.launchers.probe.own_folder import load_model, save_model
from tolman.launchers.studies.llm_probe.glasses import random_model
from tolman.networks.language import LanguageModelConfig

SMALL = LanguageModelConfig(
    vocabulary_size=len(CHARACTERS) + 1, max_length=64, hidden_size=8, num_layers=1,
    num_heads=2, num_key_value_heads=1, mlp_size=12, positions="none",
    has_tied_embeddings=False,
)  # fmt: skip
TEXTS = ["0110=", "111,1"], ["1", "0,1"]


@pytest.fixture(scope="module")
def model():
    return random_model(SMALL, seed=3)


@pytest.fixture
def folder(model, tmp_path):
    save_model(tmp_path / "own", model)
    return tmp_path / "own"


def test_a_model_comes_back_as_it_was(model, folder):
    found = load_model(folder, "float32")
    assert found.config == SMALL
    np.testing.assert_array_equal(
        found.score(*TEXTS).log_probability, model.score(*TEXTS).log_probability
    )


def test_it_is_opened_by_its_folder_in_any_dtype(model, folder):
    opened = open_model(ModelConfig(str(folder), dtype="bfloat16"))
    assert opened.model.config == replace(SMALL, dtype="bfloat16")
    again = open_model(ModelConfig(str(folder), dtype="float32"))
    assert opened.identity != again.identity
    save_model(folder, random_model(SMALL, seed=4))
    assert open_model(ModelConfig(str(folder))).identity != again.identity


def test_other_tokenizers_are_refused(model, tmp_path):
    class Other:
        vocabulary_size = 3

    with pytest.raises(ValueError, match="is a Other: must be a CharacterTokenizer"):
        save_model(tmp_path, HaikuModel(SMALL, model.params, Other()))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("half", "its model.json cannot be read"),
        ("key", "its model.json cannot be read"),
        ("unknown", "its model.json cannot be read"),
        ("setting", "num_layers"),
        ("characters", "the tokenizer has 16 tokens: the model knows 15"),
        ("parameters", "its parameters.npz cannot be read"),
        ("cut", "its parameters.npz cannot be read"),
        ("shape", "must have (99, 8) by model.json"),
        ("more", "layer_1:attended has the shape of none: must have (8, 8)"),
    ],
)
def test_broken_folders_are_told_in_one_line(fault, told, folder, capsys):
    path, parameters = folder / "model.json", folder / "parameters.npz"
    content = json.loads(path.read_text())
    settings = content["language_model"]
    if fault == "key":
        del content["characters"]
    if fault == "unknown":
        settings["layers"] = 3
    if fault == "setting":
        settings["num_layers"] = 0
    if fault == "characters":
        content["characters"] += "a"
    if fault == "shape":
        settings["vocabulary_size"] = 99
    if fault == "more":
        settings["num_layers"] = 2
    path.write_text(json.dumps(content)[: 30 if fault == "half" else None])
    if fault == "parameters":
        parameters.unlink()
    if fault == "cut":
        parameters.write_bytes(parameters.read_bytes()[:-40])
    assert cli.main(["probe", str(folder), "--answers", str(folder / "answers")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line
