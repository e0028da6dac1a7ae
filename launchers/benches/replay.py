"""Training with the replay in memory beside training with Reverb."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax

from tolman.launchers.host.state import default_num_envs, groups_of
from tolman.launchers.measuring.parts import training
from tolman.launchers.measuring.turns import take_turns
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.runs.rates import env_steps_per_update
from tolman.launchers.settings.commands import parse_train

CASES = (
    "dqn --env CartPole-v1 --core feedforward --agent.min-size 1000",
    "actor_critic --env CartPole-v1 --core feedforward "
    "--agent.off-policy-correction vtrace",
    "dqn --env ALE/Pong-v5 --core feedforward --agent.min-size 1000 --agent.capacity 20000",
)


def run() -> list[dict[str, Any]]:
    """One row a workload: environment steps a second of CPU time, by replay.

    All threads of the process count, so that other work on the machine costs neither.
    `ratio` is that of memory over Reverb, where Reverb is installed.
    """
    return [_bench_case(words) for words in CASES]


def _bench_case(words: str) -> dict[str, Any]:
    kinds = ["memory", *(["reverb"] if find_spec("reverb") else [])]
    job = resolve(parse_train([*words.split(), "--launcher", "local"]))
    agent = job.make_agent()
    with ExitStack() as stack:
        parts = {kind: _training(job, agent, kind, stack) for kind in kinds}
        seconds = take_turns(parts, least=20, clock=time.process_time)
    steps = env_steps_per_update(agent.data)
    rate = {kind: steps / seconds[kind] for kind in kinds}
    row: dict[str, Any] = {"agent": job.config.agent, "environment": job.config.env}
    row |= {f"{kind} steps/s": round(value) for kind, value in rate.items()}
    if "reverb" in rate:
        row["ratio"] = round(rate["memory"] / rate["reverb"], 3)
    return row


def _training(job: Job, agent: Any, kind: str, stack: ExitStack) -> Callable[[int], None]:
    from tolman.launchers.host.local import LocalRunner, replay_maker

    num_envs = job.config.num_envs or default_num_envs(agent.data)
    num_groups = groups_of(job.source, num_envs)
    num_streams = num_groups if agent.data.replay == "queue" else num_envs
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "replay"
    runner = LocalRunner(
        agent,
        job.source.make_vector,
        num_envs,
        replay_maker(kind, agent.data, num_streams, scratch, 0),
        num_groups=num_groups,
    )
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)
    stack.callback(runner.close)
    return training(runner, state)
