"""The work of a run on environments of the host."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from tolman.agents.agent import Agent, Params
from tolman.launchers.catalog.environments import Specs
from tolman.launchers.cluster.parameters import BoardReader
from tolman.launchers.cluster.tallies import EpisodeJournal
from tolman.launchers.cluster.work import Birth, Insight
from tolman.launchers.evaluation.episodes import (
    environment_seed,
    evaluation_key,
    play_episodes_of,
)
from tolman.launchers.host.state import HostState, group_size
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.config import TrainConfig


@dataclass(frozen=True)
class EnvironmentWork:
    """See `Work`.

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
        return resolve(self.config).make_agent(self.specs)

    def layout(self, agent: Agent) -> Any:
        from tolman.launchers.host.reverb.replay import item_layout

        return item_layout(agent, self.specs.observation_spec(), self.num_envs)

    def acting(
        self,
        birth: Birth,
        key: np.ndarray,
        reader: BoardReader,
        is_closed: threading.Event,
    ) -> EnvironmentActing:
        return EnvironmentActing(self, birth, key, reader, is_closed)

    def watch(self, client: Any) -> Callable[[], Insight]:
        from tolman.launchers.host.reverb.adder import TABLE

        def look() -> Insight:
            table = client.server_info()[TABLE]
            stats = table.rate_limiter_info
            inserted = stats.insert_stats.completed - before.insert_stats.completed
            sampled = stats.sample_stats.completed - before.sample_stats.completed
            return Insight(inserted, sampled, table.current_size)

        before = client.server_info()[TABLE].rate_limiter_info
        return look

    def evaluator(self, agent: Agent) -> Callable[[Params, int, int], dict[str, float]]:
        def evaluate(params: Params, num_episodes: int, number: int) -> dict[str, float]:
            return _evaluate(self.config, agent, params, num_episodes, number)

        return evaluate

    def journal(self) -> EpisodeJournal:
        return EpisodeJournal()

    def pace(self, state: HostState) -> None:
        """The tables hold inserts and samples to each other."""


class EnvironmentActing:
    """Steps the environments of one actor; see `Acting`."""

    def __init__(
        self,
        work: EnvironmentWork,
        birth: Birth,
        key: np.ndarray,
        reader: BoardReader,
        is_closed: threading.Event,
    ) -> None:
        # Seconds of imports, which the driver would have to wait for too at the top.
        from tolman.launchers.host.actor import ActingLoop, VectorActor
        from tolman.launchers.host.reverb.adder import Client, UnrollAdder

        source = resolve(work.config).source
        vector = source.make_vector(birth.env_seed(work.config.seed), work.num_envs)
        try:
            agent = work.agent()
            data = agent.data
            address = reader.address(birth.actor % work.num_shards)
            adders = [
                UnrollAdder(Client(address), data, is_closed)
                for _ in range(work.num_envs // group_size(data, work.num_envs))
            ]
            self._actor = VectorActor(agent, work.num_envs, birth.key(key), reader, adders)
            self._loop = ActingLoop([(vector, self._actor)], data.unroll_length)
        except BaseException:
            vector.close()
            raise

    @property
    def num_steps(self) -> int:
        return self._loop.num_steps

    @property
    def seconds(self) -> float:
        return self._loop.seconds

    @property
    def version(self) -> int:
        return self._actor.version

    def unroll(self) -> None:
        self._loop.unroll()

    def take_episodes(self) -> list[tuple[float, int]]:
        episodes = self._loop.take_episodes()
        return [(each.episode_return, each.episode_length) for each in episodes]

    def close(self) -> None:
        self._loop.close()


def _evaluate(
    config: TrainConfig, agent: Agent, params: Params, num_episodes: int, number: int
) -> dict[str, float]:
    """Means over whole episodes of the policy, sampled from."""
    key = jax.random.fold_in(evaluation_key(config.seed), number)
    job = resolve(config, environment_seed(key), for_evaluation=True)
    played = play_episodes_of(job, agent, params, key, num_episodes)
    return {
        "eval/episode_return": float(np.mean(played.returns)),
        "eval/episode_length": float(np.mean(played.lengths)),
    }
