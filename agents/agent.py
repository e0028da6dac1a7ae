"""What an agent is: three pure functions, and the arrays that pass between them.

An agent knows no environment, replay, logger, file or clock. A runner calls `act` on
what the environment returns, stores what `act` decided in an `Unroll`, and hands that to
`update`; the same agent runs fused on an accelerator, in one process, or on a cluster.

Shapes: T steps of one unroll, B parallel sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Interval

from tolman.envs.environment import TimeStep
from tolman.envs.registry import Registry

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
      action: `[T, B, ...]`, a pytree like the action spec.
      policy: `[T, B, ...]`, a pytree: parameters of the policy that chose the actions.
      actor_state: `[B, ...]`, the actor's state *before* row 0.
      probability: `[B]`, of drawing this sequence from a prioritised replay; None where
        every sequence is as likely.
    """

    timestep: TimeStep
    action: Any
    policy: Any
    actor_state: ActorState
    probability: Array | None = None


class Decision(NamedTuple):
    """Attributes:
    action: `[B, ...]`, a pytree like the action spec.
    policy: `[B, ...]`, a pytree: the parameters of the policy that chose it, such as the
      logits `[B, A]` of A numbered actions; of a greedy one, the action values.
    """

    action: Any
    policy: Any


class Learned(NamedTuple):
    """What an update returns.

    Attributes:
      learner_state: to go on with.
      metrics: of this update.
      priorities: `[B]`, above 0, of the sequences just learned from, where they came from
        a prioritised replay.
    """

    learner_state: LearnerState
    metrics: Metrics
    priorities: Array | None = None


@dataclass(frozen=True)
class DataSpec:
    """The data an agent learns from; the runner supplies it.

    Attributes:
      unroll_length: T, decisions in one sequence, those of a burn-in included.
      batch_size: B, sequences in one update.
      replay: "queue" hands out every sequence once and in order; "uniform" and
        "prioritized" draw them with replacement from those kept.
      max_lag: updates that acting may be behind learning; 0 for an agent that learns
        from its own latest policy only. A queue's runner keeps to it.
      period: decisions from the start of one sequence to that of the next in the same
        environment; 0 for `unroll_length`, so that they do not overlap.
      capacity: sequences kept; of a replay only.
      min_size: sequences kept before the first update; of a replay only.
      samples_per_insert: how often a sequence is drawn, on average; of a replay only.
      priority_exponent: probability goes with this power of the priority.
    """

    unroll_length: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(1)]
    replay: Literal["queue", "uniform", "prioritized"] = "queue"
    max_lag: Annotated[int, Ge(0)] = 0
    period: Annotated[int, Ge(0)] = 0
    capacity: Annotated[int, Interval(ge=1, lt=2**31)] = 100_000
    min_size: Annotated[int, Ge(1)] = 1_000
    samples_per_insert: Annotated[float, Gt(0)] = 1.0
    priority_exponent: Annotated[float, Ge(0)] = 0.6

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        """What relates two of them; see `tolman.launchers.settings.bounds`."""
        if self.replay != "queue" and self.capacity < self.min_size:
            yield "capacity", f"at least min_size = {self.min_size}"


class Agent(Protocol):
    """A learning agent as pure functions. Every method may be jitted and vmapped.

    One that draws random numbers at every decision may also have a method
    `draw_noise(key, batch_size)`; see the function of that name. One that can act without
    exploring has `greedy_noise(batch_size)`; see `tolman.agents.greedy`.
    """

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
        self, params: Params, noise: Any, timestep: TimeStep, actor_state: ActorState
    ) -> tuple[Decision, ActorState]:
        """Decides for `[B]` time steps; `noise` is a key, or what `draw_noise` drew."""
        ...

    def update(
        self, learner_state: LearnerState, batch: Unroll, key: Array, progress: Array
    ) -> Learned:
        """Learns from one batch; agents of every kind have this signature.

        Args:
          learner_state: as returned by `init` or the last `update`.
          batch: `data.unroll_length` steps of `data.batch_size` sequences.
          key: `[2]`, of all chance in the update.
          progress: `[]`, the share of the planned training that is done, in [0, 1];
            schedules read it.
        """
        ...


def decision_mask(timestep: TimeStep) -> Array:
    """`[T, B]` float32 from `[T + 1, B]` rows: 0 where the decision had no effect.

    That is on LAST, whose following row is the FIRST of another episode.
    """
    return 1.0 - timestep.is_last()[:-1].astype(jnp.float32)


def draw_noise(agent: Agent, key: Array, batch_size: int) -> Any:
    """Draws the random numbers of one call of `agent.act`.

    A runner that knows how many decisions are to come draws for all of them at once: on
    a CPU, one draw a step costs more than the step of a small network. An agent without
    a method of this name gets the key itself.
    """
    method = getattr(agent, "draw_noise", None)
    return key if method is None else method(key, batch_size)


Kind = Literal["acts", "plays", "learns"]
AGENTS = Registry("agent")

Factory = TypeVar("Factory", bound=Callable[..., Any])


def register_agent(name: str, kind: Kind = "acts") -> Callable[[Factory], Factory]:
    """Makes an agent known by `name`: `tolman train NAME`.

    The factory's first argument is `config`, annotated with the frozen dataclass that
    `--agent.KEY` sets. What it takes further goes by its kind:

        "acts"    (config, observation_spec, action_spec, make_core): in an environment;
                  `make_core` builds the memory core inside a Haiku transform
        "plays"   (config, game): a board game against itself
        "learns"  (config, task): from examples; see `tolman.agents.supervised`

    Args:
      name: of the agent.
      kind: what the agent does, and so what `--env` names.

    Raises:
      ValueError: if the name is taken by another factory.
    """
    return AGENTS.register(name, kind=kind)
