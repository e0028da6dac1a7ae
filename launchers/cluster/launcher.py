"""How the processes of a run are started, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from tolman.launchers.cluster.actor import ActorRole
from tolman.launchers.cluster.connection import Roles, connect, disconnect
from tolman.launchers.cluster.evaluator import EvaluatorRole
from tolman.launchers.cluster.learner import LearnerRole
from tolman.launchers.cluster.parameter_server import ParameterServer
from tolman.launchers.cluster.replay import ReplayRole
from tolman.launchers.cluster.work import ON_CPU, ONE_THREAD, ActorIdentity, Work
from tolman.launchers.host.recognition import Recognised
from tolman.launchers.host.saved_replay import replay_folder, scratch_folder
from tolman.launchers.host.state import HostState
from tolman.launchers.settings.config import TrainConfig

WATCHING = 0  # The actor by whose screens tasks are recognised.


class ProcessLauncher:
    """Starts processes; each method of a role returns the handle of a Ray actor.

    The learner and the replays are one placement group: side by side where a machine has
    room for them, and in the same place again after a restart. Actors are spread.

    Attributes:
      roles: how many processes there are.
      server: handle of the `ParameterServer`, which Ray itself restarts.
      recognised: what actor 0 goes on from where it watches its screens; None where nobody
        does.
    """

    server: Any
    recognised: Recognised | None = None

    def __init__(self, config: TrainConfig, roles: Roles, checkpoints: Path) -> None:
        """Starts nothing before `open`.

        Args:
          config: of the run.
          roles: how many processes there are.
          checkpoints: the folder of the run's; each machine that has a replay must see it.
        """
        self.roles, self._config = roles, config
        self._checkpoints = checkpoints.absolute()
        self._is_open, self._is_connected_here = False, False
        self._work: Any = None

    def open(self) -> None:
        """Connects to Ray, reserves CPUs for learner and replays, starts the server.

        Raises:
          ValueError: if there is no such cluster, or it is too small.
        """
        if self._is_open:
            return
        self._is_connected_here = connect(self._config, self.roles)
        self._is_open = True
        bundles = [_resources(1, self.roles.gpus)] + [_resources(1)] * self.roles.shards
        self._group = placement_group(bundles, "PACK")
        env = {"env_vars": ON_CPU}
        server = ray.remote(ParameterServer)
        self.server = server.options(num_cpus=0, max_restarts=-1, runtime_env=env).remote()

    def set_work(self, work: Work, state: HostState) -> None:
        """Sets what every process gets, and the state that the run continues from."""
        self._work = ray.put(work)
        self._first_updates, self._key = int(state.updates), np.asarray(state.key)

    def learner(self, incarnation: int) -> Any:
        gpus = self.roles.gpus
        env_vars = {**ON_CPU, "JAX_PLATFORMS": "cuda,cpu" if gpus else "cpu"}
        remote = ray.remote(LearnerRole).options(
            num_cpus=1,
            num_gpus=gpus,
            max_concurrency=3,  # `report` and the others beside `train`.
            runtime_env={"env_vars": env_vars},
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, 0),
        )
        return remote.remote(self._work, self.server)

    def replay(self, index: int, before: Path | None, address_before: str) -> Any:
        remote = ray.remote(ReplayRole).options(
            num_cpus=1,
            runtime_env={"env_vars": ON_CPU},
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, 1 + index),
        )
        scratch = scratch_folder(self._checkpoints, index)
        saved = before and replay_folder(before, index)
        return remote.remote(self._work, scratch, saved, address_before)

    def actor(self, index: int, incarnation: int) -> Any:
        """One that acts at once; before `set_work`, one that waits for `start_actor`."""
        handle = _spread(ActorRole).remote()
        if self._work is not None:
            self.start_actor(handle, index, incarnation)
        return handle

    def start_actor(self, handle: Any, index: int, incarnation: int) -> None:
        """Has an actor begin."""
        identity = ActorIdentity(index, incarnation, self._first_updates, self._key)
        recognised = self.recognised if index == WATCHING else None
        handle.start.remote(self._work, identity, self.server, recognised)

    def evaluator(self, incarnation: int) -> Any:
        return _spread(EvaluatorRole).remote(self._work, self.server)

    def close(self) -> None:
        """Ends the server, frees the CPUs; ends Ray where it was started for this run."""
        if self._is_open:
            self._is_open = False
            ray.kill(self.server)
            remove_placement_group(self._group)
            disconnect(self._is_connected_here)


def _spread(role: type) -> Any:
    """A role on any machine, with one thread of one CPU."""
    return ray.remote(role).options(
        num_cpus=1,
        runtime_env={"env_vars": {**ON_CPU, **ONE_THREAD}},
        scheduling_strategy="SPREAD",
    )


def _resources(cpus: int, gpus: int = 0) -> dict[str, float]:
    return {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}
