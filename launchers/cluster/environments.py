"""The work of a run on environments of the host: of one, or of several in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from tolman.agents.agent import Agent, Params
from tolman.agents.greedy import greedy
from tolman.agents.tasks import for_task
from tolman.envs.environment import TimeStep
from tolman.launchers.catalog.environments import EnvironmentSource, Specs
from tolman.launchers.cluster.parameter_server import Turn
from tolman.launchers.cluster.parameters import ParameterClient
from tolman.launchers.cluster.statistics import EpisodeStatistics
from tolman.launchers.cluster.work import (
    ActingLoop,
    ActorIdentity,
    Evaluate,
    TableStatistics,
)
from tolman.launchers.evaluation.episodes import (
    environment_seed,
    evaluation_key,
    play_episodes_of,
)
from tolman.launchers.host.layout import examples_of, item_layout, table_of
from tolman.launchers.host.recognition import Recognised, Watch, watch_of
from tolman.launchers.host.state import HostState
from tolman.launchers.host.writer import UnrollWriter
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.settings.config import TrainConfig

if TYPE_CHECKING:
    from tolman.launchers.host.actor import EnvironmentLoop


@dataclass(frozen=True)
class EnvironmentWork:
    """See `Work`.

    Attributes:
      config: resolved.
      specs: of the environment, or of each of the tasks in turn.
      num_envs: of each actor.
      num_shards: servers that share out the data.
      num_labels: under which tasks in turn are trained, each with tables of its own.
    """

    config: TrainConfig
    specs: Specs
    num_envs: int
    num_shards: int
    num_labels: int = 1

    def agent(self) -> Agent:
        return resolve(self.config).make_agent(self.specs)

    def layout(self, agent: Agent) -> Any:
        return item_layout(agent, self.specs.observation_spec(), self.num_envs)

    def tables(self, agent: Agent) -> list[Any]:
        from tolman.launchers.host.reverb.server import make_examples_table, make_table

        data, layout, share = agent.data, self.layout(agent), self.num_shards
        made = []
        for label in range(self.num_labels):
            made.append(make_table(data, layout, share, table_of(label)))
            if self._keeps_examples(agent):
                made.append(make_examples_table(data, layout, share, examples_of(label)))
        return made

    def acting_loop(
        self,
        actor: ActorIdentity,
        parameters: ParameterClient,
        job: Job | None = None,
        recognised: Recognised | None = None,
    ) -> ActingLoop:
        # Seconds of imports, which the driver would have to wait for too at the top.
        from tolman.launchers.cluster.turns import TurnsLoop

        agent = self.agent()
        if job is None:
            job = resolve(self.config, actor.env_seed(self.config.seed))
        sources = [job.tasks[name] for name in self.config.tasks] or [job.source]
        begun: set[int] = set()
        watch = None if recognised is None else self.watch()
        if watch is not None and recognised is not None:
            watch.restore(*recognised)

        def make_loop(turn: Turn) -> EnvironmentLoop:
            source, own = sources[turn.stretch], actor._replace(stretch=turn.stretch)
            seed = source.first_seed
            if id(source) in begun:  # It returns: to other episodes.
                seed = own.env_seed(self.config.seed)
            begun.add(id(source))
            if watch is not None:
                watch.begin(self._names.index(self.config.tasks[turn.stretch]))
            see = None if watch is None else watch.see
            return self._loop_of(agent, own, turn, parameters, source, seed, see)

        return TurnsLoop(make_loop, parameters, watch)

    def watch(self) -> Watch | None:
        """What tells tasks apart by their screens, of which it has seen none.

        None where their labels are not inferred.

        Raises:
          ValueError: if observations are no screens.
        """
        spec, number = self.specs.observation_spec(), self.num_labels
        return watch_of(self.config.labels, spec, len(self._names), number)

    def table_statistics(self, client: Any) -> Callable[[], TableStatistics]:
        names = [table_of(label) for label in range(self.num_labels)]

        def counts() -> tuple[np.ndarray, int, int]:
            """Sequences inserted, by label; sampled; there now."""
            served = client.server_info()
            tables = [served[name] for name in names]
            limiters = [table.rate_limiter_info for table in tables]
            return (
                np.array([each.insert_stats.completed for each in limiters]),
                sum(each.sample_stats.completed for each in limiters),
                sum(table.current_size for table in tables),
            )

        def statistics() -> TableStatistics:
            inserted, sampled, size = counts()
            new = inserted - inserted_before
            return TableStatistics(tuple(new.tolist()), sampled - sampled_before, size)

        inserted_before, sampled_before, _ = counts()
        return statistics

    def evaluator(self, agent: Agent) -> Evaluate:
        player: Any = greedy(agent) if self.config.eval_greedy else agent

        return partial(_evaluate, self.config, player)

    def run_statistics(self) -> EpisodeStatistics:
        return EpisodeStatistics()

    def rate_limiter(self, state: HostState) -> None:
        """None: Reverb's own limits the tables."""

    @property
    def _names(self) -> list[str]:
        """Of the tasks, in the order in which they are first met."""
        return list(dict.fromkeys(self.config.tasks))

    def _keeps_examples(self, agent: Agent) -> bool:
        """Whether items go into a second table, of which a switch takes examples."""
        needs = bool(self.config.tasks) and bool(getattr(agent, "num_switch_batches", 0))
        return needs and agent.data.replay != "queue"

    def _loop_of(
        self,
        agent: Agent,
        actor: ActorIdentity,
        turn: Turn,
        parameters: ParameterClient,
        source: EnvironmentSource,
        seed: int,
        see: Callable[[TimeStep], None] | None,
    ) -> EnvironmentLoop:
        """The loop of an actor in the environments of one turn; `see` is shown its rows."""
        from tolman.launchers.cluster.turns import Over
        from tolman.launchers.host.actor import EnvironmentLoop, VectorActor
        from tolman.launchers.host.reverb.writer import ReverbStreams

        tables = [table_of(turn.label)]
        if self._keeps_examples(agent):
            tables.append(examples_of(turn.label))
        is_over = Over(parameters, turn) if self.config.tasks else parameters.is_closed
        vector = source.make_vector(seed, self.num_envs)
        try:
            layout = self.layout(agent)
            streams = ReverbStreams(
                parameters.address(actor.number % self.num_shards),
                agent.data,
                self.num_envs // layout.group_size,
                is_over,
                tables,
            )
            writer = UnrollWriter(
                agent.data, layout, self.num_envs, streams, parameters.new_priority
            )
            acting = VectorActor(agent, self.num_envs, actor.key(), parameters, writer)
            return EnvironmentLoop([(vector, acting)], agent.data.unroll_length, see)
        except BaseException:
            vector.close()
            raise


def _evaluate(
    config: TrainConfig,
    agent: Any,
    params: Params,
    num_episodes: int,
    number: int,
    labels: Sequence[int],
) -> dict[str, float]:
    """Mean return and length of whole episodes, of every task where there are several."""
    key = jax.random.fold_in(evaluation_key(config.seed), number)
    job = resolve(config, environment_seed(key), for_evaluation=True)
    found = {}
    for task, (name, source) in enumerate((job.tasks or {"": job.source}).items()):
        own, prefix = params, "eval"
        if job.tasks:
            prefix = f"eval/{name}"
            own = for_task(agent, params, labels[task])
        played = play_episodes_of(
            replace(job, source=source), agent, own, key, num_episodes
        )
        found[f"{prefix}/episode_return"] = float(played.returns.mean())
        found[f"{prefix}/episode_length"] = float(played.lengths.mean())
    return found
