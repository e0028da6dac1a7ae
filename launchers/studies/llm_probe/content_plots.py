"""Figures of the study of content effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73")
CELLS = {
    (True, True): "valid,\nbelieved",
    (True, False): "valid,\nnot believed",
    (False, True): "invalid,\nbelieved",
    (False, False): "invalid,\nnot believed",
}


def draw_accuracy(rows: Sequence[Sequence[Any]], tasks: Sequence[str]) -> Figure:
    """Right answers by condition, one panel a task, without examples and corrected first.

    Args:
      rows: task, examples, scoring, condition, items, share, "low to high", chance, ...
      tasks: their names, in order.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        own = [row for row in rows if row[0] == task and row[2] == "corrected"]
        conditions = list(dict.fromkeys(row[3] for row in own))
        kinds = list(dict.fromkeys(row[1] for row in own))
        for number, num_examples in enumerate(kinds):
            for row in (row for row in own if row[1] == num_examples):
                low, high = map(float, row[6].split(" to "))
                place = conditions.index(row[3]) + 0.18 * (number - (len(kinds) - 1) / 2)
                colour = COLOURS[number % len(COLOURS)]
                is_first = row[3] == conditions[0]
                label = f"{num_examples} examples" if is_first else None
                axes.plot([place, place], [low, high], color=colour)
                axes.plot(place, row[5], "o", color=colour, label=label)
        if own:
            axes.axhline(own[0][7], color="#7f7f7f", linewidth=0.8, linestyle="--")
            axes.legend(frameon=False, fontsize=8)
        axes.set_xticks(range(len(conditions)), conditions)
        axes.set_xlim(-0.5, max(len(conditions), 1) - 0.5)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(task, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share of right answers")
    return figure


def draw_called_valid(called: Mapping[str, Mapping[tuple[bool, Any], float]]) -> Figure:
    """The share of arguments that are called valid, by cell, one line a way of asking."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (label, cells) in enumerate(called.items()):
        places = [x + 0.08 * number for x, cell in enumerate(CELLS) if cell in cells]
        shares = [cells[cell] for cell in CELLS if cell in cells]
        axes.plot(places, shares, "o:", color=f"C{number}", label=label)
    axes.set_xticks(range(len(CELLS)), list(CELLS.values()))
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share called valid")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
