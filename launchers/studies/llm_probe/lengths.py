"""What the studies of counting and copying share: small models trained on short texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import jax
import numpy as np

from tolman.agents.llm_probe.glasses.tasks import CHARACTERS, Sequences
from tolman.agents.llm_probe.learner import TokenLearner, TokenLearnerConfig
from tolman.launchers.probe.characters import CharacterTokenizer
from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.probe.own_folder import save_model
from tolman.launchers.studies.study import Study
from tolman.networks.language import LanguageModelConfig

CONFOUNDED = (
    "Beyond the trained length two things go wrong together: models do not generalise to "
    "new lengths, and their last states collapse. Errors alone do not tell one from the "
    "other. Where the last states of n digits and of one fewer are apart and the answer is "
    "wrong all the same, it is not collapse."
)
MODEL = LanguageModelConfig(
    vocabulary_size=len(CHARACTERS) + 1, max_length=1024, num_layers=2
)
Arm = Literal["RoPE", "RoPE, commas", "no positions"]
ARMS: dict[Arm, tuple[Literal["rope", "none"], bool]] = {
    "RoPE": ("rope", False),
    "RoPE, commas": ("rope", True),
    "no positions": ("none", False),
}


@dataclass(frozen=True)
class Budget:
    """Attributes:
    max_trained: digits of the longest sequence that is learned from.
    lengths: digits of those that are asked.
    num_updates: of each model.
    """

    max_trained: int
    lengths: tuple[int, ...]
    num_updates: int


QUICK = Budget(24, (3, 6, 12, 24, 48, 96, 192, 384), 1_000)
FULL = Budget(64, (3, 6, 12, 24, 36, 48, 63, 96, 126, 192, 255, 384, 510), 20_000)


def train(
    study: Study, budget: Budget, question: Literal["count", "copy"]
) -> dict[Arm, HaikuModel]:
    """One model an arm, trained on the question, to be asked by text."""
    study.settings = {**asdict(budget), "model": asdict(MODEL)}
    study.note(CONFOUNDED)
    found = {}
    for name, (positions, has_commas) in ARMS.items():
        source = Sequences(question, budget.max_trained, has_commas)
        agent = TokenLearner(TokenLearnerConfig(), replace(MODEL, positions=positions))
        label = name.replace(" ", "_").replace(",", "")
        params = study.fit(label, agent, source, budget.num_updates, 1).params
        own: Any = jax.tree.map(lambda leaf: np.asarray(leaf[0]), params)
        found[name] = HaikuModel(agent.model, own, CharacterTokenizer(CHARACTERS))
        save_model(study.folder / "models" / label, found[name])
    study.note(f"The models are in {study.folder / 'models'}, for tolman probe.")
    return found


def in_dtype(model: HaikuModel, dtype: Literal["bfloat16"]) -> HaikuModel:
    """The same parameters, read in a narrower dtype."""
    return HaikuModel(replace(model.config, dtype=dtype), model.params, model.tokenizer)
