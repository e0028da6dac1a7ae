"""The work of a run on environments of the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from tolman.agents.agent import Agent, Params
from tolman.launchers.catalog.environments import EnvironmentSource, Specs
from tolman.launchers.cluster.parameters import ParameterClient
from tolman.launchers.cluster.statistics import EpisodeStatistics
from tolman.launchers.cluster.work import ActingLoop, ActorIdentity, TableStatistics
from tolman.launchers.evaluation.episodes import (
    environment_seed,
    evaluation_key,
    play_episodes_of,
)
from tolman.launchers.host.layout import TABLE, item_layout
from tolman.launchers.host.state import HostState
from tolman.launchers.host.writer import UnrollWriter
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
        return item_layout(agent, self.specs.observation_spec(), self.num_envs)

    def tables(self, agent: Agent) -> list[Any]:
        from tolman.launchers.host.reverb.server import make_table

        return [make_table(agent.data, self.layout(agent), self.num_shards)]

    def acting_loop(
        self,
        actor: ActorIdentity,
        parameters: ParameterClient,
        source: EnvironmentSource | None = None,
    ) -> ActingLoop:
        # Seconds of imports, which the driver would have to wait for too at the top.
        from tolman.launchers.host.actor import EnvironmentLoop, VectorActor
        from tolman.launchers.host.reverb.writer import ReverbStreams

        if source is None:
            source = resolve(self.config, actor.env_seed(self.config.seed)).source
        vector = source.make_vector(source.first_seed, self.num_envs)
        try:
            agent = self.agent()
            layout = self.layout(agent)
            streams = ReverbStreams(
                parameters.address(actor.number % self.num_shards),
                agent.data,
                self.num_envs // layout.group_size,
                parameters.is_closed,
            )
            writer = UnrollWriter(
                agent.data, layout, self.num_envs, streams, parameters.new_priority
            )
            acting = VectorActor(agent, self.num_envs, actor.key(), parameters, writer)
            return EnvironmentLoop([(vector, acting)], agent.data.unroll_length)
        except BaseException:
            vector.close()
            raise

    def table_statistics(self, client: Any) -> Callable[[], TableStatistics]:
        def statistics() -> TableStatistics:
            table = client.server_info()[TABLE]
            now = table.rate_limiter_info
            inserted = now.insert_stats.completed - before.insert_stats.completed
            sampled = now.sample_stats.completed - before.sample_stats.completed
            return TableStatistics(inserted, sampled, table.current_size)

        before = client.server_info()[TABLE].rate_limiter_info
        return statistics

    def evaluator(self, agent: Agent) -> Callable[[Params, int, int], dict[str, float]]:
        def evaluate(params: Params, num_episodes: int, number: int) -> dict[str, float]:
            return _evaluate(self.config, agent, params, num_episodes, number)

        return evaluate

    def run_statistics(self) -> EpisodeStatistics:
        return EpisodeStatistics()

    def rate_limiter(self, state: HostState) -> None:
        """None: Reverb's own limits the tables."""


def _evaluate(
    config: TrainConfig, agent: Agent, params: Params, num_episodes: int, number: int
) -> dict[str, float]:
    """Mean return and length of whole episodes; actions are sampled from the policy."""
    key = jax.random.fold_in(evaluation_key(config.seed), number)
    job = resolve(config, environment_seed(key), for_evaluation=True)
    played = play_episodes_of(job, agent, params, key, num_episodes)
    return {
        "eval/episode_return": float(played.returns.mean()),
        "eval/episode_length": float(played.lengths.mean()),
    }
