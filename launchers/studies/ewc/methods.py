"""Ways to learn tasks one after another, and one training of each.

Shapes: P members, K tasks, R rows of metrics.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array, Params
from tolman.agents.classifier import Classifier, ClassifierConfig
from tolman.agents.ewc import Elastic, ElasticConfig, ElasticState
from tolman.agents.ewc import fisher as estimators
from tolman.envs.classification.permuted import Images, PermutedImages, examples_of
from tolman.launchers.device.supervised_sequence import (
    OnEnd,
    Score,
    SourcePart,
    SupervisedSequenceRunner,
)
from tolman.launchers.runs.failures import DivergenceError
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.loggers import read_curves, read_rows
from tolman.launchers.studies.stages import run_stage
from tolman.launchers.studies.study import Study

Kind = Literal["sgd", "l2", "ewc", "shuffled", "late", "uniform"]


@dataclass(frozen=True)
class Method:
    """One way to learn tasks one after another.

    Attributes:
      kind: "sgd" holds on to nothing; "l2" to all weights alike; "ewc" to each by its
        Fisher. Three must fail: "shuffled" has the Fisher of other weights of the same
        layer, "late" takes the anchor one task too late, and "uniform" the Fisher of
        answers that are all as likely.
      strength: lambda.
      learning_rate: of plain gradient descent.
    """

    kind: Kind
    strength: float
    learning_rate: float

    @property
    def label(self) -> str:
        """Of the training stage."""
        return f"{self.kind}_{self.strength:g}_{self.learning_rate:g}"


@dataclass(frozen=True)
class Setting:
    """What the methods have in common.

    Attributes:
      hidden_sizes: of the network.
      num_updates: of each task, of batches of 100.
      num_fisher: examples that a Fisher is taken from.
      num_scored: images of each task's test split that a score is taken of.
      num_members: P, trained side by side, each from a seed of its own.
      rows: of metrics, a task; a divisor of its updates.
    """

    hidden_sizes: tuple[int, ...]
    num_updates: int
    num_fisher: int
    num_scored: int
    num_members: int
    rows: int


class Learned(NamedTuple):
    """What came of one method.

    Attributes:
      method: that was trained.
      scores: `[P, K, K]`, accuracy on task j when task i has just been learned.
      untrained: `[P, K]`, accuracy before anything was learned.
      updates: `[R]`.
      curves: `[R, K, P]`, accuracy on each task.
      params: `[P, ...]`, at the end; None of what diverged.
      cpu_seconds: of processor time, compilation and scores included.
    """

    method: Method
    scores: np.ndarray
    untrained: np.ndarray
    updates: np.ndarray
    curves: np.ndarray
    params: Params
    cpu_seconds: float

    def after(self, num_tasks: int) -> np.ndarray:
        """`[P]`, the mean accuracy over so many tasks when they have just been learned."""
        return self.scores[:, num_tasks - 1, :num_tasks].mean(1)

    def when_learned(self, task: int) -> np.ndarray:
        """`[P]`, the accuracy on a task when it has just been learned."""
        return self.scores[:, task, task]


def learn(
    study: Study,
    label: str,
    method: Method,
    sources: Sequence[PermutedImages],
    setting: Setting,
    split: str = "test",
) -> Learned:
    """Trains one method on tasks in turn, or takes up where an interrupted one stood.

    What diverges, as plain gradient descent does at large rates, has the accuracy of chance
    from there on, and the study has a note of it.

    Args:
      study: whose folder and seed it has.
      label: names the training, before the method.
      method: how earlier tasks are kept.
      sources: the tasks, in order.
      setting: of all methods.
      split: that scores are taken of.
    """
    config = ClassifierConfig(setting.hidden_sizes, learning_rate=method.learning_rate)
    inner = Classifier(config, sources[0])
    elastic = Elastic(inner, ElasticConfig(method.strength, logs_penalty=False))
    agent: Any = inner if method.kind == "sgd" else elastic
    runner = SupervisedSequenceRunner(
        agent,
        [SourcePart(str(s.task), s, setting.num_updates) for s in sources],
        setting.num_members,
        score=make_score(inner, setting.num_scored),
        on_end=make_on_end(method.kind, elastic, sources, setting.num_fisher),
        score_split=split,
    )
    keys = study.member_keys(setting.num_members)
    names = [f"eval/{source.task}/accuracy" for source in sources]
    started = time.process_time()
    before = runner.scores(runner.init(keys))
    units, curves, params = _train(
        study, f"{label}_{method.label}", runner, keys, setting.rows * len(sources)
    )
    seconds = time.process_time() - started
    every = np.linspace(0, runner.num_updates, setting.rows * len(sources) + 1)[1:]
    by_task = np.full((len(every), len(sources), setting.num_members), np.nan)  # [R, K, P]
    for task, name in enumerate(names):
        by_task[: len(units), task] = curves.get(name, np.nan)
    # A network whose outputs are not finite tells no class from another.
    by_task = np.where(np.isfinite(by_task), by_task, 1.0 / sources[0].num_classes)
    at_ends = by_task[setting.rows - 1 :: setting.rows]  # [K, K, P]
    return Learned(
        method,
        np.moveaxis(at_ends, -1, 0),
        np.stack([np.asarray(before[name]) for name in names], 1),
        every,
        by_task,
        params,
        seconds,
    )


def _train(
    study: Study, name: str, runner: SupervisedSequenceRunner, keys: Array, num_rows: int
) -> tuple[np.ndarray, dict[str, np.ndarray], Params]:
    """Units, curves and parameters of a training; what there is of one that diverged."""
    folder = study.folder / "training" / name
    try:
        done = run_stage(folder, runner, keys, runner.num_updates, num_rows=num_rows)
    except DivergenceError:
        rows = read_rows(RunFolder(folder).metrics)
        units, curves = read_curves(rows, runner.num_members)
        last = units[-1] if len(units) else 0
        study.note(
            f"{name} diverged after {last} updates: from there on its answers count as "
            "those of chance."
        )
        return units, curves, None
    return done.units, done.curves, done.params


def make_score(agent: Classifier, num_scored: int) -> Score:
    """Accuracy on images all over a split: MNIST's first test images are easier."""

    def score(params: Params, data: Images) -> Array:
        step = max(len(data.label) // num_scored, 1)
        examples = examples_of(data, jnp.arange(0, len(data.label), step))
        logits = agent.answer(params, examples, jax.random.PRNGKey(0)).logits
        return (logits.argmax(-1) == examples.target).mean()

    return score


def make_on_end(
    kind: Kind, elastic: Elastic, sources: Sequence[PermutedImages], num_fisher: int
) -> OnEnd | None:
    """What a method does at the end of a task."""
    if kind == "sgd":
        return None

    def on_end(state: ElasticState, data: Images, key: Array, index: Array) -> ElasticState:
        draw_key, fisher_key, shuffle_key = jax.random.split(key, 3)
        weights = elastic.select(state.params)
        if kind == "l2":
            return elastic.anchor(state, jax.tree.map(jnp.ones_like, weights))
        if kind == "late":
            side = round(data.order.size**0.5)
            orders = jnp.stack([jnp.asarray(source.order(side)) for source in sources])
            data = data._replace(order=orders[jnp.maximum(index - 1, 0)])
        examples = sources[0].sample(data, draw_key, num_fisher)
        if kind == "uniform":
            fisher = _of_uniform_answers(elastic, weights, examples)
        else:
            fisher = elastic.fisher(state, examples, fisher_key)
        if kind == "late":  # After the first task nothing is held yet.
            fisher = jax.tree.map(lambda leaf: leaf * (index > 0), fisher)
        if kind == "shuffled":
            fisher = shuffled(fisher, shuffle_key)
        return elastic.anchor(state, fisher)

    return on_end


def shuffled(tree: Any, key: Array) -> Any:
    """Every array with its values in another order: the same trace, another meaning."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    mixed = [
        jax.random.permutation(k, leaf.ravel()).reshape(leaf.shape)
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, mixed)


def _of_uniform_answers(elastic: Elastic, weights: Any, examples: Any) -> Any:
    def log_p(weights: Any, examples: Any) -> Array:
        logits = elastic.inner.answer(weights, examples, jax.random.PRNGKey(0)).logits
        return jax.nn.log_softmax(logits)

    outputs = log_p(weights, examples)
    uniform = jnp.full(outputs.shape, -np.log(outputs.shape[1]), jnp.float32)
    target, key = examples.target, jax.random.PRNGKey(0)
    answers = estimators.choose(uniform, target, key, "exact")
    return estimators.diagonal(log_p, weights, examples, answers)
