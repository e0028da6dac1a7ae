"""Atari games in turn, with returns: what one network keeps of ten.

Double DQN meets games in random order, each more than once. It is told which it plays, or
infers that from the screens, or treats all as one; one arm is told and holds on to nothing,
and one has a network a game. The paper's nineteen games stand in a figure only and are not
known; `POOL` has games by a rule of its own.

The quick setting has small frames, a small network and two games: it can show whether the
first is kept while the second is learned, and nothing of the totals over ten games.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np
from annotated_types import Ge

from tolman.agents.ewc.config import SequentialConfig
from tolman.envs.atari import GAMES, AtariSettings, human_normalized_score
from tolman.envs.spelling import suggest
from tolman.launchers.catalog.names import CORE, find
from tolman.launchers.host.schedule import Labels
from tolman.launchers.host.sequence import make_host_sequence_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.config import TrainConfig
from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.stages import Stage, run_stage
from tolman.launchers.studies.study import Study

TITLE = "Atari games in turn: what one network keeps"
PAPER = "Kirkpatrick et al. 2017, section 2.3, figure 3"

# Where Double DQN reaches a human: Hessel et al. 2018, "Rainbow", table 6, column DDQN,
# no-op starts, 200 million frames, against the human scores of `tolman.envs.atari.scores`.
POOL = (
    "Assault", "Asterix", "Atlantis", "BankHeist", "BeamRider", "Boxing", "Breakout",
    "CrazyClimber", "Defender", "DemonAttack", "DoubleDunk", "Enduro", "FishingDerby",
    "Gopher", "Kangaroo", "Krull", "KungFuMaster", "NameThisGame", "Phoenix", "Pong",
    "RoadRunner", "Robotank", "SpaceInvaders", "StarGunner", "Tennis", "TimePilot",
    "VideoPinball", "WizardOfWor",
)  # fmt: skip
FRAMES_A_STEP = 4
SPARE_LABELS = 1  # Where they are inferred, there may be more of them than games.
LEARNED = 0.1  # Of a human's score above random play: less counts as not learned.
Arm = Literal["given", "inferred", "none", "plain", "alone"]
NAMES: dict[Arm, str] = {
    "given": "EWC, games given",
    "inferred": "EWC, games inferred",
    "none": "one game to it",
    "plain": "nothing held, games given",
    "alone": "one network a game",
}


@dataclass(frozen=True)
class Options:
    """What may be chosen of the study.

    Attributes:
      games: to play, of ALE's names without its affixes, in the order in which they come,
        with returns; none for ten of the pool in random order, each twice.
      arms: to train; none for all of the setting.
      steps_per_visit: env steps of each visit of a game, four frames each; 0 for the
        setting's.
      capacity: of the replay of each game; 0 for the setting's.
    """

    games: tuple[str, ...] = ()
    arms: tuple[Arm, ...] = ()
    steps_per_visit: Annotated[int, Ge(0)] = 0
    capacity: Annotated[int, Ge(0)] = 0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        known = ["".join(map(str.capitalize, name.split("_"))) for name in GAMES]
        for game in self.games:
            if game not in known:
                yield "games", f"of {', '.join(known[:3])}, ...{suggest(game, known)}"


@dataclass(frozen=True)
class Budget:
    """A setting of the study.

    Attributes:
      order: of the games; empty for ten of the pool, drawn by the study's seed.
      arms: that are trained.
      num_env_steps: of each visit.
      num_envs: stepped together.
      rows: of metrics, a visit.
      num_episodes: of each game in an evaluation.
      max_frames: of an episode.
      side: pixels of a frame, both ways.
      agent: settings of the learner.
      hidden_size: of the layer between torso and action values.
    """

    order: tuple[str, ...]
    arms: tuple[Arm, ...]
    num_env_steps: int
    num_envs: int
    rows: int
    num_episodes: int
    max_frames: int
    side: int
    agent: Mapping[str, Any]
    hidden_size: int


COMMON = {
    "unroll_length": 1, "n_step": 1, "replay": "uniform", "batch_size": 32,
}  # fmt: skip
QUICK = Budget(
    ("Freeway", "Boxing"), ("given", "plain"), 16_000, 4, 2, 4, 8_500, 42,
    {
        **COMMON, "torso": "conv", "torso_size": 128, "capacity": 16_000, "min_size": 1_000,
        "n_step": 3, "unroll_length": 3,
        "samples_per_insert": 8.0, "target_update_period": 250, "learning_rate": 5e-4,
        "optimizer_epsilon": 1e-5, "exploration_share": 0.5, "final_epsilon": 0.05,
        "strength": 400.0, "num_fisher_batches": 16, "max_tasks": 3,
    },
    128,
)  # fmt: skip
# Table S2, but for Adam: 50 million frames of each game over its two visits.
FULL = Budget(
    (), ("given", "inferred", "none", "plain", "alone"), 6_250_000, 16, 10, 10, 108_000, 84,
    {
        **COMMON, "torso": "deep_conv", "torso_size": 1024, "capacity": 500_000,
        "min_size": 50_000, "samples_per_insert": 8.0, "target_update_period": 7_500,
        "exploration_share": 0.08, "final_epsilon": 0.01, "max_gradient_norm": 50.0,
        "strength": 400.0, "num_fisher_batches": 100, "max_tasks": 12,
    },
    512,
)  # fmt: skip


class Learned(NamedTuple):
    """What came of one arm on K games.

    Attributes:
      env_steps: `[R]`.
      scores: `[R, K]`, human-normalised, mean of the episodes.
      visits: `[R]`, the visit at whose end or within which a row stands.
      agreement: adjusted Rand index of labels and games; NaN where none are inferred.
      frames_per_second: of training, evaluations and compilation included.
      weight_bytes: of the weights that all games share.
    """

    env_steps: np.ndarray
    scores: np.ndarray
    visits: np.ndarray
    agreement: float
    frames_per_second: float
    weight_bytes: int

    @property
    def total(self) -> np.ndarray:
        """`[R]`, the sum over games of scores cut to [0, 1]: figure 3A."""
        return np.clip(self.scores, 0.0, 1.0).sum(1)

    def after_visit(self, visit: int) -> np.ndarray:
        """`[K]`, the scores at the last row of a visit, counted from 0."""
        return self.scores[np.flatnonzero(self.visits <= visit)[-1]]


def order_of(seed: int, number: int = 10, visits: int = 2) -> tuple[str, ...]:
    """Games of the pool in random order, so many visits of each, none after itself."""
    random = np.random.default_rng(seed)
    games = [str(game) for game in random.choice(POOL, number, replace=False)]
    order: list[str] = []
    for _ in range(visits):
        turn = [games[index] for index in random.permutation(number)]
        if order and turn[0] == order[-1]:
            turn.reverse()
        order += turn
    return tuple(order)


def learn(
    study: Study, label: str, arm: Arm, order: Sequence[str], budget: Budget
) -> Learned:
    """Trains one arm, or takes up where an interrupted one stood."""
    settings: dict[str, Any] = {**budget.agent}
    if arm in ("plain", "alone"):
        settings["strength"] = 0.0
    names = tuple(f"ALE/{game}-v5" for game in order)
    core = find(CORE, "feedforward").default_settings()
    config = TrainConfig(
        agent="ewc",
        env=names[0],
        core="feedforward",
        launcher="local",
        seed=study.seed,
        replay="memory",
        num_envs=budget.num_envs,
        tasks=names,
        steps_per_task=budget.num_env_steps,
        labels=labels_of(arm),
        eval_episodes=budget.num_episodes,
        agent_config=SequentialConfig(**settings),
        core_config=replace(core, hidden_size=budget.hidden_size),
        env_config=AtariSettings(
            full_action_set=True, max_episode_frames=budget.max_frames, side=budget.side
        ),
    )
    job = resolve(config)
    folder = study.folder / "training" / label
    runner = make_host_sequence_runner(job, RunFolder(folder))
    done = run_stage(
        folder,
        runner,
        study.member_keys(1),
        job.config.num_env_steps,
        num_rows=budget.rows * len(names),
    )
    return learned(done, list(job.tasks))


def labels_of(arm: Arm) -> Labels:
    """How an arm knows its game."""
    return arm if arm in ("inferred", "none") else "given"


def learned(done: Stage, names: Sequence[str]) -> Learned:
    """What a stage has come to, of games by their ids."""
    scores = np.stack(
        [
            [
                human_normalized_score(name, float(score[0]))
                for score in done.curves[f"eval/{name}/episode_return"]
            ]
            for name in names
        ],
        1,
    )
    agreement = done.curves.get("task/agreement")
    shared = jax.tree.leaves(done.params.weights.shared)
    return Learned(
        done.units,
        scores,
        done.curves["task/index"][:, 0],
        float("nan") if agreement is None else float(agreement[-1, 0]),
        FRAMES_A_STEP * float(done.units[-1]) / done.seconds,
        sum(leaf.nbytes for leaf in shared),
    )


def run(study: Study, options: Options) -> None:
    """Trains all arms, and says what each keeps."""
    budget = QUICK if study.quick else FULL
    order = options.games or budget.order or order_of(study.seed)
    arms = options.arms or budget.arms
    if options.steps_per_visit:
        budget = replace(budget, num_env_steps=options.steps_per_visit)
    if options.capacity:
        least = budget.agent["min_size"]
        if options.capacity < least:
            raise ValueError(
                f"capacity={options.capacity}: must be 0, or at least the {least} "
                "decisions before the first update. Set --capacity."
            )
        budget = replace(budget, agent={**budget.agent, "capacity": options.capacity})
    games = list(dict.fromkeys(order))
    room = max(budget.agent["max_tasks"], len(games) + SPARE_LABELS)
    budget = replace(budget, agent={**budget.agent, "max_tasks": room})
    study.settings = {**asdict(budget), "order": order, "arms": arms}
    if study.quick:
        study.note(
            "The quick setting shows whether the first game is kept, on small frames and "
            "with a small network, one seed; it says nothing of the paper's totals."
        )
    study.note(f"Games, in this order: {', '.join(order)}.")
    results: dict[Arm, Learned] = {
        arm: learn(study, arm, arm, order, budget) for arm in arms if arm != "alone"
    }
    if "alone" in arms:
        results["alone"] = together(
            [
                learn(study, f"alone_{game}", "alone", (game,) * order.count(game), budget)
                for game in games
            ]
        )
    tabulate(study, results, games)
    costs(study, results)
    check(study, results, order)
    draw(study, results, len(order))


def together(alone: Sequence[Learned]) -> Learned:
    """Networks of one game each as one arm: row r is the r-th of each."""
    number = min(len(one.env_steps) for one in alone)
    scores = np.concatenate([one.scores[:number] for one in alone], 1)
    steps = np.sum([one.env_steps[:number] for one in alone], 0)
    speed = float(np.mean([one.frames_per_second for one in alone]))
    size = sum(one.weight_bytes for one in alone)
    nan = float("nan")
    return Learned(steps, scores, alone[0].visits[:number], nan, speed, size)


def check(study: Study, results: Mapping[Arm, Learned], order: Sequence[str]) -> None:
    """What the paper claims, of those arms that were trained."""
    plain, first = results.get("plain"), order[0]
    until = next((i for i, game in enumerate(order) if game != first), 1) - 1
    for arm in ("given", "inferred"):
        held = results.get(arm)
        if held is None:
            continue
        at, end = held.after_visit(until)[0], held.scores[-1, 0]
        study.check(f"{NAMES[arm]}: {first} is learned at all, over random play", at,
                    "learned", above=LEARNED)  # fmt: skip
        # Of what was not learned, nothing can be kept: NaN passes no check.
        share = end / at if at > LEARNED else float("nan")
        study.check(f"{NAMES[arm]}: {first}, share kept at the end", share,
                    "most of it", above=0.5)  # fmt: skip
        if plain is not None:
            study.check(f"{NAMES[arm]}: total at the end over nothing held",
                        held.total[-1] - plain.total[-1], "several games more",
                        above=LEARNED)  # fmt: skip
    if "inferred" in results:
        study.check("games and inferred labels, adjusted Rand index",
                    results["inferred"].agreement, "-", above=0.9)  # fmt: skip


def tabulate(study: Study, results: Mapping[Arm, Learned], games: Sequence[str]) -> None:
    """Scores of every game at the end of every visit."""
    for arm, one in results.items():
        rows = []
        for visit in sorted(set(one.visits.tolist())):
            at = np.flatnonzero(one.visits <= visit)[-1]
            scores = [round(float(score), 3) for score in one.scores[at]]
            rows.append([int(visit), *scores, round(float(one.total[at]), 3)])
        study.table(
            f"{NAMES[arm]}: human-normalised scores (0 random play, 1 a human) at the end "
            "of each visit, and their sum, each cut to [0, 1]",
            ["visit", *games, "total"],
            rows,
        )


def costs(study: Study, results: Mapping[Arm, Learned]) -> None:
    """What the arms cost, and what the paper's budget would."""
    frames = 2 * FULL.num_env_steps * FRAMES_A_STEP * 10
    rows = [
        [
            NAMES[arm],
            round(one.frames_per_second),
            one.weight_bytes,
            2 * one.weight_bytes,
            round(frames / one.frames_per_second / 3600),
        ]
        for arm, one in results.items()
    ]
    study.table(
        f"Costs; the full setting has {frames:,} frames an arm, at this machine's speed "
        "and with this network",
        ["arm", "frames a second", "bytes of weights", "bytes a game held",
         "hours for the full setting"],
        rows,
    )  # fmt: skip


def draw(study: Study, results: Mapping[Arm, Learned], num_visits: int) -> None:
    """Draws the totals against env steps, figure 3A."""
    figure, (one,) = axes(width=6.0)
    for colour, (arm, result) in zip(COLOURS, results.items(), strict=False):
        one.plot(result.env_steps, result.total, "o-", ms=3, color=colour, label=NAMES[arm])
    last = max(float(result.env_steps[-1]) for result in results.values())
    for visit in range(1, num_visits):
        one.axvline(last * visit / num_visits, color=GREY, lw=0.6, ls=":")
    one.set_xlabel("environment steps")
    one.set_ylabel("total human-normalised score")
    one.legend(frameon=False, fontsize=8)
    study.figure(
        figure, "totals",
        "Sum over the games of human-normalised scores cut to [0, 1], while they are "
        "learned in turn (dotted: about where the next visit begins). Figure 3A of the "
        "paper.",
    )  # fmt: skip
