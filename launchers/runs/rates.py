"""How many updates the data of environments is enough for, wherever it waits."""

from __future__ import annotations

import math

from tolman.agents.agent import DataSpec

MAX_DEFAULT_ENVS = 16


def env_steps_per_update(data: DataSpec) -> float:
    """Environment steps that one update takes; of a replay, once it has its minimum."""
    steps = data.batch_size * (data.period or data.unroll_length)
    return steps if data.replay == "queue" else steps / data.samples_per_insert


def total_updates(data: DataSpec, num_env_steps: int) -> int:
    """Updates that `num_env_steps` environment steps give data for; at least 1."""
    if data.replay != "queue":
        num_env_steps -= data.min_size * (data.period or data.unroll_length)
    return max(math.ceil(num_env_steps / env_steps_per_update(data)), 1)
