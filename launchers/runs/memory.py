"""Sizes that no memory holds, refused by arithmetic before memory or time goes."""

from __future__ import annotations

import math
import os
from pathlib import Path
from shutil import disk_usage
from typing import Any

import jax
import numpy as np

from tolman.launchers.runs.job import Job

KEY = jax.ShapeDtypeStruct((2,), np.uint32)
BYTES_OF_ROW = 16  # Reward, discount, flags and an action, beside the observation.
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
BYTES_OF_NODE = 20  # Of a search tree: visits, values and links of one action at least.


def check_job(job: Job, agent: Any) -> None:
    """Raises ValueError unless what a run must hold at once can be held here.

    Lower bounds alone are compared, so that nothing is refused that would fit.

    Args:
      job: what is trained.
      agent: of that job. One that learns from examples is for its runner to check.
    """
    if job.kind == "acts":
        data, observation = agent.data, job.source.observation_spec()
        size, length = data.batch_size, data.unroll_length
        check_memory(
            f"batch_size={size}, unroll_length={length}: the rows of an update",
            size * (length + 1) * (bytes_of(observation) + BYTES_OF_ROW),
        )
        memories = jax.eval_shape(lambda: agent.initial_actor_state(size))
        check_memory(
            f"batch_size={size} and the core's sizes: the actors' memories",
            bytes_of(memories),
        )
    elif job.kind == "plays":
        games = agent.config.num_parallel_games
        simulations = agent.config.num_simulations
        check_memory(
            f"num_parallel_games={games}, num_simulations={simulations}: the search trees",
            games * (simulations + 1) * BYTES_OF_NODE,
        )
    if job.kind != "learns":
        check_learner(agent)


def warn_of_replay(job: Job, agent: Any, folder: Path) -> list[str]:
    """A line where saved replays might not fit on the disk; how well they pack is unknown.

    Args:
      job: what is trained.
      agent: of that job.
      folder: of the run.
    """
    config = job.config
    # On-device the replay is in the state, whose size is known.
    if job.kind != "acts" or config.launcher == "on-device" or not config.save_replay:
        return []
    data = agent.data
    if data.replay == "queue":
        return []
    row = bytes_of(job.source.observation_spec()) + BYTES_OF_ROW
    num_items = min(
        data.capacity, config.num_env_steps // (data.period or data.unroll_length)
    )
    each = num_items * (data.unroll_length + 1) * row
    needed, free = (config.num_checkpoints_to_keep + 1) * each, disk_usage(folder).free
    if needed <= free:
        return []
    return [
        f"warning: a full replay takes up to {each / 1e9:.3g} GB in each checkpoint, and "
        f"{free / 1e9:.3g} GB are free at {folder}. If the disk fills, the run ends; set a "
        "smaller --agent.capacity or --num-checkpoints-to-keep."
    ]


def check_learner(agent: Any, *examples: Any) -> None:
    """Raises ValueError unless an agent's fresh learner state can be held here.

    Args:
      agent: whose `init` makes it.
      examples: shapes of those that `init` takes beside a key.
    """
    shapes = jax.eval_shape(agent.init, KEY, *examples)
    what = "sizes of the agent and its core: parameters and the optimizer's state"
    check_memory(what, bytes_of(shapes))


def bytes_of(shapes: Any) -> int:
    """Of a pytree of arrays, or of whatever has a shape and a dtype."""
    return sum(
        math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize
        for leaf in jax.tree.leaves(shapes)
    )


def check_memory(what: str, needed: int, device: jax.Device | None = None) -> None:
    """Raises ValueError if something takes more bytes than there is memory for.

    Args:
      what: in words that begin with the settings to make smaller.
      needed: its bytes.
      device: that is to hold it; None for this machine.
    """
    told = None if device is None or device.platform == "cpu" else device.memory_stats()
    held = memory_of_machine() if told is None else int(told["bytes_limit"])
    if needed > held:
        raise ValueError(
            f"{what} would take {needed / 1e9:.3g} GB, and "
            f"{'this machine' if told is None else 'the device'} has {held / 1e9:.3g} GB "
            "of memory. Set smaller ones."
        )


def memory_of_machine() -> int:
    """Bytes that this process may use, by the machine or by its container's limit."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in CGROUP_LIMITS:
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # Not there, or "max".
            continue
    return min(found)
