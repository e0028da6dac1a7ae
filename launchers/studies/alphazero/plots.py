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
    left.locator_params(axis="x", nbins=5)
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
        one.locator_params(axis="x", nbins=5)
    study.figure(figure, "losses", "What the network misses of outcomes and of searches.")


def ratings(
    study: Study,
    elo_at: Mapping[int, float],
    others: Mapping[str, float],
    by_simulations: Mapping[int, float],
) -> None:
    """Elo over training beside that of other players, and by simulations for a move."""
    figure, (left, right) = axes(2)
    left.plot(list(elo_at), list(elo_at.values()), color=COLOURS[0], marker="o")
    for number, (name, elo) in enumerate(others.items(), 1):
        colour = COLOURS[number % len(COLOURS)]
        left.axhline(elo, color=colour, linestyle="--", linewidth=1.0, label=name)
    left.set_xlabel("positions played")
    left.locator_params(axis="x", nbins=5)
    right.plot(
        list(by_simulations), list(by_simulations.values()), color=COLOURS[0], marker="o"
    )
    right.set_xscale("log", base=2)
    right.set_xticks(list(by_simulations), [str(number) for number in by_simulations])
    right.set_xlabel("simulations for a move")
    for one in (left, right):
        one.set_ylabel("Elo over random play")
    left.legend(frameon=False, fontsize=7)
    study.figure(
        figure,
        "ratings",
        "Elo by Bradley-Terry maximum likelihood; random play is 0. Left: the untrained "
        "network at 0, and in broken lines players that do not learn. Right: the trained "
        "network, in a league of its own.",
    )
