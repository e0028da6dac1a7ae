"""The figure of the Harlow study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tolman.launchers.studies.figures import COLOURS, GREY
from tolman.launchers.studies.meta_rl.harlow_choices import Player
from tolman.launchers.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RIGHT_COLOUR, WRONG_COLOUR = COLOURS[2], COLOURS[1]
NUM_TRIALS_DRAWN = 5


def learning_set(
    study: Study,
    players: Mapping[str, Player],
    pictures: np.ndarray,
    actions: np.ndarray,
    correct: np.ndarray,
) -> None:
    """Draws accuracy by trial, and the first trials of some episodes.

    Args:
      study: receives the figure.
      players: by name.
      pictures: `[E, N, S, 2 S, 3]` bytes, what was seen.
      actions: `[E, N]`, 0 left, 1 right.
      correct: `[E, N]` bool.
    """
    figure = Figure(figsize=(11.0, 3.6), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.0, 1.5))[0]
    _accuracy(left.subplots(), players)
    spacing = {"wspace": 0.08, "hspace": 0.1}
    grid = right.subplots(
        len(pictures), NUM_TRIALS_DRAWN, squeeze=False, gridspec_kw=spacing
    )
    for episode, row in enumerate(grid):
        for trial, one in enumerate(row):
            _trial(
                one,
                pictures[episode, trial],
                int(actions[episode, trial]),
                bool(correct[episode, trial]),
            )
            if episode == 0:
                one.set_title(f"trial {trial + 1}", fontsize=9)
        row[0].set_ylabel(f"episode {episode + 1}", fontsize=9)
    study.figure(
        figure,
        "learning_set",
        "Left: share of correct choices on held-out pictures by trial; lines: median of "
        "the members shown, thin: each of them (compare Wang et al. 2016, figure 6). "
        "Right: the first trials of three held-out episodes; the frame is the best "
        "member's choice, green where it paid, red where it cost.",
    )


def _accuracy(one: Axes, players: Mapping[str, Player]) -> None:
    for colour, (name, player) in zip(COLOURS, players.items(), strict=False):
        by_trial = player.by_trial  # [M, N]
        trials = np.arange(1, by_trial.shape[1] + 1)
        one.plot(trials, by_trial.T, color=colour, lw=0.6, alpha=0.5)
        one.plot(trials, np.median(by_trial, 0), color=colour, marker="o", ms=4, label=name)
    one.axhline(0.5, color=GREY, lw=0.8, ls="--")
    one.spines[["top", "right"]].set_visible(False)
    one.set_xticks(trials)
    one.set_ylim(0.2, 1.02)
    one.set_xlabel("trial")
    one.set_ylabel("share correct, held-out pictures")
    one.legend(frameon=False, fontsize=8, ncols=2, loc="lower left")


def _trial(one: Axes, picture: np.ndarray, action: int, is_correct: bool) -> None:
    """One pair of pictures `[S, 2 S, 3]` with the chosen one framed."""
    size = picture.shape[0]
    one.imshow(picture, interpolation="nearest")
    colour = RIGHT_COLOUR if is_correct else WRONG_COLOUR
    frame = Rectangle(
        (action * size - 0.5, -0.5), size, size, fill=False, edgecolor=colour, lw=3,
        clip_on=False,
    )  # fmt: skip
    one.add_patch(frame)
    one.set_xticks([])
    one.set_yticks([])
    one.spines[:].set_visible(False)
