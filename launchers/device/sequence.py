"""A sequence of environments in one run: the same agent, environment k for N_k env steps.

The learner goes on from one to the next; the actors and the environments of each begin when
its turn comes, from keys that were drawn at the start, so that a run that was broken off
anywhere goes on to the same bits.

Shapes: P members, E episodes of an evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Agent, Array, LearnerState
from tolman.envs.environment import Environment
from tolman.launchers.device.acting import TrainState
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.device.on_device import ENVIRONMENTS, OnDeviceRunner
from tolman.launchers.device.population import PopulationRunner
from tolman.launchers.device.turns import Stretch, Turns

OnSwitch = Callable[[LearnerState, Array, Array], LearnerState]
SHARED = ("learner", "keys", "updates")  # Fields that all environments train in turn.


class Part(NamedTuple):
    """One environment of a sequence.

    Attributes:
      name: in metrics, `eval/<name>/episode_return`.
      environment: what is trained on.
      num_env_steps: for so many, rounded up to whole updates.
    """

    name: str
    environment: Environment
    num_env_steps: int


class SequenceState(NamedTuple):
    """All that a run is: saved and restored whole, it goes on to the same bits.

    Attributes:
      learner: `[P, ...]`.
      keys: `[P, 2]`.
      updates: `[P]` int32, done so far, over all environments.
      places: of each environment, the other fields of its `TrainState`.
    """

    learner: LearnerState
    keys: Array
    updates: Array
    places: tuple[dict[str, Any], ...]


class SequenceRunner(PopulationRunner):
    """Trains a population on environments in turn.

    Attributes:
      parts: the environments, in order.
    """

    def __init__(
        self,
        agent: Agent,
        parts: Sequence[Part],
        num_members: int = 1,
        devices: Sequence[jax.Device] | None = None,
        num_eval_episodes: int = 0,
        on_switch: OnSwitch | None = None,
    ) -> None:
        """Prepares a run; nothing is compiled yet.

        Args:
          agent: what learns.
          parts: the environments, in order; their specs agree.
          num_members: P.
          devices: see `PopulationRunner`.
          num_eval_episodes: of each environment, with frozen parameters, for every row of
            metrics; 0 for no evaluations.
          on_switch: tells the agent of a switch: a function of one member's learner state,
            a key, `[2]`, and the index of the environment that begins, `[]`; it returns
            the state to go on with. None does not tell it.

        Raises:
          ValueError: if there is no environment, specs differ, or the agent has a replay.
        """
        if not parts:
            raise ValueError("parts=(): must hold at least one environment.")
        if agent.data.replay != "queue":
            raise ValueError(
                f"replay={agent.data.replay!r}: must be 'queue' to train on environments "
                "in turn. Take an agent that learns from a queue."
            )
        for part in parts[1:]:
            _check_specs(parts[0], part)
        self.parts = tuple(parts)
        self._runners = [
            OnDeviceRunner(agent, part.environment, num_members, devices) for part in parts
        ]
        one = self._runners[0]
        share = (ENVIRONMENTS, agent.data.batch_size)
        super().__init__(agent, num_members, one.unit, one.units_per_update, share, devices)
        lengths = [math.ceil(p.num_env_steps / self.units_per_update) for p in parts]
        self._turns = Turns(lengths, num_members)
        self._num_eval_episodes = num_eval_episodes
        self._on_switch = on_switch and jax.jit(jax.vmap(on_switch, in_axes=(0, 0, None)))

    @property
    def num_env_steps(self) -> int:
        """Of the whole sequence."""
        return round(self._turns.num_updates * self.units_per_update)

    def init(self, keys: Array, hyperparameters: Any = None) -> SequenceState:
        """Starts P members; the first environment begins as in a run of its own."""
        first, *others = (
            runner.init(
                keys
                if index == 0
                else jax.vmap(jax.random.fold_in, (0, None))(keys, index),
                hyperparameters,
            )
            for index, runner in enumerate(self._runners)
        )
        places = tuple(_place(state) for state in (first, *others))
        return SequenceState(**_shared(first), places=places)

    def place(self, state: SequenceState) -> SequenceState:
        placed = [
            runner.place(_at(state, index)) for index, runner in enumerate(self._runners)
        ]
        return SequenceState(**_shared(placed[0]), places=tuple(map(_place, placed)))

    def prepare(self, state: SequenceState, total_updates: int) -> SequenceState:
        """Compiles the program of the environment under way."""
        for runner in self._runners:
            runner._total_updates = total_updates
        return self._step(state, self._turns.index(self.counts(state).updates), 0)[0]

    def train(
        self, state: SequenceState, num_updates: int
    ) -> tuple[SequenceState, dict[str, Any]]:
        """Takes `num_updates` updates; see `PopulationRunner.train`.

        Returns:
          The new state, and metrics: `[P]` each, those of the environments under way, the
          `task/index` of the last of them, and `eval/<name>/episode_return` of all.
        """
        state, metrics = self._turns.train(
            state, num_updates, lambda state: self.counts(state).updates, self._stretch
        )
        return state, metrics | self._evaluate(state)

    def num_compilations(self) -> int:
        return sum(runner.num_compilations() for runner in self._runners)

    def _stretch(self, state: SequenceState, stretch: Stretch) -> Any:
        index = stretch.index
        if stretch.is_first and self._on_switch is not None:
            keys = jax.vmap(jax.random.fold_in, (0, None))(state.keys, index)
            learner = self._on_switch(state.learner, keys, jnp.int32(index))
            state = state._replace(learner=learner)
        return self._step(state, index, stretch.num_updates)

    def _step(self, state: SequenceState, index: int, num_updates: int) -> Any:
        trained, metrics = self._runners[index].train(_at(state, index), num_updates)
        places = [*state.places]
        places[index] = _place(trained)
        return SequenceState(**_shared(trained), places=tuple(places)), metrics

    def _evaluate(self, state: SequenceState) -> dict[str, np.ndarray]:
        if not self._num_eval_episodes:
            return {}
        key = jax.random.fold_in(jax.random.PRNGKey(0), self.counts(state).updates)
        found = {}
        for part in self.parts:
            played = play_episodes(
                self.agent,
                part.environment,
                state.learner.params,
                key,
                self._num_eval_episodes,
            )
            found[f"eval/{part.name}/episode_return"] = played.episode_return.mean(-1)
        return found


def _at(state: SequenceState, index: int) -> TrainState:
    return TrainState(**_shared(state), **state.places[index])


def _shared(state: SequenceState | TrainState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in SHARED}


def _place(state: TrainState) -> dict[str, Any]:
    return {name: v for name, v in state._asdict().items() if name not in SHARED}


def _check_specs(first: Part, other: Part) -> None:
    for method in ("observation_spec", "action_spec"):
        wanted, got = (getattr(p.environment, method)() for p in (first, other))
        if wanted != got:
            raise ValueError(
                f"environment {other.name!r}: {method} is {got}, that of {first.name!r} is "
                f"{wanted}. The environments of a sequence must have the same."
            )
