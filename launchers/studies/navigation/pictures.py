"""Pictures of what a navigating agent sees, foresees and does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tolman.envs.maze.layout import EAST, NORTH, SOUTH, WEST
from tolman.launchers.studies import figures
from tolman.launchers.studies.navigation.reading import Reading
from tolman.launchers.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEPTHS = {"depth_1": "D1: from features", "depth_2": "D2: from memory"}
# The wall of each side of a cell: from one corner to another, in cells.
SIDES = {
    WEST: ((0, 0), (0, 1)), EAST: ((1, 0), (1, 1)),
    NORTH: ((0, 0), (1, 0)), SOUTH: ((0, 1), (1, 1)),
}  # fmt: skip


def draw_depth(study: Study, reading: Reading, num_frames: int = 6) -> None:
    """What is seen, how far it is, and how far the agent says it is; bright is far."""
    from matplotlib.figure import Figure

    image, classes = reading.observation["rgb"], reading.observation["depth_classes"]
    rows = {"seen": image, "depth": classes}
    rows |= {words: reading.predicted[name] for name, words in DEPTHS.items()}
    num_steps, num_episodes = image.shape[:2]
    times = np.linspace(num_steps // 8, num_steps - 1, num_frames).astype(int)
    figure = Figure(figsize=(1.5 * num_frames, 3.6), layout="constrained")
    grid = figure.subplots(
        len(rows), num_frames, gridspec_kw={"height_ratios": [4, 1, 1, 1]}, squeeze=False
    )
    for line, (words, values) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=8)
        for number, (one, time) in enumerate(zip(line, times, strict=True)):
            shown = values[time, number % num_episodes]
            if shown.ndim == 3:
                one.imshow(shown)
            else:
                one.imshow(shown, cmap="gray", vmin=0, vmax=7)
            one.set_xticks([])
            one.set_yticks([])
    caption = (
        "What the agent sees, the true classes of depth in the middle half of it, and "
        "those that it predicts; bright is far."
    )
    study.figure(figure, "depth", caption)


def draw_paths(
    study: Study, reading: Reading, faces: np.ndarray, width: int, goals: np.ndarray
) -> None:
    """Where the agent went, from above, and where it said that a loop was closed.

    Args:
      study: receives the figure.
      reading: of one agent; its first episodes are drawn.
      faces: `[E, C]`, walls of the maze of each episode, see `Arrays.faces`.
      width: columns of cells.
      goals: `[E]`, the cell of the goal in each.
    """
    num_shown = min(3, len(goals))
    figure, row = figures.axes(num_columns=num_shown, width=4.0, height=3.4)
    pose, respawned = reading.observation["pose"], reading.observation["respawned"]
    true, told = reading.observation["loop_closure"], reading.predicted["loop"]
    for episode, one in enumerate(row):
        _draw_walls(one, faces[episode], width)
        x, y = pose[:, episode, 0], pose[:, episode, 1]
        parts = np.cumsum(respawned[:, episode])
        for part in np.unique(parts):  # Nothing joins the goal and the next start.
            one.plot(*(axis[parts == part] for axis in (x, y)), color=figures.GREY, lw=0.6)
        dots = one.scatter(x, y, c=np.arange(len(x)), s=4, cmap="viridis", zorder=2)
        for labels, colour, words in (
            (true[:, episode], figures.COLOURS[2], "loop closed"),
            (told[:, episode], figures.COLOURS[1], "said to be closed"),
        ):
            marker, size = ("s", 26) if words == "loop closed" else ("x", 14)
            face = "none" if marker == "s" else colour
            chosen = labels.astype(bool)
            one.scatter(
                x[chosen], y[chosen], s=size, marker=marker, label=words, zorder=3, lw=0.7,
                color=colour, facecolors=face,
            )  # fmt: skip
        goal = goals[episode]
        one.plot(goal % width + 0.5, goal // width + 0.5, "*", color="k", markersize=12)
        one.set_title(f"episode {episode + 1}", fontsize=9)
    row[0].legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(0.0, -0.02))
    figure.colorbar(dots, ax=row, label="decision", shrink=0.7)
    caption = (
        "Paths from above, dark first; the star is the goal. Squares: the label of loop "
        "closure; crosses: where the agent says so."
    )
    study.figure(figure, "paths", caption)


def _draw_walls(one: Axes, faces: np.ndarray, width: int) -> None:
    for cell, bits in enumerate(faces):
        for side, ((x, y), (to_x, to_y)) in SIDES.items():
            if bits >> side & 1:
                left, top = cell % width, cell // width
                one.plot([left + x, left + to_x], [top + y, top + to_y], color="k", lw=1.5)
    one.set_aspect("equal")
    one.invert_yaxis()
    one.axis("off")
