"""The on-device training loop beside its network's floor, and what each part adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tolman.agents.actor_critic import ActorCritic, ActorCriticConfig
from tolman.agents.dqn import DQN, DQNConfig
from tolman.agents.meta_rl import MetaRLConfig, make_meta_rl
from tolman.agents.navigation import NavigationConfig, make_navigation
from tolman.envs import vector
from tolman.envs.environment import Environment
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.catalog.names import CORE, ENV, find, make_core
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.measuring.parts import acting, network_pass, training, updating
from tolman.launchers.measuring.turns import take_turns


@dataclass(frozen=True)
class Case:
    """One workload: an agent's default network on an environment.

    Attributes:
      environment: its name.
      core: of the agent.
      batch_size: environments.
      unroll_length: decisions an update.
      is_navigating: the navigation agent with D2, in place of the meta-RL one.
      core_size: units of the core; 0 for its default.
    """

    environment: str
    core: str
    batch_size: int
    unroll_length: int
    is_navigating: bool = False
    core_size: int = 0


ON_DEVICE_CASES = (
    Case("two_step", "lstm", 16, 21),
    Case("bandit/independent", "lstm", 16, 101),
    Case("bandit/independent", "lstm", 64, 101),
    Case("bandit/independent", "gru", 64, 101),
    Case("bandit/independent", "gtrxl", 64, 101),
    Case("bandit/independent", "feedforward", 64, 101),
    Case("maze/static_1", "lstm", 32, 20, is_navigating=True),
)


@dataclass(frozen=True)
class ReplayCase:
    """Double DQN on `cartpole`, at its defaults but for these."""

    replay: str
    capacity: int
    num_envs: int


REPLAY_CASES = (
    ReplayCase("uniform", 100_000, 16),
    ReplayCase("prioritized", 100_000, 16),
    ReplayCase("prioritized", 1_000_000, 16),
)


def run() -> list[dict[str, Any]]:
    """One row a workload.

    Times are medians over rounds in which the parts take turns.

    `floor` is the forward and backward pass of the network over `[T + 1, B]` random rows;
    `loop` is acting, environment, loss, update, all that training is. `ratio` is floor
    time over loop time. `acting` and `environment` are those parts alone, as shares of the
    loop; what the largest of the three is bounds the loop. How fast the environment is
    alone stands beside that.

    With a replay, `floor` is as many updates of one batch, and as many decisions of the
    environments, alone.
    """
    rows = [measure_case(case) for case in ON_DEVICE_CASES]
    return rows + [measure_replay(case) for case in REPLAY_CASES]


def measure_case(case: Case) -> dict[str, Any]:
    """The loop, its floor and its parts, in turns."""
    agent, environment = agent_of(case)
    runner = OnDeviceRunner(agent, environment, devices=jax.devices()[:1])
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)

    parts = {
        "loop": training(runner, state),
        "floor": network_pass(agent, environment),
        "acting": acting(agent, environment, case.unroll_length, case.batch_size),
        "environment": _stepping(agent, environment),
    }
    seconds = take_turns(parts, least=3)
    loop_seconds = seconds["loop"]
    shares = {
        name: seconds[name] / loop_seconds for name in ("floor", "acting", "environment")
    }
    names = {"floor": "network", "acting": "acting", "environment": "environment"}
    return {
        "environment": case.environment,
        "core": case.core,
        "batch": case.batch_size,
        "env steps/s": round(runner.units_per_update / loop_seconds),
        "ratio to floor": round(shares["floor"], 3),
        "acting share": round(shares["acting"], 3),
        "environment share": round(shares["environment"], 3),
        "environment alone, env steps/s": round(
            runner.units_per_update / seconds["environment"]
        ),
        "bound": names[max(shares, key=lambda name: shares[name])],
        "compilations": runner.num_compilations(),
    }


def agent_of(case: Case) -> tuple[ActorCritic, Environment]:
    """The agent and the environment of a workload."""
    make: Callable[..., ActorCritic] = make_meta_rl
    config: type[ActorCriticConfig] = MetaRLConfig
    settings = None
    if case.is_navigating:
        make, config = make_navigation, NavigationConfig
        of_maze = find(ENV, case.environment).settings_type
        settings = of_maze(fields=("rgb", "velocity", "depth_classes"))
    environment = find_environments(case.environment, settings).environment()
    core = find(CORE, case.core).default_settings()
    if case.core_size:
        core = replace(core, hidden_size=case.core_size)
    agent = make(
        config(batch_size=case.batch_size, unroll_length=case.unroll_length),
        environment.observation_spec(),
        environment.action_spec(),
        make_core(case.core, core),
    )
    return agent, environment


def measure_replay(case: ReplayCase) -> dict[str, Any]:
    """The loop with a replay beside its updates and its decisions alone, in turns."""
    environment, core = find_environments("cartpole").environment(), "feedforward"
    agent = DQN(
        DQNConfig(replay=case.replay, capacity=case.capacity, min_size=1_000),  # type: ignore[arg-type]
        environment.observation_spec(),
        environment.action_spec(),
        make_core(core, find(CORE, core).default_settings()),
    )
    runner = OnDeviceRunner(
        agent, environment, devices=jax.devices()[:1], num_envs=case.num_envs
    )
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)
    state, _ = runner.train(state, 1)  # Fills the replay to its minimum.
    _, (batches, _) = runner.draw(state, jax.random.PRNGKey(1)[None])
    batch = jax.block_until_ready(jax.tree.map(lambda leaf: leaf[0], batches))

    period = agent.data.period or agent.data.unroll_length
    parts = {
        "loop": training(runner, state),
        "update": updating(agent, batch),
        "acting": acting(agent, environment, period, case.num_envs),
    }
    seconds = take_turns(parts, least=30)
    rounds = runner.units_per_update / (period * case.num_envs)  # Of an update.
    update, acts = seconds["update"], rounds * seconds["acting"]
    return {
        "environment": "cartpole",
        "core": f"{core}, {case.replay} replay of {case.capacity:,}",
        "batch": agent.data.batch_size,
        "env steps/s": round(runner.units_per_update / seconds["loop"]),
        "ratio to floor": round((update + acts) / seconds["loop"], 3),
        "acting share": round(acts / seconds["loop"], 3),
        "bound": "network" if update > acts else "acting",
        "compilations": runner.num_compilations(),
    }


def _stepping(agent: ActorCritic, environment: Environment) -> Callable[[int], None]:
    """The environment under a fixed policy, with its automatic resets."""
    length, batch_size = agent.data.unroll_length, agent.data.batch_size
    keys = jax.random.split(jax.random.PRNGKey(2), batch_size)
    action = jnp.arange(batch_size) % environment.action_spec().num_values
    state, first = jax.jit(partial(vector.reset, environment))(keys)

    @jax.jit
    def unrolls(state: Any, count: Any) -> Any:
        def step(state: Any, _: None) -> Any:
            return vector.step(environment, state, action)

        def body(_: Any, carry: Any) -> Any:
            state, sums = carry
            state, rows = lax.scan(step, state, None, length=length)
            # Whatever a learner would read is summed, so that all of it is computed.
            return state, jax.tree.map(lambda total, leaf: total + leaf.sum(0), sums, rows)

        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.sum(0).dtype), first)
        return lax.fori_loop(0, count, body, (state, zeros))

    return lambda count: jax.block_until_ready(unrolls(state, count))
