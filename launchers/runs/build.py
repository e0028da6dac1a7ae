"""Builds the runner of a resolved config."""

from __future__ import annotations

from typing import Any

import jax

from tolman.agents.agent import Agent, DataSpec
from tolman.envs.host import HostVector
from tolman.launchers.catalog import names
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.device.run import OnDeviceRun
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.protocol import Runner, Specified
from tolman.launchers.settings.bounds import check_settings
from tolman.launchers.settings.config import TrainConfig

MAX_DEFAULT_ENVS = 16


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
    from tolman.launchers.catalog.games import make_game

    game = make_game(config.env, config.env_config)
    agent = names.resolve(names.AGENT, config.agent)(config.agent_config, game)
    check_settings(agent.data, "agent.")
    return agent


def groups_of(vector: HostVector, num_envs: int) -> int:
    """Into how many groups that take turns an actor's environments are cut.

    While the environments of one group are stepped, the network decides for the other. That
    gains where stepping leaves Python to others, and costs where it does not.
    """
    return 2 if getattr(vector, "releases_gil", False) and num_envs % 2 == 0 else 1


def build_agent(config: TrainConfig, environment: Specified) -> Agent:
    """Builds a config's agent for the specs of `environment`."""
    agent = names.resolve(names.AGENT, config.agent)(
        config.agent_config,
        environment.observation_spec(),
        environment.action_spec(),
        names.make_core(config.core, config.core_config),
    )
    check_settings(agent.data, "agent.")
    return agent


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
