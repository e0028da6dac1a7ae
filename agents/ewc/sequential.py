"""Double DQN on tasks in turn, under elastic weight consolidation.

The tasks share all weights but biases and gains, which each has to itself. Which task it is
comes from outside, given or inferred: between two, the runner calls `switch`, and what the
one that ended needs is held.

Shapes: K tasks, N examples.

Source: Kirkpatrick et al. 2017, section 2.3 and appendix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from dm_env import specs

from tolman.agents.agent import (
    ActorState,
    Array,
    Decision,
    Learned,
    Unroll,
    register_agent,
)
from tolman.agents.dqn.agent import DQN
from tolman.agents.dqn.agent import Params as QParams
from tolman.agents.ewc import fisher as estimators
from tolman.agents.ewc.config import ElasticConfig, SequentialConfig
from tolman.agents.ewc.elastic import Elastic, ElasticState
from tolman.agents.ewc.own import Own, TaskWeights, fresh, joined, of_shared, with_own
from tolman.agents.gradient import Wrapper
from tolman.envs.environment import TimeStep
from tolman.networks.core import MemoryCore


class Params(NamedTuple):
    """What acting needs, in any of the tasks.

    Attributes:
      present: the weights and epsilon of the task under way.
      own: `[K, ...]`, the own parts of all tasks; those of the one under way are out of
        date.
      task: `[]` int32, under way.
    """

    present: QParams
    own: Own
    task: Array

    @property
    def weights(self) -> TaskWeights:
        """Of the task under way."""
        return self.present.weights


class SequentialState(NamedTuple):
    """Attributes:
    elastic: of Double DQN under EWC.
    own: see `Params`.
    task: see `Params`.
    """

    elastic: ElasticState
    own: Own
    task: Array

    @property
    def params(self) -> Params:
        """What acting needs."""
        return Params(self.elastic.params, self.own, self.task)


@register_agent("ewc")
class SequentialDQN(Wrapper):
    """Double DQN that keeps what it learned in earlier tasks.

    The methods are those of `tolman.agents.agent.Agent` and of `tolman.agents.tasks`.
    """

    def __init__(
        self,
        config: SequentialConfig,
        observation_spec: Any,
        action_spec: specs.DiscreteArray,
        make_core: Callable[[], MemoryCore],
    ) -> None:
        q_learner = DQN(config, observation_spec, action_spec, make_core)
        self._joined_network = q_learner.network
        q_learner.network = with_own(q_learner.network)
        elastic = ElasticConfig(config.strength, max_tasks=config.max_tasks)
        super().__init__(Elastic(q_learner, elastic))
        self.config = config

    @property
    def num_switch_batches(self) -> int:
        """That `switch` is given."""
        return self.config.num_fisher_batches

    @property
    def max_tasks(self) -> int:
        """That there is room for."""
        return self.config.max_tasks

    def init(self, key: Array, hyperparameters: Any = None) -> SequentialState:
        """Starts at task 0."""
        elastic = self.inner.init(key, hyperparameters)
        number = self.config.max_tasks
        own = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (number, *leaf.shape)),
            fresh(elastic.params.weights.own),
        )
        return SequentialState(elastic, own, jnp.int32(0))

    def act(
        self, params: Params, noise: Any, timestep: TimeStep, actor_state: ActorState
    ) -> tuple[Decision, ActorState]:
        """Acts in the task under way."""
        return self.inner.act(params.present, noise, timestep, actor_state)

    def update(
        self, learner_state: SequentialState, batch: Unroll, key: Array, progress: Array
    ) -> Learned:
        """Learns from a batch of the task under way, of which `progress` is, too."""
        learned = self.inner.update(learner_state.elastic, batch, key, progress)
        return learned._replace(
            learner_state=learner_state._replace(elastic=learned.learner_state)
        )

    def for_task(self, params: Params, task: Array | int) -> Params:
        """The parameters with which it acts in a task."""
        weights = params.weights
        own = _with(params.own, params.task, weights.own)
        chosen = jax.tree.map(lambda leaf: leaf[task], own)
        present = params.present._replace(weights=weights._replace(own=chosen))
        return Params(present, own, jnp.int32(task))

    def switch(
        self,
        learner_state: SequentialState,
        examples: Unroll | None,
        key: Array,
        ended: Array,
        begun: Array,
    ) -> SequentialState:
        """Holds on to what one task needs, and begins another.

        The target network, the running moments of the gradient and epsilon begin anew.

        Args:
          learner_state: at the end of a task.
          examples: of that task, whose first rows the Fisher is taken of; None where too
            little was learned of it for anything to be held.
          key: not needed.
          ended: its number, `[]`.
          begun: that of the next, `[]`.
        """
        del key
        weights = learner_state.params.weights
        own = _with(learner_state.own, ended, weights.own)
        if examples is not None:
            learner_state = self.hold(learner_state, self.fisher(weights, examples), ended)
        return self.begin(learner_state._replace(own=own), begun)

    def fisher(self, weights: TaskWeights, examples: Unroll) -> TaskWeights:
        """The Fisher diagonal of all action values, Gaussian means of variance 1."""
        first = jax.tree.map(lambda leaf: leaf[0], examples.timestep)  # [N, ...]

        def values_of(layers: Any, seen: Any) -> Array:
            return self._joined_network.step(layers, *seen)[0].policy

        seen = (first, examples.actor_state)
        return of_shared(weights, estimators.of_values(values_of, joined(weights), seen))

    def hold(
        self, learner_state: SequentialState, fisher: TaskWeights, task: Array
    ) -> SequentialState:
        """Anchors the weights of a task that ended, by a Fisher like them."""
        elastic = self.inner.anchor(learner_state.elastic, fisher, task)
        return learner_state._replace(elastic=elastic)

    def begin(self, learner_state: SequentialState, task: Array) -> SequentialState:
        """Begins a task with the weights as they are and its own parts."""
        elastic = learner_state.elastic
        own = jax.tree.map(lambda leaf: leaf[task], learner_state.own)
        weights = elastic.params.weights._replace(own=own)
        inner = elastic.inner._replace(
            params=QParams(weights, jnp.float32(self.config.epsilon)),
            target_weights=jax.tree.map(jnp.copy, weights),
            optimizer_state=self.gradient_step.init(weights),
        )
        return learner_state._replace(
            elastic=elastic._replace(inner=inner), task=jnp.int32(task)
        )


def _with(bank: Own, task: Array, own: Own) -> Own:
    """The own parts of all tasks, with those of one replaced."""
    return jax.tree.map(lambda kept, new: kept.at[task].set(new), bank, own)
