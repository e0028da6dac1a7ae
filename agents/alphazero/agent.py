"""AlphaZero, read top to bottom: init, search, update.

Source: Silver et al. 2017, "Mastering chess and shogi by self-play"; Silver et al. 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from tolman.agents.agent import Array, DataSpec, Learned, Params, register_agent
from tolman.agents.alphazero.config import AlphaZeroConfig, GumbelAlphaZeroConfig
from tolman.agents.alphazero.host_search import HostSearch
from tolman.agents.alphazero.loss import alphazero_loss, dense_policy, weight_loss
from tolman.agents.alphazero.network import make_network
from tolman.agents.alphazero.search import Search
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.schedules import drops
from tolman.envs.board.game import Game, HostGame


class Positions(NamedTuple):
    """A batch of positions to learn from; K slots.

    Attributes:
      observation: `[B, H, W, C]`.
      slots: `[B, K]` int, the actions that the slots stand for.
      weights: `[B, K]`, the search's policy.
      outcome: `[B]`: how the game ended for the player to move.
    """

    observation: Array
    slots: Array
    weights: Array
    outcome: Array


class LearnerState(NamedTuple):
    """Attributes:
    params: of the network.
    optimizer_state: running moments of the gradient.
    updates: `[]` int32, done so far: the version of `params`.
    """

    params: Params
    optimizer_state: optax.OptState
    updates: Array


class AlphaZero:
    """A network that a search makes better, and that learns from what the search found.

    Attributes:
      game: the rules.
      network: see `tolman.agents.alphazero.network.Network`.
      search: `Search` or `HostSearch`, as the rules are JAX or not.
      data: what it learns from, where that is kept elsewhere; a sequence is one position.
    """

    def __init__(self, config: AlphaZeroConfig, game: Game | HostGame) -> None:
        self.config = config
        self.game = game
        info = game.info
        self.network = make_network(config, game.observation_spec(), info)
        self.search: Search | HostSearch
        if isinstance(game, Game):
            self.search = Search(game, self.network.apply, config)
        else:
            self.search = HostSearch(info, self.network.apply, config)
        self.data = DataSpec(
            unroll_length=1,
            batch_size=config.batch_size,
            replay="uniform",
            capacity=max(config.window_games, config.min_positions),
            min_size=config.min_positions,
            samples_per_insert=config.samples_per_position,
        )
        is_adam = config.optimizer == "adam"
        scaling = optax.scale_by_adam() if is_adam else optax.trace(config.momentum)
        # Scales by 1; its count of steps is in the checkpoints of earlier versions.
        counted = optax.scale_by_schedule(lambda count: 1.0)
        self.gradient_step = GradientStep(optax.chain(scaling, counted))

    def init(self, key: Array) -> LearnerState:
        """Returns a fresh learner."""
        params = self.network.init(key)
        return LearnerState(params, self.gradient_step.init(params), jnp.int32(0))

    def update(
        self, learner_state: LearnerState, batch: Positions, key: Array, progress: Array
    ) -> Learned:
        """Takes one gradient step; `key` draws the views of the positions.

        The learning rate goes by updates, not by `progress`.
        """
        del progress
        params, optimizer_state, updates = learner_state
        observation, policy = self._views(batch, key)
        rate = drops(self.config.learning_rate, self.config.learning_rate_drops, updates)

        def objective(params: Params) -> Loss:
            prediction = self.network.apply(params, observation)
            total, metrics = alphazero_loss(
                prediction, policy, batch.outcome, self.config.value_cost
            )
            weights = weight_loss(params, self.config.weight_cost)
            total = total + weights
            return Loss(total, {**metrics, "loss/weights": weights, "loss/total": total})

        stepped = self.gradient_step(objective, params, optimizer_state, rate)
        return Learned(
            LearnerState(stepped.params, stepped.optimizer_state, updates + 1),
            {**stepped.metrics, "learning_rate": rate},
        )

    def _views(self, positions: Positions, key: Array) -> tuple[Array, Array]:
        """Observations `[B, H, W, C]` and policies `[B, A]`, each from one of its sides."""
        num_actions = self.game.info.num_actions
        policy = dense_policy(positions.slots, positions.weights, num_actions)
        observation = positions.observation
        if not (self.config.use_symmetries and isinstance(self.game, Game)):
            return observation, policy
        views, policies = jax.vmap(self.game.symmetries)(observation, policy)
        rows = jnp.arange(len(policy))
        which = jax.random.randint(key, rows.shape, 0, views.shape[1])
        return views[rows, which], policies[rows, which]


@register_agent("alphazero", kind="plays")
def make_alphazero(config: AlphaZeroConfig, game: Game | HostGame) -> AlphaZero:
    """AlphaZero with the paper's settings."""
    return AlphaZero(config, game)


@register_agent("gumbel_alphazero", kind="plays")
def make_gumbel_alphazero(
    config: GumbelAlphaZeroConfig, game: Game | HostGame
) -> AlphaZero:
    """AlphaZero for small games on a few cores, with Gumbel's search."""
    return AlphaZero(config, game)
