"""Harlow's task: does the agent learn to learn about pictures it has never seen?

Every episode has two new pictures, one of which pays in all of its trials. In the first
trial nothing tells which, so the best is to guess and remember; from the second trial on
the answer is known, whether the guess was right or wrong. The agent is trained on some
pictures, frozen, and tested on pictures of classes it has not met. An agent without the
reward input must stay at chance.

An agent without memory still sees its last action and reward, and the reward can serve it
as a notepad: after a success it takes the darker picture, say, and after a failure the
lighter one. Where the darker one pays it is always right; where not, it is wrong and right
by turns. It is thus right in all even trials and in half of the odd ones, 7 of 9 later
trials in the mean. One that guesses after a failure is right in 5 of 8 third trials. So
neither chance in general nor the second trial tells memory from a notepad; the third trial
does, and all later ones together. Both are checked, against the best that a notepad can.

Source: Wang et al. 2016, section 3.2.2.
  Departure: the pictures stand side by side and one action takes one of them (`harlow/
  choice`); the paper's agent turns its gaze on a screen of 84 x 84 pixels and needs about
  twenty steps a trial, 2e7 in 100,000 episodes: hours a seed on a CPU core. The pictures
  are 14 pixels wide; characters, photographs of fruits or drawn patterns stand in for
  ImageNet. One shared layer per picture stands in for the convolutions, 128 LSTM units for
  256, and discounts are low, for no action has an effect beyond its own reward. Fewer
  seeds than the paper's 100 are trained, each with settings of its own, and the stacked
  LSTM has 64 + 128 units in place of 64 + 256.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import jax
import numpy as np

from tolman.agents.actor_critic import ActorCritic
from tolman.agents.meta_rl import MetaRLConfig, make_meta_rl
from tolman.envs.meta_rl.harlow_choice import CORRECT, HarlowChoice, HarlowChoiceState
from tolman.envs.meta_rl.images import Source, Split, find_source
from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.device.episodes import Trajectory
from tolman.launchers.studies import figures
from tolman.launchers.studies.checks import SIGMAS
from tolman.launchers.studies.meta_rl import common, harlow_plots
from tolman.launchers.studies.meta_rl.harlow_choices import (
    CEILING,
    NOTEPAD_LATER,
    NOTEPAD_THIRD,
    Player,
    choose,
)
from tolman.launchers.studies.study import Study, Training

TITLE = "Harlow's task: one trial tells which of two new pictures pays"
PAPER = "Wang et al. 2016, section 3.2.2, figure 6"

NUM_TRIALS = 10
IMAGE_SIZE = 14  # Pixels.
AGENT = {
    "unroll_length": NUM_TRIALS + 1, "batch_size": 16, "value_cost": 0.4,
    "torso": "tiles", "torso_size": 16, "final_learning_rate_scale": 0.0,
    "optimizer": "adam", "adam_epsilon": 1e-8,
}  # fmt: skip
CORE_SIZE = 128
QUICK = common.Sweep(6, 3, (9e-4, 1.4e-3), (0.25, 0.35), (0.05, 0.05))
FULL = common.Sweep(12, 5, (6e-4, 1.6e-3), (0.1, 0.5), (0.03, 0.08))
QUICK_EPISODES, FULL_EPISODES = 56_000, 70_400
NUM_CONTROLS = 2  # Members of each control; their settings are the first of the sweep's.

AGENT_NAME, STACKED = "meta-RL", "stacked LSTM"
CONTROLS: dict[str, dict[str, Any]] = {
    "no reward input": {"use_previous_reward": False},
    "no memory": {"core": "feedforward"},
}


def run(study: Study) -> None:
    """Trains the agent and its controls, tests them on held-out pictures."""
    sweep = QUICK if study.quick else FULL
    episodes = QUICK_EPISODES if study.quick else FULL_EPISODES
    train_on = HarlowChoice(NUM_TRIALS, IMAGE_SIZE)
    source = train_on.source_used
    held_out = replace(train_on, split="held_out")
    study.settings = {
        **sweep.describe(), **AGENT, "core": "lstm", "core_size": CORE_SIZE,
        "episodes": episodes, "image_source": source, "image_size": IMAGE_SIZE,
        "evaluation_episodes": common.EVALUATION_EPISODES,
    }  # fmt: skip
    study.note(f"Pictures for training: {_describe(train_on)}.")
    study.note(f"Pictures for the test: {_describe(held_out)}.")

    variants: dict[str, dict[str, Any]] = {AGENT_NAME: {}, **CONTROLS}
    if not study.quick:
        variants[STACKED] = {"core": "stacked_lstm", "first_hidden_size": CORE_SIZE // 2}
    players, curves, agents = {}, {}, {}
    for name, variant in variants.items():
        agent = _make_agent(train_on, **variant)
        num_members = NUM_CONTROLS if name in CONTROLS else sweep.num_members
        training = common.train(
            study, name, agent, train_on, episodes * (NUM_TRIALS + 1), sweep, num_members
        )
        players[name] = choose(_play(study, agent, held_out, training), sweep.num_shown)
        returns = training.episode_return[:, players[name].shown]
        curves[name] = (training.env_steps, 0.5 + returns / (2 * NUM_TRIALS))
        agents[name] = (agent, training)

    _check(study, players)
    _report_sources(study, *agents[AGENT_NAME], players[AGENT_NAME], train_on)
    _report(study, players)
    _draw(study, *agents[AGENT_NAME], players, held_out)
    figures.learning_curves(
        study, curves, "share correct", {"one-shot learning": 0.95, "chance": 0.5}
    )


def _make_agent(
    environment: HarlowChoice, core: str = "lstm", **settings: Any
) -> ActorCritic:
    """The agent; `first_hidden_size` is the stacked LSTM's, the rest as in MetaRLConfig."""
    sizes = {"hidden_size": CORE_SIZE}
    if "first_hidden_size" in settings:
        sizes["first_hidden_size"] = settings.pop("first_hidden_size")
    return make_meta_rl(
        MetaRLConfig(**{**AGENT, **settings}),
        environment.observation_spec(),
        environment.action_spec(),
        make_core(core, find(CORE, core).settings_type(**sizes)),
    )


def _describe(environment: HarlowChoice) -> str:
    num_classes, num_examples = environment.images.shape[:2]
    each = "one each" if num_examples == 1 else f"{num_examples} each"
    return f"{environment.source_used}, {environment.split}, {num_classes} classes, {each}"


def _record(state: HarlowChoiceState) -> jax.Array:
    return state.outcomes


def _play_member(
    study: Study,
    agent: ActorCritic,
    environment: HarlowChoice,
    training: Training,
    member: int,
) -> Trajectory:
    """One member's episodes: all members' pictures at once would fill the memory."""
    params = jax.tree.map(lambda leaf: leaf[member : member + 1], training.params)
    alone = training._replace(params=params)
    return common.evaluate(study, agent, environment, alone, _record)


def _play(
    study: Study,
    agent: ActorCritic,
    environment: HarlowChoice,
    training: Training,
    members: np.ndarray | None = None,
) -> np.ndarray:
    """`[P, E, N]` bool, which choices were right; of all members, or of some."""
    if members is None:
        members = np.arange(training.episode_return.shape[1])
    return np.stack(
        [
            outcomes(_play_member(study, agent, environment, training, member))[0]
            for member in members
        ]
    )


def outcomes(played: Trajectory) -> np.ndarray:
    """`[P, E, N]` bool from the outcomes recorded at the end of every episode."""
    return played.record[NUM_TRIALS] == CORRECT


def _check(study: Study, players: dict[str, Player]) -> None:
    agent = players[AGENT_NAME]
    bar = 0.8 if study.quick else CEILING
    figure_6, ceiling = "figure 6: chance", "figure 6: 9 of 10 trials at the best"
    study.check_chance(
        "held-out pictures, first trial", agent.first, figure_6,
        expected=0.5, error=agent.error(slice(0, 1)),
    )  # fmt: skip
    study.check("held-out pictures, trials 2 to 10", agent.later, ceiling, above=bar)
    third = float(np.median(agent.by_trial[:, 2]))
    study.check("held-out pictures, third trial", third, ceiling, above=bar)
    for after_correct, guess in ((True, "right"), (False, "wrong")):
        study.check(
            f"held-out pictures, second trial after a {guess} guess",
            agent.second_trial(after_correct),
            "figure 6: regardless of the first choice",
            above=bar - 0.1,
        )
    blind, notepad = players["no reward input"], players["no memory"]
    study.check_chance(
        "no reward input: trials 2 to 10", blind.later, "chance",
        expected=0.5, error=blind.error(slice(1, None)),
    )  # fmt: skip
    best = NOTEPAD_LATER + SIGMAS * notepad.error(slice(1, None))
    study.check("no memory: trials 2 to 10", notepad.later, "7/9 at best", below=best)
    best = NOTEPAD_THIRD + SIGMAS * notepad.error(slice(2, 3))
    third = float(np.median(notepad.by_trial[:, 2]))
    study.check("no memory: third trial", third, "5/8 at best", below=best)
    if STACKED in players:
        study.check(
            "stacked LSTM, held-out pictures, trials 2 to 10",
            players[STACKED].later, ceiling, above=bar,
        )  # fmt: skip


def _report(study: Study, players: dict[str, Player]) -> None:
    paper = {AGENT_NAME: "26 % of 100", STACKED: "43 % of 100"}
    study.table(
        "Held-out pictures: share correct (median of the members shown), and seeds at "
        f"ceiling (above {CEILING:.0%} in trials 2 to 10)",
        ["player", "trial 1", "trial 2", "trials 2 to 10", "members", "at ceiling",
         "at ceiling, paper"],
        [
            [name, f"{player.first:.2f}", f"{np.median(player.by_trial[:, 1]):.2f}",
             f"{player.later:.2f}", len(player.correct), f"{player.share_at_ceiling:.0%}",
             paper.get(name, "none")]
            for name, player in players.items()
        ],
    )  # fmt: skip


def _report_sources(
    study: Study,
    agent: ActorCritic,
    training: Training,
    player: Player,
    train_on: HarlowChoice,
) -> None:
    """A table of the agent's accuracy on every kind of picture that is there."""
    rows = []
    for source in get_args(Source)[1:]:
        try:
            find_source(source)
        except ValueError:
            continue
        was_trained_on = source == train_on.source_used
        for split in get_args(Split) if was_trained_on else ("held_out",):
            environment = HarlowChoice(NUM_TRIALS, IMAGE_SIZE, source=source, split=split)
            correct = _play(study, agent, environment, training, player.shown)
            tested = Player(correct, np.arange(len(correct)), player.episodes)
            rows.append(
                [_describe(environment), f"{tested.first:.2f}", f"{tested.later:.2f}"]
            )
    study.table(
        f"The agent trained on {train_on.source_used}, on every kind of picture",
        ["pictures", "trial 1", "trials 2 to 10"],
        rows,
    )


def _draw(
    study: Study,
    agent: ActorCritic,
    training: Training,
    players: dict[str, Player],
    held_out: HarlowChoice,
) -> None:
    best = players[AGENT_NAME]
    played = _play_member(study, agent, held_out, training, int(best.shown[0]))
    episodes = best.episodes[:3]
    pictures = np.moveaxis(played.timestep.observation[:NUM_TRIALS, 0, episodes], 0, 1)
    harlow_plots.learning_set(
        study,
        players,
        pictures,
        played.action[:NUM_TRIALS, 0, episodes].T,
        outcomes(played)[0, episodes],
    )
