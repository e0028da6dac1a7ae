"""The figures of the AlphaZero studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tolman.launchers.studies.meta_rl.plots import COLOURS, axes
from tolman.launchers.studies.study import Study


def strength(
    study: Study,
    curve: Mapping[int, Mapping[str, float]],
    by_simulations: Mapping[int, Mapping[str, float]],
) -> None:
    """Scores over training, and at its end by simulations for a move."""
    figure, (left, right) = axes(2)
    for number, label in enumerate(next(iter(curve.values()))):
        style: dict[str, Any] = {
            "color": COLOURS[number],
            "marker": "o",
            "markersize": 4,
            "label": label,
        }
        left.plot(list(curve), [m[label] for m in curve.values()], **style)
        right.plot(
            range(len(by_simulations)),
            [m[label] for m in by_simulations.values()],
            **style,
        )
    left.set_xlabel("positions played")
    left.set_ylabel("points a game, or share of positions")
    right.set_xlabel("simulations for a move")
    right.set_xticks(range(len(by_simulations)), [str(n) for n in by_simulations])
    for one in (left, right):
        one.set_ylim(0.0, 1.0)
    right.legend(frameon=False, fontsize=8)
    study.figure(
        figure,
        "strength",
        "Left: over training, the untrained network at 0. Right: the trained network with "
        "more and fewer simulations; 0 is its policy alone.",
    )


def losses(study: Study, rows: Sequence[Mapping[str, float]]) -> None:
    """The two losses over training."""
    figure, (left, right) = axes(2)
    for one, name, label in (
        (left, "loss/value", "squared error of the value"),
        (right, "loss/policy_divergence", "policy: nats from the search's"),
    ):
        points: Any = np.array([(r["env_steps"], r[name]) for r in rows if name in r])
        if len(points):
            one.plot(points[:, 0], points[:, 1], color=COLOURS[0], linewidth=1.0)
        one.set_xlabel("positions played")
        one.set_ylabel(label)
        one.set_ylim(bottom=0.0)
    study.figure(figure, "losses", "What the network misses of outcomes and of searches.")


def ratings(
    study: Study, over_training: Mapping[str, float], by_simulations: Mapping[str, float]
) -> None:
    """Elo of the players of two leagues."""
    figure, (left, right) = axes(2)
    for one, elo, label in (
        (left, over_training, "over training"),
        (right, by_simulations, "by simulations for a move"),
    ):
        one.plot(range(len(elo)), list(elo.values()), color=COLOURS[0], marker="o")
        one.set_xticks(range(len(elo)), [name.replace(" ", "\n") for name in elo])
        one.tick_params(axis="x", labelsize=7)
        one.axhline(0.0, color="#7f7f7f", linestyle="--", linewidth=1.0)
        one.set_ylabel("Elo over random play")
        one.set_xlabel(label)
    study.figure(
        figure, "ratings", "Elo by Bradley-Terry maximum likelihood; random play is 0."
    )
