"""Environments of the host in turn, in one run: see `tolman.launchers.device.sequence`.

A label tells the agent in which task it acts. Labels are given (the number of the task),
inferred from the screens that the actor sees (`Watch`), or there is one for all tasks. Each
label has a `LocalRunner`, and so a replay, counts and schedules, to itself. One acts at a
time; the replays of all stay open, and a checkpoint holds them all. Which environment a run
is at follows from its updates alone, so one that was broken off goes on in the same.

Shapes: K tasks, C labels, N examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tolman.agents.agent import Agent, Array, Params
from tolman.agents.ewc.forget_me_not import Recognition
from tolman.agents.greedy import greedy
from tolman.agents.tasks import for_task
from tolman.envs.host import HostVector
from tolman.launchers.catalog.environments import EnvironmentSource, vector_seeds
from tolman.launchers.host.episodes import Episode
from tolman.launchers.host.evaluation import play_host_episodes
from tolman.launchers.host.layout import ItemLayout, item_layout
from tolman.launchers.host.local import LocalRunner, make_runner
from tolman.launchers.host.recognition import watch_of
from tolman.launchers.host.schedule import (
    HostSequenceState,
    Schedule,
    Switch,
    begin,
    make_schedule,
    num_labels_of,
    of_label,
    switch_key,
    train_under_labels,
    updates_of,
    with_known,
    with_trained,
)
from tolman.launchers.host.state import HostCounts
from tolman.launchers.report.continual import rand_index_of_counts
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.runs.protocol import RoleRow
from tolman.launchers.runs.turns import (
    DEFAULT_EPISODES,
    Stretch,
    check_tasks,
    no_examples,
    untrained,
)

MAX_EVAL_ENVS = 16
EVALUATION = 2**31 - 1  # In the place of updates, for seeds: no run gets so far.


class HostSequenceRunner(HostCounts):
    """Trains one agent on environments of the host in turn, in this process.

    Attributes:
      agent: what learns.
      names: of the K tasks, in the order in which they are first met.
      watch: what infers labels; None where they are not inferred.
      episodes: that ended during the latest stretch of training.
    """

    def __init__(
        self,
        agent: Agent,
        runners: Sequence[LocalRunner],
        tasks: Mapping[str, EnvironmentSource],
        evaluated: Mapping[str, EnvironmentSource],
        schedule: Schedule,
        num_eval_episodes: int = DEFAULT_EPISODES,
        eval_greedy: bool = False,
    ) -> None:
        """Prepares a run; nothing is started yet.

        Args:
          agent: what learns.
          runners: of each label.
          tasks: the environments of each, by name.
          evaluated: likewise, those that it is evaluated on.
          schedule: which task is trained when; has as many labels as there are runners.
          num_eval_episodes: of each task, with frozen parameters, for every row of
            metrics; 0 for no evaluations.
          eval_greedy: whether evaluations act without exploring.

        Raises:
          ValueError: if specs differ, or the agent has no room for so many tasks.
        """
        check_tasks(agent, evaluated)
        self.agent, self.names = agent, [*tasks]
        self.num_servers = len(runners)
        self.episodes: list[Episode] = []
        self._runners, self._tasks, self._evaluated = [*runners], tasks, evaluated
        self._schedule = schedule
        self._is_given = schedule.labels == "given"
        spec = evaluated[self.names[0]].observation_spec()
        self.watch = watch_of(schedule.labels, spec, len(tasks), len(runners))
        self._num_eval_episodes = num_eval_episodes
        self._player: Any = greedy(agent) if eval_greedy else agent
        self._vectors: dict[str, HostVector] = {}
        self._layout: ItemLayout = item_layout(agent, spec, self._runners[0].num_envs)
        self._at: tuple[int, int] | None = None  # Label and stretch that is acted in.
        self._tell = Switch(agent, self._layout)
        self._for_task = jax.jit(lambda params, task: for_task(agent, params, task))

    def total_updates(self, num_units: int) -> int:
        """Those of the whole sequence, whatever is asked."""
        del num_units
        return self._schedule.turns.num_updates

    @property
    def task_ends(self) -> tuple[int, ...]:
        """See `tolman.launchers.runs.protocol.Runner`."""
        return self._schedule.turns.ends

    def init(self, keys: Array, hyperparameters: Any = None) -> HostSequenceState:
        """Starts a run; equal keys start equal runs."""
        state = begin(self.agent, self._schedule, keys, hyperparameters)
        return with_known(self.place(state), self.watch)

    def place(self, state: HostSequenceState) -> HostSequenceState:
        """Puts a state on the learner's device."""
        return state._replace(learner=jax.device_put(state.learner, jax.devices()[0]))

    def load_replay(self, folder: Path | None) -> None:
        """Has `prepare` take up the replays of all labels."""
        super().load_replay(folder)
        for runner in self._runners:
            runner.replay_before = self.replay_before

    def prepare(self, state: HostSequenceState, total_updates: int) -> HostSequenceState:
        """Opens the replays of all labels; actors start when their turn comes."""
        del total_updates
        if self.watch is not None:
            assert isinstance(state.known, Recognition)
            self.watch.restore(state.known, np.asarray(state.met))
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
        turns = self._schedule.turns
        before = {} if updates_of(state) else untrained(self.evaluate(state))
        state, metrics = turns.train(state, num_updates, updates_of, self._stretch)
        metrics["task/label"] = np.array([float(state.label)])
        if self.watch is not None:
            metrics["task/agreement"] = np.array([rand_index_of_counts(self.watch.met)])
        return state, metrics | before | self.evaluate(state)

    def evaluate(self, state: HostSequenceState) -> dict[str, np.ndarray]:
        """`eval/<name>/episode_return` of all tasks, means of episodes, `[1]`."""
        found, number = {}, self._num_eval_episodes
        for place, name in enumerate(self.names if number else ()):
            if name not in self._vectors:
                seed = self._evaluated[name].first_seed
                make = self._evaluated[name].make_vector
                self._vectors[name] = make(seed, min(number, MAX_EVAL_ENVS))
            label = int(state.labels[place])
            params: Params = self._for_task(state.learner.params, label)
            key = jax.random.fold_in(jax.random.PRNGKey(place), updates_of(state))
            played = play_host_episodes(
                self._player, self._vectors[name], params, key, number
            )
            mean = np.mean([episode.episode_return for episode in played])
            found[f"eval/{name}/episode_return"] = np.array([mean])
        return found

    def save_replay(self, folder: Path) -> None:
        """Saves what the replays of all labels hold; queues have nothing to save."""
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
        for source in self._evaluated.values():
            source.close()
        self._vectors = {}

    def _stretch(self, state: HostSequenceState, stretch: Stretch) -> Any:
        """Trains on one environment; see `train_under_labels`."""
        self.episodes = []
        return train_under_labels(state, stretch, self._act_in, self._learn)

    def _learn(self, state: HostSequenceState, num_updates: int) -> Any:
        """Takes updates under the label of the state."""
        label = int(state.label)
        runner = self._runners[label]
        trained, metrics = runner.train(of_label(state, label), num_updates)
        self.episodes += runner.episodes
        return with_known(with_trained(state, label, trained), self.watch), metrics

    def _act_in(self, state: HostSequenceState, stretch: int) -> HostSequenceState:
        """Has the right label's runner act in the environment of a stretch."""
        place, old = self._schedule.order[stretch], int(state.label)
        label = self.watch.label if self.watch else self._schedule.label_of(stretch)
        if self._at == (label, stretch):
            return state
        if self._at is not None:
            self._runners[self._at[0]].pause()
        if label != old:
            if hasattr(self.agent, "switch"):
                state = self._switch(state, old, label)
            state = state._replace(label=np.int64(label))
        runner = self._runners[label]
        runner.watch = self.watch
        runner.make_vector = self._tasks[self.names[place]].make_vector
        if self.watch is not None:
            self.watch.begin(place)
        runner.prepare(of_label(state, label), self._schedule.totals[label])
        self._at = label, stretch
        return state

    def _switch(
        self, state: HostSequenceState, ended: int, begun: int
    ) -> HostSequenceState:
        """Tells the agent that one task follows another."""
        items, number = None, self._tell.num_examples
        if number:
            replay = self._runners[ended].open_replay(self._layout)
            least = 1 if self._is_given else self.agent.data.min_size
            if replay.num_items() >= least:
                items = replay.examples(number)
            elif self._is_given:
                raise no_examples(self.names[ended])
        key = switch_key(state, ended)
        learner = self._tell(state.learner, items, key, ended, begun)
        return state._replace(learner=learner)


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
    number = num_labels_of(config.labels, len(job.tasks), agent, config.agent)
    runners = [
        make_runner(job, folder, agent, job.source, label, number)
        for label in range(number)
    ]
    assert config.steps_per_task is not None  # A job with tasks has it.
    schedule = make_schedule(
        config.tasks,
        config.steps_per_task,
        runners[0].total_updates,
        config.labels,
        number,
    )
    return HostSequenceRunner(
        agent,
        runners,
        job.tasks,
        judged,
        schedule,
        DEFAULT_EPISODES if config.eval_episodes is None else config.eval_episodes,
        config.eval_greedy,
    )
