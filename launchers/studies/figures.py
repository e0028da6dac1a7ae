"""One style for the figures of all studies, and the figure that most of them have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from tolman.launchers.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

matplotlib.use("Agg")

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#7f7f7f"


def axes(
    num_columns: int = 1, width: float = 4.6, height: float = 3.4
) -> tuple[Figure, list[Axes]]:
    """A figure with a row of axes without the upper and right frame."""
    figure = Figure(figsize=(width * num_columns, height), layout="constrained")
    row = figure.subplots(1, num_columns, squeeze=False)[0]
    for one in row:
        one.spines[["top", "right"]].set_visible(False)
    return figure, list(row)


def learning_curves(
    study: Study,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    unit: str,
    levels: Mapping[str, float],
    name: str = "learning_curves",
) -> None:
    """Draws the median of the members, and their range, against environment steps.

    Args:
      study: receives the figure.
      curves: label to `[C]` environment steps and `[C, P]` values, NaN for none.
      unit: of the values.
      levels: label to a value that is drawn as a dashed line.
      name: of the file.
    """
    figure, (one,) = axes(width=6.0)
    for colour, (label, (env_steps, values)) in zip(COLOURS, curves.items(), strict=False):
        is_told = ~np.isnan(values).all(axis=1)  # [C]; by no member before an episode ends.
        env_steps, values = np.asarray(env_steps)[is_told], values[is_told]
        one.plot(env_steps, np.nanmedian(values, 1), color=colour, label=label)
        one.fill_between(
            env_steps,
            np.nanmin(values, 1),
            np.nanmax(values, 1),
            color=colour,
            alpha=0.2,
            lw=0,
        )
    for label, level in levels.items():
        one.axhline(level, color=GREY, lw=0.8, ls="--")
        one.annotate(label, (1.0, level), xycoords=("axes fraction", "data"), color=GREY,
                     fontsize=8, ha="right", va="bottom")  # fmt: skip
    one.set_xlabel("environment steps")
    one.set_ylabel(unit)
    one.legend(frameon=False, fontsize=8)
    study.figure(
        figure, name, f"Training: median of the members shown and their range, {unit}."
    )
