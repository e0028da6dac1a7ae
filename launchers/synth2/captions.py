"""Captions from a language model in a folder or behind an endpoint, each asked for once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tolman.agents.synth2.captions import (
    CaptionPlan,
    are_named,
    ask_for,
    clean,
    keep,
    names_concept,
)
from tolman.launchers.probe.answers import answered
from tolman.launchers.probe.model import Sampling
from tolman.launchers.probe.opening import Opened

MAX_NEW_TOKENS = 48
MAX_SEED = 2**31


class CaptionSet(NamedTuple):
    """Attributes:
    captions: K that the filters have kept.
    concepts: `[K]`, what each was asked for; -1 where that was nothing.
    removed: how many fell to each filter.
    share_named: of all answers that are not empty, those that name their concept.
    num_sent: prompts that went to the model; the others were answered before.
    """

    captions: list[str]
    concepts: np.ndarray
    removed: dict[str, int]
    share_named: float
    num_sent: int


def write_captions(
    opened: Opened,
    plan: CaptionPlan,
    concepts: Sequence[str],
    folder: Path,
    temperature: float = 1.0,
    seed: int = 0,
    names: Callable[[str, str], bool] = names_concept,
) -> CaptionSet:
    """Asks a model for captions; what it has answered is kept, and goes on after a kill.

    Args:
      opened: the model; `open_model` opens one as `tolman probe` names it.
      plan: what is asked for.
      concepts: names.
      folder: of the answers of all models.
      temperature: of drawing tokens, above 0.
      seed: of concepts and tokens.
      names: whether a caption names a concept.

    Raises:
      ValueError: if the model answers nothing.
    """
    rng = np.random.default_rng([seed, *json.dumps(asdict(plan)).encode()])
    asked = ask_for(plan, concepts, rng)
    seeds = rng.integers(MAX_SEED, size=len(asked.prompts)).tolist()
    with answered(folder, opened) as model:
        sampling = Sampling(temperature, seeds)
        answers = model.generate(asked.prompts, MAX_NEW_TOKENS, sampling)
    captions = [clean(one) for one in answers]
    is_named = are_named(captions, asked.concepts, concepts, names)
    kept = keep(captions, is_named)
    is_there = np.array([bool(one) for one in captions])
    return CaptionSet(
        [captions[row] for row in kept.rows],
        asked.concepts[kept.rows],
        kept.removed,
        float(is_named[is_there].mean()),
        model.num_sent,
    )


def read_concepts(path: Path) -> list[str]:
    """Names of concepts, one a line; empty lines are passed over.

    Raises:
      ValueError: if there is no such file, or it has no names.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file. Give one with a name of a concept a line.")
    try:
        names = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is no text in UTF-8. Save it as such.") from None
    found = [name for name in names if name]
    if not found:
        raise ValueError(f"{path}: has no names. Give one with a name of a concept a line.")
    return found
