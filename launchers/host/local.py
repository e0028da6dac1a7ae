"""The local runner: actors, a replay and the learner in one process.

An actor steps a vector of environments in a thread of its own and writes unrolls into
the replay; the learner samples them in the caller's. For a queue every unroll is made with
parameters of a fixed age, so that a run with deterministic environments repeats.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tolman.agents.agent import Agent, Array, DataSpec
from tolman.envs.host import HostVector
from tolman.launchers.catalog.environments import EnvironmentSource, vector_seeds
from tolman.launchers.host.actor import EnvironmentLoop, VectorActor
from tolman.launchers.host.episodes import Episode, episode_means
from tolman.launchers.host.layout import ItemLayout, item_layout
from tolman.launchers.host.learner import AgentLearner, NoMoreBatches
from tolman.launchers.host.parameters import Closed, ParameterStore
from tolman.launchers.host.priorities import PriorityScale
from tolman.launchers.host.recognition import Watch
from tolman.launchers.host.replay import Batch, Replay
from tolman.launchers.host.saved_replay import replay_folder, scratch_folder
from tolman.launchers.host.state import (
    HostCounts,
    HostState,
    default_num_envs,
    group_size,
    groups_of,
    initial_state,
)
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import RoleRow

SECONDS_TO_CLOSE = 10.0  # An environment's step may take as long.
SECONDS_TO_WAIT = 0.5  # For a batch, until the actor is asked whether it has failed.

MakeReplay = Callable[[ItemLayout, Path | None], Replay]


class LocalRunner(HostCounts):
    """Trains one agent on environments of the host, in this process.

    Attributes:
      agent: pure functions; see `tolman.agents.agent`.
      num_envs: E, environments of the actor.
      make_vector: `make_vector(seed, number)` makes so many environments.
      watch: which tasks are told apart by; None where they are not.
      replay_number: of its replay, in a checkpoint.
      replay: once it is open; None before.
      episodes: that ended during the latest `train`.
    """

    def __init__(
        self,
        agent: Agent,
        make_vector: Callable[[int, int], HostVector],
        num_envs: int,
        make_replay: MakeReplay,
        seed: int = 0,
        num_groups: int = 2,
    ) -> None:
        """Prepares a run; nothing is started yet.

        Args:
          agent: what learns.
          make_vector: `make_vector(seed, number)` makes so many environments.
          num_envs: E; for a queue it divides the batch.
          make_replay: `make_replay(layout, saved)` makes the replay, with what one of its
            kind saved in the folder `saved`; None for an empty one.
          seed: of all chance in the environments.
          num_groups: the environments are stepped in turns, group by group; divides E.

        Raises:
          ValueError: if E does not suit the agent's batch.
        """
        group_size(agent.data, num_envs // num_groups)
        self.agent = agent
        self.num_envs = num_envs
        self.make_vector = make_vector
        self.watch: Watch | None = None
        self._make_replay = make_replay
        self._seed = seed
        self._num_groups = num_groups
        self._session: _Session | None = None
        self.replay_number = 0
        self.replay: Replay | None = None
        self.episodes: list[Episode] = []

    def init(self, keys: Array, hyperparameters: Any = None) -> HostState:
        """Starts a run; equal keys start equal runs."""
        return self.place(initial_state(self.agent, keys[0], hyperparameters))

    def place(self, state: HostState) -> HostState:
        """Puts a state on the learner's device."""
        return state._replace(learner=jax.device_put(state.learner, jax.devices()[0]))

    def prepare(self, state: HostState, total_updates: int) -> HostState:
        """Starts the actor, the replay and the learner."""
        self._session = _Session(self, state, total_updates)
        return state

    def train(self, state: HostState, num_updates: int) -> tuple[HostState, dict[str, Any]]:
        """Takes `num_updates` updates; see `OnDeviceRunner.train` for the metrics.

        They are fewer where `watch` tells that another task is acted in.

        Raises:
          Exception: whatever the environments raised in the actor's thread.
        """
        if self._session is None:
            raise ValueError("the runner is not prepared: call prepare(state, total).")
        state, metrics, self.episodes = self._session.train(num_updates)
        return state, metrics

    def rescue(self) -> HostState | None:
        """What a `train` that failed had learned; None before `prepare`."""
        return self._session.state() if self._session is not None else None

    def save_replay(self, folder: Path) -> None:
        """Saves what the replay holds; a queue has nothing to save."""
        if self.replay is not None and self.agent.data.replay != "queue":
            self.replay.save(replay_folder(folder, self.replay_number))

    def open_replay(self, layout: ItemLayout) -> Replay:
        """The replay, with what was to be taken up; opened once."""
        if self.replay is None:
            before = self.replay_before
            saved = None if before is None else replay_folder(before, self.replay_number)
            self.replay = self._make_replay(layout, saved)
        return self.replay

    def roles(self) -> list[RoleRow]:
        """None: this process is all."""
        return []

    def describe_devices(self) -> str:
        """What learns, in words."""
        return f"1 x {jax.devices()[0].device_kind}"

    def num_compilations(self) -> int:
        """How many programs the learner has compiled."""
        return self._session.learner.num_compilations() if self._session else 0

    def pause(self) -> None:
        """Ends the actor; the next `prepare` goes on with the replay as it is."""
        if self._session is not None:
            self._session.close()
            self._session = None
        if self.agent.data.replay == "queue":  # What waits in it gets too old.
            self._close_replay()

    def close(self) -> None:
        """Ends the actor and the replay."""
        self.pause()
        self._close_replay()

    def _close_replay(self) -> None:
        if self.replay is not None:
            self.replay.close()
            self.replay = None


class _Session:
    """The threads of a prepared run, and its replay."""

    def __init__(self, runner: LocalRunner, state: HostState, total_updates: int) -> None:
        agent, num_envs = runner.agent, runner.num_envs
        data, updates = agent.data, int(state.updates)
        self._agent = agent
        self._is_queue = data.replay == "queue"
        self._key = state.key
        self._first_step = int(state.env_steps)
        self._failure: Exception | None = None
        self._is_over = threading.Event()
        self._watch = runner.watch
        self._label = self._watch.label if self._watch is not None else 0
        num_groups = runner._num_groups
        # After a resume, other episodes than before.
        seeds = vector_seeds(runner._seed, self._first_step, num_groups)
        vectors: list[HostVector] = []
        with contextlib.ExitStack() as stack:  # Closes them where no replay can be had.
            for seed in seeds:
                vectors.append(runner.make_vector(seed, num_envs // num_groups))
                stack.callback(vectors[-1].close)
            observation_spec = vectors[0].observation_spec()
            layout = item_layout(agent, observation_spec, num_envs // num_groups)
            self.replay = runner.open_replay(layout)
            stack.pop_all()  # The actor's thread closes them.
        self.learner = AgentLearner(
            agent,
            layout,
            self._next_batch,
            state.learner,
            updates,
            total_updates,
            runner._seed,
            self.replay.set_priorities,
            PriorityScale(state.priorities),
        )
        self._store = ParameterStore(
            data.max_lag if self._is_queue else None, layout.num_items
        )
        self._store.publish(updates, state.learner.params)
        keys = [state.key]
        if self._first_step or num_groups > 1:
            key = jax.random.fold_in(state.key, self._first_step)
            keys = list(jax.random.split(key, num_groups))
        self._loop: EnvironmentLoop | None = None
        self._thread = threading.Thread(
            target=self._act,
            args=(vectors, keys, layout.num_items),
            name="actor",
            daemon=True,
        )
        self._thread.start()

    def train(self, num_updates: int) -> tuple[HostState, dict[str, Any], list[Episode]]:
        """Takes updates; metrics are means over them, as arrays of one member, `[1]`.

        They are fewer where the actor has met another task.
        """
        metrics: dict[str, Any] = self.learner.train(num_updates, self._store.publish)
        episodes = self._loop.take_episodes() if self._loop is not None else []
        metrics |= episode_means("train", episodes)
        if not self._is_queue:
            metrics["replay/num_items"] = self.replay.num_items()
        rows = {name: np.asarray(value)[None] for name, value in metrics.items()}
        return self.state(), rows, episodes

    def state(self) -> HostState:
        """Where the learner is."""
        return HostState(
            self.learner.save(),
            self._key,
            np.int64(self.learner.num_updates),
            np.int64(self._env_steps()),
            self.learner.priorities.state(),
        )

    def close(self) -> None:
        """Ends the threads; the replay stays."""
        self._is_over.set()
        self._store.close()
        self.replay.release()
        self._thread.join(timeout=SECONDS_TO_CLOSE)

    def _env_steps(self) -> int:
        data = self._agent.data
        if self._is_queue:
            return self.learner.num_updates * data.unroll_length * data.batch_size
        return self._first_step + (self._loop.num_steps if self._loop is not None else 0)

    def _next_batch(self) -> Batch:
        while True:
            failure = self._failure  # What was acted before it is learned from first.
            if self._has_moved():
                raise NoMoreBatches
            batch = self.replay.next(SECONDS_TO_WAIT)
            if batch is not None:
                return batch
            if failure is not None:
                raise failure

    def _has_moved(self) -> bool:
        """Whether another task is met than that of this session."""
        return self._watch is not None and self._watch.label != self._label

    def _act(
        self, vectors: list[HostVector], keys: list[Array], unrolls_per_update: int
    ) -> None:
        """The actor's thread."""
        unrolls_done = self.learner.num_updates * unrolls_per_update
        groups: list[tuple[HostVector, VectorActor]] = []
        try:
            for index, (vector, key) in enumerate(zip(vectors, keys, strict=True)):
                writer = self.replay.writer(
                    vector.num_envs, lambda: self.learner.priorities.largest
                )
                parameters = self._store.of_group(index, len(vectors), unrolls_done)
                actor = VectorActor(self._agent, vector.num_envs, key, parameters, writer)
                groups.append((vector, actor))
            see = None if self._watch is None else self._watch.see
            self._loop = EnvironmentLoop(groups, self._agent.data.unroll_length, see)
            while not (self._is_over.is_set() or self._has_moved()):
                self._loop.unroll()
        except Closed:
            pass
        except Exception as error:
            self._failure = error
        finally:
            if self._loop is not None:
                self._loop.close()
            else:  # One of them could not start.
                for _, actor in groups:
                    actor.close()
                for vector in vectors:
                    vector.close()


@register_runner("local/acts")
def make_local_runner(job: Job, folder: RunFolder) -> LocalRunner:
    """Actors, a replay and the learner in one process.

    Raises:
      ValueError: if the replay cannot be had, or is too large for this machine.
    """
    return make_runner(job, folder, job.make_agent(), job.source)


def make_runner(
    job: Job,
    folder: RunFolder,
    agent: Agent,
    source: EnvironmentSource,
    place: int = 0,
    num_replays: int = 1,
) -> LocalRunner:
    """The runner of one of a run's environments.

    Args:
      job: the run.
      folder: of the run.
      agent: what learns.
      source: of the environments.
      place: the number of its replay in a checkpoint.
      num_replays: that this process holds at a time.

    Raises:
      ValueError: see `make_local_runner`.
    """
    config = job.config
    num_envs = config.num_envs or default_num_envs(agent.data)
    if config.env_processes > num_envs:
        raise ValueError(
            f"env_processes={config.env_processes}: must be at most num_envs={num_envs}. "
            "Set --env-processes or --num-envs."
        )
    num_groups = groups_of(source, num_envs)
    layout = item_layout(agent, source.observation_spec(), num_envs // num_groups)
    num_streams = num_envs // layout.group_size
    if config.replay == "memory":
        from tolman.launchers.host.memory.size import check_memory

        check_memory(agent.data, layout, num_streams, num_replays)
    scratch = scratch_folder(folder.checkpoints, place)
    keeps_examples = bool(job.tasks) and bool(getattr(agent, "num_switch_batches", 0))
    make_replay = replay_maker(
        config.replay, agent.data, num_streams, scratch, config.seed, keeps_examples
    )
    runner = LocalRunner(
        agent, source.make_vector, num_envs, make_replay, config.seed, num_groups
    )
    runner.replay_number = place
    return runner


def replay_maker(
    kind: str,
    data: DataSpec,
    num_streams: int,
    scratch: Path,
    seed: int,
    keeps_examples: bool = False,
) -> MakeReplay:
    """What makes the replay of a run.

    Args:
      kind: "memory" or "reverb".
      data: what the agent asks for.
      num_streams: S, of all actors together.
      scratch: a folder on the disk of the checkpoints, which Reverb makes where it saves
        its content, and removes again.
      seed: of the draws; Reverb knows none.
      keeps_examples: whether `Replay.examples` will be asked for.

    Raises:
      ValueError: if it is not installed.
    """
    if kind == "memory":
        from tolman.launchers.host.memory.replay import MemoryReplay

        return lambda layout, saved: MemoryReplay(data, layout, num_streams, seed, saved)
    from tolman.launchers.host.reverb.replay import ReverbReplay

    return lambda layout, saved: ReverbReplay(data, layout, scratch, saved, keeps_examples)
