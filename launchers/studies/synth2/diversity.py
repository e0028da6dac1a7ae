"""Synth2's third claim: captions of concepts that are all alike make better captioners.

Three sets of captions of a small language model, and one of them balanced, are measured
and drawn by one generator. Captioners learn from human pairs and as many of each; the order
in which they come out is told with intervals, whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise

import numpy as np

from tolman.agents.synth2.captions import balance
from tolman.agents.synth2.diversity import normalised_entropy
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2.arms import (
    Arm,
    Exam,
    Scores,
    interval,
    ratio_of,
    several,
    train_arm,
)
from tolman.launchers.studies.synth2.making import Made, is_readable, make_parts
from tolman.launchers.studies.synth2.setting import FULL, QUICK, Options, Setting, as_asked

TITLE = "Synth2: various captions, and captions of few things"
PAPER = "Sharifzadeh et al. 2024"
BALANCED = "unprompted, balanced"
__all__ = ["PAPER", "TITLE", "Options", "run"]


def run(study: Study, options: Options) -> None:
    """Parts, gate, and captioners of each set of captions."""
    run_setting(study, options, QUICK if study.quick else FULL)


def run_setting(study: Study, options: Options, setting: Setting) -> None:
    """`run` with a setting of one's own."""
    setting = as_asked(setting, options)
    study.settings = asdict(setting)
    made = make_parts(study, setting, options)
    if not is_readable(study, setting, made):
        return
    sets = caption_sets(study, setting, made)
    exam = Exam(made.ground, made.codec)
    capacity = len(made.human.tokens) + setting.num_synthetic
    scores = {
        "human": train_arm(
            study, setting, exam, made.codec, Arm("human", made.human), capacity
        )
    }
    for name, captions in sets.items():
        pairs, _ = made.draw(study, name, captions)
        arm = Arm(f"human + {name}", made.human, pairs)
        scores[name] = train_arm(study, setting, exam, made.codec, arm, capacity)
    report(study, scores, {name: entropy_of(made, one) for name, one in sets.items()})


def caption_sets(study: Study, setting: Setting, made: Made) -> dict[str, list[str]]:
    """As many captions of each sort, some repeated where few are distinct."""
    sets = {style: one.captions for style, one in made.sets.items()}
    unprompted = sets["unprompted"]
    concepts = _concepts(made, unprompted)
    at_most = -(-len(unprompted) // len(made.ground.world.concepts))
    rows = balance(concepts, at_most, np.random.default_rng([study.seed, 10]))
    rows = np.resize(rows, setting.num_synthetic)
    return {**sets, BALANCED: [unprompted[row] for row in rows]}


def entropy_of(made: Made, captions: list[str]) -> float:
    """Normalised, over concepts; 1 if all are alike, 0 if there is one."""
    counts = np.bincount(
        _concepts(made, captions), minlength=len(made.ground.world.concepts)
    )
    return normalised_entropy(counts)


def report(
    study: Study, scores: Mapping[str, Scores], entropies: Mapping[str, float]
) -> None:
    """The order of the sets, by entropy and by what their captioners write."""
    human = scores["human"]
    rows = [
        (
            name, "" if name == "human" else f"{entropies[name]:.3f}", several(one.cider),
            several(one.on(True).cider), several(one.is_exact),
            interval(ratio_of(one.cider, human.cider)),
            interval(ratio_of(one.on(True).cider, human.on(True).cider)),
        )
        for name, one in scores.items()
    ]  # fmt: skip
    study.table(
        "Captioners of human pairs and as many pairs of each set, equal steps (mean of the "
        "seeds, least and largest; ratios with a 95 % bootstrap of seeds and scenes)",
        ("captions", "entropy of concepts", "CIDEr-D", "held out", "exact match",
         "over human", "over human, held out"),
        rows,
    )  # fmt: skip
    names = [name for name in scores if name != "human"]
    order = ordered(names, {name: scores[name].cider.mean() for name in names})
    steps = []
    for first, second in pairwise(order):
        pair = scores[first], scores[second]
        steps.append((first, second, *(
            interval(ratio_of(*(one.on(held_out).cider for one in pair)))
            for held_out in (None, True)
        )))  # fmt: skip
    study.table(
        "The order of the sets, by CIDEr-D, each over the next",
        ("captions", "over", "CIDEr-D", "held out"),
        steps,
    )
    by_entropy = ordered(names, entropies)
    study.note(f"By entropy: {', '.join(by_entropy)}. By CIDEr-D: {', '.join(order)}.")
    best = ratio_of(scores["class-prompted"].cider, scores["narrow"].cider)
    study.check("class-prompted over narrow, CIDEr-D, lower end", best.low,
                "diversity and balance are key (v2)", above=1.0)  # fmt: skip


def ordered(names: Sequence[str], values: Mapping[str, float]) -> list[str]:
    """The largest first."""
    return sorted(names, key=lambda name: -values[name])


def _concepts(made: Made, captions: list[str]) -> np.ndarray:
    world = made.ground.world
    return world.named_objects(world.parse(captions)).argmax(1)
