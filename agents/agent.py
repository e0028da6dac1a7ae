"""What an agent is: three pure functions, and the arrays that pass between them.

An agent knows no environment, replay, logger, file or clock. A runner calls `act` on
what the environment returns, stores what `act` decided in an `Unroll`, and hands that to
`update`; the same agent runs fused on an accelerator, in one process, or on a cluster.

Shapes: T steps of one unroll, B parallel sequences, A actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import jax

from tolman.envs.environment import TimeStep

Array = jax.Array
Params = Any
ActorState = Any  # Pytree of `[B, ...]`: what an actor carries from step to step.
LearnerState = Any  # Pytree with a field `params`: what a learner carries between updates.
Metrics = Mapping[str, Array]  # Name to scalar.


class Unroll(NamedTuple):
    """T consecutive decisions of B actors, and what came after the last one.

    Row t holds the time step that the actor saw and the decision that it took there;
    the reward and discount of that decision stand in row t + 1 of `timestep`. Row T is
    also row 0 of the next unroll: here it only supplies the bootstrap value.

    Attributes:
      timestep: `[T + 1, B, ...]`.
      action: `[T, B]` int32.
      logits: `[T, B, A]`, of the policy that chose the actions.
      actor_state: `[B, ...]`, the actor's state *before* row 0.
    """

    timestep: TimeStep
    action: Array
    logits: Array
    actor_state: ActorState


class Decision(NamedTuple):
    """Attributes:
    action: `[B]` int32, sampled from the policy.
    logits: `[B, A]`, the policy's.
    """

    action: Array
    logits: Array


@dataclass(frozen=True)
class DataSpec:
    """The data an agent learns from; the runner supplies it.

    Attributes:
      unroll_length: decisions in one sequence.
      batch_size: sequences in one update.
    """

    unroll_length: int
    batch_size: int


class Agent(Protocol):
    """A learning agent as pure functions. Every method may be jitted and vmapped."""

    @property
    def data(self) -> DataSpec:
        """The data that `update` wants."""
        ...

    def init(self, key: Array, hyperparameters: Any = None) -> LearnerState:
        """Returns a fresh learner state.

        Args:
          key: `[2]`.
          hyperparameters: a pytree of arrays that stands in for settings of the config
            and that a sweep varies; None where the config's hold.
        """
        ...

    def initial_actor_state(self, batch_size: int) -> ActorState:
        """Returns the state of actors that have seen nothing yet."""
        ...

    def act(
        self, params: Params, key: Array, timestep: TimeStep, actor_state: ActorState
    ) -> tuple[Decision, ActorState]:
        """Decides for `[B]` time steps."""
        ...

    def update(
        self, learner_state: LearnerState, unroll: Unroll, progress: Array
    ) -> tuple[LearnerState, Metrics]:
        """Learns from one unroll.

        Args:
          learner_state: as returned by `init` or the last `update`.
          unroll: `data.unroll_length` steps of `data.batch_size` sequences.
          progress: `[]`, the share of the planned training that is done, in [0, 1];
            schedules read it.
        """
        ...


AGENTS: dict[str, Callable[..., Agent]] = {}

Factory = TypeVar("Factory", bound=Callable[..., Any])


def register_agent(name: str) -> Callable[[Factory], Factory]:
    """Makes an agent known by `name`: `tolman train NAME`.

    The factory takes `(config, observation_spec, action_spec, make_core)`; `config` is
    annotated with the frozen dataclass that `--agent.KEY` sets, and `make_core` builds
    the memory core inside a Haiku transform.

    Raises:
      ValueError: if the name is taken by another factory.
    """

    def register(factory: Factory) -> Factory:
        if AGENTS.get(name, factory) is not factory:
            raise ValueError(
                f"agent name {name!r} is taken: register the new one under another name."
            )
        AGENTS[name] = factory
        return factory

    return register
