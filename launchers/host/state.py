"""What a run on the host is between updates, and how its steps are counted.

The local and the Ray runner share it; nothing here needs Reverb.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.agent import Agent, Array, DataSpec, LearnerState, Params
from tolman.launchers.host.priorities import initial_priorities
from tolman.launchers.host.saved_replay import check_replays
from tolman.launchers.runs.protocol import Counts
from tolman.launchers.runs.rates import (
    MAX_DEFAULT_ENVS,
    env_steps_per_update,
    total_updates,
)


class HostState(NamedTuple):
    """What a checkpoint of a run on the host holds; the environments start anew.

    Attributes:
      learner: of the agent.
      key: `[2]`, of all chance in acting.
      updates: `[]` int64, done so far.
      env_steps: `[]` int64, taken so far.
      priorities: `[2]`, of `PriorityScale`; `()` without a prioritised replay.
    """

    learner: LearnerState
    key: Array
    updates: np.ndarray | np.int64
    env_steps: np.ndarray | np.int64
    priorities: np.ndarray | tuple[()] = ()


class HostCounts:
    """What every runner on the host says of a state in the same way.

    Attributes:
      agent: what learns.
      num_servers: of the replay.
      replay_before: the checkpoint whose replay is taken up; None for an empty one.
    """

    agent: Agent
    num_members, unit = 1, "env_steps"
    num_servers = 1
    replay_before: Path | None = None

    def counts(self, state: HostState) -> Counts:
        """How far a state is."""
        return Counts(int(state.updates), int(state.env_steps))

    @property
    def units_per_update(self) -> float:
        """Environment steps that one update takes; of a replay, once it has its minimum."""
        return env_steps_per_update(self.agent.data)

    def total_updates(self, num_units: int) -> int:
        """Updates that so many environment steps give data for; at least 1."""
        return total_updates(self.agent.data, num_units)

    def load_replay(self, folder: Path | None) -> None:
        """Has `prepare` take up what `save_replay` saved; see `Runner.load_replay`."""
        if self.agent.data.replay == "queue":
            return
        if folder is not None:
            check_replays(folder, self.num_servers)
        self.replay_before = folder

    def without_replay(self, state: HostState) -> HostState:
        """The state: there is no replay in it."""
        return state

    def with_empty_replay(self, state: HostState) -> HostState:
        """The state: the replay is begun by `prepare`, empty if there was none to load."""
        return state

    def params(self, state: HostState) -> Params:
        """The parameters in a state."""
        return state.learner.params


class HostRun(HostCounts):
    """A run on the host, at rest: how its state starts, and where it is kept."""

    def __init__(self, agent: Any) -> None:
        """Takes what learns: `data` and `init`, as agents have them."""
        self.agent = agent

    def init(self, keys: Array, hyperparameters: Any = None) -> HostState:
        """Starts a run; equal keys start equal ones, which actors then make differ."""
        return self.place(initial_state(self.agent, keys[0], hyperparameters))

    def place(self, state: HostState) -> HostState:
        """Puts a state on the host: the learner is elsewhere."""
        return jax.device_get(state)


def initial_state(agent: Any, key: Array, hyperparameters: Any = None) -> HostState:
    """Starts a run from a key, `[2]`; equal keys start equal runs."""
    carried, learner_key, _ = jax.random.split(key, 3)
    given = () if hyperparameters is None else (jax.tree.map(_first, hyperparameters),)
    learner = jax.jit(agent.init)(learner_key, *given)
    priorities = initial_priorities(agent.data)
    return HostState(learner, carried, np.int64(0), np.int64(0), priorities)


def _first(leaf: Array) -> Array:
    return leaf[0]


def group_size(data: DataSpec, num_envs: int) -> int:
    """Environments whose unrolls one item of a table holds.

    A queue's item holds the unrolls of all of an actor's environments: one write a
    step. A replay's holds one, so that each is drawn with a probability of its own.

    Raises:
      ValueError: if the environments of an actor do not fill a batch evenly.
    """
    size = num_envs if data.replay == "queue" else 1
    if data.batch_size % size:
        raise ValueError(
            f"num_envs={num_envs}: must divide the batch of {data.batch_size} sequences. "
            "Set --num-envs or --agent.batch-size."
        )
    return size


def default_num_envs(data: DataSpec) -> int:
    """Environments of one actor: what divides a queue's batch, and not too many."""
    if data.replay != "queue":
        return MAX_DEFAULT_ENVS
    limit = min(data.batch_size, MAX_DEFAULT_ENVS)
    return max(n for n in range(1, limit + 1) if data.batch_size % n == 0)


def groups_of(source: Any, num_envs: int) -> int:
    """Into how many groups that take turns an actor's environments are cut.

    While the environments of one group are stepped, the network decides for the other. That
    gains where stepping leaves Python to others, and costs where it does not.

    Args:
      source: of the environments, or a vector of them: says `releases_gil`.
      num_envs: of the actor.
    """
    return 2 if getattr(source, "releases_gil", False) and num_envs % 2 == 0 else 1
