"""Three small games in turn: what Double DQN forgets, EWC keeps.

The right actions of the games conflict. One learner meets them one after another, each with
its own replay, biases, gains and schedule of exploration, by Double DQN alone, with an L2
penalty on how far weights move, and under EWC; twins with one thing broken must fail. Which
weights of a game learned alone bear noise is measured too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array
from tolman.agents.ewc.config import PRESETS, SequentialConfig
from tolman.agents.ewc.own import TaskWeights
from tolman.agents.ewc.sequential import SequentialDQN, SequentialState
from tolman.envs.conflict import SIDE, catch, dodge, exchanged
from tolman.envs.environment import Environment
from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.device.sequence import OnSwitch, Part, SequenceRunner
from tolman.launchers.report.continual import forgetting
from tolman.launchers.studies.ewc import perturbation
from tolman.launchers.studies.ewc.methods import shuffled
from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.stages import run_stage
from tolman.launchers.studies.study import Study

TITLE = "Three small games in turn: what Double DQN forgets, EWC keeps"
PAPER = "Kirkpatrick et al. 2017, section 2.3, on small games"
GAMES: dict[str, Environment] = {
    "catch": catch(), "dodge": dodge(), "exchanged": exchanged()
}  # fmt: skip
T_95 = {3: 4.303, 10: 2.262}  # Student's t, two-sided 95 per cent, by number of members.
Kind = Literal["plain", "ewc", "l2", "shuffled", "strong"]
NAMES = {
    "plain": "Double DQN", "ewc": "EWC", "l2": "L2", "shuffled": "shuffled Fisher",
    "strong": "lambda too large",
}  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """A setting of the study.

    Attributes:
      num_env_steps: of each game.
      num_members: P, trained side by side.
      num_episodes: of each game in an evaluation.
      num_shaken: episodes under each noise and size of it.
      rows: of metrics, a game; a divisor of its updates, so that one is at its end.
      strengths: lambdas that EWC is searched over; one, where it is known.
      l2_strengths: those of L2.
      strong: lambda of the control "lambda too large".
    """

    num_env_steps: int
    num_members: int
    num_episodes: int
    num_shaken: int
    rows: int
    strengths: tuple[float, ...]
    l2_strengths: tuple[float, ...]
    strong: float


QUICK = Budget(16_500, 3, 100, 32, 4, (100.0,), (1.0, 10.0), 1e5)
FULL = Budget(
    16_500, 10, 200, 64, 8, (3.0, 10.0, 30.0, 100.0, 300.0),
    (0.03, 0.1, 0.3, 1.0, 3.0, 10.0), 1e5,
)  # fmt: skip


class Learned(NamedTuple):
    """What came of one method on K games.

    Attributes:
      strength: lambda.
      scores: `[P, K, K]`, mean return of game j when game i has just been learned.
      env_steps: `[R]`.
      curves: `[R, K, P]`, mean return of each game.
      params: `[P, ...]`, at the end.
    """

    strength: float
    scores: np.ndarray
    env_steps: np.ndarray
    curves: np.ndarray
    params: Any = None

    @property
    def average(self) -> np.ndarray:
        """`[P]`, the mean return of all games at the end."""
        return self.scores[:, -1].mean(-1)

    @property
    def lost(self) -> np.ndarray:
        """`[P]`, what all games but the last have lost at the end, their mean."""
        return np.array([forgetting(scores).mean() for scores in self.scores])

    def when_learned(self, game: int) -> np.ndarray:
        """`[P]`, the mean return of a game when it has just been learned."""
        return self.scores[:, game, game]


def learn(
    study: Study, label: str, kind: Kind, strength: float, games: list[str], budget: Budget
) -> Learned:
    """Trains one method on games in turn, or takes up where an interrupted one stood."""
    agent = make_agent(strength)
    runner = SequenceRunner(
        agent,
        [Part(name, GAMES[name], budget.num_env_steps) for name in games],
        budget.num_members,
        num_eval_episodes=budget.num_episodes,
        eval_greedy=True,
        on_switch=make_switch(kind, agent),
    )
    done = run_stage(
        study.folder / "training" / f"{label}_{strength:g}",
        runner,
        study.member_keys(budget.num_members),
        runner.num_env_steps,
        num_rows=budget.rows * len(games),
    )
    curves = np.stack([done.curves[f"eval/{name}/episode_return"] for name in games], 1)
    at_ends = curves[budget.rows - 1 :: budget.rows]  # [K, K, P]
    scores = np.moveaxis(at_ends, -1, 0)
    return Learned(strength, scores, done.units, curves, done.params)


def make_agent(strength: float) -> SequentialDQN:
    """The learner of all methods: the preset "small"."""
    settings = PRESETS["small"].settings
    own = {key[6:]: value for key, value in settings.items() if key.startswith("agent.")}
    core = find(CORE, settings["core"])
    core_settings = replace(
        core.default_settings(), hidden_size=settings["core.hidden_size"]
    )
    one = GAMES["catch"]
    return SequentialDQN(
        SequentialConfig(**{**own, "strength": strength}),
        one.observation_spec(),
        one.action_spec(),
        make_core(core, core_settings),
    )


def make_switch(kind: Kind, agent: SequentialDQN) -> OnSwitch | None:
    """What a method does between two games; None for what the agent does."""
    if kind not in ("l2", "shuffled"):
        return None

    def on_switch(
        state: SequentialState, examples: Any, key: Array, ended: Array, begun: Array
    ) -> SequentialState:
        weights = state.params.weights
        none = jax.tree.map(jnp.zeros_like, weights.own)
        if kind == "l2":
            fisher = TaskWeights(jax.tree.map(jnp.ones_like, weights.shared), none)
        else:
            shared = agent.fisher(weights, examples).shared
            fisher = TaskWeights(shuffled(shared, key), none)
        return agent.begin(agent.hold(state, fisher, ended), begun)

    return on_switch


def run(study: Study) -> None:
    """Trains all methods and twins, measures what each keeps, checks the claims."""
    budget = QUICK if study.quick else FULL
    study.settings = asdict(budget)
    games = [*GAMES]
    results = {"plain": learn(study, "plain", "plain", 0.0, games, budget)}
    results["ewc"] = search(study, "ewc", budget.strengths, budget)
    results["l2"] = search(study, "l2", budget.l2_strengths, budget)
    strength = results["ewc"].strength
    results["shuffled"] = learn(study, "shuffled", "shuffled", strength, games, budget)
    results["strong"] = learn(study, "strong", "strong", budget.strong, games, budget)
    alone = {
        name: learn(study, f"alone_{name}", "plain", 0.0, [name], budget) for name in games
    }
    singles = {name: one.scores[:, 0, 0] for name, one in alone.items()}
    tabulate(study, results, singles)
    check(study, results, singles)
    draw(study, results)
    one = alone["catch"]
    perturbation.report(
        study, make_agent(0.0), GAMES["catch"], one.params, budget.num_shaken, SIDE - 1
    )


def search(
    study: Study, kind: Kind, strengths: tuple[float, ...], budget: Budget
) -> Learned:
    """The strength with the best average at the end; all are in a table."""
    found = [learn(study, kind, kind, s, [*GAMES], budget) for s in strengths]
    if len(found) > 1:
        study.table(
            f"Search for {NAMES[kind]}: average at the end, forgetting, the last game",
            ["lambda", "average", "forgetting", "last when learned"],
            [
                [one.strength, *map(interval, (one.average, one.lost, one.when_learned(2)))]
                for one in found
            ],
        )
    return max(found, key=lambda one: one.average.mean())


def check(
    study: Study, results: Mapping[str, Learned], singles: Mapping[str, np.ndarray]
) -> None:
    """Bars are for means over the members."""
    ewc, plain = results["ewc"], results["plain"]
    worst = min(score.mean() for score in singles.values())
    study.check("every game is learned alone, the worst", worst, "-", above=0.8)
    gone = plain.scores[:, [0, 1], [0, 1]] - plain.scores[:, -1, :2]  # [P, 2]
    study.check("Double DQN, lost of one of the first two", gone.mean(0).max(), "most",
                above=1.0)  # fmt: skip
    ratio = ewc.lost.mean() / plain.lost.mean()
    study.check("EWC, forgetting over that of Double DQN", ratio, "-", below=0.5)
    lead = ewc.average - plain.average
    low = lead.mean() - half_width(lead)
    study.check("EWC, average over Double DQN's, low end of 95 %", low, "-", above=0.0)
    share = ewc.when_learned(2).mean() / singles["exchanged"].mean()
    study.check("EWC, the last game when learned over alone", share, "-", above=0.8)
    for kind in ("l2", "shuffled"):
        lead = ewc.average - results[kind].average
        study.check(f"EWC, average over {NAMES[kind]}", lead.mean(), "must fail", above=0.0)
    lack = ewc.when_learned(2).mean() - results["strong"].when_learned(2).mean()
    study.check("the last game when learned, EWC over lambda too large", lack, "must fail",
                above=0.2)  # fmt: skip


def half_width(values: np.ndarray) -> float:
    """Of the 95 per cent interval of a mean of `[P]` values."""
    return T_95[len(values)] * values.std(ddof=1) / np.sqrt(len(values))


def interval(values: np.ndarray) -> str:
    """A mean and half its 95 per cent interval."""
    return f"{values.mean():.2f} ± {half_width(values):.2f}"


def tabulate(
    study: Study, results: Mapping[str, Learned], singles: Mapping[str, np.ndarray]
) -> None:
    """What each method learns and keeps."""
    rows = [
        [
            NAMES[name],
            one.strength,
            *[interval(one.when_learned(game)) for game in range(3)],
            *[interval(one.scores[:, -1, game]) for game in range(2)],
            interval(one.average),
            interval(one.lost),
        ]
        for name, one in results.items()
    ]
    rows.append(
        ["each alone", 0.0, *[interval(one) for one in singles.values()], *[""] * 4]
    )
    study.table(
        "Mean return (-1 to 1) of greedy episodes, mean of the members ± half the 95 per "
        "cent interval",
        ["method", "lambda", *[f"{name} when learned" for name in GAMES],
         "catch at the end", "dodge at the end", "average at the end", "forgetting"],
        rows,
    )  # fmt: skip


def draw(study: Study, results: Mapping[str, Learned]) -> None:
    """Draws the return of every game through the run, and every game after every game."""
    shown = {name: results[name] for name in ("plain", "l2", "ewc")}
    figure, row = axes(3, width=3.4, height=2.9)
    for game, (one, title) in enumerate(zip(row, GAMES, strict=True)):
        for colour, (name, result) in zip(COLOURS, shown.items(), strict=False):
            values = result.curves[:, game]
            one.plot(result.env_steps, values.mean(-1), color=colour, label=NAMES[name])
        for end in (1, 2):
            at = result.env_steps[-1] * end / 3
            one.axvline(at, color=GREY, lw=0.8, ls=":")
        one.set_ylim(-1.05, 1.05)
        one.set_title(title, fontsize=10)
        one.set_xlabel("environment steps")
    row[0].set_ylabel("mean return")
    row[0].legend(frameon=False, fontsize=8)
    study.figure(
        figure, "games",
        "Mean return of each game while the three are learned in turn (dotted: the next "
        "one begins), mean of the members.",
    )  # fmt: skip
    figure, row = axes(3, width=3.2, height=3.0)
    for one, (name, result) in zip(row, shown.items(), strict=True):
        image = one.imshow(result.scores.mean(0), vmin=-1.0, vmax=1.0, cmap="viridis")
        one.spines[:].set_visible(False)
        one.set_title(NAMES[name], fontsize=10)
        one.set_xlabel("return of game")
    row[0].set_ylabel("after game")
    figure.colorbar(image, ax=row, shrink=0.8)
    study.figure(
        figure, "matrices",
        "Mean return of every game (column) when each (row) has just been learned: below "
        "the diagonal is what is kept, above it what is foreseen.",
    )  # fmt: skip
