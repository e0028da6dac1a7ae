"""What the studies of reasoning share: models that learn a task, and their answers.

Shapes: P members, N questions, A answers to one question, K hops, H heads, I facts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from tolman.agents.memo.agent import Reasoner
from tolman.agents.memo.config import TrainingConfig
from tolman.agents.memo.models import MODELS
from tolman.envs.reasoning.task import Examples, Task
from tolman.launchers.evaluation import EVALUATION
from tolman.launchers.studies.study import Fit, Study

LABELS = {
    "memo": "MEMO",
    "emn": "memory network",
    "dnc": "DNC",
    "ut": "universal transformer",
}
COLOURS = {"memo": "#0072B2", "emn": "#D55E00", "dnc": "#009E73", "ut": "#CC79A7"}
BATCH_SIZE = 250  # Of questions that are answered at once.
NUM_QUESTIONS = 10_000  # Banino et al. 2021, appendix C.

Draw = Callable[[Any, jax.Array], Examples]


class Answered(NamedTuple):
    """Held-out questions, answered greedily.

    Attributes:
      kind: `[N]`.
      right: `[P, N, A]` bool.
      hops: `[P, N]`, steps of reasoning.
    """

    kind: np.ndarray
    right: np.ndarray
    hops: np.ndarray

    def by_kind(self, num_kinds: int) -> np.ndarray:
        """`[P, kinds]`, the share of questions of each kind with all answers right."""
        all_right = self.right.all(-1)
        return np.stack(
            [all_right[:, self.kind == kind].mean(1) for kind in range(num_kinds)], axis=1
        )


class Trained(NamedTuple):
    """Attributes:
    agent: that learned.
    fit: what it learned.
    num_parameters: of one member.
    answered: questions of the test split.
    """

    agent: Reasoner
    fit: Fit
    num_parameters: int
    answered: Answered


def make_reasoner(
    name: str, task: Task, training: TrainingConfig, sizes: Mapping[str, Any]
) -> Reasoner:
    """A model by name with some of its sizes set."""
    config = replace(MODELS[name].config(), **sizes)
    return Reasoner(training, config, task)


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
    """Trains a population and lets it answer questions of the test split.

    Args:
      study: under way.
      label: of the stage.
      agent: what learns.
      task: what it learns.
      num_updates: of each member.
      num_members: P.
      draw: of the split's arrays and a batch's number, `BATCH_SIZE` questions; None
        samples them.
      num_questions: N; what the last batch has beyond them is not counted.
    """
    fit = study.fit(label, agent, task, num_updates, num_members)
    answered = answer(study, agent, task, fit, draw, num_questions)
    sizes = [np.size(leaf) for leaf in jax.tree.leaves(fit.params)]
    return Trained(agent, fit, sum(sizes) // num_members, answered)


def answer(
    study: Study,
    agent: Reasoner,
    task: Task,
    fit: Fit,
    draw: Draw | None = None,
    num_questions: int = NUM_QUESTIONS,
    split: str = "test",
) -> Answered:
    """Answers questions of a split with the population's parameters; see `learn`."""
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), EVALUATION)
    num_batches = -(-num_questions // BATCH_SIZE)

    def sample(data: Any, number: jax.Array) -> Examples:
        return task.sample(data, jax.random.fold_in(key, number), BATCH_SIZE)

    draw = draw or sample

    @jax.jit
    def answer_all(params: Any, data: Any) -> tuple[jax.Array, ...]:
        def one_batch(number: jax.Array) -> tuple[jax.Array, ...]:
            examples = draw(data, number)

            def one_member(member: Any) -> tuple[jax.Array, jax.Array]:
                answers = agent.answer(member, examples, key)
                right = answers.logits.argmax(-1) == examples.target
                return right, answers.diagnostics["hops"]

            return examples.kind, *jax.vmap(one_member)(params)

        return jax.lax.map(one_batch, jnp.arange(num_batches))

    kind, right, hops = map(np.asarray, answer_all(fit.params, task.load(split)))
    num_members = right.shape[1]
    right = np.swapaxes(right, 0, 1).reshape(num_members, -1, right.shape[-1])
    hops = np.swapaxes(hops, 0, 1).reshape(num_members, -1)
    return Answered(
        kind.reshape(-1)[:num_questions], right[:, :num_questions], hops[:, :num_questions]
    )


def attention_of(agent: Reasoner, fit: Fit, member: int, examples: Examples) -> np.ndarray:
    """`[N, K, H, I]`, what each hop and head of one member reads."""
    params = jax.tree.map(lambda leaf: leaf[member], fit.params)
    answers = jax.jit(agent.answer)(params, examples, jax.random.PRNGKey(0))
    return np.asarray(answers.diagnostics["attention"])


def draw_curves(study: Study, panels: Mapping[str, Mapping[str, Fit]], name: str) -> None:
    """Draws training accuracy by update: a panel each, in it a line a model."""
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for one, (title, fits) in zip(row, panels.items(), strict=True):
        one.spines[["top", "right"]].set_visible(False)
        for model, fit in fits.items():
            accuracy = fit.curves["train/accuracy"]
            one.plot(
                fit.updates, np.median(accuracy, 1), color=COLOURS[model],
                label=LABELS[model],
            )  # fmt: skip
            one.fill_between(
                fit.updates, accuracy.min(1), accuracy.max(1), color=COLOURS[model],
                alpha=0.2, lw=0,
            )  # fmt: skip
        one.set_title(title, fontsize=10)
        one.set_xlabel("updates")
        one.set_ylim(0.0, 1.02)
    row[0].set_ylabel("share of questions answered rightly")
    row[0].legend(frameon=False, fontsize=8)
    study.figure(
        figure,
        name,
        "Training: questions with all answers right, median and range of the members.",
    )
