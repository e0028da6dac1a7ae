"""How the processes of a run are started, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from tolman.launchers.cluster.actor import ActorRole
from tolman.launchers.cluster.connection import Roles
from tolman.launchers.cluster.evaluator import EvaluatorRole
from tolman.launchers.cluster.learner import LearnerRole
from tolman.launchers.cluster.parameter_server import ParameterServer
from tolman.launchers.cluster.replay import ReplayRole
from tolman.launchers.cluster.work import ON_CPU, ONE_THREAD, ActorIdentity, Work
from tolman.launchers.host.state import HostState


class ProcessLauncher:
    """Starts processes; each method returns the handle of a Ray actor.

    The learner and the replays are one placement group: side by side where a machine has
    room for them, and in the same place again after a restart. Actors are spread.

    Attributes:
      server: handle of the `ParameterServer`, which Ray itself restarts.
    """

    def __init__(
        self, work: Work, roles: Roles, state: HostState, replay_folder: Path
    ) -> None:
        """Starts the parameter server; reserves CPUs for the learner and the replays.

        Args:
          work: what every process gets.
          roles: how many there are.
          state: that the run continues from.
          replay_folder: for the checkpoints of replays.
        """
        self._work = ray.put(work)
        self._first_updates, self._key = int(state.updates), np.asarray(state.key)
        self._gpus, self._replay_folder = roles.gpus, replay_folder
        bundles = [_resources(1, roles.gpus)] + [_resources(1)] * roles.shards
        self._group = placement_group(bundles, "PACK")
        env = {"env_vars": ON_CPU}
        server = ray.remote(ParameterServer)
        self.server: Any = server.options(
            num_cpus=0, max_restarts=-1, runtime_env=env
        ).remote()

    def learner(self, incarnation: int) -> Any:
        env_vars = {**ON_CPU, "JAX_PLATFORMS": "cuda,cpu" if self._gpus else "cpu"}
        remote = ray.remote(LearnerRole).options(
            num_cpus=1,
            num_gpus=self._gpus,
            max_concurrency=3,  # `report` and the others beside `train`.
            runtime_env={"env_vars": env_vars},
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, 0),
        )
        return remote.remote(self._work, self.server)

    def replay(self, index: int, address_before: str, incarnation: int) -> Any:
        remote = ray.remote(ReplayRole).options(
            num_cpus=1,
            runtime_env={"env_vars": ON_CPU},
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, 1 + index),
        )
        folder = self._replay_folder / str(index)
        return remote.remote(self._work, folder, address_before)

    def actor(self, index: int, incarnation: int) -> Any:
        identity = ActorIdentity(index, incarnation, self._first_updates, self._key)
        return _spread(ActorRole).remote(self._work, identity, self.server)

    def evaluator(self, incarnation: int) -> Any:
        return _spread(EvaluatorRole).remote(self._work, self.server)

    def close(self) -> None:
        """Ends the parameter server, and frees the reserved CPUs."""
        ray.kill(self.server)
        remove_placement_group(self._group)


def _spread(role: type) -> Any:
    """A role on any machine, with one thread of one CPU."""
    return ray.remote(role).options(
        num_cpus=1,
        runtime_env={"env_vars": {**ON_CPU, **ONE_THREAD}},
        scheduling_strategy="SPREAD",
    )


def _resources(cpus: int, gpus: int = 0) -> dict[str, float]:
    return {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}
