"""The process that plays whole episodes with the newest parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax

from tolman.launchers.cluster.parameters import ParameterClient
from tolman.launchers.cluster.work import LogBuffer, Work

if TYPE_CHECKING:
    from tolman.agents.agent import Params


class EvaluatorReport(NamedTuple):
    """The log records since the report before, level and text."""

    log: list[tuple[int, str]]


class EvaluatorRole:
    """Evaluates the newest parameters on request; run as a Ray actor."""

    def __init__(self, work: Work, server: Any) -> None:
        """Builds the agent.

        Args:
          work: the run's.
          server: handle of the `ParameterServer`.
        """
        self._log = LogBuffer()
        self._parameters = ParameterClient(server)
        self._evaluate = work.evaluator(work.agent())

    def evaluate(
        self,
        num_episodes: int,
        number: int,
        labels: Sequence[int] = (),
        params: Params | None = None,
    ) -> dict[str, float]:
        """Plays episodes.

        Args:
          num_episodes: to play.
          number: of the evaluation; its seeds come from it.
          labels: under which tasks in turn are played; of one environment there are none.
          params: to play with; None for those that are the newest when it begins.

        Returns:
          Metrics: means over the episodes.
        """
        if params is None:
            _, params = self._parameters.get()
        return self._evaluate(jax.device_put(params), num_episodes, number, labels)

    def report(self) -> EvaluatorReport:
        """What it logged."""
        return EvaluatorReport(self._log.take())

    def close(self) -> None:
        """Ends all waiting for parameters."""
        self._parameters.close()
        self._log.close()
