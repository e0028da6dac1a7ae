"""Acting on the device: a population's decisions and its environments, in one scan.

Shapes: P members, E environments a member, T decisions, N = P E environments.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from tolman.agents.agent import ActorState, Agent, Array, LearnerState, draw_noise
from tolman.envs import vector
from tolman.envs.actions import Legal
from tolman.envs.environment import Environment, TimeStep
from tolman.launchers.device.population import Mean, over_members
from tolman.launchers.device.replay import Row

STUCK = "num_stuck"


class TrainState(NamedTuple):
    """All that a run is: saved and restored whole, it goes on to the same bits.

    Attributes:
      learner: `[P, ...]`.
      actor: `[P, E, ...]`.
      environment: `[N, ...]`, member by member.
      timestep: `[N, ...]`, what the actors see next.
      keys: `[P, 2]`.
      updates: `[P]` int32, done so far.
      episode_return: `[P, E]`, of the episode under way.
      episode_length: `[P, E]` int32, decisions of the episode under way.
      replay: a `ReplayState` of `[P, ...]`; `()` for a queue.
    """

    learner: LearnerState
    actor: ActorState
    environment: vector.VectorState
    timestep: TimeStep
    keys: Array
    updates: Array
    episode_return: Array
    episode_length: Array
    replay: Any = ()


class Episodes(NamedTuple):
    """The episodes under way, `[P, E]`, and sums over those that ended, `[P]`.

    `num_stuck` is of rows on which no action is legal, though their episode goes on.
    """

    episode_return: Array
    episode_length: Array
    num_ended: Array
    sum_return: Array
    sum_length: Array
    num_stuck: Array

    def follow(self, timestep: TimeStep, is_stuck: Array) -> Episodes:
        """Counts one more row, `[P, E]`."""
        is_first, is_last = timestep.is_first(), timestep.is_last()
        episode_return = jnp.where(is_first, 0.0, self.episode_return + timestep.reward)
        episode_length = jnp.where(is_first, 0, self.episode_length + 1)
        return Episodes(
            episode_return,
            episode_length,
            self.num_ended + is_last.sum(-1),
            self.sum_return + jnp.where(is_last, episode_return, 0.0).sum(-1),
            self.sum_length + jnp.where(is_last, episode_length, 0).sum(-1),
            self.num_stuck + (is_stuck & ~is_last).sum(-1),
        )

    def means(self) -> dict[str, Mean]:
        """Over the episodes that ended; `STUCK` is above 0 where an action lacked."""
        return {
            "train/episode_return": Mean(self.sum_return, self.num_ended),
            "train/episode_length": Mean(self.sum_length, self.num_ended),
            STUCK: Mean(self.num_stuck, jnp.ones_like(self.num_stuck)),
        }


def act(
    agent: Agent,
    environment: Environment,
    legal: Legal,
    num_envs: int,
    state: TrainState,
    length: int,
) -> tuple[TrainState, Row, dict[str, Mean]]:
    """`length` decisions of every environment, with the parameters held.

    Args:
      agent: that decides.
      environment: of all.
      legal: reads what the environment tells of legal actions.
      num_envs: E.
      state: to go on from.
      length: T.

    Returns:
      The state, the rows `[T, P, E, ...]`, and what is told of episodes.
    """
    params = state.learner.params
    split = jax.vmap(partial(jax.random.split, num=length + 1))(state.keys)  # [P, T + 1, 2]
    keys, step_keys = split[:, 0], jnp.moveaxis(split[:, 1:], 1, 0)

    draw = partial(draw_noise, agent, batch_size=num_envs)
    noise = jax.vmap(jax.vmap(draw))(step_keys)  # [T, P, ...]

    def body(carry: Any, noise: Any) -> Any:
        actor, env_state, timestep, episodes = carry
        seen = by_member(timestep, num_envs, 0)  # [P, E, ...]
        decision, actor = over_members(agent.act)(params, noise, seen, actor)
        env_state, timestep = vector.step(
            environment, env_state, of_all_members(decision.action)
        )
        following = by_member(timestep, num_envs, 0)
        is_stuck = jnp.zeros_like(following.new_task)
        if legal.is_told:
            is_stuck = legal.none_is_legal(following.observation)
        carry = (actor, env_state, timestep, episodes.follow(following, is_stuck))
        return carry, Row(decision, following)

    none = jnp.zeros(len(keys))
    episodes = Episodes(state.episode_return, state.episode_length, *[none] * 4)
    carry = (state.actor, state.environment, state.timestep, episodes)
    (actor, env_state, timestep, episodes), row = lax.scan(body, carry, noise)
    state = state._replace(
        actor=actor,
        environment=env_state,
        timestep=timestep,
        keys=keys,
        episode_return=episodes.episode_return,
        episode_length=episodes.episode_length,
    )
    return state, row, episodes.means()


def by_member(tree: Any, num_envs: int, axis: int) -> Any:
    """Splits axis `axis` of every leaf, N, into `[P, E]`."""
    return jax.tree.map(
        lambda leaf: leaf.reshape(
            *leaf.shape[:axis], -1, num_envs, *leaf.shape[axis + 1 :]
        ),
        tree,
    )


def of_all_members(tree: Any) -> Any:
    """Joins the first two axes of every leaf, `[P, E]`, to N."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)
