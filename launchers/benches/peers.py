"""Ours beside what a user would pick in its place, on the same work, in turns."""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from tolman.agents.meta_rl import MetaRLConfig, make_meta_rl
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.host.local import LocalRunner, replay_maker
from tolman.launchers.host.state import groups_of
from tolman.launchers.measuring.parts import training
from tolman.launchers.measuring.peers import jax_a2c, pgx_alphazero
from tolman.launchers.measuring.peers.settings import (
    A2CSettings,
    DQNSettings,
    PPOSettings,
    ScreensPPOSettings,
    Settings,
)
from tolman.launchers.measuring.turns import processor_seconds
from tolman.launchers.runs.job import resolve
from tolman.launchers.self_play.runner import SelfPlayRunner
from tolman.launchers.settings.commands import parse_train

NUM_ROUNDS = 9
SECONDS_PER_SAMPLE = 1.0
ON_DEVICE = {
    "two_step": jax_a2c.Settings(16, 21),
    "bandit/independent": jax_a2c.Settings(64, 101),
    "cartpole": jax_a2c.Settings(256, 32),
}
SELF_PLAY = {"connect_four": pgx_alphazero.Settings()}
ON_HOST, ON_SCREENS = "CartPole-v1", "ALE/Pong-v5"
LOCAL: dict[str, Settings] = {
    "ppo": PPOSettings(),
    "actor_critic": A2CSettings(),
    "dqn": DQNSettings(),
}

NAMES = {"ppo": "ppo", "actor_critic": "a2c", "dqn": "dqn"}  # Ours to the peers'.


class Part(NamedTuple):
    """Attributes:
    take: does so many of one unit of work.
    weights: of the network.
    """

    take: Callable[[int], None]
    weights: int


@dataclass(frozen=True)
class Pair:
    """One row of the table.

    Attributes:
      peer: whose loop ours stands beside.
      work: agent and environment.
      num_steps: environment steps of one unit of work.
      ours: made when its turn comes, closed by the stack that it is given.
      theirs: likewise.
    """

    peer: str
    work: str
    num_steps: int
    ours: Callable[[ExitStack], Part]
    theirs: Callable[[ExitStack], Part]


def run() -> list[dict[str, Any]]:
    """One row a peer and a workload; PyTorch's wherever it is installed.

    A ratio is ours over theirs in environment steps a second, the median over rounds in
    which both take turns: of processor time, and of the clock. Weights are counted, for
    equal ones are not equal work otherwise. PyTorch computes with one thread.
    """
    return [_measure(pair) for pair in _pairs()]


def _pairs() -> Iterator[Pair]:
    for environment, settings in ON_DEVICE.items():
        yield Pair(
            "PureJaxRL's shape",
            f"A2C with an LSTM, {environment} x {settings.batch_size}",
            settings.batch_size * settings.unroll_length,
            partial(our_a2c, environment, settings),
            partial(their_a2c, environment, settings),
        )
    for game, playing in SELF_PLAY.items():
        yield Pair(
            "pgx's AlphaZero example",
            f"Gumbel AlphaZero, {game} x {playing.num_games}",
            playing.num_games * playing.num_moves,
            partial(our_alphazero, game, playing),
            partial(their_alphazero, game, playing),
        )
    if importlib.util.find_spec("torch") is None:
        _leave_out("CleanRL's shape needs torch (pip install torch).")
        return
    import torch

    from tolman.launchers.measuring.peers import torch_loops

    torch.set_num_threads(1)
    libraries: list[tuple[str, Any]] = [("CleanRL's shape", torch_loops)]
    if importlib.util.find_spec("stable_baselines3") is None:
        _leave_out("Stable-Baselines3 (pip install stable-baselines3).")
    else:
        from tolman.launchers.measuring.peers import baselines

        libraries.append(("Stable-Baselines3", baselines))
    for library, loops in libraries:
        for agent, own in LOCAL.items():
            make = getattr(loops, NAMES[agent], None)
            if make is not None:
                yield Pair(
                    library,
                    f"{agent}, {ON_HOST} x {own.num_envs}",
                    _steps(own),
                    partial(_our_local, agent, ON_HOST, own),
                    partial(_their_local, make, ON_HOST, own),
                )
    if importlib.util.find_spec("envpool") is None:
        _leave_out("games of Atari in EnvPool (pip install envpool).")
        return
    screens = ScreensPPOSettings()
    yield Pair(
        "CleanRL's shape, EnvPool",
        f"ppo, {ON_SCREENS} x {screens.num_envs}",
        _steps(screens),
        partial(_our_local, "ppo", ON_SCREENS, screens),
        partial(_their_local, torch_loops.screens_ppo, ON_SCREENS, screens),
    )


def _leave_out(what: str) -> None:
    """Says what is not installed, beside the rows."""
    print(f"Left out: {what}", file=sys.stderr)


def _steps(settings: Settings) -> int:
    """Environment steps of one unit: an update, or a row of all environments for DQN."""
    return settings.num_envs * getattr(settings, "unroll_length", 1)


def _measure(pair: Pair) -> dict[str, Any]:
    with ExitStack() as stack:
        parts = {"ours": pair.ours(stack), "theirs": pair.theirs(stack)}
        counts = {name: _count(part.take) for name, part in parts.items()}
        ratios, rates = [], []
        for _ in range(NUM_ROUNDS):
            spent = {name: _timed(parts[name].take, counts[name]) for name in parts}
            ours, theirs = spent["ours"], spent["theirs"]
            ratios.append([t / o for t, o in zip(theirs, ours, strict=True)])
            rates.append([pair.num_steps / ours[0], pair.num_steps / theirs[0]])
    processor, clock = map(statistics.median, zip(*ratios, strict=True))
    mine, other = map(statistics.median, zip(*rates, strict=True))
    return {
        "peer": pair.peer,
        "work": pair.work,
        "ratio in processor time": round(processor, 2),
        "ratio by the clock": round(clock, 2),
        "ours, steps per CPU-second": round(mine),
        "theirs, steps per CPU-second": round(other),
        "weights": f"{parts['ours'].weights:,} and {parts['theirs'].weights:,}",
        "load": round(os.getloadavg()[0], 1),
    }


def _count(take: Callable[[int], None]) -> int:
    """Units in a sample; what is compiled for that many is compiled."""
    take(1)
    start = time.perf_counter()
    take(1)
    seconds = time.perf_counter() - start
    count = max(1, int(SECONDS_PER_SAMPLE / seconds))
    take(count)
    return count


def _timed(take: Callable[[int], None], count: int) -> tuple[float, float]:
    """Seconds of one unit: of the processor, and by the clock."""
    before = processor_seconds(), time.perf_counter()
    take(count)
    after = processor_seconds(), time.perf_counter()
    return (after[0] - before[0]) / count, (after[1] - before[1]) / count


def our_a2c(name: str, settings: jax_a2c.Settings, stack: ExitStack) -> Part:
    """The training loop of the meta-RL agent on the device."""
    del stack
    environment = find_environments(name).environment()
    config = MetaRLConfig(
        batch_size=settings.batch_size, unroll_length=settings.unroll_length
    )
    core = find(CORE, "lstm").default_settings()
    agent = make_meta_rl(
        config,
        environment.observation_spec(),
        environment.action_spec(),
        make_core("lstm", core),
    )
    runner = OnDeviceRunner(agent, environment, devices=jax.devices()[:1])
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)
    return Part(training(runner, state), _weights(agent))


def their_a2c(name: str, settings: jax_a2c.Settings, stack: ExitStack) -> Part:
    """The same agent and environment in PureJaxRL's shape."""
    del stack
    return Part(*jax_a2c.make(find_environments(name).environment(), settings))


def our_alphazero(game: str, settings: pgx_alphazero.Settings, stack: ExitStack) -> Part:
    """Self-play, its replay and its updates."""
    del stack
    words = f"gumbel_alphazero --env {game} {settings.words()}"
    agent = resolve(parse_train(words.split())).make_agent()
    runner = SelfPlayRunner(agent, jax.devices()[:1])
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)
    return Part(training(runner, state), _weights(agent))


def their_alphazero(game: str, settings: pgx_alphazero.Settings, stack: ExitStack) -> Part:
    """The same game, search and tower in the shape of pgx's example."""
    del stack
    return Part(*pgx_alphazero.make(game, settings))


def _our_local(
    agent_name: str, environment: str, settings: Settings, stack: ExitStack
) -> Part:
    words = f"{agent_name} --env {environment} --launcher local {settings.words()}"
    job = resolve(parse_train(words.split()))
    vector = job.source.make_vector(0, settings.num_envs)
    stack.callback(vector.close)
    agent = job.make_agent(vector)
    num_groups = groups_of(vector, settings.num_envs)
    runner = LocalRunner(
        agent,
        job.source.make_vector,
        settings.num_envs,
        replay_maker("memory", agent.data, num_groups, Path("unused"), 0),
        num_groups=num_groups,
    )
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)
    stack.callback(runner.close)
    updates = getattr(settings, "updates_per_row", 1)
    take = training(runner, state)
    return Part(lambda count: take(count * updates), _weights(agent))


def _their_local(
    make: Callable[[str, Any], tuple[Callable[[int], None], int]],
    environment: str,
    settings: Settings,
    stack: ExitStack,
) -> Part:
    del stack
    return Part(*make(environment, settings))


def _weights(agent: Any) -> int:
    params = agent.init(jax.random.PRNGKey(0)).params
    params = getattr(params, "network", params)  # PPO's stand beside its statistics.
    return sum(leaf.size for leaf in jax.tree.leaves(params))
