"""Acting on many host environments at once: an actor, as in Acme, and its loop.

Shapes: E environments, T decisions an unroll.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Agent, Decision, Params, draw_noise
from tolman.envs.environment import TimeStep
from tolman.envs.host import HostVector
from tolman.launchers.host.episodes import Episode
from tolman.launchers.host.writer import UnrollWriter


class ParameterSource(Protocol):
    """Where an actor gets parameters."""

    def get(self, num_unrolls: int) -> tuple[int, Params]:
        """Returns `(version, params)` for the unroll after `num_unrolls` of this actor."""
        ...


class VectorActor:
    """Decides for E environments at once and writes what happens to a replay.

    It has the methods of `acme.core.Actor`, and is one where Acme is installed. They take
    rows of all environments, `[E, ...]`, where Acme's take the time step of one;
    `select_action` takes the whole row. The actor's state stays on the device.

    Attributes:
      version: of the parameters, the number of updates behind them.
    """

    def __init__(
        self,
        agent: Agent,
        num_envs: int,
        key: jax.Array,
        parameters: ParameterSource,
        writer: UnrollWriter | None,
    ) -> None:
        """Takes the first parameters.

        Args:
          agent: what acts.
          num_envs: E.
          key: `[2]`, of all chance in its decisions.
          parameters: where `update` gets them.
          writer: of what happens; None to act only.
        """
        self._agent = agent
        self._num_envs = num_envs
        self._parameters = parameters
        self._writer = writer
        self._num_unrolls = 0
        self._key = key
        self._state = agent.initial_actor_state(num_envs)
        self._index = 0  # Of the next decision of an unroll.
        self.version = 0
        self.update()

    def select_action(self, observation: TimeStep) -> Any:
        """Decides: `[E, ...]`, nested as the action spec is."""
        decision, self._state = _act(
            self._agent, self._params, self._noise, self._index, observation, self._state
        )
        self._index += 1
        self._decision: Decision = jax.device_get(decision)
        return self._decision.action

    def observe_first(self, timestep: TimeStep) -> None:
        """Writes the first row."""
        self._write(timestep, None)

    def observe(self, action: Any, next_timestep: TimeStep) -> None:
        """Writes the last decision, whose action `action` is, and the row after it."""
        self._write(next_timestep, self._decision)

    def update(self, wait: bool = False) -> None:
        """Takes parameters for the next T decisions, and draws their noise."""
        self.version, self._params = self._parameters.get(self._num_unrolls)
        self._key, self._noise = _draw(self._agent, self._num_envs, self._key)
        self._index = 0

    def end_unroll(self) -> None:
        """Counts an unroll and takes the parameters of the next one."""
        self._num_unrolls += 1
        self.update()

    def close(self) -> None:
        """Closes the writer."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, timestep: TimeStep, decision: Decision | None) -> None:
        if self._writer is not None:
            self._writer.append(timestep, decision, self.version, self._state)


class EnvironmentLoop:
    """Steps environments with actors: Acme's environment loop for many at once.

    The environments come in groups, each with an actor. Where there are several, one
    group's environments are stepped in a thread of their own while the network decides
    for the next.

    Attributes:
      num_steps: environment steps so far; the decisions on rows that closed an episode
        count, as they take a row of the unroll.
      seconds: spent in them.
    """

    def __init__(
        self,
        groups: Sequence[tuple[HostVector, VectorActor]],
        unroll_length: int,
        watch: Callable[[TimeStep], None] | None = None,
    ) -> None:
        """Opens the first episodes.

        Args:
          groups: of environments, with their actors.
          unroll_length: T.
          watch: is shown every row of the first group.
        """
        self._unroll_length, self._watch = unroll_length, watch
        self._groups = []
        first = 0
        for vector, actor in groups:
            self._groups.append(_Group(vector, actor, first, in_turns=len(groups) > 1))
            first += vector.num_envs
        self.num_steps = 0
        self.seconds = 0.0

    def unroll(self) -> None:
        """Takes T decisions in every environment, then new parameters."""
        began = time.perf_counter()
        for _ in range(self._unroll_length):
            if self._watch is not None:
                self._watch(self._groups[0].latest())
            for group in self._groups:
                group.receive()
                group.send()
                self.num_steps += group.num_envs
        for group in self._groups:
            group.receive()
        self.seconds += time.perf_counter() - began
        for group in self._groups:
            group.actor.end_unroll()

    @property
    def version(self) -> int:
        """Of the parameters that act."""
        return self._groups[0].actor.version

    def take_episodes(self) -> list[Episode]:
        """The episodes that ended since the last call."""
        return [episode for group in self._groups for episode in group.take_episodes()]

    def close(self) -> None:
        """Ends the threads; closes the actors and the environments."""
        for group in self._groups:
            group.close()


class _Group:
    """Environments that are stepped together, and their actor."""

    def __init__(
        self, vector: HostVector, actor: VectorActor, first: int, in_turns: bool
    ) -> None:
        self.num_envs = vector.num_envs
        self.actor = actor
        self._vector = vector
        self._first = first
        self._return = np.zeros(vector.num_envs)
        self._length = np.zeros(vector.num_envs, np.int64)
        self._episodes: list[Episode] = []
        self._thread = ThreadPoolExecutor(1, "environments") if in_turns else None
        self._action: Any = None
        self._row = vector.reset()
        actor.observe_first(self._row)

    def send(self) -> None:
        """Decides, and has the environments stepped."""
        self._action = self.actor.select_action(self._row)
        if self._thread is not None:
            self._stepped = self._thread.submit(self._vector.step, self._action)

    def latest(self) -> TimeStep:
        """The row that is decided on next."""
        self.receive()
        return self._row

    def receive(self) -> None:
        """Takes the row after the last decision, if there is one."""
        if self._action is None:
            return
        if self._thread is not None:
            self._row = self._stepped.result()
        else:
            self._row = self._vector.step(self._action)
        self.actor.observe(self._action, self._row)
        self._action = None
        self._count(self._row)

    def take_episodes(self) -> list[Episode]:
        number = len(self._episodes)  # Another thread adds to the same list.
        episodes, self._episodes[:number] = self._episodes[:number], []
        return episodes

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()  # No environment is closed in the midst of a step.
        self.actor.close()
        self._vector.close()

    def _count(self, row: TimeStep) -> None:
        is_first, is_last = row.is_first(), row.is_last()
        self._return = np.where(is_first, 0.0, self._return + row.reward)
        self._length = np.where(is_first, 0, self._length + 1)
        info = getattr(self._vector, "episode_info", None)
        for index in np.flatnonzero(is_last):
            returned, length = float(self._return[index]), int(self._length[index])
            told = dict(info[index]) if info else {}
            self._episodes.append(Episode(self._first + int(index), returned, length, told))


@partial(jax.jit, static_argnums=(0, 1))
def _draw(agent: Agent, num_envs: int, key: jax.Array) -> Any:
    """The next key, and the noise of T decisions, as the on-device runner draws."""
    keys = jax.random.split(key, agent.data.unroll_length + 1)
    noise = jax.vmap(partial(draw_noise, agent, batch_size=num_envs))(keys[1:])
    return keys[0], noise


@partial(jax.jit, static_argnums=0)
def _act(
    agent: Agent, params: Params, noise: Any, index: Any, timestep: TimeStep, state: Any
) -> Any:
    noise = jax.tree.map(lambda leaf: jnp.take(leaf, index, axis=0), noise)
    return agent.act(params, noise, timestep, state)
