"""The figures of the meta-RL studies, in one style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from tolman.launchers.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tolman.launchers.studies.meta_rl.two_step import Player

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
      curves: label to `[C]` environment steps and `[C, P]` values.
      unit: of the values.
      levels: label to a value that is drawn as a dashed line.
      name: of the file.
    """
    figure, (one,) = axes(width=6.0)
    for colour, (label, (env_steps, values)) in zip(COLOURS, curves.items(), strict=False):
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


def stay_profiles(study: Study, players: Mapping[str, Player]) -> None:
    """Draws the four stay probabilities of every player, as the paper's figure 5 does."""
    figure, row = axes(len(players), width=2.3, height=2.8)
    for one, (name, player) in zip(row, players.items(), strict=True):
        stay = np.array([profile.probability for profile in player.profiles])  # [P, 4]
        places = np.array([0.0, 1.0, 2.6, 3.6])  # Rewarded; unrewarded.
        colours = [COLOURS[0], COLOURS[1]] * 2
        one.bar(places, np.median(stay, 0), 0.9, color=colours)
        if len(stay) > 1:
            for member in stay:
                one.plot(places, member, "o", color="black", ms=2.5, alpha=0.6)
        one.set_title(name, fontsize=10)
        one.set_xticks([0.5, 3.1], ["rewarded", "unrewarded"], fontsize=8)
        one.set_ylim(0, 1)
    row[0].set_ylabel("probability of staying")
    row[0].bar([0], [0], color=COLOURS[0], label="common")
    row[0].bar([0], [0], color=COLOURS[1], label="rare")
    row[0].legend(frameon=False, fontsize=8, loc="upper right")
    study.figure(
        figure,
        "stay_profiles",
        "Probability of repeating the first-stage action, by the last trial's outcome "
        "(compare Wang et al. 2016, figure 5c). Bars: median; dots: members.",
    )
