"""What the driver counts: environment steps, episodes, throughput, evaluations."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol

import ray
from ray.exceptions import RayActorError, RayTaskError

from tolman.agents.agent import DataSpec, Params
from tolman.launchers.cluster.supervisor import Process
from tolman.launchers.host.episodes import Episode, episode_means
from tolman.launchers.host.state import HostState, group_size

DEFAULT_EVAL_EPISODES = 10
SLACK_BATCHES = 8  # That acting may be ahead of learning, where a `RateLimiter` says so.
SECONDS_BETWEEN_EVALUATIONS = 10.0
SECONDS_OF_A_RATE = 2.0

logger = logging.getLogger(__name__)


class StepCounter:
    """Counts every environment step once, when it is where the learner can have it.

    A queue's steps count when they are learned from, as each is once. A replay's count
    when their unroll is in it: an item stands for the decisions from its start to that of
    the next. Steps of an actor that dies before count nowhere.
    """

    def __init__(self, data: DataSpec, num_envs: int, state: HostState) -> None:
        """Continues from a state."""
        self._data = data
        self._first = int(state.env_steps)
        self._num_items = 0
        self._seen: dict[int, tuple[int, int]] = {}  # By shard: incarnation, its items.
        period = data.period or data.unroll_length
        self._steps_per_item = period * group_size(data, num_envs)

    def take(self, shard: int, incarnation: int, num_inserted: int) -> None:
        """Takes the number of items inserted so far in an incarnation of a server."""
        before, items_before = self._seen.get(shard, (incarnation, 0))
        if before != incarnation:
            items_before = 0
        self._num_items += max(num_inserted - items_before, 0)
        self._seen[shard] = (incarnation, max(num_inserted, items_before))

    def total(self, updates: int) -> int:
        """Environment steps of the run up to an update."""
        if self._data.replay == "queue":
            return updates * self._data.unroll_length * self._data.batch_size
        return self._first + self._num_items * self._steps_per_item


class RateLimiter:
    """Keeps samples at `samples_per_insert` times the inserts, where no table can.

    Each sequence after the first `min_size` is learned from so often, on average: the
    learner waits for the actors, and they wait for it.
    """

    def __init__(self, data: DataSpec) -> None:
        """Of an agent that replays."""
        self._data = data

    def max_updates(self, num_steps: int) -> int:
        """Updates that `num_steps` environment steps allow."""
        return int(self._samples(num_steps) / self._data.batch_size)

    def is_ahead(self, num_steps: int, updates: int) -> bool:
        """Whether actors are to wait."""
        used = (updates + SLACK_BATCHES) * self._data.batch_size
        return self._samples(num_steps) > used

    def _samples(self, num_steps: int) -> float:
        """Sequences that may be drawn."""
        return max(num_steps - self._data.min_size, 0) * self._data.samples_per_insert


class RunStatistics(Protocol):
    """Statistics of the episodes or games between two rows of metrics."""

    def take_actor(self, report: Any) -> None:
        """Takes an actor's report."""
        ...

    def take_replay(self, shard: int, incarnation: int, report: Any) -> None:
        """Takes a replay's report."""
        ...

    def metrics(self) -> dict[str, float]:
        """Of the episodes since the last call."""
        ...


class EpisodeStatistics:
    """Means over the episodes that actors report; see `RunStatistics`."""

    def __init__(self) -> None:
        self._episodes: list[Episode] = []

    def take_actor(self, report: Any) -> None:
        self._episodes += report.episodes

    def take_replay(self, shard: int, incarnation: int, report: Any) -> None:
        """Does nothing: replays do not count episodes."""

    def metrics(self) -> dict[str, float]:
        episodes, self._episodes = self._episodes, []
        return episode_means("train", episodes)


class Throughput:
    """How much each kind of process does a second, over the last seconds.

    Attributes:
      lag: of the parameters behind the last updates, in updates.
    """

    def __init__(self) -> None:
        self.lag = float("nan")
        self._marks: dict[tuple[Any, ...], tuple[float, float]] = {}
        self._rates: dict[tuple[Any, ...], float] = {}

    def take(self, process: Process, report: Any) -> None:
        """Takes a report."""
        for field in ("num_steps", "num_inserted", "num_sampled", "updates"):
            if hasattr(report, field):
                key = (process.kind, field, process.index, process.incarnation)
                self._count(key, getattr(report, field))
        for key in list(self._rates):
            _, _, index, incarnation = key
            is_same = (key[0], index) == (process.kind, process.index)
            if is_same and incarnation != process.incarnation:
                del self._rates[key]

    def note(self, kind: str) -> str:
        """The throughput of a kind of process, in words."""
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
        if value < before:  # Each label of tasks in turn counts by itself.
            self._marks[key] = (now, value)
        elif now - since >= SECONDS_OF_A_RATE:
            self._rates[key] = (value - before) / (now - since)
            self._marks[key] = (now, value)

    def _sum(self, kind: str, field: str) -> float:
        return sum(v for key, v in self._rates.items() if key[:2] == (kind, field))


class EvaluationScheduler:
    """Requests one evaluation at a time, and keeps its result for a row of metrics."""

    def __init__(self, num_episodes: int | None) -> None:
        """Requests nothing yet.

        Args:
          num_episodes: of an evaluation; None for the default.
        """
        self._num_episodes = DEFAULT_EVAL_EPISODES if num_episodes is None else num_episodes
        self._number = 0
        self._request: Any = None
        self._done_at = 0.0
        self._result: dict[str, float] = {}

    def poll(self, evaluator: Any, now: float, labels: Sequence[int] = ()) -> None:
        """Takes a result that has arrived; requests the next one when it is due.

        Args:
          evaluator: handle of one that answers.
          now: seconds.
          labels: see `Evaluate`.
        """
        if self._request is None:
            if now - self._done_at >= SECONDS_BETWEEN_EVALUATIONS:
                self._request = evaluator.evaluate.remote(
                    self._num_episodes, self._number, labels
                )
                self._number += 1
            return
        if not ray.wait([self._request], timeout=0)[0]:
            return
        request, self._request, self._done_at = self._request, None, now
        try:
            self._result = ray.get(request)
        except RayActorError:
            return  # The supervisor reports it.
        except RayTaskError as error:
            raise error.cause from None

    def request(self, evaluator: Any, params: Params, labels: Sequence[int] = ()) -> Any:
        """Requests an evaluation with given parameters, in place of the one under way.

        Args:
          evaluator: handle of one that answers.
          params: on the host.
          labels: see `Evaluate`.

        Returns:
          A reference to its metrics.
        """
        self._request, self._result, self._done_at = None, {}, time.monotonic()
        self._number += 1
        return evaluator.evaluate.remote(
            self._num_episodes, self._number - 1, labels, params
        )

    def take(self) -> dict[str, float]:
        """The metrics of an evaluation that ended since the last call, if one did."""
        result, self._result = self._result, {}
        return result
