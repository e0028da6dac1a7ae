"""The Ray runner: actors, replays, learner and evaluator in processes of their own.

The driver has the run loop, the run folder and the latest state; it supervises the
other processes.
"""

from __future__ import annotations

import contextlib
import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayActorError, RayTaskError

from tolman.agents.agent import Agent
from tolman.launchers.catalog.environments import Specs
from tolman.launchers.cluster.connection import Roles
from tolman.launchers.cluster.environments import EnvironmentWork
from tolman.launchers.cluster.games import GameWork
from tolman.launchers.cluster.launcher import ProcessLauncher
from tolman.launchers.cluster.parameter_server import ONLY_TURN
from tolman.launchers.cluster.session import SECONDS_A_POLL, Beginning, Session
from tolman.launchers.cluster.supervisor import Process, Supervisor
from tolman.launchers.cluster.work import ActorIdentity, Work
from tolman.launchers.host.schedule import num_labels_of
from tolman.launchers.host.state import HostRun, HostState, default_num_envs, group_size
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import RoleRow
from tolman.launchers.runs.turns import check_tasks
from tolman.launchers.settings.config import TrainConfig

DEFAULT_ACTORS = 2


class RayRunner(HostRun):
    """Trains one agent over many processes and machines.

    Attributes:
      agent: pure functions; see `tolman.agents.agent`.
    """

    def __init__(
        self,
        agent: Agent,
        work: Work,
        processes: ProcessLauncher,
        first_actor: Process | None = None,
    ) -> None:
        """Connects to Ray; starts no process of the run yet.

        Args:
          agent: what learns.
          work: what every process gets.
          processes: starts them.
          first_actor: one that waits to be started; None for none yet.

        Raises:
          ValueError: if the agent cannot learn from older policies' data, E does not
            suit its batch, there is no such cluster, or it is too small.
        """
        _check_agent(agent, work)
        group_size(agent.data, work.num_envs)
        processes.open()
        super().__init__(agent)
        self.work, self.num_servers = work, work.num_shards
        self._processes, self._first_actor = processes, first_actor
        self._session: Session | None = None

    def prepare(self, state: HostState, total_updates: int) -> HostState:
        """Starts every process, and waits for all but the actors and the evaluator."""
        self.start(Beginning([state], ONLY_TURN, total_updates))
        return state

    def start(self, beginning: Beginning) -> Session:
        """Starts every process, as `prepare` does; see `Session`."""
        self._session = Session(
            self.agent.data,
            self.work,
            self._processes,
            self._first_actor,
            self.replay_before,
            beginning,
        )
        return self._session

    def train(self, state: HostState, num_updates: int) -> tuple[HostState, dict[str, Any]]:
        """Takes `num_updates` updates; see `OnDeviceRunner.train` for the metrics.

        Where the learner dies meanwhile, a new one takes them again from `state`.

        Raises:
          EnvironmentFault: if an environment breaks down and is not to be restarted.
          ProcessFailure: if a process dies again and again.
        """
        if self._session is None:
            raise ValueError("the runner is not prepared: call prepare(state, total).")
        return self._session.train(state, num_updates)

    def add_actors(self, count: int) -> None:
        """Starts `count` more actors in a prepared run."""
        if self._session is None:
            raise ValueError("the runner is not prepared: call prepare(state, total).")
        self._session.add_actors(count)

    def save_replay(self, folder: Path) -> None:
        """Saves what the replays hold; a queue has nothing to save."""
        if self._session is not None:
            self._session.save_replays(folder)

    def roles(self) -> list[RoleRow]:
        """The processes of the run."""
        return self._session.rows() if self._session is not None else []

    def describe_devices(self) -> str:
        """What learns, in words."""
        return f"ray: {self._processes.roles}, {self._processes.roles.gpus} GPUs"

    def close(self) -> None:
        """Ends every process, and Ray where it was started for this run."""
        if self._session is not None:
            self._session.close()
            self._session = self._first_actor = None
        if self._first_actor is not None:
            self._first_actor.end()
            self._first_actor = None
        self._processes.close()


@register_runner("ray/acts")
def make_ray_runner(job: Job, folder: RunFolder) -> RayRunner:
    """The runner of a job in environments.

    Raises:
      ValueError: as `RayRunner` does, or for more shards than actors; of tasks in turn,
        where one agent cannot learn them all, or no screens tell them apart.
    """
    roles, specs, actor = _roles(job.config), job.source.known_specs(), None
    others = [task.known_specs() for task in job.tasks.values()]
    if None in others:
        specs = None
    elif job.tasks:
        check_tasks(job.make_agent(specs), job.tasks)
    processes = ProcessLauncher(job.config, roles, folder.checkpoints)
    with contextlib.ExitStack() as stack:
        stack.callback(processes.close)
        if specs is None:
            updates, _ = Checkpoints(folder.checkpoints).peek()
            processes.open()
            actor, specs = _ask_first_actor(job.config, processes, updates)
            stack.callback(actor.end)
        agent = job.make_agent(specs)
        num_envs = job.config.num_envs or default_num_envs(agent.data)
        number = 1
        if job.tasks:
            config = job.config
            number = num_labels_of(config.labels, len(job.tasks), agent, config.agent)
        work = EnvironmentWork(job.config, specs, num_envs, roles.shards, number)
        work.watch()  # What is no screen is refused before Ray starts.
        runner = RayRunner(agent, work, processes, actor)
        stack.pop_all()
    return runner


def _ask_first_actor(
    config: TrainConfig, processes: ProcessLauncher, updates: int
) -> tuple[Process, Specs]:
    """Starts actor 0; the first of its environments tells the specs.

    So no environment is built that is not then stepped.

    Args:
      config: resolved.
      processes: starts it; open.
      updates: of the run, which its seed depends on.

    Raises:
      ValueError: if the environment cannot be built.
      ProcessFailure: if the actor dies again and again.
    """
    actor = Process("actor", 0, functools.partial(processes.actor, 0))
    supervisor = Supervisor([actor])
    while True:
        while actor.report is None:
            supervisor.poll(SECONDS_A_POLL)
        identity = ActorIdentity(0, actor.incarnation, updates, np.zeros(2, np.uint32))
        try:
            return actor, ray.get(
                actor.handle.specs.remote(config, identity.env_seed(config.seed))
            )
        except RayActorError as error:
            actor.die(error)
        except RayTaskError as error:
            actor.end()
            raise error.cause from None


@register_runner("ray/plays")
def make_games_runner(job: Job, folder: RunFolder) -> RayRunner:
    """The runner of a job whose agent plays games; see `make_ray_runner`."""
    for name in ("num_devices", "num_envs"):
        if getattr(job.config, name):
            raise ValueError(
                f"{name}={getattr(job.config, name)}: self-play has no such setting. Set "
                "--agent.num-parallel-games."
            )
    roles = _roles(job.config)
    _check_length(job.config, roles.actors)
    work = GameWork(job.config, roles.shards)
    processes = ProcessLauncher(job.config, roles, folder.checkpoints)
    return RayRunner(job.make_agent(), work, processes)


def _check_length(config: TrainConfig, actors: int) -> None:
    """Raises ValueError for a run that is over before its first update."""
    own = config.agent_config
    first = actors * own.num_parallel_games * own.moves_per_iteration
    least = max(first, own.min_positions)
    if config.num_env_steps < least:
        raise ValueError(
            f"num_env_steps={config.num_env_steps}: must be at least {least}: {actors} "
            f"actors make {first} moves at once, and {own.min_positions} are made before "
            "the first update. Set --num-env-steps, --agent.min-positions, "
            "--agent.num-parallel-games or --agent.moves-per-iteration."
        )


def _roles(config: TrainConfig) -> Roles:
    """How many processes there are.

    Raises:
      ValueError: for more shards than actors.
    """
    if find_spec("reverb") is None:
        import tolman.launchers.host.reverb  # noqa: F401  (It says what is missing, and why.)
    actors = config.actors or DEFAULT_ACTORS
    shards = config.replay_shards or 1
    if shards > actors:
        raise ValueError(
            f"replay_shards={shards}: must be at most the {actors} actors, each of which "
            "writes to one. Set --replay-shards or --actors."
        )
    # With eval_every the driver evaluates between rows, so that it knows the best one.
    evaluators = int(config.eval_episodes != 0 and config.eval_every is None)
    return Roles(actors, shards, evaluators, config.learner_gpus)


def _check_agent(agent: Agent, work: Work) -> None:
    """Raises ValueError for an agent that learns from its own latest policy only."""
    data, config = agent.data, work.config
    if data.replay == "queue" and data.max_lag == 0:
        has_fix = hasattr(config.agent_config, "off_policy_correction")
        fix = "--agent.off-policy-correction vtrace, or " if has_fix else ""
        raise ValueError(
            f"agent {config.agent!r} learns from its own latest policy only, as it is set: "
            f"actors in processes of their own are behind it. Set {fix}--launcher local."
        )
