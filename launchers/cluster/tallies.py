"""What the driver counts: environment steps, speeds, evaluations."""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

import numpy as np
import ray
from ray.exceptions import RayActorError, RayTaskError

from tolman.agents.agent import DataSpec
from tolman.launchers.cluster.supervisor import Member
from tolman.launchers.host.state import HostState, group_size

DEFAULT_EVAL_EPISODES = 10
SLACK_BATCHES = 8  # That acting may be ahead of learning, where a `Pace` says so.
SECONDS_BETWEEN_EVALUATIONS = 10.0
SECONDS_OF_A_SPEED = 2.0

logger = logging.getLogger(__name__)


class StepCount:
    """Counts every environment step once, when it is where the learner can have it.

    A queue's steps count when they are learned from, as each is once. A replay's count
    when their unroll is in it: an item stands for the decisions from its start to that of
    the next. Steps of an actor that dies before count nowhere.
    """

    def __init__(self, data: DataSpec, num_envs: int, state: HostState) -> None:
        """Goes on from a state."""
        self._data = data
        self._first = int(state.env_steps)
        self._num_items = 0
        self._seen: dict[int, tuple[int, int]] = {}  # By shard: life, items of that life.
        period = data.period or data.unroll_length
        self._steps_per_item = period * group_size(data, num_envs)

    def take(self, shard: int, life: int, num_inserted: int) -> None:
        """Takes the number of items that were inserted in a life of a server."""
        life_before, items_before = self._seen.get(shard, (life, 0))
        if life_before != life:
            items_before = 0
        self._num_items += max(num_inserted - items_before, 0)
        self._seen[shard] = (life, max(num_inserted, items_before))

    def total(self, updates: int) -> int:
        """Environment steps of the run up to an update."""
        if self._data.replay == "queue":
            return updates * self._data.unroll_length * self._data.batch_size
        return self._first + self._num_items * self._steps_per_item


class Pace:
    """Holds what is learned from to what is acted, where no table can.

    Each sequence after the first `min_size` is learned from `samples_per_insert` times, on
    average: the learner waits for the actors, and they for it.
    """

    def __init__(self, data: DataSpec) -> None:
        """Of an agent that replays."""
        self._data = data

    def max_updates(self, num_steps: int) -> int:
        """Updates that so many environment steps allow."""
        return int(self._samples(num_steps) / self._data.batch_size)

    def is_ahead(self, num_steps: int, updates: int) -> bool:
        """Whether actors are to wait."""
        used = (updates + SLACK_BATCHES) * self._data.batch_size
        return self._samples(num_steps) > used

    def _samples(self, num_steps: int) -> float:
        """That may be drawn."""
        return max(num_steps - self._data.min_size, 0) * self._data.samples_per_insert


class Journal(Protocol):
    """What the driver notes down of episodes, between two rows of metrics."""

    def take_actor(self, report: Any) -> None:
        """Takes an actor's report."""
        ...

    def take_replay(self, shard: int, life: int, report: Any) -> None:
        """Takes a replay's report."""
        ...

    def metrics(self) -> dict[str, float]:
        """Of the episodes since the last call."""
        ...


class EpisodeJournal:
    """Episodes as actors tell of them; see `Journal`."""

    def __init__(self) -> None:
        self._episodes: list[tuple[float, int]] = []

    def take_actor(self, report: Any) -> None:
        self._episodes += report.episodes

    def take_replay(self, shard: int, life: int, report: Any) -> None:
        """Does nothing: replays know of no episodes."""

    def metrics(self) -> dict[str, float]:
        episodes, self._episodes = self._episodes, []
        means = np.mean(episodes, axis=0) if episodes else (np.nan, np.nan)
        names = ("train/episode_return", "train/episode_length")
        return {name: float(mean) for name, mean in zip(names, means, strict=True)}


class Speeds:
    """How fast each kind of process is, over the last seconds.

    Attributes:
      lag: of the parameters behind the last updates, in updates.
    """

    def __init__(self) -> None:
        self.lag = float("nan")
        self._marks: dict[tuple[Any, ...], tuple[float, float]] = {}
        self._speed: dict[tuple[Any, ...], float] = {}

    def take(self, member: Member, report: Any) -> None:
        """Takes a report."""
        for field in ("num_steps", "num_inserted", "num_sampled", "updates"):
            if hasattr(report, field):
                key = (member.kind, field, member.index, member.life)
                self._count(key, getattr(report, field))
        for key in list(self._speed):
            if key[0::2] == (member.kind, member.index) and key[3] != member.life:
                del self._speed[key]

    def note(self, kind: str) -> str:
        """A kind's speed in words."""
        if kind == "actor":
            return f"{self._sum(kind, 'num_steps'):,.0f} steps/s"
        if kind == "replay":
            inserted, sampled = (
                self._sum(kind, f"num_{w}") for w in ("inserted", "sampled")
            )
            return f"{inserted:,.1f} items/s in, {sampled:,.1f} out"
        if kind == "learner":
            return f"{self._sum(kind, 'updates'):,.1f} updates/s, lag {self.lag:.1f}"
        return ""

    def _count(self, key: tuple[Any, ...], value: float) -> None:
        now = time.monotonic()
        since, before = self._marks.setdefault(key, (now, value))
        if now - since >= SECONDS_OF_A_SPEED:
            self._speed[key] = (value - before) / (now - since)
            self._marks[key] = (now, value)

    def _sum(self, kind: str, field: str) -> float:
        return sum(v for key, v in self._speed.items() if key[:2] == (kind, field))


class EvaluationDesk:
    """Asks the evaluator for one evaluation at a time, and keeps its result for a row."""

    def __init__(self, num_episodes: int | None) -> None:
        """Asks nothing yet."""
        self._num_episodes = DEFAULT_EVAL_EPISODES if num_episodes is None else num_episodes
        self._number = 0
        self._request: Any = None
        self._done_at = 0.0
        self._result: dict[str, float] = {}

    def look(self, evaluator: Any, now: float) -> None:
        """Takes a result that has come; asks for another where it is time to.

        Args:
          evaluator: handle of one that is well.
          now: seconds.
        """
        if self._request is None:
            if now - self._done_at >= SECONDS_BETWEEN_EVALUATIONS:
                self._request = evaluator.evaluate.remote(self._num_episodes, self._number)
                self._number += 1
            return
        if not ray.wait([self._request], timeout=0)[0]:
            return
        request, self._request, self._done_at = self._request, None, now
        try:
            self._result = ray.get(request)
        except RayActorError:
            return  # The supervisor says so.
        except RayTaskError as error:
            raise error.cause from None

    def take(self) -> dict[str, float]:
        """The metrics of an evaluation that has ended since the last call, if one has."""
        result, self._result = self._result, {}
        return result
