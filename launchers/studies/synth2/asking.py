"""Captions of a language model for the study of photographs: asked for, kept, measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tolman.agents.synth2.captions import CaptionPlan, are_named
from tolman.agents.synth2.diversity import (
    k_means,
    normalised_entropy,
    share_distinct,
    word_embeddings,
)
from tolman.agents.synth2.metrics import split_caption
from tolman.launchers.probe.opening import ModelConfig, open_model
from tolman.launchers.studies.study import Study
from tolman.launchers.synth2.captions import CaptionSet, read_concepts, write_captions

MAX_CLUSTERS = 20


def ask_model(study: Study, model: str, concepts: str | None, number: int) -> list[str]:
    """Captions that a language model invents; what it has answered is asked once.

    Args:
      study: its folder keeps the answers, its seed draws concepts and tokens.
      model: as `tolman probe` names it.
      concepts: a file of names, each caption of one that is drawn from all alike; None
        for captions of anything.
      number: that are asked for. Those that are empty, repeated, too short or long, or
        without their concept are left out, so fewer are returned.

    Raises:
      ValueError: if there is no such model or file, or no caption is left.
    """
    names = read_concepts(Path(concepts)) if concepts else []
    plan = CaptionPlan("class-prompted" if names else "unprompted", number)
    opened = open_model(ModelConfig(model))
    found = write_captions(opened, plan, names, study.folder / "captions", seed=study.seed)
    if not found.captions:
        reasons = ", ".join(f"{count} {why}" for why, count in found.removed.items())
        raise ValueError(
            f"--writer {model}: none of {number} captions is left ({reasons}). Choose a "
            "model that follows an instruction, or other --concepts."
        )
    _tabulate(study, model, names, number, found)
    return found.captions


def _tabulate(
    study: Study, model: str, names: list[str], number: int, found: CaptionSet
) -> None:
    rows = [["asked for", str(number)], ["kept", str(len(found.captions))]]
    rows += [[f"left out: {why}", str(count)] for why, count in found.removed.items()]
    rows.append(["distinct, of those kept", f"{share_distinct(found.captions):.3f}"])
    if names:
        rows.append(["naming their concept, of all", f"{found.share_named:.3f}"])
        named = [are_named(found.captions, np.full(len(found.captions), place), names)
                 for place in range(len(names))]  # fmt: skip
        counts = np.sum(named, axis=1)
        rows.append(["concepts that are named", f"{np.mean(counts > 0):.3f}"])
        if len(names) > 1:
            rows.append(
                ["normalised entropy of concepts", f"{normalised_entropy(counts):.3f}"]
            )
    clusters = min(MAX_CLUSTERS, len(found.captions))
    if clusters > 1:
        embedded = word_embeddings([split_caption(one) for one in found.captions])
        labels = k_means(embedded, clusters, np.random.default_rng(study.seed)).labels
        entropy = normalised_entropy(np.bincount(labels, minlength=clusters))
        rows.append([f"normalised entropy of {clusters} clusters", f"{entropy:.3f}"])
    study.table(f"Captions of {model}", ["captions", "number or share"], rows)
