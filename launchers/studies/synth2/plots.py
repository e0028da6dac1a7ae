"""Figures of the Synth2 studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.study import Study

NUM_SHOWN = 6


def draw_scenes(
    study: Study,
    captions: Sequence[str],
    true: np.ndarray,
    drawn: np.ndarray,
    is_held_out: np.ndarray,
) -> None:
    """True images above what the generator draws of their captions.

    Args:
      study: receives the figure.
      captions: Q of them.
      true: `[Q, H, W, 3]`.
      drawn: `[Q, H, W, 3]`.
      is_held_out: `[Q]`; half of those shown are.
    """
    chosen = [*np.flatnonzero(~is_held_out)[:NUM_SHOWN],
              *np.flatnonzero(is_held_out)[:NUM_SHOWN]]  # fmt: skip
    figure = Figure(figsize=(1.3 * len(chosen), 3.4), layout="constrained")
    grid = figure.subplots(2, len(chosen), squeeze=False)
    for column, row in enumerate(chosen):
        for one, image in zip(grid[:, column], (true[row], drawn[row]), strict=True):
            one.imshow(image)
            one.axis("off")
        grid[0, column].set_title(_wrapped(captions[row]), fontsize=7)
    study.figure(
        figure, "scenes",
        "True scenes above, below what the generator drew of their captions. On the right, "
        "concepts that no human pair has.",
    )  # fmt: skip


def draw_gains(study: Study, gains: Mapping[str, tuple[Any, Any, Any]]) -> None:
    """CIDEr-D over that of human pairs against how true the images are.

    Args:
      study: receives the figure.
      gains: of each arm its fidelity, and two ratios with intervals: all and held out.
    """
    figure, (one,) = axes(width=6.0)
    for colour, place, label in ((COLOURS[0], 1, "all"), (COLOURS[1], 2, "held out")):
        rows = sorted(gains.values(), key=lambda row: row[0])
        x, ratios = [row[0] for row in rows], [row[place] for row in rows]
        y, low, high = np.array([(r.value, r.low, r.high) for r in ratios]).T
        errors = np.maximum([y - low, high - y], 0)
        one.errorbar(x, y, errors, color=colour, marker="o", ms=4, capsize=2, label=label)
    for name, row in gains.items():
        one.annotate(name, (row[0], row[2].value), fontsize=7, color=GREY,
                     xytext=(3, 4), textcoords="offset points")  # fmt: skip
    one.axhline(1.0, color=GREY, lw=0.8, ls="--")
    one.set_xlabel("drawn objects with a named colour and shape")
    one.set_ylabel("CIDEr-D over human pairs alone")
    one.legend(frameon=False, fontsize=8)
    study.figure(figure, "gain", "What synthetic pairs add, by how true their images are.")


def draw_shares(study: Study, shares: Sequence[float], curves: Mapping[str, Any]) -> None:
    """CIDEr-D against the share of human pairs.

    Args:
      study: receives the figure.
      shares: S of them, in (0, 1].
      curves: of each sort of pairs `[S][M, Q]`.
    """
    figure, (one,) = axes(width=5.0)
    for colour, (name, scores) in zip(COLOURS, curves.items(), strict=False):
        means = np.array([own.mean(1) for own in scores])  # [S, M]
        spread = [means.mean(1) - means.min(1), means.max(1) - means.mean(1)]
        one.errorbar(100 * np.array(shares), means.mean(1), spread, color=colour,
                     marker="o", ms=4, capsize=2, label=name)  # fmt: skip
    one.axhline(curves["human"][-1].mean(), color=GREY, lw=0.8, ls="--")
    one.set_xlabel("human pairs, %")
    one.set_ylabel("CIDEr-D")
    one.legend(frameon=False, fontsize=8)
    study.figure(
        figure, "shares",
        "CIDEr-D by the share of human pairs; mean of the seeds, least and largest. "
        "Dashed: all human pairs alone.",
    )  # fmt: skip


def _wrapped(caption: str) -> str:
    words, lines = caption.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 16:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
