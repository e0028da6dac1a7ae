"""The Ray runner: actors, replays, learner and evaluator in processes of their own.

The driver has the run loop, the run folder and the latest state; it supervises the
other processes.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tolman.agents.agent import Agent
from tolman.launchers.catalog.environments import Specs
from tolman.launchers.cluster.connection import Roles, connect, disconnect
from tolman.launchers.cluster.environments import EnvironmentWork
from tolman.launchers.cluster.games import GameWork
from tolman.launchers.cluster.session import Session
from tolman.launchers.cluster.work import Work
from tolman.launchers.host.state import HostRun, HostState, default_num_envs, group_size
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import RoleRow
from tolman.launchers.settings.config import TrainConfig

DEFAULT_ACTORS = 2


class RayRunner(HostRun):
    """Trains one agent over many processes and machines.

    Attributes:
      agent: pure functions; see `tolman.agents.agent`.
    """

    def __init__(self, agent: Agent, work: Work, roles: Roles, replay_folder: Path) -> None:
        """Connects to Ray; starts no process of the run yet.

        Args:
          agent: what learns.
          work: what every process gets.
          roles: how many processes there are.
          replay_folder: for the checkpoints of replays; each machine that has a replay
            must see it.

        Raises:
          ValueError: if the agent cannot learn from older policies' data, E does not
            suit its batch, there is no such cluster, or it is too small.
        """
        _check_agent(agent, work)
        group_size(agent.data, work.num_envs)
        super().__init__(agent)
        self.work = work
        self.roles_wanted = roles
        self.replay_folder = replay_folder
        self._session: Session | None = None
        self._is_connected_here = connect(work.config, roles)

    def prepare(self, state: HostState, total_updates: int) -> HostState:
        """Starts every process, and waits for all but the actors and the evaluator."""
        self._session = Session(
            self.agent.data,
            self.work,
            self.roles_wanted,
            self.replay_folder,
            state,
            total_updates,
        )
        return state

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

    def save_replay(self) -> None:
        """Saves what the replays hold, beside a checkpoint of the state."""
        if self._session is not None:
            self._session.save_replays()

    def roles(self) -> list[RoleRow]:
        """The processes of the run."""
        return self._session.rows() if self._session is not None else []

    def describe_devices(self) -> str:
        """What learns, in words."""
        return f"ray: {self.roles_wanted}, {self.roles_wanted.gpus} GPUs"

    def close(self) -> None:
        """Ends every process, and Ray where it was started for this run."""
        if self._session is not None:
            self._session.close()
            self._session = None
        disconnect(self._is_connected_here)
        self._is_connected_here = False


@register_runner("ray/acts")
def make_ray_runner(job: Job, folder: RunFolder) -> RayRunner:
    """The runner of a job in environments.

    Raises:
      ValueError: as `RayRunner` does, or for more shards than actors.
    """
    source, roles = job.source, _roles(job.config)
    specs = Specs(source.observation_spec(), source.action_spec())
    source.close()
    agent = job.make_agent(specs)
    num_envs = job.config.num_envs or default_num_envs(agent.data)
    work = EnvironmentWork(job.config, specs, num_envs, roles.shards)
    return RayRunner(agent, work, roles, folder.replay)


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
    work = GameWork(job.config, roles.shards)
    return RayRunner(job.make_agent(), work, roles, folder.replay)


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
    evaluators = int(config.eval_episodes != 0)
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
