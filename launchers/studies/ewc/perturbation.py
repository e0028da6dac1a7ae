"""Which weights bear noise: figure 3C of Kirkpatrick et al. 2017, on games of the device.

Gaussian noise, drawn anew for every decision of every episode, is added to the weights that
all games share, of an agent that has learned one game: alike in all weights that the game
uses, more where its Fisher says that it matters less, or only where the Fisher is 0. All
have the same norm, so what differs is where it goes.

Shapes: P members, E episodes, N states, S sizes of noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import ActorState, Array, Decision, Unroll, draw_noise
from tolman.agents.ewc.sequential import Params, SequentialDQN
from tolman.agents.gradient import Wrapper
from tolman.agents.greedy import greedy
from tolman.envs.environment import Environment, TimeStep
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.studies.ewc.methods import shuffled
from tolman.launchers.studies.figures import COLOURS, axes
from tolman.launchers.studies.study import Study

Noise = Literal["uniform", "inverse", "null", "shuffled"]
NOISES: dict[Noise, str] = {
    "uniform": "uniform", "inverse": "inverse Fisher", "null": "null space",
    "shuffled": "inverse of a shuffled Fisher",
}  # fmt: skip
SIZES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
DAMPING = 0.01  # Of the inverse, as a share of the mean Fisher of the weights in use.


class Shaken(NamedTuple):
    """Attributes:
    params: of the agent.
    deviation: standard deviations of the noise, like its shared weights.
    """

    params: Params
    deviation: Any


class ShakenAgent(Wrapper):
    """An agent that acts with other noise in its shared weights at every decision."""

    def draw_noise(self, key: Array, batch_size: int) -> Any:
        """What the agent inside wants, and `[B, 2]` keys."""
        own, key = jax.random.split(key)
        return draw_noise(self.inner, own, batch_size), jax.random.split(key, batch_size)

    def act(
        self, params: Shaken, noise: Any, timestep: TimeStep, actor_state: ActorState
    ) -> tuple[Decision, ActorState]:
        """Acts with noise in the weights, another one in each environment."""

        def one(own: Any, key: Array, *seen: Any) -> tuple[Decision, ActorState]:
            own, seen = jax.tree.map(lambda leaf: leaf[None], (own, seen))
            acted = self.inner.act(_with_noise(params, key), own, *seen)
            return jax.tree.map(lambda leaf: leaf[0], acted)

        return jax.vmap(one)(*noise, timestep, actor_state)


def _with_noise(shaken: Shaken, key: Array) -> Params:
    present = shaken.params.present
    leaves, structure = jax.tree.flatten(present.weights.shared)
    moved = [
        leaf + deviation * jax.random.normal(one, leaf.shape)
        for leaf, deviation, one in zip(
            leaves,
            jax.tree.leaves(shaken.deviation),
            jax.random.split(key, len(leaves)),
            strict=True,
        )
    ]
    shared = jax.tree.unflatten(structure, moved)
    weights = present.weights._replace(shared=shared)
    return shaken.params._replace(present=present._replace(weights=weights))


def deviations(fisher: Any, weights: Any, noise: Noise, key: Array) -> Any:
    """Standard deviations of noise that is as long as the vector of all weights.

    Args:
      fisher: of the shared weights, 0 or more.
      weights: the shared ones.
      noise: where it goes. "uniform": alike wherever the Fisher is above 0. "inverse":
        there too, with the variance 1 / (F + damping). "null": alike where the Fisher is
        0; NaN where it is nowhere. "shuffled": as "inverse", with every array's values of
        those in use in another order.
      key: `[2]`, of the shuffling.
    """
    if noise == "shuffled":
        fisher = shuffled_in_use(fisher, key)
    in_use = _sum(fisher, lambda f: f > 0)
    damping = DAMPING * _sum(fisher, lambda f: f) / in_use

    def variance(f: Array) -> Array:
        if noise == "uniform":
            return (f > 0).astype(f.dtype)
        if noise == "null":
            return (f == 0).astype(f.dtype)
        return jnp.where(f > 0, 1.0 / (f + damping), 0.0)

    found = jax.tree.map(variance, fisher)
    scale = _sum(weights, jnp.square) / _sum(found, lambda v: v)
    return jax.tree.map(lambda v: jnp.sqrt(v * scale), found)


def _sum(tree: Any, function: Callable[[Array], Array]) -> Array:
    return sum((function(leaf).sum() for leaf in jax.tree.leaves(tree)), jnp.float32(0.0))


def fisher_of(
    agent: SequentialDQN, environment: Environment, params: Params, key: Array,
    num_episodes: int, num_steps: int,
) -> Any:  # fmt: skip
    """`[P, ...]`, the Fisher of the shared weights at states that each member comes to.

    Args:
      agent: without a memory.
      environment: of the game.
      params: `[P, ...]`.
      key: `[2]`.
      num_episodes: E.
      num_steps: decisions in an episode.
    """
    played = play_episodes(
        agent, environment, params, key, num_episodes, chunk_length=num_steps
    )
    number = num_episodes * num_steps  # N
    rows = jax.tree.map(
        lambda leaf: np.moveaxis(leaf[:num_steps], 1, 0).reshape(
            leaf.shape[1], 1, number, *leaf.shape[3:]
        ),
        played.timestep,
    )

    def of_member(params: Params, rows: TimeStep) -> Any:
        state = agent.initial_actor_state(number)
        nothing = jnp.zeros((0, number))
        return agent.fisher(
            params.weights, Unroll(rows, nothing, nothing, state, None)
        ).shared

    return jax.jit(jax.vmap(of_member))(params, rows)


class Borne(NamedTuple):
    """What noise costs.

    Attributes:
      scores: by noise, `[S, P]`, mean returns of greedy episodes.
      without: `[P]`, without any.
      random: `[P]`, of actions drawn alike.
    """

    scores: Mapping[Noise, np.ndarray]
    without: np.ndarray
    random: np.ndarray

    def share(self, noise: Noise) -> np.ndarray:
        """`[S]`, of what was learned over random play, what is left; mean of members."""
        learned = (self.without - self.random).mean()
        return ((self.scores[noise] - self.random).mean(1) / learned).astype(np.float64)


def shake(
    agent: SequentialDQN, environment: Environment, params: Params, key: Array,
    sizes: Sequence[float], num_episodes: int, num_steps: int,
) -> Borne:  # fmt: skip
    """Plays under each noise.

    Args:
      agent: without a memory.
      environment: of the game that was learned.
      params: `[P, ...]`.
      key: `[2]`.
      sizes: `[S]`, of the noise, as shares of the length of the weights' vector.
      num_episodes: E, of each size, noise and member.
      num_steps: decisions in an episode.
    """
    fisher_key, shuffle_key, play_key = jax.random.split(key, 3)
    params = jax.tree.map(jnp.asarray, params)
    fisher = fisher_of(agent, environment, params, fisher_key, num_episodes, num_steps)
    shared = params.weights.shared

    def score(player: Any, params: Any) -> np.ndarray:
        played = play_episodes(
            player, environment, params, play_key, num_episodes, chunk_length=num_steps
        )
        return played.episode_return.mean(-1)

    ones = jnp.ones_like(params.present.epsilon)
    at_random = params._replace(present=params.present._replace(epsilon=ones))
    shaken, scores = ShakenAgent(greedy(agent)), {}
    for noise in NOISES:
        keys = jax.random.split(shuffle_key, len(ones))
        of_members = jax.vmap(lambda f, w, k, noise=noise: deviations(f, w, noise, k))
        unit = of_members(fisher, shared, keys)
        scores[noise] = np.stack(
            [
                score(shaken, Shaken(params, jax.tree.map(lambda d, s=size: s * d, unit)))
                for size in sizes
            ]
        )
    return Borne(scores, score(greedy(agent), params), score(agent, at_random))


def shuffled_in_use(fisher: Any, key: Array) -> Any:
    """Every array with its values above 0 in another order; zeros stay where they are."""
    mixed = shuffled(fisher, key)

    def place(leaf: Array, other: Array) -> Array:
        values, order = other.ravel(), jnp.argsort(other.ravel() == 0)  # In use first.
        at = jnp.cumsum(leaf.ravel() > 0) - 1  # The n-th in use takes the n-th value.
        return jnp.where(leaf > 0, values[order][at].reshape(leaf.shape), 0.0)

    return jax.tree.map(place, fisher, mixed)


def size_at(share: np.ndarray, sizes: Sequence[float], wanted: float) -> float:
    """The size at which a falling share `[S]` first is `wanted`, by log-interpolation.

    NaN where it never falls so far, or is there from the start.
    """
    below = np.flatnonzero(share < wanted)
    if not len(below) or below[0] == 0:
        return float("nan")
    right = below[0]
    ends = np.log(np.asarray(sizes))[[right - 1, right]]
    part = (share[right - 1] - wanted) / (share[right - 1] - share[right])
    return float(np.exp(ends[0] + part * (ends[1] - ends[0])))


def report(
    study: Study, agent: SequentialDQN, environment: Environment, params: Params,
    num_episodes: int, num_steps: int,
) -> None:  # fmt: skip
    """Shakes an agent that has learned a game; the table, the figure, the checks."""
    key = jax.random.PRNGKey(study.seed)
    borne = shake(agent, environment, params, key, SIZES, num_episodes, num_steps)
    shares = {noise: borne.share(noise) for noise in NOISES}
    study.table(
        "Share of what was learned of one game that is left under noise in the weights, by "
        "its size, a share of the length of the vector of weights",
        ["noise", *map(str, SIZES)],
        [[NOISES[noise], *share.round(2).tolist()] for noise, share in shares.items()],
    )
    check(study, shares)
    figure, (one,) = axes(width=5.0)
    for colour, (noise, share) in zip(COLOURS, shares.items(), strict=False):
        one.plot(SIZES, share, "o-", ms=3, color=colour, label=NOISES[noise])
    one.set_xscale("log")
    one.set_xlabel("size of the noise")
    one.set_ylabel("share of what was learned")
    one.legend(frameon=False, fontsize=8)
    study.figure(
        figure, "perturbation",
        "What is left of one game that was learned, under Gaussian noise in the weights, "
        "of one norm and put in different weights. Figure 3C of the paper.",
    )  # fmt: skip


def check(study: Study, shares: Mapping[Noise, np.ndarray]) -> None:
    """Bars are for the size of noise that leaves half, and what is left at that size."""
    half = {noise: size_at(share, SIZES, 0.5) for noise, share in shares.items()}
    left = float(np.interp(np.log(half["uniform"]), np.log(SIZES), shares["inverse"]))
    study.check("left under inverse-Fisher noise where uniform leaves half", left,
                "much more", above=0.8)  # fmt: skip
    study.check("null space, noise that leaves half over that of inverse Fisher",
                half["null"] / half["inverse"], "as harmful", below=1.25)  # fmt: skip
    study.check("inverse Fisher, noise that leaves half over that of a shuffled Fisher",
                half["inverse"] / half["shuffled"], "must fail", above=1.1)  # fmt: skip
