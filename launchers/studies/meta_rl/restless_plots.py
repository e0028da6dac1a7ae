"""The figure of the restless-bandit study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from tolman.launchers.studies.figures import COLOURS, GREY
from tolman.launchers.studies.meta_rl.restless_analysis import Player, Tasks
from tolman.launchers.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tolman.launchers.studies.meta_rl.bandit_baselines import Pulls

AGENT_COLOUR, CONTROL_COLOUR = COLOURS[0], COLOURS[1]


def adaptation(
    study: Study,
    tasks: Tasks,
    players: Mapping[str, Player],
    baselines: Mapping[str, np.ndarray],
) -> None:
    """Draws an episode of each volatility, the fitted learning rates and the regrets."""
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    episodes = above.subplots(1, 2, sharey=True)
    measures = below.subplots(1, 2, width_ratios=(1.0, 1.3))
    agent = players["meta-RL"]
    for one, volatility in zip(episodes, np.unique(tasks.volatility), strict=True):
        index = typical_episode(agent.regret[0], tasks.volatility == volatility)
        _episode(one, tasks.means[index, :, 0], agent.pulls[0], index)
        one.set_title(f"volatility {volatility:g}", fontsize=10)
    episodes[0].set_ylabel("probability that arm 1 pays")
    above.legend(*episodes[0].get_legend_handles_labels(), loc="outside right center",
                 title="choices", title_fontsize=8, frameon=False, fontsize=8)  # fmt: skip
    _rates(measures[0], players)
    _regrets(measures[1], players, baselines)
    for one in (*episodes, *measures):
        one.spines[["top", "right"]].set_visible(False)
    study.figure(
        figure,
        "adaptation",
        "Above: an episode of median regret at each volatility, with the walk (line) and "
        "the best member's choices (ticks above: arm 1, below: arm 2; dark where it "
        "paid). Below: fitted learning rates, one line a member, and expected regrets; "
        "dots are members (compare Wang et al. 2016, figure 4).",
    )


def typical_episode(regret: np.ndarray, is_candidate: np.ndarray) -> int:
    """Index of the candidate whose regret is the median of the candidates'.

    Args:
      regret: `[E]`.
      is_candidate: `[E]` bool, at least one True.
    """
    candidates = np.flatnonzero(is_candidate)
    order = candidates[np.argsort(regret[candidates], kind="stable")]
    return int(order[(len(order) - 1) // 2])


def _episode(one: Axes, walk: np.ndarray, pulls: Pulls, index: int) -> None:
    """One walk `[T]` and the choices made on it."""
    trials = np.arange(1, len(walk) + 1)
    one.plot(trials, walk, color=GREY, lw=1.2)
    one.axhline(0.5, color=GREY, lw=0.6, ls=":")
    height = np.where(pulls.actions[index] == 0, 1.08, -0.08)
    paid = pulls.rewards[index] > 0
    one.plot(trials[paid], height[paid], "|", color=AGENT_COLOUR, ms=7, label="paid")
    one.plot(trials[~paid], height[~paid], "|", color="#b9d4ea", ms=7, label="did not pay")
    one.set_ylim(-0.16, 1.16)
    one.set_yticks([0.0, 0.5, 1.0])
    one.set_xlabel("trial")


def _rates(one: Axes, players: Mapping[str, Player]) -> None:
    """Mean fitted learning rate of each member at low and high volatility."""
    shown = {"meta-RL": AGENT_COLOUR, "Rescorla-Wagner": CONTROL_COLOUR}
    for name, colour in shown.items():
        player = players[name]
        for number, (member, fit) in enumerate(zip(player.rates, player.fits, strict=True)):
            errors = [row.standard_error for _, row in sorted(fit.learning_rates.items())]
            label = name if number == 0 else None
            one.errorbar([0, 1], member, errors, color=colour, marker="o", ms=4,
                         lw=1.2, capsize=2, label=label)  # fmt: skip
    volatilities = sorted(players["meta-RL"].fits[0].learning_rates)
    one.set_xticks([0, 1], [f"{value:g}" for value in volatilities])
    one.set_xlim(-0.3, 1.3)
    one.set_ylim(bottom=0.0)
    one.set_xlabel("volatility")
    one.set_ylabel("fitted learning rate")
    one.legend(frameon=False, fontsize=8)


def _regrets(
    one: Axes, players: Mapping[str, Player], baselines: Mapping[str, np.ndarray]
) -> None:
    """Bars of regret, the best above; members as dots."""
    values = {name: np.array([regret.mean()]) for name, regret in baselines.items()}
    trained = [name for name in players if name not in baselines]
    values |= {name: players[name].regret.mean(1) for name in trained}
    order = sorted(values, key=lambda name: -np.median(values[name]))
    places = np.arange(len(order))
    colours = {"meta-RL": AGENT_COLOUR, "optimum": "black"}
    colours |= {name: "#c6c6c6" for name in baselines if name != "optimum"}
    one.barh(
        places,
        [np.median(values[name]) for name in order],
        color=[colours.get(name, CONTROL_COLOUR) for name in order],
    )
    for place, name in zip(places, order, strict=True):
        if len(values[name]) > 1:
            one.plot(values[name], np.full(len(values[name]), place), "k.", ms=4)
    one.set_yticks(places, order, fontsize=8)
    one.set_xlabel("expected regret over 100 trials")
