"""The figures of the comparison of cores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tolman.envs.memory import TMaze
from tolman.launchers.measuring.core_tasks import Task
from tolman.launchers.studies.cores.results import Results
from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.study import Study

NUM_COLUMNS = 3
TICKS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)  # Thousands.


def styles(cores: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour a core; a user's cores, which come last, are dashed."""
    return {
        core: {
            "color": COLOURS[index % len(COLOURS)],
            "ls": "-" if index < len(COLOURS) else "--",
        }
        for index, core in enumerate(cores)
    }


def learning_curves(study: Study, tasks: Sequence[Task], results: Results) -> None:
    """Draws the score in training against environment steps, one panel a task."""
    num_rows = -(-len(tasks) // NUM_COLUMNS)
    num_columns = min(NUM_COLUMNS, len(tasks))
    figure = Figure(figsize=(4.0 * num_columns, 2.9 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    drawn = styles(list(results[tasks[0].name]))
    for panel, task in zip(panels, tasks, strict=False):
        for core, result in results[task.name].items():
            thousands = result.env_steps / 1000
            panel.plot(thousands, np.median(result.curve, 1), label=core, **drawn[core])
            if result.curve.shape[1] > 1:
                panel.fill_between(
                    thousands, result.curve.min(1), result.curve.max(1),
                    color=drawn[core]["color"], alpha=0.15, lw=0,
                )  # fmt: skip
        for level, text in ((task.chance, "chance"), (task.solved, "solved")):
            if np.isfinite(level):
                panel.axhline(level, color=GREY, lw=0.8, ls="--", zorder=0)
                panel.annotate(
                    text, (1.0, level), xycoords=("axes fraction", "data"), color=GREY,
                    fontsize=7, ha="right", va="bottom",
                )  # fmt: skip
        panel.set_title(task.name, fontsize=10)
        panel.set_ylabel(task.unit, fontsize=9)
        panel.set_xlabel("thousand environment steps", fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(tasks) :]:
        panel.set_visible(False)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center",
        ncols=min(len(drawn), 3 * num_columns), frameon=False, fontsize=9,
    )  # fmt: skip
    study.figure(
        figure,
        "learning_curves",
        "Score in training, each core with the learning rate that did best: median of the "
        "seeds, and their range. All networks have about as many parameters.",
    )


def delays(study: Study, tasks: Sequence[Task], results: Results) -> None:
    """Draws, against the T-maze's length, the score reached and the steps it took.

    Nothing where there are not two lengths to compare.
    """
    mazes = [task for task in tasks if isinstance(task.environment, TMaze)]
    if len(mazes) < 2:
        return
    lengths = [task.span for task in mazes]
    figure, (left, right) = axes(2, width=4.2, height=3.2)
    for core, style in styles(list(results[mazes[0].name])).items():
        reached = [results[task.name][core] for task in mazes]
        left.plot(
            lengths, [one.mean for one in reached], marker="o", ms=4, label=core, **style
        )
        steps = [
            one.steps_to(task.solved) for one, task in zip(reached, mazes, strict=True)
        ]
        right.plot(lengths, steps, marker="o", ms=4, **style)
    left.set_ylabel("return with frozen weights")
    left.set_ylim(-0.15, 1.05)
    right.set_ylabel(f"thousand environment steps to {mazes[0].solved:g}")
    right.set_yscale("log")
    right.set_yticks(TICKS, [str(tick) for tick in TICKS])
    right.set_ylim(TICKS[0], max(task.num_env_steps for task in mazes) / 1000)
    for one in (left, right):
        one.set_xlabel("steps from the sign to the junction")
        one.set_xscale("log")
        one.set_xticks(lengths, [str(length) for length in lengths])
        one.minorticks_off()
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside right center", frameon=False,
        fontsize=9,
    )  # fmt: skip
    study.figure(
        figure,
        "delays",
        "T-maze: score reached, and environment steps until it was learnt, by the length "
        "of the corridor; a core that did not learn a length has no point on the right.",
    )
