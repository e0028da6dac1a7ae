"""AlphaZero in the shape of pgx's example, written plainly on bare pgx and mctx.

All games start anew in each iteration and are cut off at its end; a position without an
outcome has no part in the value's loss. Every position is learned from once.

Shapes: T moves, B games, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import mctx
import numpy as np
import optax
import pgx
from jax import lax

from tolman.launchers.measuring.peers.bare_search import make_move


@dataclass(frozen=True)
class Settings:
    """Attributes:
    num_games: B, side by side.
    num_moves: T, of each game between two rounds of updates.
    num_simulations: for each move.
    num_filters: of each convolution of the tower.
    num_blocks: of two convolutions.
    batch_size: positions in an update.
    learning_rate: of Adam.
    """

    num_games: int = 32
    num_moves: int = 64
    num_simulations: int = 32
    num_filters: int = 32
    num_blocks: int = 3
    batch_size: int = 256
    learning_rate: float = 1e-3

    def words(self) -> str:
        """The same for `tolman train`."""
        return f"""--agent.num-parallel-games {self.num_games}
        --agent.moves-per-iteration {self.num_moves}
        --agent.num-simulations {self.num_simulations}
        --agent.num-filters {self.num_filters} --agent.num-blocks {self.num_blocks}
        --agent.policy-filters 2 --agent.value-filters 1
        --agent.value-units {self.num_filters} --agent.policy-head flat
        --agent.batch-size {self.batch_size} --agent.learning-rate {self.learning_rate}
        --agent.samples-per-position 1 --agent.no-use-symmetries
        --agent.num-random-moves 0 --agent.min-positions {self.batch_size}"""


class Moves(NamedTuple):
    """Attributes:
    observation: `[T, B, ...]`, of who moves.
    weights: `[T, B, A]`, of the search's improved policy.
    reward: `[T, B]`, of who moved.
    is_last: `[T, B]`, the game ended with this move.
    """

    observation: Any
    weights: Any
    reward: Any
    is_last: Any


def tower(x: Any, settings: Settings, num_actions: int, is_training: bool) -> Any:
    """Pre-activated residual blocks with batch normalisation; logits and value."""

    def normed(x: Any) -> Any:
        norm = hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9)
        return jax.nn.relu(norm(x, is_training))

    x = hk.Conv2D(settings.num_filters, 3)(x.astype(jnp.float32))
    for _ in range(settings.num_blocks):
        y = hk.Conv2D(settings.num_filters, 3)(normed(x))
        x = x + hk.Conv2D(settings.num_filters, 3)(normed(y))
    x = normed(x)
    logits = hk.Linear(num_actions)(hk.Flatten()(normed(hk.Conv2D(2, 1)(x))))
    value = hk.Linear(settings.num_filters)(hk.Flatten()(normed(hk.Conv2D(1, 1)(x))))
    return logits, jnp.tanh(hk.Linear(1)(jax.nn.relu(value)))[:, 0]


def value_targets(moves: Moves) -> tuple[Any, Any]:
    """Each move's outcome for who made it, and whether its game ended, both `[T, B]`."""

    def back(later: Any, move: Moves) -> Any:
        outcome, has_ended = later
        outcome = jnp.where(move.is_last, move.reward, -outcome)
        has_ended = has_ended | move.is_last
        return (outcome, has_ended), (outcome, has_ended)

    num_games = moves.reward.shape[1]
    start = jnp.zeros(num_games), jnp.zeros(num_games, bool)
    return lax.scan(back, start, moves, reverse=True)[1]


def playing(env: Any, network: Any, settings: Settings) -> Callable[[Any, Any], Any]:
    """Returns what plays all games for so many moves.

    It takes a model and a key and returns `[T, B, ...]`: what was seen, the search's
    policy, each move's outcome, and whether that is known.
    """
    init = jax.vmap(env.init)

    def predict(model: Any, observation: Any) -> Any:
        return network.apply(*model, observation, False)[0]

    move = make_move(
        env, predict, mctx.gumbel_muzero_policy, settings.num_games,
        settings.num_simulations,
    )  # fmt: skip

    @jax.jit
    def play(model: Any, key: Any) -> Any:
        def body(state: Any, key: Any) -> tuple[Any, Moves]:
            moved = move(model, state, key)
            seen = state.observation
            return moved.state, Moves(seen, moved.weights, moved.reward, moved.is_last)

        start_key, move_key = jax.random.split(key)
        start = init(jax.random.split(start_key, settings.num_games))
        keys = jax.random.split(move_key, settings.num_moves)
        _, moves = lax.scan(body, start, keys)
        return moves.observation, moves.weights, *value_targets(moves)

    return play


def learning(network: Any, optimizer: Any) -> Callable[[Any, Any, Any], Any]:
    """Returns what takes one gradient step on a batch of `playing`'s positions."""

    def loss(params: Any, state: Any, batch: Any) -> Any:
        x, weights, outcome, has_ended = batch
        (logits, value), state = network.apply(params, state, x, True)
        policy_loss = optax.softmax_cross_entropy(logits, weights).mean()
        return policy_loss + (optax.l2_loss(value, outcome) * has_ended).mean(), state

    @jax.jit
    def learn(model: Any, moments: Any, batch: Any) -> Any:
        params, state = model
        gradients, state = jax.grad(loss, has_aux=True)(params, state, batch)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(params, updates), state), moments

    return learn


def make(game: str, settings: Settings) -> tuple[Callable[[int], None], int]:
    """Returns what takes so many iterations, and the number of weights."""
    env = pgx.make(game)  # type: ignore[arg-type]

    def forward(x: Any, is_training: bool) -> Any:
        return tower(x, settings, env.num_actions, is_training)

    network: Any = hk.without_apply_rng(hk.transform_with_state(forward))
    optimizer = optax.adam(settings.learning_rate)
    play, learn = playing(env, network, settings), learning(network, optimizer)
    example = jax.eval_shape(env.init, jax.random.PRNGKey(0)).observation
    seen = jnp.zeros((1, *example.shape))
    model = jax.jit(network.init, static_argnums=2)(jax.random.PRNGKey(0), seen, True)
    moments = optimizer.init(model[0])
    rng = np.random.default_rng(0)

    def take(count: int) -> None:
        nonlocal model, moments
        for _ in range(count):
            key = jax.random.PRNGKey(int(rng.integers(2**31)))
            played = jax.device_get(play(model, key))
            flat = [leaf.reshape(-1, *leaf.shape[2:]) for leaf in played]
            order = rng.permutation(len(flat[0]))
            for begin in range(0, len(order), settings.batch_size):
                drawn = order[begin : begin + settings.batch_size]
                model, moments = learn(model, moments, [leaf[drawn] for leaf in flat])
        jax.block_until_ready(model)

    return take, sum(leaf.size for leaf in jax.tree.leaves(model[0]))
