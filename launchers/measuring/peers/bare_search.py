"""A move in many games by mctx's own search over pgx's own states, and nothing besides.

Shapes: B games, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mctx


class Moved(NamedTuple):
    """Attributes:
    state: of B games, those that ended replaced by new ones.
    weights: `[B, A]`, the search's improved policy.
    reward: `[B]`, of who moved.
    is_last: `[B]`, the game ended with this move.
    """

    state: Any
    weights: Any
    reward: Any
    is_last: Any


def make_move(
    env: Any,
    predict: Callable[[Any, Any], tuple[Any, Any]],
    policy: Any,
    batch_size: int,
    num_simulations: int,
) -> Callable[[Any, Any, Any], Moved]:
    """Returns what makes a move in every game, of a model, the games' state and a key.

    Args:
      env: pgx's.
      predict: logits `[B, A]` and values `[B]` of a model and observations.
      policy: mctx's, such as `mctx.gumbel_muzero_policy`.
      batch_size: B.
      num_simulations: for each move.
    """
    init, step, rows = jax.vmap(env.init), jax.vmap(env.step), jnp.arange(batch_size)

    def evaluate(model: Any, state: Any) -> tuple[Any, Any]:
        logits, value = predict(model, state.observation)
        least = jnp.finfo(jnp.float32).min
        return jnp.where(state.legal_action_mask, logits, least), value

    def simulate(model: Any, key: Any, action: Any, state: Any) -> tuple[Any, Any]:
        del key
        mover, state = state.current_player, step(state, action)
        logits, value = evaluate(model, state)
        output = mctx.RecurrentFnOutput(  # type: ignore[call-arg]
            reward=state.rewards[rows, mover],
            discount=jnp.where(state.terminated, 0.0, -1.0),
            prior_logits=logits,
            value=jnp.where(state.terminated, 0.0, value),
        )
        return output, state

    def move(model: Any, state: Any, key: Any) -> Moved:
        search_key, fresh_key = jax.random.split(key)
        logits, value = evaluate(model, state)
        root = mctx.RootFnOutput(  # type: ignore[call-arg]
            prior_logits=logits, value=value, embedding=state
        )
        found = policy(
            model, search_key, root, simulate, num_simulations,
            invalid_actions=~state.legal_action_mask,
        )  # fmt: skip
        after = step(state, found.action)
        fresh = init(jax.random.split(fresh_key, batch_size))

        def choose(new: Any, old: Any) -> Any:
            over = after.terminated.reshape(-1, *(1,) * (old.ndim - 1))
            return jnp.where(over, new, old)

        return Moved(
            jax.tree.map(choose, fresh, after),
            found.action_weights,
            after.rewards[rows, state.current_player],
            after.terminated,
        )

    return move
