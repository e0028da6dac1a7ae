"""The on-device runner as one run has it."""

from __future__ import annotations

import math

from tolman.agents.agent import Array, Params
from tolman.launchers.device.on_device import OnDeviceRunner, TrainState
from tolman.launchers.runs.protocol import Counts, RoleRow


class OnDeviceRun:
    """The on-device runner as one run has it: a population of one.

    Attributes:
      agent: what learns.
      population: the runner of that population.
    """

    def __init__(self, population: OnDeviceRunner) -> None:
        self.agent = population.agent
        self.population = population
        self._total_updates = 0

    def init(self, key: Array) -> TrainState:
        return self.population.init(key[None])

    def place(self, state: TrainState) -> TrainState:
        return self.population.place(state)

    def prepare(self, state: TrainState, total_updates: int) -> TrainState:
        self._total_updates = total_updates
        return self.train(state, 0)[0]  # Compiles; trains nothing.

    def train(
        self, state: TrainState, num_updates: int
    ) -> tuple[TrainState, dict[str, Array]]:
        return self.population.train(state, num_updates, self._total_updates)

    def counts(self, state: TrainState) -> Counts:
        updates = int(state.updates[0])
        return Counts(updates, updates * self.population.decisions_per_update)

    @property
    def env_steps_per_update(self) -> float:
        return self.population.decisions_per_update

    def total_updates(self, num_env_steps: int) -> int:
        return math.ceil(num_env_steps / self.env_steps_per_update)

    def params(self, state: TrainState) -> Params:
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
