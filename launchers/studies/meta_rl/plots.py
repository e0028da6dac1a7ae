"""The figures of the meta-RL studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.study import Study

if TYPE_CHECKING:
    from tolman.launchers.studies.meta_rl.two_step_analysis import StayProfile


def stay_profiles(study: Study, players: Mapping[str, Sequence[StayProfile]]) -> None:
    """Draws the four stay probabilities of every player, as the paper's figure 5 does.

    Args:
      study: receives the figure.
      players: name to a profile a member.
    """
    figure, row = axes(len(players), width=2.3, height=2.8)
    for one, (name, profiles) in zip(row, players.items(), strict=True):
        stay = np.array([profile.probability for profile in profiles])  # [P, 4]
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
    row[0].bar([0], [0], color=COLOURS[0], label="after a common transition")
    row[0].bar([0], [0], color=COLOURS[1], label="after a rare transition")
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    study.figure(
        figure,
        "stay_profiles",
        "Probability of repeating the first-stage action, by the last trial's outcome "
        "(compare Wang et al. 2016, figure 5c). Bars: median; dots: members.",
    )


def regret_curves(study: Study, regret: Mapping[str, np.ndarray]) -> None:
    """Draws cumulative regret and the share of suboptimal pulls against the trial.

    Args:
      study: receives the figure.
      regret: player to `[P, E, T]` expected regret of each trial; several members give a
        median and a range, one a line.
    """
    figure, (left, right) = axes(2, width=5.4, height=3.6)
    trials = np.arange(1, next(iter(regret.values())).shape[2] + 1)
    styles = {"random": ":", "no reward input": "--", "no memory": "--"}
    colours = [*COLOURS, GREY, "#8c564b", "#bcbd22"]
    for colour, (label, values) in zip(colours, regret.items(), strict=False):
        is_agent = label == "meta-RL"
        style: dict[str, Any] = {
            "color": colour, "ls": styles.get(label, "-"), "lw": 2.2 if is_agent else 1.2,
            "zorder": 3 if is_agent else 2,
        }  # fmt: skip
        for one, curves in (
            (left, values.mean(1).cumsum(1)),
            (right, 100 * (values > 0).mean(1)),
        ):
            one.plot(trials, np.median(curves, 0), label=label, **style)
            if len(curves) > 1:
                one.fill_between(
                    trials, curves.min(0), curves.max(0), color=colour, alpha=0.2, lw=0
                )
    lowest = np.median(regret["UCB1"].mean(1).cumsum(1), 0)
    left.set_ylim(0, 1.25 * lowest[-1])
    left.set_ylabel("cumulative expected regret")
    right.set_ylim(0, 55)
    right.set_ylabel("pulls of the worse arm, %")
    for one in (left, right):
        one.set_xlabel("trial")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center",
                  frameon=False, fontsize=8)  # fmt: skip
    study.figure(
        figure,
        "regret",
        "Cumulative expected regret (compare Wang et al. 2016, figure 2a) and share of "
        "suboptimal pulls on held-out tasks: median of the members shown, and their range.",
    )


def regret_matrix(
    study: Study,
    regret: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    num_trained: int,
) -> None:
    """Draws who was trained on what against what it was tested on, as a heat map.

    Args:
      study: receives the figure.
      regret: `[R, C]`.
      rows: R players; the trained agents first.
      columns: C test distributions.
      num_trained: how many of the rows are trained agents.
    """
    figure, (one,) = axes(width=6.6, height=0.4 * len(rows) + 0.8)
    ratio = regret / regret[-1]  # To the optimum, which stands last.
    one.imshow(np.log(ratio), cmap="viridis_r", aspect="auto", vmin=0.0, vmax=np.log(8.0))
    for row, values in enumerate(regret):
        for column, value in enumerate(values):
            is_dark = ratio[row, column] > 2.4
            weight = "bold" if row == column < num_trained else "normal"
            one.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9,
                     color="white" if is_dark else "black", fontweight=weight)  # fmt: skip
    one.axhline(num_trained - 0.5, color="white", lw=3)
    one.set_xticks(range(len(columns)), columns)
    one.set_yticks(range(len(rows)), rows)
    one.tick_params(length=0)
    one.spines[:].set_visible(False)
    one.set_xlabel("tested on")
    study.figure(
        figure,
        "regret_matrix",
        "Expected regret by training (rows) and test distribution (columns); colour: ratio "
        "to the optimum (compare Wang et al. 2016, figure 2f).",
    )


def pulls_by_trial(
    study: Study, reward: Mapping[str, np.ndarray], share: Mapping[str, np.ndarray]
) -> None:
    """Draws what each player earns by trial, and what the agent pulls.

    Args:
      study: receives the figure.
      reward: player to `[P, T]` mean reward of each trial.
      share: arm to `[P, T]`, in what share of episodes the agent pulls it.
    """
    figure, (left, right) = axes(2, width=4.6, height=3.4)
    colours = [*COLOURS, GREY]
    for colour, (label, values) in zip(colours, reward.items(), strict=False):
        trials = np.arange(1, values.shape[1] + 1)
        # The agent is drawn wide and underneath: what coincides with it lies inside.
        width, order = (5.0, 1) if label == "meta-RL" else (1.2, 2)
        left.plot(trials, np.median(values, 0), "o-", ms=3, color=colour, lw=width,
                  zorder=order, label=label)  # fmt: skip
    for colour, (label, values) in zip(COLOURS, share.items(), strict=False):
        right.plot(trials, np.median(values, 0), "-", color=colour, label=label)
        right.plot(trials, values.T, "o", ms=3, alpha=0.6, color=colour)
    figure.legend(*left.get_legend_handles_labels(), loc="outside left center",
                  frameon=False, fontsize=8)  # fmt: skip
    right.legend(frameon=False, fontsize=8, loc="center right")
    left.set_ylabel("reward")
    right.set_ylabel("share of the agent's pulls")
    right.set_ylim(-0.03, 1.03)
    for one in (left, right):
        one.set_xlabel("trial")
        one.set_xticks(trials)
    study.figure(
        figure,
        "pulls_by_trial",
        "Held-out tasks (compare Wang et al. 2016, figure 3): mean reward of each trial, "
        "median of members, and what the agent pulls; dots: members.",
    )
