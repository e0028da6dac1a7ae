"""What every process of a run gets when it starts, and what they send each other."""

from __future__ import annotations

import logging
import os
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from tolman.envs.host import EnvironmentFault
from tolman.envs.places import summary
from tolman.launchers.settings.config import TrainConfig

if TYPE_CHECKING:
    from tolman.agents.agent import Params
    from tolman.launchers.cluster.parameter_server import Turn
    from tolman.launchers.cluster.parameters import ParameterClient
    from tolman.launchers.cluster.statistics import RateLimiter, RunStatistics
    from tolman.launchers.host.episodes import Episode
    from tolman.launchers.host.recognition import Recognised, Watch
    from tolman.launchers.host.state import HostState
    from tolman.launchers.runs.job import Job

MAX_LOG_RECORDS = 100

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


class ActingLoop(Protocol):
    """The loop of an actor: on environments, or on games against itself."""

    @property
    def num_steps(self) -> int:
        """Environment steps so far."""
        ...

    @property
    def seconds(self) -> float:
        """Spent in them."""
        ...

    @property
    def version(self) -> int:
        """Of its parameters; -1 before the first."""
        ...

    @property
    def turn(self) -> Turn:
        """What it acts in."""
        ...

    @property
    def watch(self) -> Watch | None:
        """What recognises tasks by its screens; None where it is not to."""
        ...

    def unroll(self) -> None:
        """Takes the newest parameters, and T steps with them."""
        ...

    def take_episodes(self) -> list[Episode]:
        """The episodes that ended since the last call."""
        ...

    def close(self) -> None:
        """Closes the environments and the writer."""
        ...


class TableStatistics(NamedTuple):
    """Counts of a replay's tables, in this incarnation of the process.

    Attributes:
      inserted: sequences, by label.
      num_sampled: sequences.
      size: items that it holds now.
      totals: further sums over what was inserted; see `RunStatistics`.
    """

    inserted: tuple[int, ...]
    num_sampled: int
    size: int
    totals: tuple[float, ...] = ()


class Evaluate(Protocol):
    """Plays whole episodes or games."""

    def __call__(
        self, params: Params, num_episodes: int, number: int, labels: Sequence[int], /
    ) -> dict[str, float]:
        """Means over the episodes.

        Args:
          params: to play with.
          num_episodes: of each task.
          number: of the evaluation; its seeds come from it.
          labels: under which tasks in turn are played; of one environment there are none.
        """
        ...


class Work(Protocol):
    """What every process of a run gets: the settings, and what its role is made of."""

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
        """How items lie in the tables; see `host.layout.ItemLayout`."""
        ...

    def tables(self, agent: Any) -> list[Any]:
        """The Reverb tables of one of the servers."""
        ...

    def acting_loop(
        self,
        actor: ActorIdentity,
        parameters: ParameterClient,
        job: Job | None = None,
        recognised: Recognised | None = None,
    ) -> ActingLoop:
        """Builds an actor's loop; returns once there is a replay to write to.

        Args:
          actor: which one.
          parameters: where it gets them.
          job: the run's, where the actor has told specs by its environments.
          recognised: what the one that watches its screens goes on from; None for others.
        """
        ...

    def table_statistics(self, client: Any) -> Callable[[], TableStatistics]:
        """A function that returns the statistics of the server that `client` reaches."""
        ...

    def evaluator(self, agent: Any) -> Evaluate:
        """How parameters are evaluated."""
        ...

    def run_statistics(self) -> RunStatistics:
        """Statistics of episodes, for the driver."""
        ...

    def rate_limiter(self, state: HostState) -> RateLimiter | None:
        """Keeps samples to inserts; None where the tables do it themselves."""
        ...


class ActorIdentity(NamedTuple):
    """Which actor, and which incarnation of it: all its seeds come from here.

    Attributes:
      number: which actor.
      incarnation: 0, and one more at each restart.
      updates: of the run when it was started or resumed.
      run_key: `[2]`, of the run.
      stretch: of tasks in turn, that is acted in.
    """

    number: int
    incarnation: int
    updates: int
    run_key: np.ndarray
    stretch: int = 0

    def env_seed(self, seed: int) -> int:
        """A seed of its environments, below 2**32."""
        words = [seed, self.updates, self.number, self.incarnation, self.stretch]
        return int(np.random.SeedSequence(words).generate_state(1)[0])

    def key(self) -> Any:
        """The key of its decisions, `[2]`."""
        import jax

        own = jax.numpy.asarray(self.run_key)
        for word in (self.updates, self.number, self.incarnation, self.stretch):
            own = jax.random.fold_in(own, word)
        return own


class LogBuffer(logging.Handler):
    """Keeps what a process logs until the driver fetches it."""

    def __init__(self) -> None:
        """Takes the records of all of Tolman's loggers."""
        super().__init__()
        self._records: deque[tuple[int, str]] = deque(maxlen=MAX_LOG_RECORDS)
        logger = logging.getLogger("tolman")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append((record.levelno, record.getMessage()))

    def take(self) -> list[tuple[int, str]]:
        """Level and text of those since the last call."""
        taken = []
        while self._records:
            taken.append(self._records.popleft())
        return taken

    def close(self) -> None:
        """Takes no more records."""
        logging.getLogger("tolman").removeHandler(self)
        super().close()


def portable(error: Exception) -> Exception:
    """An error that can be unpickled in a process without the packages of this one.

    Tolman's own and Python's are unchanged; others become a RuntimeError with the file
    and line that raised them.
    """
    if isinstance(error, EnvironmentFault) or type(error).__module__ == "builtins":
        return error
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({os.path.basename(p.filename)}:{p.lineno})" for p in place)
    text = summary(error)
    return RuntimeError(text + where)
