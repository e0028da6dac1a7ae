"""The on-device runner: act, environment step and update in one jitted program.

Of a queue, T decisions and one update take turns, and the environments are the batch. With
a replay, environments act a round whenever the updates have used up what the rounds before
have earned; see `replay.py`. A *population* of members trains in the same program; see
`population.py`.

Shapes: P members, E environments a member, T decisions an unroll, N = P E environments,
B sequences a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from tolman.agents.agent import Agent, Array, Unroll
from tolman.envs import vector
from tolman.envs.actions import Legal
from tolman.envs.environment import Environment, TimeStep
from tolman.envs.host import EnvironmentFault
from tolman.launchers.device.acting import STUCK, Episodes, TrainState, act, by_member
from tolman.launchers.device.population import (
    Mean,
    PopulationRunner,
    as_means,
    chosen_devices,
    over_members,
)
from tolman.launchers.device.replay import Replay, ReplayState
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.memory import bytes_of, check_memory
from tolman.launchers.runs.protocol import Counts
from tolman.launchers.runs.rates import (
    MAX_DEFAULT_ENVS,
    env_steps_per_update,
    total_updates,
)

UPDATE = 2**31 - 1  # Folded into a member's key; no decision's number is as large.
ENVIRONMENTS = "environments"  # The axis of a mesh that those of a lone member take.


class OnDeviceRunner(PopulationRunner):
    """Trains a population of one agent on one on-device environment.

    Attributes:
      environment: pure functions; see `tolman.envs.environment`.
      num_envs: E.
    """

    def __init__(
        self,
        agent: Agent,
        environment: Environment,
        num_members: int = 1,
        devices: Sequence[jax.Device] | None = None,
        num_envs: int = 0,
    ) -> None:
        """Prepares a run.

        Args:
          agent: what learns.
          environment: where.
          num_members: P.
          devices: see `PopulationRunner`.
          num_envs: E; 0 for the batch of a queue, and 16 with a replay.

        Raises:
          ValueError: if a queue is to have other environments than its batch.
        """
        self.environment = environment
        self.num_envs = _number_of_environments(agent, num_envs)
        self._replay = (
            None if agent.data.replay == "queue" else Replay(agent.data, self.num_envs)
        )
        legal = Legal(environment.observation_spec(), environment.action_spec())
        self._tells_legal = legal.is_told
        self._act = partial(act, agent, environment, legal, self.num_envs)
        parts = (ENVIRONMENTS, self.num_envs)
        per_update = env_steps_per_update(agent.data)
        super().__init__(agent, num_members, "env_steps", per_update, parts, devices)

    def init(self, keys: Array, hyperparameters: Any = None) -> TrainState:
        """Starts P members.

        Args:
          keys: `[P, 2]`, one a member; equal keys give equal runs.
          hyperparameters: pytree of `[P]` that `agent.init` takes, or None.
        """
        num_envs, num_members = self.num_envs, self.num_members

        def start(keys: Array) -> TrainState:
            member_keys = jax.vmap(partial(jax.random.split, num=3))(keys)  # [P, 3, 2]
            carried, learner_keys, env_keys = jnp.moveaxis(member_keys, 1, 0)
            learner = jax.vmap(self.agent.init)(learner_keys, hyperparameters)
            env_keys = jax.vmap(partial(jax.random.split, num=num_envs))(env_keys)
            environment, timestep = vector.reset(self.environment, env_keys.reshape(-1, 2))
            actor = jax.tree.map(
                lambda leaf: jnp.broadcast_to(leaf, (num_members, *leaf.shape)),
                self.agent.initial_actor_state(num_envs),
            )
            zeros = jnp.zeros((num_members, num_envs))
            return TrainState(
                learner=learner,
                actor=actor,
                environment=environment,
                timestep=timestep,
                keys=carried,
                updates=jnp.zeros(num_members, jnp.int32),
                episode_return=zeros,
                episode_length=zeros.astype(jnp.int32),
            )

        return self.with_empty_replay(self.place(jax.jit(start)(keys)))

    def train(
        self, state: TrainState, num_updates: int
    ) -> tuple[TrainState, dict[str, Array]]:
        """See `PopulationRunner.train`.

        Raises:
          EnvironmentFault: if no action was legal in an episode that went on.
        """
        state, metrics = super().train(state, num_updates)
        stuck = metrics.pop(STUCK)
        if self._tells_legal and (np.asarray(stuck) > 0.0).any():
            raise EnvironmentFault(
                f"env {type(self.environment).__name__}: legal actions: got none; must be "
                "at least one until the episode ends. End the episode where nothing can "
                "be done."
            )
        return state, metrics

    def with_empty_replay(self, state: TrainState) -> TrainState:
        """The state with a replay that holds nothing, and the counts and scale of the old.

        Raises:
          ValueError: if there is no memory for it.
        """
        replay, num_envs = self._replay, self.num_envs
        if replay is None:
            return state
        _, rows, _ = jax.eval_shape(lambda s: self._act(s, replay.period), state)
        one = partial(jax.tree.map, lambda leaf: leaf[0])
        row, actor = jax.eval_shape(
            lambda rows, actor: (one(one(rows)), one(actor)), rows, state.actor
        )

        def start(timestep: TimeStep) -> ReplayState:
            opening = by_member(timestep, num_envs, 0)
            return jax.vmap(lambda first: replay.start(first, row, actor))(opening)

        shapes = state._replace(replay=jax.eval_shape(start, state.timestep))
        self._check_memory(shapes.replay)
        place = jax.jit(start, out_shardings=self._shardings(shapes).replay)
        fresh = place(state.timestep)
        if state.replay:
            fresh = fresh._replace(rounds=state.replay.rounds, scale=state.replay.scale)
        return state._replace(replay=fresh)

    def without_replay(self, state: TrainState) -> TrainState:
        """The state without what the replay holds."""
        return state._replace(replay=state.replay and state.replay._replace(ring=()))

    def member(self, state: TrainState, index: int) -> TrainState:
        """One member's share of a state, as the state of a population of one."""
        copies = slice(index * self.num_envs, (index + 1) * self.num_envs)
        own = jax.tree.map(lambda leaf: leaf[index : index + 1], state)
        environment, timestep = jax.tree.map(
            lambda leaf: leaf[copies], (state.environment, state.timestep)
        )
        return own._replace(environment=environment, timestep=timestep)

    def counts(self, state: TrainState) -> Counts:
        """Of a replay, the environment steps are those taken."""
        if self._replay is None:
            return super().counts(state)
        updates, rounds = (
            int(np.max(np.asarray(leaf))) for leaf in (state.updates, state.replay.rounds)
        )
        return Counts(updates, rounds * self._replay.period * self.num_envs)

    def total_updates(self, num_units: int) -> int:
        return total_updates(self.agent.data, num_units)

    def _check_memory(self, replay: Any) -> None:
        device = self.mesh.devices.flat[0]
        num_shares = 1 if device.platform == "cpu" else self.mesh.size
        what = f"capacity={self.agent.data.capacity}: the replay on each device"
        check_memory(what, bytes_of(replay) // num_shares, device)

    def _within(self, state: TrainState) -> Any:
        def every(tree: Any, *axes: str | None) -> Any:
            return jax.tree.map(lambda _: PartitionSpec(*axes), tree)

        replay = every(state.replay)
        if state.replay and state.replay.ring:
            in_turn = (None, None, ENVIRONMENTS)  # [P, K p, E, ...]
            ring = state.replay.ring
            rows, actor_state = (
                every(ring.rows, *in_turn),
                every(ring.actor_state, *in_turn),
            )
            replay = replay._replace(
                ring=replay.ring._replace(rows=rows, actor_state=actor_state)
            )
        layout: Any = TrainState  # Its leaves are specs here, not arrays.
        return layout(
            learner=every(state.learner),
            actor=every(state.actor, None, ENVIRONMENTS),
            environment=every(state.environment, ENVIRONMENTS),
            timestep=every(state.timestep, ENVIRONMENTS),
            keys=PartitionSpec(),
            updates=PartitionSpec(),
            episode_return=PartitionSpec(None, ENVIRONMENTS),
            episode_length=PartitionSpec(None, ENVIRONMENTS),
            replay=replay,
        )

    def _update(
        self, state: TrainState, data: Any, total_updates: Array
    ) -> tuple[TrainState, dict[str, Mean]]:
        """One update of every member, and the acting that gives it data."""
        if self._replay is None:
            return self._learn_in_order(state, total_updates)
        return self._learn_from(self._replay, state, total_updates)

    def _learn_in_order(
        self, state: TrainState, total_updates: Array
    ) -> tuple[TrainState, dict[str, Mean]]:
        """One unroll and one update of every member."""
        actor_before, opening = state.actor, state.timestep
        keys = jax.vmap(partial(jax.random.fold_in, data=UPDATE))(state.keys)  # [P, 2]
        state, row, totals = self._act(state, self.agent.data.unroll_length)

        rows = jax.tree.map(  # [T + 1, P, E, ...]
            lambda first, rest: jnp.concatenate([first[None], rest]),
            by_member(opening, self.num_envs, 0),
            row.timestep,
        )
        unrolls = Unroll(rows, *row.decision, actor_before)
        axes: Any = Unroll(1, 1, 1, 0)  # type: ignore[arg-type]
        progress = state.updates / jnp.maximum(total_updates, 1)  # [P]
        learner, metrics, _ = over_members(self.agent.update, (0, axes, 0, 0))(
            state.learner, unrolls, keys, progress
        )
        state = state._replace(learner=learner, updates=state.updates + 1)
        return state, as_means(metrics) | totals

    def _learn_from(
        self, replay: Replay, state: TrainState, total_updates: Array
    ) -> tuple[TrainState, dict[str, Mean]]:
        """One update of every member, and before it the rounds that it takes."""

        def one_round(carry: Any) -> Any:
            state, totals = carry
            state, told = self._act_round(replay, state)
            return state, jax.tree.map(jnp.add, totals, told)

        nothing = Episodes(*jnp.zeros((6, len(state.updates)))).means()
        state, totals = lax.while_loop(
            lambda carry: ~replay.is_due(carry[0].replay.credit[0]),
            one_round,
            (state, nothing),
        )
        keys = jax.vmap(partial(jax.random.fold_in, data=UPDATE))(state.keys)  # [P, 2]
        keys = jax.vmap(jax.random.fold_in)(keys, state.updates)
        draw_keys, update_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        items, (unrolls, versions) = self.draw(state, draw_keys)
        progress = state.updates / jnp.maximum(total_updates, 1)  # [P]
        learner, metrics, priorities = over_members(self.agent.update)(
            state.learner, self._share_out_batch(unrolls), update_keys, progress
        )
        kept = state.replay
        weights, scale = over_members(replay.reweigh)(
            kept.ring.weights, kept.scale, items, priorities
        )
        kept = kept._replace(
            credit=kept.credit - replay.rate.cost,
            scale=scale,
            ring=kept.ring._replace(weights=weights),
        )
        told = {
            **metrics,
            "time/param_lag": (state.updates[:, None] - versions).mean(-1),
            "replay/num_items": jax.vmap(replay.num_items)(kept.age).astype(jnp.float32),
        }
        state = state._replace(learner=learner, updates=state.updates + 1, replay=kept)
        return state, as_means(told) | totals

    def has_data(self, state: TrainState) -> bool:
        """Whether there is something to draw; of a queue, which keeps nothing, True."""
        if self._replay is None:
            return True
        return bool((self._replay.num_items(state.replay.age) > 0).all())

    def draw(self, state: TrainState, keys: Array) -> tuple[Array, tuple[Unroll, Array]]:
        """Draws a batch of every member from the replay, by keys of `[P, 2]`.

        Returns:
          The items, `[P, B]`; their sequences, and the versions that began them.
        """
        replay, kept = self._replay, state.replay
        if replay is None:
            raise ValueError("the agent learns from a queue: there is no replay.")
        items, probability = over_members(replay.draw, (0, None, 0))(
            kept.ring, kept.age[0], keys
        )
        return items, over_members(replay.read)(kept.ring, items, probability)

    def _share_out_batch(self, unrolls: Unroll) -> Unroll:
        """Each device learns from its share of a lone member's batch, if it is even."""
        if self._by_members or self.agent.data.batch_size % self.mesh.size:
            return unrolls
        in_time = NamedSharding(self.mesh, PartitionSpec(None, None, ENVIRONMENTS))
        at_start = NamedSharding(self.mesh, PartitionSpec(None, ENVIRONMENTS))
        shared: Any = lax.with_sharding_constraint
        return Unroll(
            *(shared(tree, in_time) for tree in unrolls[:3]),
            *(shared(tree, at_start) for tree in unrolls[3:]),
        )

    def _act_round(
        self, replay: Replay, state: TrainState
    ) -> tuple[TrainState, dict[str, Mean]]:
        """A round of every environment, which goes into the replay."""
        actor_before, kept = state.actor, state.replay
        state, row, totals = self._act(state, replay.period)
        ring = over_members(replay.add, (0, None, 0, 1, 0, None))(
            kept.ring, kept.age[0], kept.scale, row, actor_before, state.updates[0]
        )
        kept = over_members(replay.count_round)(kept)._replace(ring=ring)
        return state._replace(replay=kept), totals


def _number_of_environments(agent: Agent, num_envs: int) -> int:
    """Environments of a member: those asked for, or the default."""
    data = agent.data
    if data.replay != "queue":
        return num_envs or MAX_DEFAULT_ENVS
    if num_envs not in (0, data.batch_size):
        raise ValueError(
            f"num_envs={num_envs}: on-device the environments of an agent without a replay "
            f"are its batch of {data.batch_size}. Set --agent.batch-size in its place."
        )
    return data.batch_size


@register_runner("on-device/acts")
def make_acting_runner(job: Job, folder: RunFolder) -> OnDeviceRunner:
    """Acting, the environment and learning in one program."""
    del folder
    return OnDeviceRunner(
        job.make_agent(),
        job.source.environment(),
        devices=chosen_devices(job),
        num_envs=job.config.num_envs,
    )
