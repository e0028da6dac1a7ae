"""What a runner is to the run that it serves."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import jax

from tolman.agents.agent import Agent, Array, DataSpec, Params
from tolman.envs.host import HostVector
from tolman.launchers import names
from tolman.launchers.config import TrainConfig
from tolman.launchers.on_device import OnDeviceRunner, TrainState
from tolman.launchers.run_folder import RunFolder

MAX_DEFAULT_ENVS = 16
State = Any  # Pytree of arrays: all that a checkpoint holds.


class Counts(NamedTuple):
    """How far a run is.

    Attributes:
      updates: done.
      env_steps: taken.
    """

    updates: int
    env_steps: int


class ProcessFailure(RuntimeError):
    """A process of the run dies again and again; the message says which, and of what."""


class RoleRow(NamedTuple):
    """One kind of process behind a runner, as people are shown it.

    Attributes:
      kind: what these processes do.
      alive: how many are at work.
      wanted: how many there are to be.
      restarts: of all of them, since the run was last started or resumed.
      note: how fast they are, in words.
    """

    kind: str
    alive: int
    wanted: int
    restarts: int
    note: str = ""


class Specified(Protocol):
    """Whatever tells an environment's specs."""

    def observation_spec(self) -> Any: ...

    def action_spec(self) -> Any: ...


class Runner(Protocol):
    """Trains one agent on one environment, wherever that takes place.

    Attributes:
      agent: what learns.
    """

    agent: Agent

    def init(self, key: Array) -> State:
        """Starts a run from a key, `[2]`."""
        ...

    def place(self, state: State) -> State:
        """Puts a state that was restored on the host where it is needed."""
        ...

    def prepare(self, state: State, total_updates: int) -> State:
        """Compiles, or starts, what training needs; trains nothing.

        Args:
          state: to go on from.
          total_updates: of the whole run; schedules depend on it.
        """
        ...

    def train(self, state: State, num_updates: int) -> tuple[State, dict[str, Array]]:
        """Takes `num_updates` updates; consumes `state`.

        Returns:
          The new state, and metrics, `[1]` each, means over these updates; NaN for the
          return and length of episodes where none ended.
        """
        ...

    def counts(self, state: State) -> Counts:
        """How far a state is."""
        ...

    @property
    def env_steps_per_update(self) -> float:
        """Environment steps that one update takes, on average."""
        ...

    def total_updates(self, num_env_steps: int) -> int:
        """Updates in a run of `num_env_steps` env steps, rounded up to whole ones."""
        ...

    def params(self, state: State) -> Params:
        """The parameters in a state."""
        ...

    def save_replay(self) -> None:
        """Saves what is too large for a state, at the moment of its checkpoint."""
        ...

    def roles(self) -> list[RoleRow]:
        """The processes of the run; none where this process is all."""
        ...

    def describe_devices(self) -> str:
        """What learns, in words."""
        ...

    def close(self) -> None:
        """Ends whatever the runner started."""
        ...


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


def build_runner(config: TrainConfig, folder: RunFolder) -> Runner:
    """Builds the environment, agent and runner of a resolved config.

    Args:
      config: resolved.
      folder: of the run; nothing is written to it yet.
    """
    if names.plays_games(config.agent):
        return _build_self_play(config, folder)
    if config.launcher == "on-device":
        environment = names.make_environment(config.env, config.env_config)
        agent = build_agent(config, environment)
        if agent.data.replay != "queue":
            raise ValueError(
                f"agent {config.agent!r} learns from a replay, and the on-device launcher "
                "has none. Set --launcher local."
            )
        devices = jax.devices()
        if config.num_devices > len(devices):
            raise ValueError(
                f"num_devices={config.num_devices}: there are {len(devices)}. "
                "Set --num-devices."
            )
        chosen = devices[: config.num_devices] if config.num_devices else None
        return OnDeviceRun(OnDeviceRunner(agent, environment, devices=chosen))

    one = make_vector(config, num_envs=1, seed=config.seed)
    agent = build_agent(config, one)
    one.close()
    num_envs = config.num_envs or default_num_envs(agent.data)
    if config.launcher == "ray":
        from tolman.launchers.cluster.runner import make_ray_runner

        return make_ray_runner(agent, config, one, num_envs, folder.replay)

    from tolman.launchers.host.local import LocalRunner

    def make(seed: int, number: int) -> HostVector:
        return make_vector(config, number, seed)

    num_groups = groups_of(one, num_envs)
    return LocalRunner(agent, make, num_envs, folder.replay, config.seed, num_groups)


def _build_self_play(config: TrainConfig, folder: RunFolder) -> Runner:
    """Rules in JAX play on-device, rules in C++ or Python with "local", both with "ray"."""
    from tolman.envs.board.game import Game
    from tolman.launchers.self_play.runner import SelfPlayRunner

    for name in ("num_devices", "num_envs"):
        if getattr(config, name):
            raise ValueError(
                f"{name}={getattr(config, name)}: self-play has no such setting. Set "
                "--agent.num-parallel-games."
            )
    agent = build_player(config)
    if config.launcher == "local" and isinstance(agent.game, Game):
        raise ValueError(
            f"game {config.env!r}: its rules are in JAX and play on-device. Leave "
            "--launcher out, or name rules on the host (`tolman list games`)."
        )
    if config.launcher == "ray":
        from tolman.launchers.cluster.runner import make_games_runner

        return make_games_runner(agent, config, folder.replay)
    return SelfPlayRunner(agent, folder.replay, config.num_checkpoints_to_keep)


def build_player(config: TrainConfig) -> Any:
    """Builds a config's agent, which plays games."""
    from tolman.launchers.games import make_game

    game = make_game(config.env, config.env_config)
    return names.resolve(names.AGENT, config.agent)(config.agent_config, game)


def groups_of(vector: HostVector, num_envs: int) -> int:
    """Into how many groups that take turns an actor's environments are cut.

    While the environments of one group are stepped, the network decides for the other. That
    gains where stepping leaves Python to others, and costs where it does not.
    """
    return 2 if getattr(vector, "releases_gil", False) and num_envs % 2 == 0 else 1


def build_agent(config: TrainConfig, environment: Specified) -> Agent:
    """Builds a config's agent for the specs of `environment`."""
    return names.resolve(names.AGENT, config.agent)(
        config.agent_config,
        environment.observation_spec(),
        environment.action_spec(),
        names.make_core(config.core, config.core_config),
    )


def make_vector(config: TrainConfig, num_envs: int, seed: int) -> HostVector:
    """Builds `num_envs` environments of a config for a runner on the host."""
    return names.make_vector(
        config.env,
        config.env_config,
        num_envs,
        seed,
        config.on_env_error,
        config.env_timeout,
    )


def default_num_envs(data: DataSpec) -> int:
    """Environments of one actor: what divides a queue's batch, and not too many."""
    if data.replay != "queue":
        return MAX_DEFAULT_ENVS
    limit = min(data.batch_size, MAX_DEFAULT_ENVS)
    return max(n for n in range(1, limit + 1) if data.batch_size % n == 0)
