"""PUCT over games whose rules are plain Python or C++: many trees, one network call.

Each simulation goes down one leaf in every one of B trees, and all these leaves are
evaluated together. The search is that of `tolman.agents.alphazero.search`, in NumPy.

Shapes: B games, K slots, n legal moves of one position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.alphazero.config import AlphaZeroConfig
from tolman.agents.alphazero.network import Prediction
from tolman.agents.alphazero.search import Apply, Searched
from tolman.envs.board.game import GameInfo, HostGame


@dataclass(slots=True)
class _Node:
    """One position, and what the search knows of its moves.

    `mean` is of all values that came up to it, its own among them, to its player.
    """

    game: HostGame
    player: int
    is_over: bool
    actions: Any = None  # [n]; None until it is evaluated.
    prior: Any = None  # [n]
    visits: Any = None  # [n]
    q: Any = None  # [n], to this node's player; of moves tried.
    children: dict[int, _Node] = field(default_factory=dict)
    total: int = 0
    mean: float = 0.0


class HostSearch:
    """Searches B games side by side.

    Attributes:
      num_slots: K.
    """

    def __init__(self, info: GameInfo, apply: Apply, config: AlphaZeroConfig) -> None:
        """Prepares searches of games of one kind.

        Raises:
          ValueError: for Gumbel's search, which knows rules in JAX only.
        """
        if config.search != "puct":
            raise ValueError(
                f"search={config.search!r}: rules on the host are searched with 'puct'. "
                "Set --agent.search puct."
            )
        limit = config.max_num_slots or info.max_num_legal
        self.num_slots = min(limit, info.max_num_legal, info.num_actions)
        self._config = config
        self._apply: Callable[[Params, np.ndarray], Prediction] = jax.jit(apply)

    def __call__(
        self,
        params: Params,
        rng: np.random.Generator,
        games: Sequence[HostGame],
        move_number: np.ndarray,
        explore: bool,
        num_simulations: int | None = None,
        is_enough: Callable[[], bool] | None = None,
    ) -> Searched:
        """Searches; see `Search.__call__`. The games themselves stay as they are.

        `is_enough` is asked after each simulation, and ends the search before its time.
        """
        config = self._config
        roots = [_Node(game.copy(), game.to_play(), game.is_over()) for game in games]
        planes = np.stack([game.observe() for game in games])  # Written anew each time.
        values = self._evaluate(params, roots, planes, range(len(roots)))
        for root, value in zip(roots, values, strict=True):
            root.total, root.mean = 1, float(value)
            if explore:
                noise = rng.dirichlet(np.full(len(root.prior), config.noise_alpha))
                root.prior = (
                    1.0 - config.noise_share
                ) * root.prior + config.noise_share * noise
        for _ in range(num_simulations or config.num_simulations):
            paths = [_descend(root, config) for root in roots]
            leaves = [path[-1][0] for path in paths]
            unfinished = [i for i, leaf in enumerate(leaves) if not leaf.is_over]
            values = self._evaluate(params, leaves, planes, unfinished)
            for index, path in enumerate(paths):
                _back_up(path, float(values[index]))
            if is_enough is not None and is_enough():
                break
        return self._result(rng, roots, np.asarray(move_number), explore)

    def _evaluate(
        self,
        params: Params,
        nodes: Sequence[_Node],
        planes: np.ndarray,
        which: Sequence[int],
    ) -> np.ndarray:
        """Expands those of the B nodes; returns `[B]` values, of which these count."""
        if not which:
            return np.zeros(len(nodes))
        for index in which:
            planes[index] = nodes[index].game.observe()
        prediction = self._apply(params, planes)
        logits, values = np.asarray(prediction.logits), np.asarray(prediction.value)
        for index in which:
            node = nodes[index]
            actions = np.asarray(node.game.legal_actions(), np.int32)
            scores = logits[index, actions]
            if len(actions) > self.num_slots:
                best = np.sort(np.argsort(-scores, kind="stable")[: self.num_slots])
                actions, scores = actions[best], scores[best]
            prior = np.exp(scores - scores.max())
            node.actions, node.prior = actions, prior / prior.sum()
            node.visits = np.zeros(len(actions), np.int32)
            node.q = np.zeros(len(actions))
        return values

    def _result(
        self,
        rng: np.random.Generator,
        roots: Sequence[_Node],
        move_number: np.ndarray,
        explore: bool,
    ) -> Searched:
        shape = (len(roots), self.num_slots)
        slots, visits = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        action = np.zeros(len(roots), np.int32)
        for index, root in enumerate(roots):
            count = len(root.actions)
            slots[index, :count], visits[index, :count] = root.actions, root.visits
            if explore and move_number[index] < self._config.num_exploring_moves:
                share = root.visits / root.visits.sum()
                action[index] = root.actions[rng.choice(count, p=share)]
            else:
                action[index] = root.actions[root.visits.argmax()]
        weights = (visits / visits.sum(-1, keepdims=True)).astype(np.float32)
        value = np.array([root.mean for root in roots], np.float32)
        return Searched(action, slots, weights, visits, value)


def _descend(root: _Node, config: AlphaZeroConfig) -> list[tuple[_Node, int]]:
    """The nodes from the root to a leaf, each with the move chosen; -1 at the leaf."""
    path, node = [], root
    while node.actions is not None:
        move = _select(node, config)
        path.append((node, move))
        if move not in node.children:
            game = node.game.copy()
            game.step(int(node.actions[move]))
            node.children[move] = _Node(game, game.to_play(), game.is_over())
        node = node.children[move]
    return [*path, (node, -1)]


def _select(node: _Node, config: AlphaZeroConfig) -> int:
    """See `select_puct`."""
    untried = {"draw": 0.0, "loss": -1.0, "parent": node.mean}[config.first_play]
    value = np.where(node.visits > 0, node.q, untried)
    base = config.exploration_base
    rate = config.exploration_init + math.log((1.0 + node.total + base) / base)
    bonus = rate * math.sqrt(node.total) * node.prior / (1.0 + node.visits)
    return int((value + bonus).argmax())


def _back_up(path: Sequence[tuple[_Node, int]], value: float) -> None:
    """Takes the leaf's value up to the root; `value` counts unless the game is over there.

    A game that is over is scored from the side of whoever made the last move.
    """
    leaf = path[-1][0]
    player = leaf.player
    if leaf.is_over:
        value = leaf.game.outcome()[player]
    leaf.total += 1
    leaf.mean += (value - leaf.mean) / leaf.total
    for node, move in reversed(path[:-1]):
        mine = value if node.player == player else -value
        node.visits[move] += 1
        node.q[move] += (mine - node.q[move]) / node.visits[move]
        node.total += 1
        node.mean += (mine - node.mean) / node.total
