"""What every process of a run is told when it starts, and what it says while it works."""

from __future__ import annotations

import logging
import os
import traceback
from collections import deque
from dataclasses import dataclass
from typing import Any

from tolman.agents.agent import Agent
from tolman.envs.host import EnvironmentFault
from tolman.launchers.config import TrainConfig
from tolman.launchers.runner import build_agent

MAX_LINES = 100

# One thread a process, so that many on one machine do not fight for its cores. NPROC is
# what XLA sizes its own threads by.
ONE_THREAD = {
    "NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
ON_CPU = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True)
class Specs:
    """The specs of an environment that is somewhere else."""

    observation: Any
    action: Any

    def observation_spec(self) -> Any:
        """Of one copy."""
        return self.observation

    def action_spec(self) -> Any:
        """Of one copy."""
        return self.action


@dataclass(frozen=True)
class Work:
    """What every process of a run knows.

    Attributes:
      config: resolved.
      specs: of the environment.
      num_envs: of each actor.
      num_shards: servers that share out the data.
    """

    config: TrainConfig
    specs: Specs
    num_envs: int
    num_shards: int

    def agent(self) -> Agent:
        """Builds the agent."""
        return build_agent(self.config, self.specs)


class Lines(logging.Handler):
    """Keeps what a process logs until the driver fetches it."""

    def __init__(self) -> None:
        """Listens to everything in Tolman."""
        super().__init__()
        self._lines: deque[tuple[int, str]] = deque(maxlen=MAX_LINES)
        logger = logging.getLogger("tolman")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, record.getMessage()))

    def take(self) -> list[tuple[int, str]]:
        """Level and text of those since the last call."""
        taken = []
        while self._lines:
            taken.append(self._lines.popleft())
        return taken


def portable(error: Exception) -> Exception:
    """An error that can be read in a process without the packages of this one.

    Tolman's own and Python's stay what they are; others become a RuntimeError with the
    last place where they passed.
    """
    if isinstance(error, EnvironmentFault) or type(error).__module__ == "builtins":
        return error
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({os.path.basename(p.filename)}:{p.lineno})" for p in place)
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return RuntimeError(text + where)
