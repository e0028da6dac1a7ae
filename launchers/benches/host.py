"""Training on the host beside its floors: environment, network, update and replay alone."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Agent, DataSpec, draw_noise
from tolman.envs.host import HostVector
from tolman.launchers.host.state import groups_of
from tolman.launchers.measuring.turns import take_turns
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.settings.config import parse_train


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
READ_ITEMS = 64  # In the table from which reading is timed.
NUM_READER_PAIRS = 5


def run() -> list[dict[str, Any]]:
    """One row a workload; rates are environment steps a second, in turns with each other.

    `environment` steps the vector with fixed actions; `network` decides for one unchanging
    row and fetches the actions; `acting` does both, with no replay; `update` learns from
    one unchanging batch; `training` is all of it, with Reverb between. The bound is the
    floor with the lowest rate. `reading ratio` compares batches that arrive on the device
    with what a bare Reverb dataset reads.
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
        "reading ratio": round(_reading_ratio(agent, vector), 3),
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
    from tolman.launchers.host.reverb.replay import item_layout

    layout = item_layout(agent, vector.observation_spec(), num_envs)
    batch = {
        name: jnp.zeros((layout.num_items, *column.shape), jnp.uint8)
        for name, column in layout.signature().items()
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
    from tolman.launchers.host.local import LocalRunner

    runner = LocalRunner(
        agent,
        job.source.make_vector,
        num_envs,
        Path(stack.enter_context(tempfile.TemporaryDirectory())) / "replay",
        num_groups=num_groups,
    )
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)
    stack.callback(runner.close)

    def updates(count: int) -> None:
        nonlocal state
        state, _ = runner.train(state, count)

    return updates


def _reading_ratio(agent: Agent, vector: HostVector) -> float:
    """Batches on the device a second, over those that a bare Reverb dataset reads.

    The median over several pairs of readers: how the threads of one pair share the cores
    stays as it began, and makes either twice as fast as the other.
    """
    from tolman.launchers.host.reverb.replay import Replay, item_layout

    data = replace(
        agent.data,
        replay="uniform",
        min_size=READ_ITEMS,
        capacity=READ_ITEMS,
        samples_per_insert=1e9,
    )
    layout = item_layout(agent, vector.observation_spec(), vector.num_envs)
    with tempfile.TemporaryDirectory() as folder:
        replay = Replay(data, layout, Path(folder) / "replay")
        _fill(replay, data, layout)
        ratios = [_reading_pair(replay, data, layout) for _ in range(NUM_READER_PAIRS)]
        replay.stop()
    return statistics.median(ratios)


def _reading_pair(replay: Any, data: DataSpec, layout: Any) -> float:
    import tensorflow as tf

    from tolman.launchers.host.reverb.batches import Batches, make_dataset

    is_over = tf.Variable(False)
    bare = iter(make_dataset(replay.address, layout.num_items, False, is_over))
    batches = Batches([replay.address], data, layout, jax.devices()[0])

    def read_bare(count: int) -> None:
        for _ in range(count):
            next(bare)

    def read(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(batches.next(seconds=60.0))

    seconds = take_turns({"bare": read_bare, "ours": read}, least=3)
    is_over.assign(True)
    batches.close()
    return seconds["bare"] / seconds["ours"]


def _fill(replay: Any, data: DataSpec, layout: Any) -> None:
    """Writes items of noise, which compresses as badly as anything can."""
    from tolman.launchers.host.reverb import TABLE

    chance = np.random.default_rng(0)
    with replay.client().trajectory_writer(num_keep_alive_refs=1) as writer:
        for _ in range(READ_ITEMS):
            item = {
                name: chance.integers(0, 256, column.shape, np.uint8)
                for name, column in layout.signature().items()
            }
            writer.append(item)
            writer.create_item(
                TABLE, 1.0, jax.tree.map(lambda column: column[-1], writer.history)
            )
            writer.flush()
