"""Evaluates a run while it trains, with the environment's settings for evaluation."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.greedy import greedy
from tolman.launchers.evaluation.episodes import (
    MAX_ENVS,
    environment_seed,
    evaluation_key,
    play_episodes_of,
)
from tolman.launchers.runs.build import register_evaluator
from tolman.launchers.runs.job import Job, resolve

DEFAULT_EPISODES = 10


@register_evaluator("acts")
class TrainingEvaluator:
    """Plays episodes with the parameters of a moment; keeps its environments."""

    def __init__(self, job: Job) -> None:
        """Builds the agent; environments when they are first played."""
        config = job.config
        self._key = evaluation_key(config.seed)
        self._job = resolve(config, environment_seed(self._key), for_evaluation=True)
        agent = self._job.make_agent()
        self._agent = greedy(agent) if config.eval_greedy else agent
        self._num_episodes = config.eval_episodes or DEFAULT_EPISODES
        self._vector: Any = None

    def __call__(self, params: Params, updates: int) -> dict[str, float]:
        """Metrics `eval/...`: means over the episodes."""
        key = jax.random.fold_in(self._key, updates)
        job, number = self._job, self._num_episodes
        if self._vector is None and job.config.launcher != "on-device":
            seed, count = environment_seed(self._key), min(number, MAX_ENVS)
            self._vector = job.source.make_vector(seed, count)
        played = play_episodes_of(job, self._agent, params, key, number, self._vector)
        return {
            "eval/episode_return": float(played.returns.mean()),
            "eval/episode_length": float(np.mean(played.lengths)),
            **{f"eval/{name}": value for name, value in played.info.items()},
        }

    def close(self) -> None:
        """Closes the environments."""
        self._job.close()
        if self._vector is not None:
            self._vector.close()
