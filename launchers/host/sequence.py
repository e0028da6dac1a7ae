"""Environments of the host in turn, in one run: see `tolman.launchers.device.sequence`.

Each has a `LocalRunner`, and so its replay, counts and schedules, to itself. One of them
acts at a time; the replays of all stay open, and a checkpoint holds them all. Which task a
run is at follows from its updates alone, so one that was broken off goes on in the same.

Shapes: K tasks, N examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Agent, Array, LearnerState, Params
from tolman.agents.greedy import greedy
from tolman.agents.tasks import for_task
from tolman.envs.host import HostVector
from tolman.launchers.catalog.environments import EnvironmentSource, vector_seeds
from tolman.launchers.host.episodes import Episode
from tolman.launchers.host.evaluation import play_host_episodes
from tolman.launchers.host.layout import ItemLayout, item_layout
from tolman.launchers.host.local import LocalRunner, make_runner
from tolman.launchers.host.state import HostCounts, HostState
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.runs.protocol import RoleRow
from tolman.launchers.runs.turns import (
    DEFAULT_EPISODES,
    Stretch,
    Turns,
    check_tasks,
    lengths_of,
    no_examples,
)

MAX_EVAL_ENVS = 16
EVALUATION = 2**31 - 1  # In the place of updates, for seeds: no run gets so far.


class HostSequenceState(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      learner: of the agent.
      updates: `[]` int64, done so far, over all tasks.
      env_steps: `[]` int64, likewise.
      places: of each task, the other fields of its `HostState`.
    """

    learner: LearnerState
    updates: np.ndarray | np.int64
    env_steps: np.ndarray | np.int64
    places: tuple[dict[str, Any], ...]


class HostSequenceRunner(HostCounts):
    """Trains one agent on environments of the host in turn, in this process.

    Attributes:
      agent: what learns.
      names: of the K tasks, in the order in which they are first met.
      episodes: that ended during the latest stretch of training.
    """

    def __init__(
        self,
        agent: Agent,
        runners: Mapping[str, LocalRunner],
        evaluated: Mapping[str, EnvironmentSource],
        order: Sequence[str],
        steps_per_task: int,
        num_eval_episodes: int = DEFAULT_EPISODES,
        eval_greedy: bool = False,
    ) -> None:
        """Prepares a run; nothing is started yet.

        Args:
          agent: what learns.
          runners: of each task, by name.
          evaluated: of each task, the environments that it is evaluated on.
          order: names of the stretches; one that was there before returns.
          steps_per_task: env steps of a stretch, rounded up to whole updates.
          num_eval_episodes: of each task, with frozen parameters, for every row of
            metrics; 0 for no evaluations.
          eval_greedy: whether evaluations act without exploring.

        Raises:
          ValueError: if specs differ, or the agent has no room for so many tasks.
        """
        check_tasks(agent, evaluated)
        self.agent, self.names = agent, [*runners]
        self.num_servers = len(runners)
        self.episodes: list[Episode] = []
        self._runners, self._evaluated = [*runners.values()], evaluated
        self._places = [self.names.index(name) for name in order]
        lengths, self._totals = lengths_of(
            [steps_per_task] * len(order),
            self._places,
            [runner.total_updates for runner in self._runners],
        )
        self._turns = Turns(lengths, 1)
        self._num_eval_episodes = num_eval_episodes
        self._player: Any = greedy(agent) if eval_greedy else agent
        self._vectors: dict[str, HostVector] = {}
        spec = evaluated[order[0]].observation_spec()
        self._layout: ItemLayout = item_layout(agent, spec, self._runners[0].num_envs)
        self._at: int | None = None  # The task that is being acted in.
        self._tell = jax.jit(self._told)
        self._for_task = jax.jit(lambda params, task: for_task(agent, params, task))

    def total_updates(self, num_units: int) -> int:
        """Those of the whole sequence, whatever is asked."""
        del num_units
        return self._turns.num_updates

    def init(self, keys: Array, hyperparameters: Any = None) -> HostSequenceState:
        """Starts a run; equal keys start equal runs."""
        first, *others = (
            runner.init(
                jax.vmap(jax.random.fold_in, (0, None))(keys, place), hyperparameters
            )
            if place
            else runner.init(keys, hyperparameters)
            for place, runner in enumerate(self._runners)
        )
        return _whole(first.learner, [_place(state) for state in (first, *others)])

    def place(self, state: HostSequenceState) -> HostSequenceState:
        """Puts a state on the learner's device."""
        return state._replace(learner=jax.device_put(state.learner, jax.devices()[0]))

    def load_replay(self, folder: Path | None) -> None:
        """Has `prepare` take up the replays of all tasks."""
        super().load_replay(folder)
        for runner in self._runners:
            runner.replay_before = self.replay_before

    def prepare(self, state: HostSequenceState, total_updates: int) -> HostSequenceState:
        """Opens the replays of all tasks; actors start when their turn comes."""
        del total_updates
        if self.agent.data.replay != "queue":
            for runner in self._runners:
                runner.open_replay(self._layout)
        return state

    def train(
        self, state: HostSequenceState, num_updates: int
    ) -> tuple[HostSequenceState, dict[str, Any]]:
        """Takes updates; see `SequenceRunner.train` for the metrics.

        Raises:
          Exception: whatever the environments raised in the actor's thread.
        """
        state, metrics = self._turns.train(state, num_updates, _done, self._stretch)
        return state, metrics | self.evaluate(state)

    def evaluate(self, state: HostSequenceState) -> dict[str, np.ndarray]:
        """`eval/<name>/episode_return` of all tasks, means of episodes, `[1]`."""
        found, number = {}, self._num_eval_episodes
        for place, name in enumerate(self.names if number else ()):
            if name not in self._vectors:
                seed = self._evaluated[name].first_seed
                make = self._evaluated[name].make_vector
                self._vectors[name] = make(seed, min(number, MAX_EVAL_ENVS))
            params: Params = self._for_task(state.learner.params, place)
            key = jax.random.fold_in(jax.random.PRNGKey(place), _done(state))
            played = play_host_episodes(
                self._player, self._vectors[name], params, key, number
            )
            mean = np.mean([episode.episode_return for episode in played])
            found[f"eval/{name}/episode_return"] = np.array([mean])
        return found

    def save_replay(self, folder: Path) -> None:
        """Saves what the replays of all tasks hold; queues have nothing to save."""
        for runner in self._runners:
            runner.save_replay(folder)

    def roles(self) -> list[RoleRow]:
        """None: this process is all."""
        return []

    def describe_devices(self) -> str:
        """What learns, in words."""
        return self._runners[0].describe_devices()

    def close(self) -> None:
        """Ends actors, replays and environments."""
        for runner in self._runners:
            runner.close()
        for vector in self._vectors.values():
            vector.close()
        self._vectors = {}

    def _stretch(self, state: HostSequenceState, stretch: Stretch) -> Any:
        place = self._places[stretch.task]
        ended = self._places[stretch.task - 1]
        if stretch.is_first and ended != place:
            self._runners[ended].pause()
            if hasattr(self.agent, "switch"):
                state = self._switch(state, ended, place)
        runner = self._runners[place]
        at = HostState(learner=state.learner, **state.places[place])
        if self._at != place:
            runner.prepare(at, self._totals[place])
            self._at = place
        trained, metrics = runner.train(at, stretch.num_updates)
        self.episodes = runner.episodes
        places = [*state.places]
        places[place] = _place(trained)
        return _whole(trained.learner, places), metrics

    def _switch(
        self, state: HostSequenceState, ended: int, begun: int
    ) -> HostSequenceState:
        """Tells the agent that one task follows another."""
        items, batches = None, getattr(self.agent, "num_switch_batches", 0)
        if batches and self.agent.data.replay != "queue":
            replay = self._runners[ended].open_replay(self._layout)
            if not replay.num_items():
                raise no_examples(self.names[ended])
            items = replay.examples(batches * self._layout.num_items)
        key = jax.random.fold_in(state.places[ended]["key"], _done(state))
        learner = self._tell(state.learner, items, key, jnp.int32(ended), jnp.int32(begun))
        return state._replace(learner=learner)

    def _told(
        self, learner: LearnerState, items: Any, key: Array, ended: Array, begun: Array
    ) -> LearnerState:
        """The learner after a switch; one program, so only what is read is unpacked."""
        examples = None if items is None else self._layout.assemble(items, None)
        agent: Any = self.agent
        return agent.switch(learner, examples, key, ended, begun)


def _done(state: HostSequenceState) -> int:
    return int(state.updates)


def _place(state: HostState) -> dict[str, Any]:
    return {name: value for name, value in state._asdict().items() if name != "learner"}


def _whole(learner: LearnerState, places: Sequence[dict[str, Any]]) -> HostSequenceState:
    updates, env_steps = (
        np.int64(sum(int(place[name]) for place in places))
        for name in ("updates", "env_steps")
    )
    return HostSequenceState(learner, updates, env_steps, tuple(places))


@register_runner("local/acts-in-turn")
def make_host_sequence_runner(job: Job, folder: RunFolder) -> HostSequenceRunner:
    """Environments in turn, with their actors, replays and the learner in one process.

    Raises:
      ValueError: if the tasks do not suit each other or the agent, or their replays cannot
        be had.
    """
    config, agent = job.config, job.make_agent()
    (seed,) = vector_seeds(config.seed, EVALUATION, 1)
    judged = resolve(config, seed, for_evaluation=True).tasks
    check_tasks(agent, judged)
    number = len(job.tasks)
    runners = {
        name: make_runner(job, folder, agent, source, place, number)
        for place, (name, source) in enumerate(job.tasks.items())
    }
    assert config.steps_per_task is not None  # A job with tasks has it.
    return HostSequenceRunner(
        agent,
        runners,
        judged,
        config.tasks,
        config.steps_per_task,
        DEFAULT_EPISODES if config.eval_episodes is None else config.eval_episodes,
        config.eval_greedy,
    )
