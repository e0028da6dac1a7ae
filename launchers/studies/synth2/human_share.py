"""Synth2's second claim: with pairs that nobody photographed, fewer human pairs do.

Captioners learn from 5 to 100 % of the human pairs, with and without synthetic ones, for
equal steps. The share of human pairs at which those with synthetic ones reach what all
human pairs alone give is told with an interval, or that there is none.

Shapes: S shares, M captioners, Q scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from tolman.agents.synth2.pairs import Pairs
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2 import parts, plots
from tolman.launchers.studies.synth2.arms import (
    NUM_DRAWS,
    Arm,
    Exam,
    Ratio,
    Scores,
    interval,
    ratio_of,
    several,
    train_arm,
)
from tolman.launchers.studies.synth2.making import NOT_FOUND, is_readable, make_parts
from tolman.launchers.studies.synth2.setting import FULL, QUICK, Setting, as_asked
from tolman.launchers.studies.synth2.setting import ShareOptions as Options

TITLE = "Synth2: how many human pairs are enough"
PAPER = "Sharifzadeh et al. 2024"
SHARES = (0.05, 0.10, 0.25, 0.50, 1.0)
ONE_GENERATOR = (
    "One generator serves all shares, also those that are less than it learned from: the "
    "practical case, not the controlled one. Give --own-generators for one of each share."
)
__all__ = ["PAPER", "TITLE", "Options", "run"]


def run(study: Study, options: Options) -> None:
    """Parts, gate, and two captioners of each share."""
    run_setting(study, options, QUICK if study.quick else FULL, SHARES)


def run_setting(
    study: Study, options: Options, setting: Setting, shares: Sequence[float]
) -> None:
    """`run` with a setting and shares of one's own; the last share is 1."""
    setting = as_asked(setting, options)
    study.settings = asdict(setting)
    made = make_parts(study, setting, options)
    if not is_readable(study, setting, made):
        return
    exam = Exam(made.ground, made.codec)
    scores: dict[tuple[str, float], Scores] = {}
    fidelities = []
    captions = made.sets["class-prompted"].captions
    capacity = len(made.human.tokens) + len(captions)
    for share in shares:
        human = first_of(made.human, share)
        drawer = made.drawer
        name = f"{100 * share:.0f}"
        if options.own_generators and share < 1:
            drawer = parts.train_drawer(
                study, f"generator_{name}", setting.generator, made.codec, human,
                made.ground.words, setting.generator_updates,
            )  # fmt: skip
        synthetic, fidelity = made.draw(study, "synthetic", captions, drawer)
        fidelities.append(fidelity)
        for sort, other in (("human", None), ("human + synthetic", synthetic)):
            arm = Arm(f"{sort} {name}", human, other)
            scores[sort, share] = train_arm(study, setting, exam, made.codec, arm, capacity)
    report(study, shares, scores, fidelities)
    if not options.own_generators:
        study.note(ONE_GENERATOR)


def first_of(pairs: Pairs, share: float) -> Pairs:
    """The first pairs, a share of all, one at least; smaller shares lie in larger ones."""
    number = max(round(share * len(pairs.tokens)), 1)
    return Pairs(*(column[:number] for column in pairs))


def share_that_equals(
    shares: Sequence[float], scores: Sequence[np.ndarray], wanted: float
) -> float:
    """The least share at which a score is reached, straight lines between; inf of none.

    Args:
      shares: S of them, rising.
      scores: S numbers.
      wanted: the score.
    """
    found = np.asarray(scores, float)
    for index in np.flatnonzero(found >= wanted)[:1]:
        if not index:
            return shares[0]
        low, high = found[index - 1], found[index]
        part = (wanted - low) / (high - low)
        return float(shares[index - 1] + part * (shares[index] - shares[index - 1]))
    return float("inf")


def equal_share(
    shares: Sequence[float], both: Sequence[np.ndarray], human: np.ndarray
) -> Ratio:
    """The share at which human and synthetic pairs equal all human pairs, and its 95 %
    interval; inf of none.

    Args:
      shares: S of them, rising.
      both: S of `[M, Q]`, with synthetic pairs.
      human: `[M, Q]`, of all human pairs alone.
    """
    rng = np.random.default_rng(0)
    num_members, num_scenes = human.shape
    found = np.empty(NUM_DRAWS)
    for draw in range(NUM_DRAWS):
        scenes = rng.integers(num_scenes, size=num_scenes)
        rows = rng.integers(num_members, size=(len(shares) + 1, num_members))
        means = [
            one[own][:, scenes].mean()
            for one, own in zip([*both, human], rows, strict=True)
        ]
        found[draw] = share_that_equals(shares, means[:-1], means[-1])
    # No share is put behind all shares; a quantile that lies there is none.
    low, high = np.quantile(found, [0.025, 0.975], method="nearest")
    value = share_that_equals(shares, [one.mean() for one in both], human.mean())
    return Ratio(value, float(low), float(high))


def report(
    study: Study,
    shares: Sequence[float],
    scores: dict[tuple[str, float], Scores],
    fidelities: Sequence[float],
) -> None:
    """The curve, and where it crosses what all human pairs give."""
    full = scores["human", shares[-1]]
    rows = []
    for share, fidelity in zip(shares, fidelities, strict=True):
        human, both = scores["human", share], scores["human + synthetic", share]
        rows.append((
            f"{share:.0%}", several(human.cider), several(both.cider),
            interval(ratio_of(both.cider, human.cider)),
            interval(ratio_of(both.cider, full.cider)),
            several(human.on(True).cider), several(both.on(True).cider),
            several(human.is_exact), several(both.is_exact), f"{fidelity:.3f}",
        ))  # fmt: skip
    study.table(
        "Shares of the human pairs, equal steps and batches (mean of the seeds, least and "
        "largest; ratios with a 95 % bootstrap of seeds and scenes)",
        ("human pairs", "CIDEr-D, human", "human + synthetic", "over human of the share",
         "over all human pairs", "held out, human", "held out, human + synthetic",
         "exact match, human", "exact match, human + synthetic",
         "objects right in the images"),
        rows,
    )  # fmt: skip
    curves = {
        sort: [scores[sort, share].cider for share in shares]
        for sort in ("human", "human + synthetic")
    }
    found = equal_share(shares, curves["human + synthetic"], full.cider)
    low, high = (_share(one) for one in found[1:])
    study.note(
        f"Human and synthetic pairs reach what all human pairs alone give at "
        f"{_share(found.value)} of the human pairs (95 %: {low} to {high})."
    )
    study.check("share of human pairs that is enough with synthetic ones", found.value,
                "comparable, with significantly less data (v2)", below=1.0)  # fmt: skip
    least = ratio_of(full.cider, scores["human", shares[0]].cider)
    study.check("all human pairs over the least share, lower end", least.low, NOT_FOUND,
                above=1.0)  # fmt: skip
    plots.draw_shares(study, shares, curves)


def _share(value: float) -> str:
    return f"{value:.0%}" if np.isfinite(value) else "none"
