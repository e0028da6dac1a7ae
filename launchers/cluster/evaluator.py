"""The process that plays whole episodes with the newest parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

from tolman.launchers.cluster.parameters import BoardReader
from tolman.launchers.cluster.work import Lines, Work


class EvaluatorReport(NamedTuple):
    """What was logged since the report before, level and text."""

    lines: list[tuple[int, str]]


class EvaluatorRole:
    """Evaluates the newest parameters whenever it is asked to; run as a Ray actor."""

    def __init__(self, work: Work, board: Any) -> None:
        """Builds the agent.

        Args:
          work: the run's.
          board: handle of the `Board`.
        """
        self._lines = Lines()
        self._reader = BoardReader(board)
        self._evaluate = work.evaluator(work.agent())

    def evaluate(self, num_episodes: int, number: int) -> dict[str, float]:
        """Plays episodes with the parameters that are the newest when it begins.

        Args:
          num_episodes: to play.
          number: of the evaluation; its luck comes from it.

        Returns:
          Metrics: means over the episodes.
        """
        _, params = self._reader.get()
        return self._evaluate(params, num_episodes, number)

    def report(self) -> EvaluatorReport:
        """What it logged."""
        return EvaluatorReport(self._lines.take())

    def close(self) -> None:
        """Waits for nothing any more."""
        self._reader.close()
