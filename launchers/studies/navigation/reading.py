"""What an agent's predictions say in whole episodes, and how much of it is right.

Shapes: T rows, E episodes, 4 x 16 pixels of depth in N classes, C cells of the maze.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.actor_critic import ActorCritic
from tolman.agents.agent import Params, Unroll
from tolman.launchers.device.episodes import Trajectory


class Reading(NamedTuple):
    """One member's predictions, recomputed over whole episodes from an empty memory.

    Attributes:
      observation: by field, `[T, E, ...]`: the rows that were acted on.
      predicted: by name of the auxiliary task, `[T, E, ...]` classes, the likeliest.
    """

    observation: dict[str, np.ndarray]
    predicted: dict[str, np.ndarray]


def read_predictions(
    agent: ActorCritic, params: Params, played: Trajectory, member: int
) -> Reading:
    """Runs the agent's heads over the episodes that a member played.

    Args:
      agent: whose auxiliary tasks all end in classes.
      params: `[P, ...]`, that it played with.
      played: episodes of one length.
      member: which of the P.
    """
    num_steps = int(played.episode_length.max())
    timestep, action, policy = jax.tree.map(
        lambda leaf: leaf[: num_steps + 1, member],
        (played.timestep, played.action, played.policy),
    )
    action, policy = jax.tree.map(lambda leaf: leaf[:num_steps], (action, policy))
    num_episodes = timestep.reward.shape[1]
    start = agent.initial_actor_state(num_episodes)
    unroll = Unroll(timestep, action, policy, start)

    @jax.jit
    def predict(params: Params, unroll: Unroll) -> Any:
        logits = agent.network.unroll(params, unroll).auxiliary
        return {
            name: jnp.argmax(one[:-1], -1).astype(jnp.int32) for name, one in logits.items()
        }

    one = jax.tree.map(lambda leaf: leaf[member], params)
    predicted = jax.device_get(predict(one, unroll))
    observation = {name: part[:-1] for name, part in timestep.observation.items()}
    return Reading(observation, predicted)


def accuracy(guess: np.ndarray, truth: np.ndarray) -> float:
    """Share of right guesses."""
    return float(np.mean(guess == truth))


def accuracy_of_majority(classes: np.ndarray) -> float:
    """Of who names each pixel's most frequent class, whatever there is to see.

    Args:
      classes: `[..., 4, 16]`, the truth.
    """
    rows = classes.reshape(-1, classes.shape[-2] * classes.shape[-1])  # [frames, pixels]
    counts = [(rows == one).sum(axis=0) for one in range(int(rows.max()) + 1)]
    return float(np.max(counts, axis=0).sum() / rows.size)


def f1(told: np.ndarray, true: np.ndarray) -> float:
    """Of positives: the harmonic mean of precision and recall; 0 without any right one."""
    both = np.sum((told == 1) & (true == 1))
    return float(2 * both / max(np.sum(told == 1) + np.sum(true == 1), 1))


def evenness(agent: ActorCritic, played: Trajectory) -> float:
    """Mean entropy of the policies, as a share of that of who draws all actions alike."""
    alike = jax.tree.map(jnp.zeros_like, played.policy)  # Logits.
    own, largest = (agent.policy.entropy(one).mean() for one in (played.policy, alike))
    return float(own / largest)


def cells(pose: np.ndarray, width: int) -> np.ndarray:
    """`[...]`, the cell that each pose `[..., 3]` is in."""
    place = np.floor(pose[..., :2]).astype(int)
    return width * place[..., 1] + place[..., 0]
