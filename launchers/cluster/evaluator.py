"""The process that plays whole episodes with the newest parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.launchers.cluster.parameters import BoardReader
from tolman.launchers.cluster.work import Lines, Work
from tolman.launchers.evaluation import EVALUATION, evaluation_settings
from tolman.launchers.runner import MAX_DEFAULT_ENVS, make_vector


class Evaluation(NamedTuple):
    """Means over whole episodes.

    Attributes:
      version: of the parameters.
      episode_return: of the policy, sampled from.
      episode_length: decisions.
    """

    version: int
    episode_return: float
    episode_length: float


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
        self._work = work
        self._lines = Lines()
        self._reader = BoardReader(board)
        self._agent = work.agent()

    def evaluate(self, num_episodes: int, number: int) -> Evaluation:
        """Plays episodes with the parameters that are the newest when it begins.

        Args:
          num_episodes: to play.
          number: of the evaluation; its luck comes from it.
        """
        from tolman.launchers.host.evaluation import play_host_episodes

        version, params = self._reader.get()
        key = jax.random.PRNGKey(self._work.config.seed)
        key = jax.random.fold_in(jax.random.fold_in(key, EVALUATION), number)
        env_seed = int(jax.random.randint(key, (), 0, EVALUATION))
        num_envs = min(num_episodes, MAX_DEFAULT_ENVS)
        config = self._work.config
        config = replace(config, env_config=evaluation_settings(config.env_config))
        vector = make_vector(config, num_envs, env_seed)
        try:
            episodes = play_host_episodes(self._agent, vector, params, key, num_episodes)
        finally:
            vector.close()
        _, returns, lengths = zip(*episodes, strict=True)
        return Evaluation(version, float(np.mean(returns)), float(np.mean(lengths)))

    def report(self) -> EvaluatorReport:
        """What it logged."""
        return EvaluatorReport(self._lines.take())

    def close(self) -> None:
        """Waits for nothing any more."""
        self._reader.close()
