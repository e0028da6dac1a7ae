"""The figures of the EWC studies.

Shapes: P members, K tasks, R rows of metrics.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tolman.launchers.report.continual import average_score
from tolman.launchers.studies.ewc.methods import Learned
from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.study import Study

SHOWN = ("EWC", "L2", "SGD")


def draw(
    study: Study,
    learned: Mapping[str, Learned],
    overlaps: Mapping[int, Mapping[str, float]],
) -> None:
    """Draws all figures; that of overlaps where they were measured."""
    three_tasks(study, learned)
    averages(study, learned)
    matrices(study, learned)
    if overlaps:
        by_layer(study, overlaps)


def three_tasks(study: Study, learned: Mapping[str, Learned]) -> None:
    """Draws accuracy on each of the first three tasks while they are learned, figure 2A."""
    figure, row = axes(3, width=3.2, height=2.8)
    for task, one in enumerate(row):
        for name, colour in zip(SHOWN, COLOURS, strict=False):
            result = learned[name]
            per_task = result.updates[-1] // result.curves.shape[1]
            shown = (result.updates <= 3 * per_task) & (result.updates > task * per_task)
            values = result.curves[shown, task].mean(-1)
            one.plot(result.updates[shown], values, color=colour, label=name)
        for end in (1, 2):
            one.axvline(end * per_task, color=GREY, lw=0.8, ls=":")
        one.set_xlim(0, 3 * per_task)
        one.set_title(f"task {'ABC'[task]}", fontsize=10)
        one.set_xlabel("updates")
    row[0].set_ylabel("accuracy")
    row[0].legend(frameon=False, fontsize=8)
    study.figure(
        figure, "three_tasks",
        "Accuracy on the first three tasks while they are learned in turn (dotted: the "
        "next one begins), mean of the members. Figure 2A of the paper.",
    )  # fmt: skip


def averages(study: Study, learned: Mapping[str, Learned]) -> None:
    """Draws the mean accuracy over the tasks learned so far, figure 2B."""
    figure, (one,) = axes(width=5.6)
    for number, (name, result) in enumerate(learned.items()):
        means = np.stack([average_score(scores) for scores in result.scores])  # [P, K]
        tasks = np.arange(1, means.shape[1] + 1)
        line = "o-" if name in SHOWN else "x--"
        one.plot(tasks, means.mean(0), line, ms=4, color=COLOURS[number % 7], label=name)
    ceiling = learned["SGD"].after(1).mean()
    one.axhline(ceiling, color=GREY, lw=0.8, ls="--")
    one.annotate("one task alone", (1.0, ceiling), xycoords=("axes fraction", "data"),
                 color=GREY, fontsize=8, ha="right", va="bottom")  # fmt: skip
    one.set_xlabel("tasks learned")
    one.set_ylabel("mean accuracy on them")
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    study.figure(
        figure, "averages",
        "Mean accuracy over the tasks learned so far, mean of the members. Figure 2B of "
        "the paper; dashed lines are what must fail.",
    )  # fmt: skip


def matrices(study: Study, learned: Mapping[str, Learned]) -> None:
    """Draws the accuracy on every task after every task."""
    shown = {name: one for name, one in learned.items() if name in SHOWN}
    figure, row = axes(len(shown), width=3.2, height=3.0)
    for one, (name, result) in zip(row, shown.items(), strict=True):
        image = one.imshow(result.scores.mean(0), vmin=0.0, vmax=1.0, cmap="viridis")
        one.spines[:].set_visible(False)
        one.set_title(name, fontsize=10)
        one.set_xlabel("accuracy on task")
    row[0].set_ylabel("after task")
    figure.colorbar(image, ax=row, shrink=0.8)
    study.figure(
        figure, "matrices",
        "Accuracy on every task (column) when each (row) has just been learned, mean of "
        "the members: below the diagonal is what is kept, above it what is foreseen.",
    )  # fmt: skip


def by_layer(study: Study, overlaps: Mapping[int, Mapping[str, float]]) -> None:
    """Draws the Fisher overlap of near and far tasks by layer, figure 2C."""
    figure, (one,) = axes()
    for colour, (side, layers) in zip(COLOURS, overlaps.items(), strict=False):
        values = list(layers.values())
        label = f"{side} x {side} pixels permuted"
        one.plot(range(1, len(values) + 1), values, "o-", color=colour, label=label)
    one.set_ylim(0, 1.02)
    one.set_xlabel("layer")
    one.set_ylabel("Fisher overlap")
    one.legend(frameon=False, fontsize=8)
    study.figure(
        figure, "overlap",
        "Whether two tasks need the same weights: overlap of their Fishers by layer, 1 for "
        "the same. Figure 2C of the paper.",
    )  # fmt: skip
