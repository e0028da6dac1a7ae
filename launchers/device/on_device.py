"""The on-device runner: act, environment step and update in one jitted program.

A *population* of P independent members (seeds, or settings of a sweep) trains in the
same program; an ordinary run is a population of one. Members never exchange anything.

Shapes: P members, B environments a member, T decisions an unroll, N = P B environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

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
from tolman.launchers.device.devices import dividing

UPDATE = 2**31 - 1  # Folded into a member's key; no decision's number is as large.
MEMBERS, ENVIRONMENTS = "members", "environments"  # The two ways to share out devices.


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


class EpisodeTotals(NamedTuple):
    """Sums over the episodes that ended; `[P]` each."""

    episodes: Array
    episode_return: Array
    episode_length: Array


class OnDeviceRunner:
    """Trains a population of one agent on one on-device environment.

    Attributes:
      agent: pure functions; see `tolman.agents.agent`.
      environment: pure functions; see `tolman.envs.environment`.
      num_members: P.
      mesh: the devices in use. Members are shared out among them; a population of one
        shares out its environments instead, and XLA averages the gradients.
    """

    def __init__(
        self,
        agent: Agent,
        environment: Environment,
        num_members: int = 1,
        devices: list[jax.Device] | None = None,
    ) -> None:
        """Prepares a run; nothing is compiled yet.

        Args:
          agent: what learns.
          environment: what it learns on.
          num_members: P.
          devices: those to use; None takes all that divide the work evenly. A lone
            member on CPU cores takes one: there, sharing out costs more than it gains.
        """
        self.agent = agent
        self.environment = environment
        self.num_members = num_members
        axis = MEMBERS if num_members > 1 else ENVIRONMENTS
        share = num_members if num_members > 1 else agent.data.batch_size
        if devices is None:
            devices = _choose_devices(share, alone=num_members == 1)
        elif share % len(devices):
            raise ValueError(
                f"{len(devices)} devices cannot share {share} {axis} evenly: use a divisor."
            )
        self.mesh = Mesh(devices, (axis,))
        self._compiled: Any = None

    @property
    def units_per_update(self) -> int:
        """Environment steps that one update of one member takes."""
        return self.agent.data.unroll_length * self.agent.data.batch_size

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

    def place(self, state: TrainState) -> TrainState:
        """Puts a state (fresh, or restored on the host) on the runner's devices."""
        return jax.device_put(state, self._shardings(state))

    def train(
        self, state: TrainState, num_updates: int, total_updates: int
    ) -> tuple[TrainState, dict[str, Array]]:
        """Takes `num_updates` updates without a word to the host; consumes `state`.

        Stops early when no member has finite metrics left; `updates` of the returned
        state tells where, and the metrics name the term.

        Args:
          state: from `init`, `place` or the last `train`.
          num_updates: to take now. Any number runs the same compiled program.
          total_updates: of the whole run; schedules depend on it.

        Returns:
          The new state, and metrics: `[P]` each, means over these updates
          (`train/episode_return` and `train/episode_length` over the episodes that
          ended in them, NaN where none did).
        """
        if self._compiled is None:
            self._compiled = self._compile(self._shardings(state))
        return self._compiled(state, jnp.int32(num_updates), jnp.int32(total_updates))

    def num_compilations(self) -> int:
        """How many programs `train` has compiled; more than one means wasted time."""
        return self._compiled._cache_size() if self._compiled else 0

    def _compile(self, shardings: Any) -> Any:
        train = self._train_members
        if self.mesh.axis_names == (MEMBERS,) and self.mesh.size > 1:
            members, all_members = PartitionSpec(MEMBERS), PartitionSpec()
            train = jax.shard_map(
                train,
                mesh=self.mesh,
                in_specs=(members, all_members, all_members),
                out_specs=(members, members),
                check_vma=False,
            )
        # The state leaves as it came, so that the next call finds the same program.
        per_member = shardings.updates
        return jax.jit(train, donate_argnums=0, out_shardings=(shardings, per_member))

    def _shardings(self, state: TrainState) -> Any:
        """How each leaf is laid out over the mesh: a `TrainState` of shardings."""
        replicated = NamedSharding(self.mesh, PartitionSpec())
        first = NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names[0]))
        second = NamedSharding(self.mesh, PartitionSpec(None, self.mesh.axis_names[0]))
        by_members = self.mesh.axis_names == (MEMBERS,)

        def every(tree: Any, sharding: NamedSharding) -> Any:
            return jax.tree.map(lambda _: sharding, tree)

        per_member = first if by_members else replicated
        per_environment = first if by_members else second
        layout: Any = TrainState  # Its leaves are shardings here, not arrays.
        return layout(
            learner=every(state.learner, per_member),
            actor=every(state.actor, per_environment),
            environment=every(state.environment, first),
            timestep=every(state.timestep, first),
            keys=per_member,
            updates=per_member,
            episode_return=per_environment,
            episode_length=per_environment,
        )

    def _train_members(
        self, state: TrainState, num_updates: Array, total_updates: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        """`train` for the members that live on one device."""
        _, metrics_shape = jax.eval_shape(self._update, state, total_updates)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics_shape)
        Carry = tuple[Array, TrainState, Any, Array]

        def unfinished(carry: Carry) -> Array:
            step, _, _, some_finite = carry
            return (step < num_updates) & some_finite

        def body(carry: Carry) -> Carry:
            step, state, sums, _ = carry
            state, metrics = self._update(state, total_updates)
            losses, _ = metrics
            finite = jnp.stack([jnp.isfinite(leaf) for leaf in losses.values()]).all(0)
            sums = jax.tree.map(jnp.add, sums, metrics)
            return step + 1, state, sums, finite.any()

        start = (jnp.int32(0), state, zeros, jnp.bool_(True))
        taken, state, sums, _ = lax.while_loop(unfinished, body, start)
        loss_sums, totals = sums
        metrics = {name: total / taken for name, total in loss_sums.items()}
        metrics["train/episode_return"] = totals.episode_return / totals.episodes
        metrics["train/episode_length"] = totals.episode_length / totals.episodes
        return state, metrics

    def _update(
        self, state: TrainState, total_updates: Array
    ) -> tuple[TrainState, tuple[Mapping[str, Array], EpisodeTotals]]:
        """One unroll and one update of every member."""
        actor_before, opening = state.actor, state.timestep
        keys = jax.vmap(partial(jax.random.fold_in, data=UPDATE))(state.keys)  # [P, 2]
        state, (following, actions, logits), totals = self._unroll(state)
        batch_size = self.agent.data.batch_size

        rows = jax.tree.map(  # [T + 1, N, ...]
            lambda first, rest: jnp.concatenate([first[None], rest]), opening, following
        )
        unrolls = Unroll(by_member(rows, batch_size, 1), actions, logits, actor_before)
        axes: Any = Unroll(1, 1, 1, 0)  # type: ignore[arg-type]
        progress = state.updates / jnp.maximum(total_updates, 1)  # [P]
        learner, metrics, _ = jax.vmap(self.agent.update, in_axes=(0, axes, 0, 0))(
            state.learner, unrolls, keys, progress
        )
        state = state._replace(learner=learner, updates=state.updates + 1)
        return state, (metrics, totals)

    def _unroll(self, state: TrainState) -> tuple[TrainState, Any, EpisodeTotals]:
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
                self.environment, environment, decision.action.reshape(-1)
            )
            episodes = episodes.follow(by_member(following, batch_size, 0))
            return (actor, environment, following, episodes), (following, *decision)

        none = jnp.zeros(len(keys))
        totals = EpisodeTotals(none, none, none)
        episodes = _Episodes(state.episode_return, state.episode_length, totals)
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
        return state, rows, episodes.totals


def by_member(tree: Any, batch_size: int, axis: int) -> Any:
    """Splits axis `axis` of every leaf, N, into `[P, B]`."""
    return jax.tree.map(
        lambda leaf: leaf.reshape(
            *leaf.shape[:axis], -1, batch_size, *leaf.shape[axis + 1 :]
        ),
        tree,
    )


class _Episodes(NamedTuple):
    """The episodes under way, `[P, B]`, and the sums over those that ended."""

    episode_return: Array
    episode_length: Array
    totals: EpisodeTotals

    def follow(self, timestep: TimeStep) -> _Episodes:
        """Counts one more row, `[P, B]`."""
        is_first, is_last = timestep.is_first(), timestep.is_last()
        episode_return = jnp.where(is_first, 0.0, self.episode_return + timestep.reward)
        episode_length = jnp.where(is_first, 0, self.episode_length + 1)
        totals = EpisodeTotals(
            self.totals.episodes + is_last.sum(-1),
            self.totals.episode_return + jnp.where(is_last, episode_return, 0.0).sum(-1),
            self.totals.episode_length + jnp.where(is_last, episode_length, 0).sum(-1),
        )
        return _Episodes(episode_return, episode_length, totals)


def _choose_devices(share: int, alone: bool) -> list[jax.Device]:
    devices = jax.devices()
    if alone and devices[0].platform == "cpu":
        return devices[:1]
    return dividing(devices, share)
