"""The figures of the AlphaZero studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tolman.launchers.studies.figures import COLOURS, axes
from tolman.launchers.studies.study import Study

NUM_MEANS = 20  # Of new games, over a training.


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
    """What is missed of outcomes, learned from and new, and of searches."""
    figure, (left, right) = axes(2)
    for one, name in ((left, "loss/value"), (right, "loss/policy_divergence")):
        label = "positions learned from"
        one.plot(*_column(rows, name), color=COLOURS[0], linewidth=1.0, label=label)
    at, errors = _means(*_column(rows, "board/value_error"))
    left.plot(at, errors, color=COLOURS[1], marker="o", markersize=3, label="new games")
    at, draws = _means(*_column(rows, "board/draws"))
    left.plot(at, 1.0 - draws, color="grey", linestyle="--", label="all called draws")
    left.set_ylabel("squared error of the value")
    left.legend(frameon=False, fontsize=8)
    right.set_ylabel("policy: nats from the search's")
    for one in (left, right):
        one.set_xlabel("positions played")
        one.set_ylim(bottom=0.0)
        one.locator_params(axis="x", nbins=5)
    study.figure(
        figure,
        "losses",
        "What the network misses of outcomes and of searches. New games: the search's "
        "value, before anything was learned from them; broken, the error that it would be "
        "to call them all draws.",
    )


def _column(rows: Sequence[Mapping[str, float]], name: str) -> tuple[Any, Any]:
    """Positions played and the numbers of that name, `[n]` each."""
    found = [(row["env_steps"], row[name]) for row in rows if name in row]
    return tuple(np.array(found).reshape(-1, 2).T)


def _means(at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of at most `NUM_MEANS` pieces of the way: single games tell little."""
    pieces = np.array_split(np.arange(len(at)), min(NUM_MEANS, max(len(at), 1)))
    pieces = [piece for piece in pieces if len(piece)]
    means = [[column[piece].mean() for piece in pieces] for column in (at, values)]
    return np.array(means[0]), np.array(means[1])


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
    left.legend(framealpha=0.9, edgecolor="none", fontsize=7)
    study.figure(
        figure,
        "ratings",
        "Elo by Bradley-Terry maximum likelihood; random play is 0. Left: the untrained "
        "network at 0, and in broken lines players that do not learn. Right: the trained "
        "network, in a league of its own.",
    )
