"""Elastic weight consolidation as a part of any agent, read top to bottom.

Source: Kirkpatrick et al. 2017, section 2.1.
  Departure: the penalty enters by a proximal step after each step of the agent's optimizer,
  so that no clip and no running moment touches it, and no strength makes it diverge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from tolman.agents.agent import Array, Learned, LearnerState, Params
from tolman.agents.ewc import fisher as estimators
from tolman.agents.ewc.config import ElasticConfig
from tolman.agents.ewc.quadratic import Quadratic, Weights, add, flat, proximal_step, value
from tolman.agents.gradient import Hook, Wrapper, with_hooks


class Terms(NamedTuple):
    """The terms of K tasks, each by itself.

    Attributes:
      fisher: `[K, ...]`, like the weights; 0 of a task that has none yet.
      weights: `[K, ...]`, at the end of each task.
    """

    fisher: Weights
    weights: Weights


class ElasticState(NamedTuple):
    """Attributes:
    inner: of the agent inside.
    quadratic: the penalties of all tasks so far, in one.
    terms: of the tasks by themselves, where they may return; else None.
    """

    inner: LearnerState
    quadratic: Quadratic
    terms: Terms | None = None

    @property
    def params(self) -> Params:
        """Of the agent inside."""
        return self.inner.params


def weights_of(params: Params) -> Weights:
    """What an agent's gradient step trains: `params.weights` where there is such."""
    return getattr(params, "weights", params)


class Elastic(Wrapper):
    """An agent whose weights stay where earlier tasks need them.

    Between two tasks, whoever runs it calls `anchor`, or `consolidate` for an agent that
    learns from examples. All else is as the agent inside has it.
    """

    def __init__(
        self,
        inner: Any,
        config: ElasticConfig,
        select: Callable[[Params], Weights] = weights_of,
    ) -> None:
        """Wraps an agent.

        Args:
          inner: one that learns by its attribute `gradient_step`.
          config: how it holds on.
          select: the weights that its gradient step trains, from its params.
        """
        super().__init__(inner)
        self.elastic, self.select = config, select

    def init(self, key: Array, *arguments: Any) -> ElasticState:
        """Starts the agent inside; nothing is held yet."""
        inner = self.inner.init(key, *arguments)
        weights = self.select(inner.params)
        terms, num_tasks = None, self.elastic.max_tasks
        if num_tasks:
            zeros = jax.tree.map(
                lambda w: jnp.zeros((num_tasks, *w.shape), w.dtype), weights
            )
            terms = Terms(zeros, jax.tree.map(jnp.zeros_like, zeros))
        return ElasticState(inner, flat(weights), terms)

    def update(
        self, learner_state: ElasticState, batch: Any, key: Array, progress: Array
    ) -> Learned:
        """The update of the agent inside, with a proximal step after its optimizer's."""
        config, quadratic = self.elastic, learner_state.quadratic

        def pull(new: Weights, old: Weights, step_size: Array) -> Weights:
            step = step_size if config.step_size is None else config.step_size
            return proximal_step(quadratic, new, step * config.strength)

        # Without strength it is the program of the agent inside, to the bit.
        agent = with_hooks(self.inner, *[Hook(step=pull)] * bool(config.strength))
        learned = agent.update(learner_state.inner, batch, key, progress)
        metrics = dict(learned.metrics)
        if config.logs_penalty:
            weights = self.select(learned.learner_state.params)
            penalty = value(quadratic, weights) if config.strength else jnp.float32(0.0)
            metrics["loss/elastic"] = 0.5 * config.strength * penalty
        learner_state = learner_state._replace(inner=learned.learner_state)
        return Learned(learner_state, metrics, learned.priorities)

    def anchor(
        self, learner_state: ElasticState, fisher: Weights, task: Array | int = 0
    ) -> ElasticState:
        """Holds on to the present weights.

        Args:
          learner_state: at the end of a task.
          fisher: how much each weight matters to that task, like the weights.
          task: the number of the task, below `max_tasks`; of one that returns, the older
            term goes. Not read where `max_tasks` is 0.

        Raises:
          ValueError: for a task that there is no room for.
        """
        config = self.elastic
        weights = self.select(learner_state.params)
        if config.form == "online":
            total = jax.tree.map(
                lambda old, new: config.decay * old + new,
                learner_state.quadratic.fisher,
                fisher,
            )
            centre = jax.tree.map(jnp.copy, weights)
            return learner_state._replace(
                quadratic=Quadratic(total, centre, jnp.float32(0.0))
            )
        if learner_state.terms is None:
            return learner_state._replace(
                quadratic=add(learner_state.quadratic, fisher, weights)
            )
        if isinstance(task, int) and not 0 <= task < config.max_tasks:
            raise ValueError(
                f"task={task}: must lie in [0, max_tasks = {config.max_tasks}). Raise "
                "max_tasks."
            )
        terms = jax.tree.map(
            lambda kept, new: kept.at[task].set(new),
            learner_state.terms,
            Terms(fisher, weights),
        )
        return learner_state._replace(quadratic=_sum_of(terms, weights), terms=terms)

    def consolidate(
        self, learner_state: ElasticState, examples: Any, key: Array, task: Array | int = 0
    ) -> ElasticState:
        """`anchor` with the Fisher of examples, of an agent that learns from such.

        Args:
          learner_state: at the end of a task.
          examples: of that task, `[B, ...]`, with the right classes in `target`, `[B]`.
          key: `[2]`, of sampled labels.
          task: see `anchor`.
        """
        return self.anchor(learner_state, self.fisher(learner_state, examples, key), task)

    def fisher(self, learner_state: ElasticState, examples: Any, key: Array) -> Weights:
        """The Fisher diagonal at the present weights; see `consolidate`."""
        return self.fisher_of(self.select(learner_state.params), examples, key)

    def fisher_of(self, weights: Weights, examples: Any, key: Array) -> Weights:
        """The Fisher diagonal at these weights; see `consolidate`."""

        def logits_of(weights: Weights, examples: Any) -> Array:
            return self.inner.answer(weights, examples, key).logits

        return estimators.of_logits(
            logits_of, weights, examples, examples.target, key, self.elastic.estimator
        )


def _sum_of(terms: Terms, like: Weights) -> Quadratic:
    def step(quadratic: Quadratic, term: Terms) -> tuple[Quadratic, None]:
        return add(quadratic, term.fisher, term.weights), None

    return lax.scan(step, flat(like), terms)[0]
