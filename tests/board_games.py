"""Compiled games, shared by the tests: chess and shogi take seconds to compile."""

import functools

import jax
import numpy as np

# They take thousands of steps, which are several times as fast with the optimization that
# the tests' other programs do without.
optimized = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 2}
)


@functools.cache
def compiled(game):
    return Compiled(game)


class Compiled:
    """One game under way, stepped by compiled functions."""

    def __init__(self, game):
        self.game = game
        self.init = jax.jit(game.init)
        self.step = optimized(game.step)
        self.observe = optimized(game.observe)
        self.rules = optimized(
            lambda state: (game.legal(state), game.is_over(state), game.outcome(state))
        )
        self.repack = jax.jit(lambda state: game.expand(game.compact(state)))

    def start(self):
        return self.init(jax.random.PRNGKey(0))

    def play(self, state, actions):
        for action in actions:
            assert bool(state.legal[action]), action
            state = self.step(state, np.int32(action))
        return state


def legal_actions(state):
    return np.flatnonzero(np.asarray(state.legal)).tolist()


@functools.cache
def batched_step(game):
    return optimized(jax.vmap(game.step))


def perft(game, state, depth, batch=32):
    """Leaves at depths 1 to `depth`; whole levels are stepped, `batch` states at a time."""
    level = jax.tree.map(lambda leaf: np.asarray(leaf)[None], state)
    counts = [int(level.legal.sum())]
    for _ in range(depth - 1):
        parents, actions = np.nonzero(level.legal)
        if not len(parents):
            counts.append(0)
            continue
        children = []
        for first in range(0, len(parents), batch):
            kept = min(batch, len(parents) - first)
            chosen = np.resize(np.arange(first, first + kept), batch)
            states = [leaf[parents[chosen]] for leaf in jax.tree.leaves(level)]
            states = jax.tree.unflatten(jax.tree.structure(level), states)
            after = batched_step(game)(states, actions[chosen].astype(np.int32))
            children.append([np.asarray(leaf)[:kept] for leaf in jax.tree.leaves(after)])
        leaves = [np.concatenate(parts) for parts in zip(*children, strict=True)]
        level = jax.tree.unflatten(jax.tree.structure(level), leaves)
        counts.append(int(level.legal.sum()))
    return counts
