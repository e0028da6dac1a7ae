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
      rows: of metrics, a task.
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
      params: `[P, ...]`, at the end.
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
    done = run_stage(
        study.folder / "training" / f"{label}_{method.label}",
        runner,
        keys,
        runner.num_updates,
        num_rows=setting.rows * len(sources),
    )
    seconds = time.process_time() - started
    curves = np.stack([done.curves[name] for name in names], 1)  # [R, K, P]
    ends = setting.num_updates * np.arange(1, len(sources) + 1)
    at_ends = curves[np.searchsorted(done.units, ends)]  # [K, K, P]
    return Learned(
        method,
        np.moveaxis(at_ends, -1, 0),
        np.stack([np.asarray(before[name]) for name in names], 1),
        done.units,
        curves,
        done.params,
        seconds,
    )


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
