"""Training on the host beside its floors: environment, network, update and replay alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Agent, draw_noise
from tolman.envs.host import HostVector
from tolman.launchers.host.state import groups_of
from tolman.launchers.measuring.parts import training
from tolman.launchers.measuring.turns import take_turns
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.settings.commands import parse_train


@dataclass(frozen=True)
class Case:
    """One workload."""

    environment: str
    core: str
    num_envs: int
    batch_size: int
    unroll_length: int

    def job(self) -> Job:
        """The run that it is a part of."""
        words = f"""actor_critic --env {self.environment} --core {self.core}
        --num-envs {self.num_envs} --launcher local
        --agent.off-policy-correction vtrace --agent.batch-size {self.batch_size}
        --agent.unroll-length {self.unroll_length}"""
        return resolve(parse_train(words.split()))


CASES = (
    Case("CartPole-v1", "lstm", 16, 16, 20),
    Case("ALE/Pong-v5", "feedforward", 16, 16, 20),
    Case("ALE/Pong-v5", "lstm", 16, 16, 20),
)
SCRATCH = Path("unused")  # Nothing is saved.


def run() -> list[dict[str, Any]]:
    """One row a workload; rates are environment steps a second, in turns with each other.

    `environment` steps the vector with fixed actions; `network` decides for one unchanging
    row and fetches the actions; `acting` does both, with no replay; `update` learns from
    one unchanging batch; `training` is all of it, with the replay between. The bound is the
    floor with the lowest rate.
    """
    return [_bench_case(case) for case in CASES]


def _bench_case(case: Case) -> dict[str, Any]:
    job = case.job()
    vector = job.source.make_vector(0, case.num_envs)
    agent = job.make_agent(vector)
    per_unroll = case.num_envs * case.unroll_length
    per_update = case.batch_size * case.unroll_length
    with ExitStack() as stack:
        stack.callback(vector.close)
        num_groups = groups_of(vector, case.num_envs)
        training = _training(job, agent, case.num_envs, num_groups, stack)
        steps = {
            "environment": (_stepping(vector), case.num_envs),
            "network": (_deciding(agent, vector), case.num_envs),
            "acting": (
                _acting(job, agent, case.num_envs, num_groups, stack),
                per_unroll,
            ),
            "update": (_updating(agent, vector, case.num_envs), per_update),
            "training": (training, per_update),
        }
        seconds = take_turns({name: part for name, (part, _) in steps.items()}, least=3)
    rate = {name: number / seconds[name] for name, (_, number) in steps.items()}
    floors = {name: rate[name] for name in ("environment", "network", "update")}
    acting_floor = min(rate["environment"], rate["network"])
    return {
        "environment": case.environment,
        "core": case.core,
        "envs": case.num_envs,
        **{f"{name} steps/s": round(value) for name, value in rate.items()},
        "acting ratio": round(rate["acting"] / acting_floor, 3),
        "training ratio": round(rate["training"] / min(floors.values()), 3),
        "bound": min(floors, key=lambda name: floors[name]),
    }


def _stepping(vector: HostVector) -> Callable[[int], None]:
    actions = np.arange(vector.num_envs, dtype=np.int32) % vector.action_spec().num_values
    vector.reset()

    def steps(count: int) -> None:
        for _ in range(count):
            vector.step(actions)

    return steps


def _deciding(agent: Agent, vector: HostVector) -> Callable[[int], None]:
    row = vector.reset()
    params = agent.init(jax.random.PRNGKey(0)).params
    noise = draw_noise(agent, jax.random.PRNGKey(1), vector.num_envs)
    act = jax.jit(agent.act)

    def decisions(count: int) -> None:
        state = agent.initial_actor_state(vector.num_envs)
        for _ in range(count):
            decision, state = act(params, noise, row, state)
            jax.device_get(decision)

    return decisions


def _acting(
    job: Job, agent: Agent, num_envs: int, num_groups: int, stack: ExitStack
) -> Callable[[int], None]:
    from tolman.launchers.host.actor import EnvironmentLoop, VectorActor
    from tolman.launchers.host.evaluation import Frozen

    params = Frozen(agent.init(jax.random.PRNGKey(0)).params)
    groups = []
    for seed in range(num_groups):
        vector = job.source.make_vector(seed, num_envs // num_groups)
        actor = VectorActor(agent, vector.num_envs, jax.random.PRNGKey(seed), params, None)
        groups.append((vector, actor))
    loop = EnvironmentLoop(groups, agent.data.unroll_length)
    stack.callback(loop.close)

    def unrolls(count: int) -> None:
        for _ in range(count):
            loop.unroll()

    return unrolls


def _updating(agent: Agent, vector: HostVector, num_envs: int) -> Callable[[int], None]:
    from tolman.launchers.host.layout import item_layout

    layout = item_layout(agent, vector.observation_spec(), num_envs)
    batch = {
        name: jnp.zeros((layout.num_items, *shape), jnp.uint8)
        for name, shape in layout.columns().items()
    }
    state = agent.init(jax.random.PRNGKey(0))

    @jax.jit
    def update(state: Any, batch: Any) -> Any:
        unroll = layout.assemble(batch, None)
        return agent.update(state, unroll, jax.random.PRNGKey(0), jnp.float32(0.0))

    def updates(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state = update(state, batch).learner_state
        jax.block_until_ready(state)

    return updates


def _training(
    job: Job, agent: Agent, num_envs: int, num_groups: int, stack: ExitStack
) -> Callable[[int], None]:
    from tolman.launchers.host.local import LocalRunner, replay_maker

    runner = LocalRunner(
        agent,
        job.source.make_vector,
        num_envs,
        replay_maker(job.config.replay, agent.data, num_groups, SCRATCH, 0),
        num_groups=num_groups,
    )
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)
    stack.callback(runner.close)
    return training(runner, state)
