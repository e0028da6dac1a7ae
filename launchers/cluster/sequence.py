"""Tasks in turn over Ray: the schedule, and what is done at each switch.

The driver has the state and knows the schedule. At a switch it has the learner tell the
agent, and starts it on the next task; the parameters that the learner publishes then say
which environments the actors are to be in, and which tables they are to write to. Each
label has tables of its own in every replay, which all stay.

Where labels are inferred, one actor watches its screens and reports the label. Where that
is another, the learner stops, and the driver takes what the actor knows and does a switch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from tolman.agents.agent import Array
from tolman.agents.ewc.forget_me_not import Recognition
from tolman.launchers.cluster.environments import EnvironmentWork
from tolman.launchers.cluster.parameter_server import ONLY_TURN, Turn
from tolman.launchers.cluster.runner import RayRunner, make_ray_runner
from tolman.launchers.cluster.session import Beginning, Session
from tolman.launchers.host.recognition import Recognised, Watch
from tolman.launchers.host.schedule import (
    HostSequenceState,
    Schedule,
    begin,
    make_schedule,
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
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import RoleRow
from tolman.launchers.runs.turns import Stretch, untrained


class RaySequenceRunner(HostCounts):
    """Trains one agent on environments in turn, over many processes and machines.

    Attributes:
      agent: what learns.
      watch: what labels were inferred, as of the last `train`; None where they are not
        inferred.
    """

    def __init__(
        self, ray_runner: RayRunner, schedule: Schedule, watch: Watch | None = None
    ) -> None:
        """Takes the runner of the processes; starts none yet.

        Args:
          ray_runner: of as many labels as the schedule has.
          schedule: which task is trained when.
          watch: see the attribute.
        """
        self.watch = watch
        self.agent, self.num_servers = ray_runner.agent, ray_runner.num_servers
        self._ray, self._schedule = ray_runner, schedule
        self._session: Session | None = None
        self._turn = ONLY_TURN
        self._judged: dict[str, Any] = {}  # By the evaluations since the last row.

    def total_updates(self, num_units: int) -> int:
        """Those of the whole sequence, whatever is asked."""
        del num_units
        return self._schedule.turns.num_updates

    @property
    def task_ends(self) -> tuple[int, ...]:
        """See `tolman.launchers.runs.protocol.Runner`."""
        return self._schedule.turns.ends

    def init(self, keys: Array, hyperparameters: Any = None) -> HostSequenceState:
        """Starts a run; equal keys start equal ones, which actors then make differ."""
        state = begin(self.agent, self._schedule, keys, hyperparameters)
        return with_known(self.place(state), self.watch)

    def place(self, state: HostSequenceState) -> HostSequenceState:
        """Puts a state on the host: the learner is elsewhere."""
        return jax.device_get(state)

    def load_replay(self, folder: Path | None) -> None:
        """Has `prepare` take up the replays of all labels."""
        self._ray.load_replay(folder)

    def prepare(self, state: HostSequenceState, total_updates: int) -> HostSequenceState:
        """Starts every process, where the updates so far have ended."""
        del total_updates
        label = int(state.label)
        stretch = self._schedule.turns.index(max(updates_of(state) - 1, 0))
        self._turn = Turn(stretch, label)
        states = [of_label(state, each) for each in range(len(state.places))]
        total, recognised = self._schedule.totals[label], None
        if self.watch is not None:
            assert isinstance(state.known, Recognition)
            recognised = Recognised(state.known, np.asarray(state.met))
            self.watch.restore(*recognised)
        labels = state.labels.tolist()
        beginning = Beginning(states, self._turn, total, labels, recognised)
        self._session = self._ray.start(beginning)
        return state

    def train(
        self, state: HostSequenceState, num_updates: int
    ) -> tuple[HostSequenceState, dict[str, Any]]:
        """Takes updates; see `SequenceRunner.train` for the metrics.

        Raises:
          EnvironmentFault: if an environment breaks down and is not to be restarted.
          ProcessFailure: if a process dies again and again.
          ValueError: if a task ends of which there is no data.
        """
        turns, self._judged = self._schedule.turns, {}
        if not updates_of(state):
            self._judged = untrained(self._running().evaluate(state.learner.params))
        state, metrics = turns.train(state, num_updates, updates_of, self._stretch)
        metrics["task/label"] = np.array([float(state.label)])
        if self.watch is not None:
            metrics["task/agreement"] = np.array([rand_index_of_counts(self.watch.met)])
        judged = {name: np.array([value]) for name, value in self._judged.items()}
        return state, metrics | judged

    def save_replay(self, folder: Path) -> None:
        """Saves what the replays hold of all labels; a queue has nothing to save."""
        self._ray.save_replay(folder)

    def roles(self) -> list[RoleRow]:
        """The processes of the run."""
        return self._ray.roles()

    def describe_devices(self) -> str:
        """What learns, in words."""
        return self._ray.describe_devices()

    def close(self) -> None:
        """Ends every process, and Ray where it was started for this run."""
        self._ray.close()
        self._session = None

    def _stretch(self, state: HostSequenceState, stretch: Stretch) -> Any:
        """Trains on one task; where that ends, has all of them played."""
        state, metrics = train_under_labels(state, stretch, self._act_in, self._learn)
        done, turns = updates_of(state), self._schedule.turns
        if turns.index(done) != stretch.task or done >= turns.num_updates:
            self._judged |= self._running().evaluate(state.learner.params)
        return state, metrics

    def _running(self) -> Session:
        if self._session is None:
            raise ValueError("the runner is not prepared: call prepare(state, total).")
        return self._session

    def _learn(self, state: HostSequenceState, num_updates: int) -> Any:
        """Takes updates under the label of the state."""
        session, label = self._running(), int(state.label)
        trained, metrics = session.train(of_label(state, label), num_updates)
        if self.watch is not None and session.recognised is not None:
            self.watch.restore(*session.recognised)
        state = with_known(with_trained(state, label, trained), self.watch)
        session.labels = state.labels.tolist()
        for name in [name for name in metrics if name.startswith("eval/")]:
            self._judged[name] = metrics.pop(name)[0]
        return state, metrics

    def _act_in(self, state: HostSequenceState, stretch: int) -> HostSequenceState:
        """Has learner and actors be where a stretch is, under the label of this moment."""
        session, ended = self._running(), int(state.label)
        label = self.watch.label if self.watch else self._schedule.label_of(stretch)
        turn = Turn(stretch, label)
        if turn == self._turn:
            return state
        if label != ended and hasattr(self.agent, "switch"):
            key = switch_key(state, ended)
            learner = session.switch(of_label(state, ended), key, ended, label)
            state = state._replace(learner=learner)
        state = state._replace(label=np.int64(label))
        session.move(turn, of_label(state, label), self._schedule.totals[label])
        self._turn = turn
        return state


@register_runner("ray/acts-in-turn")
def make_ray_sequence_runner(job: Job, folder: RunFolder) -> RaySequenceRunner:
    """The runner of a job in several environments in turn; see `make_ray_runner`."""
    config, runner = job.config, make_ray_runner(job, folder)
    assert config.steps_per_task is not None  # A job with tasks has it.
    assert isinstance(runner.work, EnvironmentWork)
    schedule = make_schedule(
        config.tasks,
        config.steps_per_task,
        runner.total_updates,
        config.labels,
        runner.work.num_labels,
    )
    return RaySequenceRunner(runner, schedule, runner.work.watch())
