"""The on-device runner as one run has it."""

from __future__ import annotations

import math
from typing import Any

import jax

from tolman.agents.agent import Array, Params
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.device.supervised import SupervisedRunner
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import Counts, RoleRow


class OnDeviceRun:
    """The on-device runner as one run has it: a population of one.

    Attributes:
      agent: what learns.
      population: the runner of that population.
    """

    def __init__(self, population: OnDeviceRunner | SupervisedRunner) -> None:
        self.agent: Any = population.agent
        self.population = population
        self._total_updates = 0

    def init(self, key: Array) -> Any:
        return self.population.init(key[None])

    def place(self, state: Any) -> Any:
        return self.population.place(state)

    def prepare(self, state: Any, total_updates: int) -> Any:
        self._total_updates = total_updates
        return self.train(state, 0)[0]  # Compiles; trains nothing.

    def train(self, state: Any, num_updates: int) -> tuple[Any, dict[str, Array]]:
        return self.population.train(state, num_updates, self._total_updates)

    def counts(self, state: Any) -> Counts:
        updates = int(state.updates[0])
        return Counts(updates, updates * self.population.units_per_update)

    @property
    def env_steps_per_update(self) -> float:
        return self.population.units_per_update

    def total_updates(self, num_env_steps: int) -> int:
        return math.ceil(num_env_steps / self.env_steps_per_update)

    def params(self, state: Any) -> Params:
        return state.learner.params

    def save_replay(self) -> None:
        """Does nothing: what an on-device run holds is in its state."""

    def roles(self) -> list[RoleRow]:
        return []

    def describe_devices(self) -> str:
        devices = self.population.mesh.devices.ravel()
        return f"{len(devices)} x {devices[0].device_kind}"

    def close(self) -> None:
        """Does nothing: nothing was started."""


@register_runner("on-device/acts")
def make_acting_run(job: Job, folder: RunFolder) -> OnDeviceRun:
    """Acting, the environment and learning in one program."""
    del folder
    agent = job.make_agent()
    if agent.data.replay != "queue":
        raise ValueError(
            f"agent {job.config.agent!r} learns from a replay, and the on-device launcher "
            "has none. Set --launcher local."
        )
    environment = job.source.environment()
    return OnDeviceRun(OnDeviceRunner(agent, environment, devices=_devices(job)))


@register_runner("on-device/learns")
def make_learning_run(job: Job, folder: RunFolder) -> OnDeviceRun:
    """Drawing examples and learning from them in one program."""
    del folder
    agent, task = job.make_agent(), job.source.task()
    return OnDeviceRun(SupervisedRunner(agent, task, devices=_devices(job)))


def _devices(job: Job) -> list[jax.Device] | None:
    """Those that the config asks for; None for all that divide the work evenly."""
    devices, wanted = jax.devices(), job.config.num_devices
    if wanted > len(devices):
        raise ValueError(
            f"num_devices={wanted}: there are {len(devices)}. Set --num-devices."
        )
    return devices[:wanted] if wanted else None
