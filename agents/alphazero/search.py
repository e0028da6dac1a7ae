"""Tree search over the rules of a game, `mctx` underneath.

A node keeps K slots, its legal moves of the largest prior, and a table that maps slots to
actions: a tree of chess has 256 numbers a node in place of 4672. Where K covers all
actions, slot and action are the same.

Values are those of the player to move, in [-1, 1]. The value of a position counts with the
opposite sign to the player who moved into it, unless that player moves again. A position in
which the game is over has the outcome as its value; the network's is not used.

Shapes: B positions, A actions, K slots, N = simulations + 1 nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mctx

from tolman.agents.agent import Array, Params
from tolman.agents.alphazero.config import AlphaZeroConfig
from tolman.agents.alphazero.network import Prediction
from tolman.agents.alphazero.puct import ILLEGAL, legal_noise, select_puct, to_prior
from tolman.envs.board.game import Game, State

Apply = Callable[[Params, Array], Prediction]


class Searched(NamedTuple):
    """The result of a search over K slots, in NumPy or JAX.

    Attributes:
      action: `[B]` int32, to be played.
      slots: `[B, K]` int32, the actions that the slots stand for.
      weights: `[B, K]` float32, the improved policy: 0 for illegal moves, sums to 1.
      visits: `[B, K]` int32.
      value: `[B]` float32, of the position to the player to move.
    """

    action: Any
    slots: Any
    weights: Any
    visits: Any
    value: Any


class Node(NamedTuple):
    """What a tree stores for a position.

    Attributes:
      state: compact, see `Game.compact`.
      slots: `[K]` int16 or int32; empty where slot and action are the same.
    """

    state: State
    slots: Array


class Step(NamedTuple):
    """What the backup needs of one move; see `score_step`.

    Attributes:
      reward: `[B]`, to the player who moved.
      discount: `[B]`, the factor of the new position's value for that player: 1, -1 or 0.
      value: `[B]`, of the new position to the player to move there.
    """

    reward: Array
    discount: Array
    value: Array


def num_slots(game: Game, config: AlphaZeroConfig) -> int:
    """K."""
    limit = config.max_num_slots or game.info.max_num_legal
    return min(limit, game.info.max_num_legal, game.info.num_actions)


class Search:
    """Searches B positions side by side.

    Attributes:
      game: the rules.
      num_slots: K.
    """

    def __init__(
        self,
        game: Game,
        apply: Apply,
        config: AlphaZeroConfig,
        score: Callable[..., Step] | None = None,
    ) -> None:
        """Prepares searches of one game; `score` stands in for `score_step`."""
        self.game = game
        self._score = score or score_step
        self.num_slots = num_slots(game, config)
        self._apply = apply
        self._config = config
        self._is_dense = self.num_slots == game.info.num_actions

    def __call__(
        self,
        params: Params,
        key: Array,
        state: State,
        move_number: Array,
        explore: bool,
        num_simulations: int | None = None,
    ) -> Searched:
        """Searches; may be jitted, with the last two arguments static.

        Args:
          params: of the network.
          key: `[2]`.
          state: `[B, ...]` of the game; none may be over.
          move_number: `[B]` int32: moves made so far.
          explore: as in self-play, with noise at the root and chance in the opening; or
            not, as in evaluation.
          num_simulations: in place of the config's.
        """
        simulations = num_simulations or self._config.num_simulations
        node, logits, value = self._evaluate(params, state)
        root = mctx.RootFnOutput(  # type: ignore[call-arg]
            prior_logits=logits, value=value, embedding=node
        )
        run = self._puct if self._config.search == "puct" else self._gumbel
        is_exploring = move_number < self._config.num_exploring_moves
        is_exploring = is_exploring if explore else jnp.zeros_like(is_exploring)
        slot, weights, tree = run(params, key, root, simulations, explore, is_exploring)
        batch_range = jnp.arange(len(slot))
        slots = self._actions(node.slots, len(slot))
        return Searched(
            action=slots[batch_range, slot],
            slots=slots,
            weights=weights,
            visits=tree.children_visits[:, tree.ROOT_INDEX],
            value=tree.node_values[:, tree.ROOT_INDEX],
        )

    def _puct(
        self,
        params: Params,
        key: Array,
        root: mctx.RootFnOutput,
        num_simulations: int,
        explore: bool,
        is_exploring: Array,
    ) -> tuple[Array, Array, mctx.Tree]:
        """AlphaZero's search: `[B]` slot, `[B, K]` weights, and the tree.

        The tree stores priors in place of logits: the softmax is taken once a node, not
        once a visit.
        """
        config = self._config
        noise_key, draw_key, search_key = jax.random.split(key, 3)
        prior = to_prior(root.prior_logits)
        if explore:
            noise = legal_noise(noise_key, prior >= 0.0, config.noise_alpha)
            mixed = (1.0 - config.noise_share) * prior + config.noise_share * noise
            prior = jnp.where(prior >= 0.0, mixed, prior)
        select = partial(
            select_puct,
            exploration_init=config.exploration_init,
            exploration_base=config.exploration_base,
            first_play=config.first_play,
        )
        tree = mctx.search(
            params,
            search_key,
            root=root.replace(prior_logits=prior),  # type: ignore[attr-defined]
            recurrent_fn=partial(self._step, to_prior),
            root_action_selection_fn=partial(select, depth=0),
            interior_action_selection_fn=select,
            num_simulations=num_simulations,
        )
        visits = tree.children_visits[:, tree.ROOT_INDEX]
        weights = visits / jnp.maximum(visits.sum(-1, keepdims=True), 1)
        drawn = jax.random.categorical(draw_key, jnp.log(weights))
        slot = jnp.where(is_exploring, drawn, visits.argmax(-1))
        return slot, weights, tree

    def _gumbel(
        self,
        params: Params,
        key: Array,
        root: mctx.RootFnOutput,
        num_simulations: int,
        explore: bool,
        is_exploring: Array,
    ) -> tuple[Array, Array, mctx.Tree]:
        """Gumbel AlphaZero's: sequential halving at the root (Danihelka et al. 2022)."""
        del explore
        output = mctx.gumbel_muzero_policy(
            params,
            key,
            root,
            partial(self._step, lambda logits: logits),
            num_simulations,
            invalid_actions=root.prior_logits == ILLEGAL,
            max_num_considered_actions=self._config.num_considered_actions,
            gumbel_scale=is_exploring[:, None].astype(jnp.float32),
            qtransform=partial(
                mctx.qtransform_completed_by_mix_value,
                value_scale=self._config.gumbel_value_scale,
                rescale_values=self._config.gumbel_scales_values,
            ),
        )
        return output.action, output.action_weights, output.search_tree

    def _step(
        self,
        finish: Callable[[Array], Array],
        params: Params,
        key: Array,
        slot: Array,
        node: Node,
    ) -> tuple[mctx.RecurrentFnOutput, Node]:
        """Makes the moves in `[B]` slots; `finish` maps logits to what the tree keeps."""
        del key
        batch_range = jnp.arange(len(slot))
        action = self._actions(node.slots, len(slot))[batch_range, slot]
        before = jax.vmap(self.game.expand)(node.state)
        is_over = jax.vmap(self.game.is_over)(before)  # The tree may grow beyond the end.
        mover = jax.vmap(self.game.to_play)(before)
        state = jax.vmap(self.game.step)(before, action)
        child, logits, value = self._evaluate(params, state)
        step = self._score(
            mover,
            jax.vmap(self.game.to_play)(state),
            jax.vmap(self.game.is_over)(state),
            jnp.where(is_over[:, None], 0.0, jax.vmap(self.game.outcome)(state)),
            value,
        )
        output = mctx.RecurrentFnOutput(  # type: ignore[call-arg]
            reward=step.reward,
            discount=step.discount,
            prior_logits=finish(logits),
            value=step.value,
        )
        return output, child

    def _evaluate(self, params: Params, state: State) -> tuple[Node, Array, Array]:
        """The node of `[B]` positions, the logits of its slots and its value."""
        prediction = self._apply(params, jax.vmap(self.game.observe)(state))
        legal = jax.vmap(self.game.legal)(state)  # [B, A]; all False once it is over.
        logits = jnp.where(legal, jnp.maximum(prediction.logits, ILLEGAL / 2), ILLEGAL)
        if self._is_dense:
            slots = jnp.zeros((len(logits), 0), jnp.int16)
        else:
            logits, slots = jax.lax.top_k(logits, self.num_slots)
            slots = narrow(slots, self.game.info.num_actions)
        compacted = jax.vmap(self.game.compact)(state)
        return Node(compacted, slots), logits, prediction.value

    def _actions(self, slots: Array, batch_size: int) -> Array:
        """The slot table of `[B]` nodes, `[B, K]` int32."""
        if self._is_dense:
            return jnp.broadcast_to(
                jnp.arange(self.num_slots, dtype=jnp.int32), (batch_size, self.num_slots)
            )
        return slots.astype(jnp.int32)


def narrow(actions: Any, num_actions: int) -> Any:
    """Actions, in NumPy or JAX, as the smallest integer type that holds them all."""
    return actions.astype(jnp.int16 if num_actions < 2**15 else jnp.int32)


def score_step(
    mover: Array, player: Array, is_over: Array, outcome: Array, value: Array
) -> Step:
    """The reward of a move to the player who made it, and the discount that follows.

    Args:
      mover: `[B]`, who moved.
      player: `[B]`, who is to move now.
      is_over: `[B]`, whether the game is over now.
      outcome: `[B, 2]` to both players, zeros unless this move ended the game.
      value: `[B]`, the network's, of the new position to the player to move.
    """
    reward = jnp.take_along_axis(outcome, mover[:, None], axis=1)[:, 0]
    discount = jnp.where(is_over, 0.0, jnp.where(mover == player, 1.0, -1.0))
    return Step(reward, discount, jnp.where(is_over, 0.0, value))


def tree_bytes(game: Game, config: AlphaZeroConfig, batch_size: int) -> int:
    """Bytes of the trees of B games: at most what a search needs at a time.

    For each node six tables of K numbers, six numbers of its own, the slot table and the
    compact state.
    """
    state = jax.eval_shape(lambda key: game.compact(game.init(key)), jax.random.PRNGKey(0))
    slots = num_slots(game, config)
    is_dense = slots == game.info.num_actions
    table = 0 if is_dense else 2 * slots
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)]
    node = sum(sizes) + table + 4 * (6 * slots + 5)
    return batch_size * (config.num_simulations + 1) * node
