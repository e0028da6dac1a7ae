"""How many updates the data of environments is enough for, wherever it waits."""

from __future__ import annotations

import math

from tolman.agents.agent import DataSpec

MAX_DEFAULT_ENVS = 16


def env_steps_per_update(data: DataSpec) -> float:
    """Environment steps that one update takes; of a replay, once it has its minimum."""
    steps = data.batch_size * (data.period or data.unroll_length)
    return steps if data.replay == "queue" else steps / data.samples_per_insert


def warn_of_minimum(data: DataSpec, num_env_steps: int, flag: str) -> list[str]:
    """A line where the replay has its minimum only when the steps asked for are over.

    Args:
      data: of the agent.
      num_env_steps: of the run, or of a task.
      flag: that sets them.
    """
    least = data.min_size * (data.period or data.unroll_length)
    if data.replay == "queue" or num_env_steps > least:
        return []
    return [
        f"warning: {flag} {num_env_steps}: nothing is learned before env step {least}, "
        f"when the replay has its agent.min_size = {data.min_size} sequences, and the run "
        "goes on to there. Set more steps, or a smaller --agent.min-size."
    ]


def total_updates(data: DataSpec, num_env_steps: int) -> int:
    """Updates that `num_env_steps` environment steps give data for; at least 1."""
    if data.replay != "queue":
        num_env_steps -= data.min_size * (data.period or data.unroll_length)
    return max(math.ceil(num_env_steps / env_steps_per_update(data)), 1)
