"""The on-device runner: act, environment step and update in one jitted program.

A *population* of members trains in the same program; see `population.py`.

Shapes: P members, B environments a member, T decisions an unroll, N = P B environments.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from tolman.agents.agent import (
    ActorState,
    Agent,
    Array,
    LearnerState,
    Unroll,
    draw_noise,
)
from tolman.envs import vector
from tolman.envs.environment import Environment, TimeStep
from tolman.launchers.device.population import (
    Mean,
    PopulationRunner,
    as_means,
    chosen_devices,
)
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job

UPDATE = 2**31 - 1  # Folded into a member's key; no decision's number is as large.
ENVIRONMENTS = "environments"  # The axis of a mesh that those of a lone member take.


class TrainState(NamedTuple):
    """All that a run is: saved and restored whole, it goes on to the same bits.

    Attributes:
      learner: `[P, ...]`.
      actor: `[P, B, ...]`.
      environment: `[N, ...]`, member by member.
      timestep: `[N, ...]`, what the actors see next.
      keys: `[P, 2]`.
      updates: `[P]` int32, done so far.
      episode_return: `[P, B]`, of the episode under way.
      episode_length: `[P, B]` int32, decisions of the episode under way.
    """

    learner: LearnerState
    actor: ActorState
    environment: vector.VectorState
    timestep: TimeStep
    keys: Array
    updates: Array
    episode_return: Array
    episode_length: Array


class OnDeviceRunner(PopulationRunner):
    """Trains a population of one agent on one on-device environment.

    Attributes:
      environment: pure functions; see `tolman.envs.environment`.
    """

    def __init__(
        self,
        agent: Agent,
        environment: Environment,
        num_members: int = 1,
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        """Prepares a run of `num_members` on `devices`; see `PopulationRunner`."""
        batch_size = agent.data.batch_size
        per_update = agent.data.unroll_length * batch_size
        parts = (ENVIRONMENTS, batch_size)
        super().__init__(agent, num_members, "env_steps", per_update, parts, devices)
        self.environment = environment

    def init(self, keys: Array, hyperparameters: Any = None) -> TrainState:
        """Starts P members.

        Args:
          keys: `[P, 2]`, one a member; equal keys give equal runs.
          hyperparameters: pytree of `[P]` that `agent.init` takes, or None.
        """
        batch_size, num_members = self.agent.data.batch_size, self.num_members

        def start(keys: Array) -> TrainState:
            member_keys = jax.vmap(partial(jax.random.split, num=3))(keys)  # [P, 3, 2]
            carried, learner_keys, env_keys = jnp.moveaxis(member_keys, 1, 0)
            learner = jax.vmap(self.agent.init)(learner_keys, hyperparameters)
            env_keys = jax.vmap(partial(jax.random.split, num=batch_size))(env_keys)
            environment, timestep = vector.reset(self.environment, env_keys.reshape(-1, 2))
            actor = jax.tree.map(
                lambda leaf: jnp.broadcast_to(leaf, (num_members, *leaf.shape)),
                self.agent.initial_actor_state(batch_size),
            )
            zeros = jnp.zeros((num_members, batch_size))
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

        return self.place(jax.jit(start)(keys))

    def _within(self, state: TrainState) -> Any:
        def every(tree: Any, *axes: str | None) -> Any:
            return jax.tree.map(lambda _: PartitionSpec(*axes), tree)

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
        )

    def _update(
        self, state: TrainState, data: Any, total_updates: Array
    ) -> tuple[TrainState, dict[str, Mean]]:
        """One unroll and one update of every member."""
        actor_before, opening = state.actor, state.timestep
        keys = jax.vmap(partial(jax.random.fold_in, data=UPDATE))(state.keys)  # [P, 2]
        state, (following, decisions), totals = self._unroll(state)
        batch_size = self.agent.data.batch_size

        rows = jax.tree.map(  # [T + 1, N, ...]
            lambda first, rest: jnp.concatenate([first[None], rest]), opening, following
        )
        unrolls = Unroll(
            by_member(rows, batch_size, 1), decisions.action, decisions.policy, actor_before
        )
        axes: Any = Unroll(1, 1, 1, 0)  # type: ignore[arg-type]
        progress = state.updates / jnp.maximum(total_updates, 1)  # [P]
        learner, metrics, _ = jax.vmap(self.agent.update, in_axes=(0, axes, 0, 0))(
            state.learner, unrolls, keys, progress
        )
        state = state._replace(learner=learner, updates=state.updates + 1)
        return state, as_means(metrics) | totals

    def _unroll(self, state: TrainState) -> tuple[TrainState, Any, dict[str, Mean]]:
        """T decisions of every environment, with the parameters held."""
        batch_size, length = self.agent.data.batch_size, self.agent.data.unroll_length
        params = state.learner.params
        split = jax.vmap(partial(jax.random.split, num=length + 1))(
            state.keys
        )  # [P, T+1, 2]
        keys, step_keys = split[:, 0], jnp.moveaxis(split[:, 1:], 1, 0)

        draw = partial(draw_noise, self.agent, batch_size=batch_size)
        noise = jax.vmap(jax.vmap(draw))(step_keys)  # [T, P, ...]

        def body(carry: Any, noise: Any) -> Any:
            actor, environment, timestep, episodes = carry
            seen = by_member(timestep, batch_size, 0)  # [P, B, ...]
            decision, actor = jax.vmap(self.agent.act)(params, noise, seen, actor)
            environment, following = vector.step(
                self.environment, environment, of_all_members(decision.action)
            )
            episodes = episodes.follow(by_member(following, batch_size, 0))
            return (actor, environment, following, episodes), (following, decision)

        none = jnp.zeros(len(keys))
        episodes = _Episodes(state.episode_return, state.episode_length, none, none, none)
        carry = (state.actor, state.environment, state.timestep, episodes)
        (actor, environment, timestep, episodes), rows = lax.scan(body, carry, noise)
        state = state._replace(
            actor=actor,
            environment=environment,
            timestep=timestep,
            keys=keys,
            episode_return=episodes.episode_return,
            episode_length=episodes.episode_length,
        )
        return state, rows, episodes.means()


def by_member(tree: Any, batch_size: int, axis: int) -> Any:
    """Splits axis `axis` of every leaf, N, into `[P, B]`."""
    return jax.tree.map(
        lambda leaf: leaf.reshape(
            *leaf.shape[:axis], -1, batch_size, *leaf.shape[axis + 1 :]
        ),
        tree,
    )


def of_all_members(tree: Any) -> Any:
    """Joins the first two axes of every leaf, `[P, B]`, to N."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


class _Episodes(NamedTuple):
    """The episodes under way, `[P, B]`, and sums over those that ended, `[P]`."""

    episode_return: Array
    episode_length: Array
    num_ended: Array
    sum_return: Array
    sum_length: Array

    def follow(self, timestep: TimeStep) -> _Episodes:
        """Counts one more row, `[P, B]`."""
        is_first, is_last = timestep.is_first(), timestep.is_last()
        episode_return = jnp.where(is_first, 0.0, self.episode_return + timestep.reward)
        episode_length = jnp.where(is_first, 0, self.episode_length + 1)
        return _Episodes(
            episode_return,
            episode_length,
            self.num_ended + is_last.sum(-1),
            self.sum_return + jnp.where(is_last, episode_return, 0.0).sum(-1),
            self.sum_length + jnp.where(is_last, episode_length, 0).sum(-1),
        )

    def means(self) -> dict[str, Mean]:
        """Over the episodes that ended."""
        return {
            "train/episode_return": Mean(self.sum_return, self.num_ended),
            "train/episode_length": Mean(self.sum_length, self.num_ended),
        }


@register_runner("on-device/acts")
def make_acting_runner(job: Job, folder: RunFolder) -> OnDeviceRunner:
    """Acting, the environment and learning in one program."""
    del folder
    agent = job.make_agent()
    if agent.data.replay != "queue":
        raise ValueError(
            f"agent {job.config.agent!r} learns from a replay, and the on-device launcher "
            "has none. Set --launcher local."
        )
    return OnDeviceRunner(agent, job.source.environment(), devices=chosen_devices(job))
