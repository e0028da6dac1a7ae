"""What the studies of shortest paths and of stories share: the models that they compare.

Shapes: P members, B questions, N hops, H heads, I facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.memo import MODELS, Reasoner, TrainingConfig
from tolman.envs.reasoning.task import Examples, Task
from tolman.launchers.studies.figures import COLOURS, axes
from tolman.launchers.studies.memo.common import Asked, Draw, ask
from tolman.launchers.studies.study import Fit, Study

LABELS = {
    "memo": "MEMO",
    "emn": "memory network",
    "dnc": "DNC",
    "ut": "universal transformer",
}
NUM_QUESTIONS = 10_000  # Banino et al. 2021, appendix C.


class Trained(NamedTuple):
    """Attributes:
    agent: that learned.
    fit: what it learned.
    num_parameters: of one member.
    asked: the test.
    """

    agent: Reasoner
    fit: Fit
    num_parameters: int
    asked: Asked


def make_reasoner(
    name: str, task: Task, training: TrainingConfig, sizes: Mapping[str, Any]
) -> Reasoner:
    """A model by name, with some of its sizes set."""
    return Reasoner(training, replace(MODELS[name].config(), **sizes), task)


def learn(
    study: Study,
    label: str,
    agent: Reasoner,
    task: Task,
    num_updates: int,
    num_members: int,
    draw: Draw | None = None,
    num_questions: int = NUM_QUESTIONS,
) -> Trained:
    """Trains a population and asks it questions of the test split.

    Args:
      study: under way.
      label: of the stage.
      agent: what learns.
      task: what it learns.
      num_updates: of each member.
      num_members: P.
      draw: of the questions; see `ask`.
      num_questions: of the test.
    """
    fit = study.fit(label, agent, task, num_updates, num_members)
    asked = ask(agent, task, fit.params, study.seed, num_questions, draw=draw)
    sizes = [np.size(leaf) for leaf in jax.tree.leaves(fit.params)]
    return Trained(agent, fit, sum(sizes) // num_members, asked)


def attention_of(
    trained: Trained, member: int, examples: Examples
) -> tuple[np.ndarray, np.ndarray]:
    """What one member reads, `[B, N, H, I]`, and after how many hops it stops, `[B]`."""
    params = jax.tree.map(lambda leaf: leaf[member], trained.fit.params)
    answers = jax.jit(trained.agent.answer)(params, examples, jax.random.PRNGKey(0))
    attention, hops = answers.diagnostics["attention"], answers.diagnostics["hops"]
    return np.asarray(attention), np.asarray(hops)


def draw_curves(study: Study, panels: Mapping[str, Mapping[str, Trained]]) -> None:
    """Draws training accuracy by update: a panel each, in it a line a model."""
    figure, row = axes(len(panels), width=3.9, height=3.3)
    colours = dict(zip(LABELS, COLOURS, strict=False))
    for one, (title, models) in zip(row, panels.items(), strict=True):
        for name, trained in models.items():
            updates, accuracy = trained.fit.updates, trained.fit.curves["train/accuracy"]
            colour = colours[name]
            one.plot(updates, accuracy.mean(1), color=colour, label=LABELS[name])
            low, high = accuracy.min(1), accuracy.max(1)
            one.fill_between(updates, low, high, color=colour, alpha=0.2, lw=0)
        one.set_title(title, fontsize=10)
        one.set_xlabel("updates")
        one.set_ylim(0.0, 1.02)
    row[0].set_ylabel("share of questions answered rightly")
    row[0].legend(frameon=False, fontsize=8)
    study.figure(
        figure,
        "learning_curves",
        "Training: questions with all answers right, mean and range of the members.",
    )
