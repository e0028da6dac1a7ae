"""The process of one actor."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.launchers.cluster.parameters import BoardReader, Closed
from tolman.launchers.cluster.work import Lines, Work, portable
from tolman.launchers.host_state import group_size
from tolman.launchers.runner import make_vector

if TYPE_CHECKING:
    from tolman.launchers.host.actor import ActingLoop, VectorActor

SECONDS_TO_CLOSE = 2.0


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

    def key(self, key: np.ndarray) -> jax.Array:
        """The key of its decisions, `[2]`, from the run's."""
        own = jnp.asarray(key)
        for number in (self.updates, self.actor, self.life):
            own = jax.random.fold_in(own, number)
        return own


class ActorReport(NamedTuple):
    """What an actor did, in this life.

    Attributes:
      num_steps: environment steps.
      seconds: in which it took them.
      version: of its parameters.
      episodes: return and length of those that ended since the report before.
      lines: logged since then, level and text.
      failure: what ended it; None while it acts.
    """

    num_steps: int
    seconds: float
    version: int
    episodes: list[tuple[float, int]]
    lines: list[tuple[int, str]]
    failure: Exception | None


class ActorRole:
    """Acts in a thread and writes unrolls to its replay's server; run as a Ray actor."""

    def __init__(self, work: Work, birth: Birth, key: np.ndarray, board: Any) -> None:
        """Starts to act, as soon as the board has an address and parameters.

        Args:
          work: the run's.
          birth: whose life this is.
          key: `[2]`, of the run.
          board: handle of the `Board`.
        """
        self._work, self._birth, self._key = work, birth, key
        self._lines = Lines()
        self._reader = BoardReader(board)
        self._loop: ActingLoop | None = None
        self._actor: VectorActor | None = None
        self._failure: Exception | None = None
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._act, name="actor", daemon=True)
        self._thread.start()

    def report(self) -> ActorReport:
        """What happened so far."""
        loop, actor = self._loop, self._actor
        episodes = loop.take_episodes() if loop else []
        return ActorReport(
            loop.num_steps if loop else 0,
            loop.seconds if loop else 0.0,
            actor.version if actor else -1,
            [(each.episode_return, each.episode_length) for each in episodes],
            self._lines.take(),
            self._failure,
        )

    def close(self) -> None:
        """Ends acting, and closes the environments."""
        self._is_closed.set()
        self._reader.close()
        self._thread.join(SECONDS_TO_CLOSE)

    def _act(self) -> None:
        work, birth = self._work, self._birth
        vector = None
        try:
            # Seconds of imports, which the driver would have to wait for too at the top.
            from tolman.launchers.host.actor import ActingLoop, VectorActor
            from tolman.launchers.host.adder import Client, UnrollAdder

            seed = birth.env_seed(work.config.seed)
            vector = make_vector(work.config, work.num_envs, seed)
            agent = work.agent()
            data = agent.data
            address = self._reader.address(birth.actor % work.num_shards)
            adders = [
                UnrollAdder(Client(address), data, self._is_closed)
                for _ in range(work.num_envs // group_size(data, work.num_envs))
            ]
            self._actor = VectorActor(
                agent, work.num_envs, birth.key(self._key), self._reader, adders
            )
            self._loop = ActingLoop([(vector, self._actor)], data.unroll_length)
            while not self._is_closed.is_set():
                self._loop.unroll()
        except Closed:
            pass
        except Exception as error:
            if not self._is_closed.is_set():
                self._failure = portable(error)
        finally:
            if self._loop is not None:
                self._loop.close()
            elif vector is not None:
                vector.close()
