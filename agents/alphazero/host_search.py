"""Search over games whose rules are plain Python or C++: many trees, one network call.

Each simulation goes down one leaf in every one of B trees, and all these leaves are
evaluated together. The search is that of `tolman.agents.alphazero.search`, in NumPy.

Shapes: B games, K slots, n legal moves of one position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.alphazero.config import AlphaZeroConfig
from tolman.agents.alphazero.host_choice import Choice, Gumbel, Node, Puct
from tolman.agents.alphazero.network import Prediction
from tolman.agents.alphazero.search import Apply, Searched
from tolman.envs.board.game import GameInfo, HostGame


class HostSearch:
    """Searches B games side by side.

    Attributes:
      num_slots: K.
    """

    def __init__(self, info: GameInfo, apply: Apply, config: AlphaZeroConfig) -> None:
        """Prepares searches of games of one kind."""
        limit = config.max_num_slots or info.max_num_legal
        self.num_slots = min(limit, info.max_num_legal, info.num_actions)
        self._config = config
        self._choice: Choice = Puct(config) if config.search == "puct" else Gumbel(config)
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

        `is_enough` is asked after each simulation, and ends the search early.
        """
        count = num_simulations or self._config.num_simulations
        is_opening = np.asarray(move_number) < self._config.num_exploring_moves
        roots = [Node(game.copy(), game.to_play(), game.is_over()) for game in games]
        planes = np.stack([game.observe() for game in games])  # Written anew each time.
        self._evaluate(params, roots, planes, range(len(roots)))
        for root, opens in zip(roots, is_opening, strict=True):
            root.total, root.mean = 1, root.value
            self._choice.begin(root, rng, explore, bool(opens))
        for simulation in range(count):
            paths = [_descend(root, self._choice, simulation, count) for root in roots]
            leaves = [path[-1][0] for path in paths]
            unfinished = [i for i, leaf in enumerate(leaves) if not leaf.is_over]
            self._evaluate(params, leaves, planes, unfinished)
            for path in paths:
                _back_up(path)
            if is_enough is not None and is_enough():
                break
        return self._result(rng, roots, is_opening & explore)

    def _evaluate(
        self,
        params: Params,
        nodes: Sequence[Node],
        planes: np.ndarray,
        which: Sequence[int],
    ) -> None:
        """Expands those of the B nodes."""
        if not which:
            return
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
            node.value = float(values[index])

    def _result(
        self, rng: np.random.Generator, roots: Sequence[Node], is_drawn: np.ndarray
    ) -> Searched:
        shape = (len(roots), self.num_slots)
        slots, visits = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        weights = np.zeros(shape, np.float32)
        action = np.zeros(len(roots), np.int32)
        for index, root in enumerate(roots):
            count = len(root.actions)
            move, policy = self._choice.end(root, rng, bool(is_drawn[index]))
            action[index] = root.actions[move]
            slots[index, :count], visits[index, :count] = root.actions, root.visits
            weights[index, :count] = policy
        value = np.array([root.mean for root in roots], np.float32)
        return Searched(action, slots, weights, visits, value)


def _descend(
    root: Node, choice: Choice, simulation: int, num_simulations: int
) -> list[tuple[Node, int]]:
    """The nodes from the root to a leaf, each with the move chosen; -1 at the leaf."""
    path: list[tuple[Node, int]] = []
    node = root
    while node.actions is not None:
        if path:
            move = choice.inside(node)
        else:
            move = choice.at_root(node, simulation, num_simulations)
        path.append((node, move))
        if move not in node.children:
            game = node.game.copy()
            game.step(int(node.actions[move]))
            node.children[move] = Node(game, game.to_play(), game.is_over())
        node = node.children[move]
    return [*path, (node, -1)]


def _back_up(path: Sequence[tuple[Node, int]]) -> None:
    """Takes the leaf's value up to the root.

    A position in which the game is over has the outcome as its value.
    """
    leaf = path[-1][0]
    player = leaf.player
    value = leaf.game.outcome()[player] if leaf.is_over else leaf.value
    leaf.total += 1
    leaf.mean += (value - leaf.mean) / leaf.total
    for node, move in reversed(path[:-1]):
        mine = value if node.player == player else -value
        node.visits[move] += 1
        node.q[move] += (mine - node.q[move]) / node.visits[move]
        node.total += 1
        node.mean += (mine - node.mean) / node.total
