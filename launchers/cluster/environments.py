"""The work of a run on environments of the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax

from tolman.agents.agent import Agent, Params
from tolman.launchers.cluster.parameters import ParameterClient
from tolman.launchers.cluster.statistics import EpisodeStatistics
from tolman.launchers.cluster.work import ActingLoop, ActorIdentity, TableStatistics
from tolman.launchers.evaluation.evaluate import EVALUATION
from tolman.launchers.host.episodes import episode_means
from tolman.launchers.host.state import HostState
from tolman.launchers.runs.build import MAX_DEFAULT_ENVS, build_agent, make_vector
from tolman.launchers.runs.restore import evaluation_settings
from tolman.launchers.settings.config import TrainConfig


@dataclass(frozen=True)
class Specs:
    """The specs of an environment that another process has."""

    observation: Any
    action: Any

    def observation_spec(self) -> Any:
        """Of one copy."""
        return self.observation

    def action_spec(self) -> Any:
        """Of one copy."""
        return self.action


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
        return build_agent(self.config, self.specs)

    def layout(self, agent: Agent) -> Any:
        from tolman.launchers.host.reverb.replay import item_layout

        return item_layout(agent, self.specs.observation_spec(), self.num_envs)

    def acting_loop(self, actor: ActorIdentity, parameters: ParameterClient) -> ActingLoop:
        # Seconds of imports, which the driver would have to wait for too at the top.
        from tolman.launchers.host.actor import EnvironmentLoop, VectorActor
        from tolman.launchers.host.reverb.writer import UnrollWriter

        env_seed = actor.env_seed(self.config.seed)
        vector = make_vector(self.config, self.num_envs, env_seed)
        try:
            agent = self.agent()
            writer = UnrollWriter(
                parameters.address(actor.index % self.num_shards),
                agent.data,
                self.layout(agent),
                self.num_envs,
                parameters.is_closed,
                parameters.new_priority,
            )
            acting = VectorActor(agent, self.num_envs, actor.key(), parameters, writer)
            return EnvironmentLoop([(vector, acting)], agent.data.unroll_length)
        except BaseException:
            vector.close()
            raise

    def table_statistics(self, client: Any) -> Callable[[], TableStatistics]:
        from tolman.launchers.host.reverb.writer import TABLE

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
    from tolman.launchers.host.evaluation import play_host_episodes

    key = jax.random.PRNGKey(config.seed)
    key = jax.random.fold_in(jax.random.fold_in(key, EVALUATION), number)
    env_seed = int(jax.random.randint(key, (), 0, EVALUATION))
    num_envs = min(num_episodes, MAX_DEFAULT_ENVS)
    config = replace(config, env_config=evaluation_settings(config.env_config))
    vector = make_vector(config, num_envs, env_seed)
    try:
        episodes = play_host_episodes(agent, vector, params, key, num_episodes)
    finally:
        vector.close()
    return episode_means("eval", episodes)
