"""The figure of the table of POPGym's tasks."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from tolman.launchers.studies.cores.popgym_cells import Cells
from tolman.launchers.studies.cores.recall_plots import styles
from tolman.launchers.studies.study import Study

NUM_COLUMNS = 4


def learning_curves(study: Study, cells: Cells) -> None:
    """Draws the mean return of each epoch against environment steps, one panel a task."""
    cores = sorted({core for row in cells.values() for core in row})
    drawn = styles(cores)
    num_columns = min(NUM_COLUMNS, len(cells))
    num_rows = -(-len(cells) // num_columns)
    figure = Figure(figsize=(3.2 * num_columns, 2.5 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    lines = {}
    for panel, (task, row) in zip(panels, sorted(cells.items()), strict=False):
        for core, cell in row.items():
            mean = np.ma.masked_invalid(cell.curve).mean(1)
            (lines[core],) = panel.plot(cell.env_steps / 1000, mean, **drawn[core])
        panel.set_title(task, fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(cells) :]:
        panel.set_visible(False)
    figure.supxlabel("thousand environment steps a seed", fontsize=9)
    figure.supylabel("mean return of an epoch", fontsize=9)
    figure.legend(
        [lines[core] for core in cores], cores, loc="outside upper center",
        ncols=min(len(cores), 2 * num_columns), frameon=False, fontsize=9,
    )  # fmt: skip
    study.figure(
        figure,
        "learning_curves",
        "Training: mean return of the episodes that ended in an epoch, mean of the seeds.",
    )
