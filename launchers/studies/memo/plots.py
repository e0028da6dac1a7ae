"""The figures of the MEMO studies, in the style of the others.

Shapes: P members, C points of a curve, N hops, H heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.study import Fit, Study


def by_distance(
    study: Study,
    values: Mapping[str, Mapping[int, np.ndarray]],
    unit: str,
    levels: Mapping[str, float],
    name: str,
    caption: str,
) -> None:
    """Draws each model's value against the distance between cue and match.

    Args:
      study: receives the figure.
      values: model to distance to `[P]`; the line is the mean, the dots are members.
      unit: of the values.
      levels: label to a value that is drawn as a dashed line.
      name: of the file.
      caption: of the figure.
    """
    figure, (one,) = axes(width=5.6)
    for number, (label, series) in enumerate(values.items()):
        colour = COLOURS[number % len(COLOURS)]
        distances = np.array(list(series))
        # Models stand a little apart, so that equal ones can be seen.
        places = distances + 0.03 * (number - (len(values) - 1) / 2)
        members = np.array(list(series.values()))  # [D, P]
        line = "-" if number < len(COLOURS) else "--"
        one.plot(places, members.mean(1), line, color=colour, label=label)
        one.plot(places, members, "o", color=colour, ms=3.5, alpha=0.7)
    for label, level in levels.items():
        one.axhline(level, color=GREY, lw=0.8, ls="--")
        one.annotate(label, (1.0, level), xycoords=("axes fraction", "data"), color=GREY,
                     fontsize=8, ha="right", va="bottom")  # fmt: skip
    largest = max(max(series) for series in values.values())
    one.set_xticks(range(1, largest + 1))
    one.set_xlabel("facts from the cue to the match")
    one.set_ylabel(unit)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    study.figure(figure, name, caption)


def learning_curves(study: Study, fits: Mapping[str, Fit], kinds: Sequence[str]) -> None:
    """Draws the accuracy of each model on batches of the training, by kind.

    Args:
      study: receives the figure.
      fits: model to what was trained.
      kinds: a panel each.
    """
    figure, row = axes(len(kinds), width=3.6, height=3.0)
    for one, kind in zip(row, kinds, strict=True):
        for number, (label, fit) in enumerate(fits.items()):
            colour = COLOURS[number % len(COLOURS)]
            values = fit.curves[f"accuracy/{kind}"]  # [C, P]
            one.plot(fit.updates, values.mean(1), color=colour, label=label)
            low, high = values.min(1), values.max(1)
            one.fill_between(fit.updates, low, high, color=colour, alpha=0.2, lw=0)
        one.axhline(0.5, color=GREY, lw=0.8, ls="--")
        one.set_ylim(0, 1.02)
        one.set_title(kind, fontsize=10)
        one.set_xlabel("updates")
    row[0].set_ylabel("accuracy")
    handles = row[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right center", frameon=False, fontsize=8)
    study.figure(
        figure,
        "learning_curves",
        "Accuracy while training, on memories of mixed sizes: mean of the members and "
        "their range. Dashed: a guess between the two choices.",
    )


def what_hops_read(
    study: Study, read: Mapping[str, np.ndarray], parts: Sequence[str], name: str
) -> None:
    """Draws which facts every head reads at every hop, one panel a kind of question.

    Args:
      study: receives the figure.
      read: kind to `[N, H, parts]`.
      parts: names of the columns.
      name: of the file.
    """
    figure, row = axes(len(read), width=0.42 * len(parts) + 1.2, height=4.6)
    num_hops, num_heads, _ = next(iter(read.values())).shape
    for one, (kind, attention) in zip(row, read.items(), strict=True):
        rows = attention.reshape(num_hops * num_heads, -1)
        image = one.imshow(rows, cmap="viridis", aspect="auto", vmin=0.0, vmax=1.0)
        for hop in range(1, num_hops):
            one.axhline(hop * num_heads - 0.5, color="white", lw=2)
        one.set_xticks(range(len(parts)), parts, rotation=60, ha="right", fontsize=8)
        one.set_yticks([])
        one.tick_params(length=0)
        one.spines[:].set_visible(False)
        one.set_title(kind, fontsize=10)
    middles = [(hop + 0.5) * num_heads - 0.5 for hop in range(num_hops)]
    row[0].set_yticks(middles, [f"hop {hop + 1}" for hop in range(num_hops)], fontsize=9)
    figure.colorbar(image, ax=row, shrink=0.6, label="attention")
    study.figure(
        figure,
        name,
        "Mean attention of each head (a line) at each hop to the facts of the cue's "
        "sequence, of the lure's, and to all others together, by kind of question.",
    )
