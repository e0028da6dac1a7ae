"""The on-device training loop beside its network's floor, and what each part adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tolman.launchers.benches.turns import take_turns

if TYPE_CHECKING:
    from tolman.agents.actor_critic import ActorCritic
    from tolman.envs.environment import Environment


@dataclass(frozen=True)
class Case:
    """One workload: an agent's default network on an environment."""

    environment: str
    core: str
    batch_size: int
    unroll_length: int


ON_DEVICE_CASES = (
    Case("two_step", "lstm", 16, 21),
    Case("bandit/independent", "lstm", 16, 101),
    Case("bandit/independent", "lstm", 64, 101),
    Case("bandit/independent", "gru", 64, 101),
    Case("bandit/independent", "gtrxl", 64, 101),
    Case("bandit/independent", "feedforward", 64, 101),
)


def run() -> list[dict[str, Any]]:
    """One row a workload.

    Times are medians over rounds in which the parts take turns.

    `floor` is the forward and backward pass of the network over `[T + 1, B]` random rows;
    `loop` is acting, environment, loss, update, all that training is. `ratio` is floor
    time over loop time. `acting` and `environment` are those parts alone, as shares of the
    loop; what the largest of the three is bounds the loop.
    """
    return [_bench_case(case) for case in ON_DEVICE_CASES]


def _bench_case(case: Case) -> dict[str, Any]:
    import jax

    from tolman.agents.meta_rl import MetaRLConfig, make_meta_rl
    from tolman.launchers.catalog.environments import find_environments
    from tolman.launchers.catalog.names import CORE, find, make_core
    from tolman.launchers.device.on_device import OnDeviceRunner

    environment = find_environments(case.environment).environment()
    agent = make_meta_rl(
        MetaRLConfig(batch_size=case.batch_size, unroll_length=case.unroll_length),
        environment.observation_spec(),
        environment.action_spec(),
        make_core(case.core, find(CORE, case.core).default_settings()),
    )
    runner = OnDeviceRunner(agent, environment, devices=jax.devices()[:1])
    state = runner.init(jax.random.PRNGKey(0)[None])

    def loop(num_updates: int) -> None:
        nonlocal state
        state, _ = runner.train(state, num_updates, 10**6)
        jax.block_until_ready(state)

    parts = {
        "loop": loop,
        "floor": network_pass(agent, environment),
        "acting": acting(agent, environment),
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
        "bound": names[max(shares, key=lambda name: shares[name])],
        "compilations": runner.num_compilations(),
    }


def network_pass(agent: ActorCritic, environment: Environment) -> Callable[[int], None]:
    """Forward and backward over random rows, and not a thing more."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    from tolman.agents.agent import Unroll
    from tolman.envs.environment import MID, TimeStep

    length, batch_size = agent.data.unroll_length, agent.data.batch_size
    keys = jax.random.split(jax.random.PRNGKey(1), 3)
    rows = (length + 1, batch_size)
    spec = environment.observation_spec()
    num_actions = environment.action_spec().num_values
    unroll = Unroll(
        timestep=TimeStep(
            step_type=jnp.full(rows, MID),
            reward=jax.random.normal(keys[0], rows),
            discount=jnp.ones(rows),
            observation=jax.random.normal(keys[1], (*rows, *spec.shape)).astype(spec.dtype),
            new_task=jnp.zeros(rows, bool),
        ),
        action=jax.random.randint(keys[2], (length, batch_size), 0, num_actions),
        logits=jnp.zeros((length, batch_size, num_actions)),
        actor_state=agent.initial_actor_state(batch_size),
    )

    def outputs(params: Any, unroll: Unroll) -> Any:
        output = agent.network.unroll(params, unroll)
        return jnp.square(output.logits).mean() + jnp.square(output.value).mean()

    @jax.jit
    def passes(params: Any, unroll: Unroll, count: Any) -> Any:
        def body(_: Any, params: Any) -> Any:
            # The tiny step keeps the passes from being computed once for all.
            gradients = jax.grad(outputs)(params, unroll)
            return jax.tree.map(lambda p, g: p - 1e-9 * g, params, gradients)

        return lax.fori_loop(0, count, body, params)

    params = agent.init(jax.random.PRNGKey(0)).params
    return lambda count: jax.block_until_ready(passes(params, unroll, count))


def acting(agent: ActorCritic, environment: Environment) -> Callable[[int], None]:
    """Acting on rows of one kind: the network's steps and the draws of actions."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    from tolman.agents.agent import draw_noise
    from tolman.envs import vector

    length, batch_size = agent.data.unroll_length, agent.data.batch_size
    params = agent.init(jax.random.PRNGKey(0)).params
    keys = jax.random.split(jax.random.PRNGKey(2), batch_size)
    _, timestep = vector.reset(environment, keys)

    @jax.jit
    def unrolls(params: Any, timestep: Any, count: Any) -> Any:
        def act(carry: Any, noise: Any) -> Any:
            actor_state, total = carry
            # Each row hangs on the decision before, and all of that is summed: else what
            # needs no memory would be computed once, or never.
            observation = timestep.observation
            observation = observation + (0.0 * total).astype(observation.dtype)
            row = timestep._replace(observation=observation)
            decision, actor_state = agent.act(params, noise, row, actor_state)
            total = total + sum(leaf.sum() for leaf in jax.tree.leaves(decision))
            return (actor_state, total), None

        draw = partial(draw_noise, agent, batch_size=batch_size)

        def body(index: Any, carry: Any) -> Any:
            step_keys = jax.random.split(jax.random.PRNGKey(index), length)
            return lax.scan(act, carry, jax.vmap(draw)(step_keys))[0]

        carry = agent.initial_actor_state(batch_size), jnp.float32(0.0)
        return lax.fori_loop(0, count, body, carry)

    return lambda count: jax.block_until_ready(unrolls(params, timestep, count))


def _stepping(agent: ActorCritic, environment: Environment) -> Callable[[int], None]:
    """The environment under a fixed policy, with its automatic resets."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    from tolman.envs import vector

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
