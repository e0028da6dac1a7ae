"""What every process of a run is told when it starts, and what it says while it works."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from tolman.envs.host import EnvironmentFault
from tolman.launchers.settings.config import TrainConfig

if TYPE_CHECKING:
    from tolman.agents.agent import Params
    from tolman.launchers.cluster.parameters import BoardReader
    from tolman.launchers.cluster.tallies import Journal, Pace
    from tolman.launchers.host.state import HostState

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


class Acting(Protocol):
    """What an actor does over and over."""

    @property
    def num_steps(self) -> int:
        """Environment steps so far."""
        ...

    @property
    def seconds(self) -> float:
        """In which it took them."""
        ...

    @property
    def version(self) -> int:
        """Of its parameters; -1 before the first."""
        ...

    def unroll(self) -> None:
        """Takes the newest parameters, and some steps with them."""
        ...

    def take_episodes(self) -> list[tuple[float, int]]:
        """Return and length of those that ended since the last call."""
        ...

    def close(self) -> None:
        """Ends acting."""
        ...


class Insight(NamedTuple):
    """What a server's tables tell of this life of it.

    Attributes:
      num_inserted: sequences.
      num_sampled: sequences.
      size: items that it holds now.
      totals: further sums over what was inserted; see `Journal`.
    """

    num_inserted: int
    num_sampled: int
    size: int
    totals: tuple[float, ...] = ()


class Work(Protocol):
    """What every process of a run knows: settings, and how its role is played with them."""

    @property
    def config(self) -> TrainConfig:
        """Resolved."""
        ...

    @property
    def num_envs(self) -> int:
        """Environments of each actor whose steps one item of a queue holds."""
        ...

    @property
    def num_shards(self) -> int:
        """Servers that share out the data."""
        ...

    def agent(self) -> Any:
        """Builds what learns: `data`, `init` and `update`, as agents have them."""
        ...

    def layout(self, agent: Any) -> Any:
        """How items lie in the tables; see `host.reverb.replay.ItemLayout`."""
        ...

    def acting(
        self,
        birth: Birth,
        key: np.ndarray,
        reader: BoardReader,
        is_closed: threading.Event,
    ) -> Acting:
        """Starts to act; returns once there is a replay to write to."""
        ...

    def watch(self, client: Any) -> Callable[[], Insight]:
        """A function that tells of a server, given a client of it."""
        ...

    def evaluator(self, agent: Any) -> Callable[[Params, int, int], dict[str, float]]:
        """A function of parameters, episodes to play, and the evaluation's number."""
        ...

    def journal(self) -> Journal:
        """What the driver notes down of episodes."""
        ...

    def pace(self, state: HostState) -> Pace | None:
        """What holds learning to acting; None where the tables do it themselves."""
        ...


class Birth(NamedTuple):
    """Which actor, and which of its lives: all its chance comes from here.

    Attributes:
      actor: its index.
      life: 0, and one more at each restart.
      updates: of the run when this process of the run began.
    """

    actor: int
    life: int
    updates: int

    def env_seed(self, seed: int) -> int:
        """A seed of its environments, below 2**32."""
        words = [seed, self.updates, self.actor, self.life]
        return int(np.random.SeedSequence(words).generate_state(1)[0])

    def key(self, key: np.ndarray) -> Any:
        """The key of its decisions, `[2]`, from the run's."""
        import jax

        own = jax.numpy.asarray(key)
        for number in (self.updates, self.actor, self.life):
            own = jax.random.fold_in(own, number)
        return own


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
