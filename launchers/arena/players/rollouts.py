"""Monte-Carlo tree search with random rollouts: a player that knows the rules alone."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from tolman.envs.board.game import HostGame
from tolman.envs.board.openspiel_game import OpenSpielGame
from tolman.launchers.arena.player import player_count, register_player
from tolman.launchers.arena.recorded import innermost

EXPLORATION = 2.0  # UCT's constant, over values in [-1, 1]; what OpenSpiel's examples use.
MAX_MEMORY_MB = 1000


class RolloutPlayer:
    """UCT with one random rollout a simulation; plays the move that it visited most.

    Under OpenSpiel's rules the search is OpenSpiel's, in C++. Elsewhere it is that of
    this module, which is the same in plain Python.
    """

    def __init__(
        self,
        num_simulations: int,
        exploration: float = EXPLORATION,
        name: str | None = None,
    ) -> None:
        """Raises: ValueError: for fewer than 1 simulation."""
        if num_simulations < 1:
            raise ValueError(
                f"num_simulations={num_simulations} of mcts: must be at least 1."
            )
        self.name = name or f"mcts:{num_simulations}"
        self.num_simulations = num_simulations
        self.exploration = exploration
        self._rng = random.Random(0)

    def reset(self, seed: int) -> None:
        self._rng.seed(seed)

    def choose(self, game: HostGame) -> int:
        inner = innermost(game)
        # OpenSpiel takes some positions for the end in which our rules go on.
        if isinstance(inner, OpenSpielGame) and not inner.state.is_terminal():
            return self._openspiel_choice(inner)
        root = _Node()
        for _ in range(self.num_simulations):
            _simulate(root, game.copy(), self.exploration, self._rng)
        return max(root.children, key=lambda action: root.children[action].num_visits)

    def _openspiel_choice(self, game: OpenSpielGame) -> int:
        import pyspiel

        evaluator = pyspiel.RandomRolloutEvaluator(1, self._rng.getrandbits(31))
        bot = pyspiel.MCTSBot(
            game.rules.game,
            evaluator,
            self.exploration,
            self.num_simulations,
            MAX_MEMORY_MB,
            False,
            self._rng.getrandbits(31),
            False,
        )
        root = bot.mcts_search(game.state)
        player = game.state.current_player()
        # A move that ends the game is visited once, for its outcome is known.
        ranks = {
            child.action: (
                child.outcome[player] if child.outcome else 0,
                child.explore_count,
            )
            for child in root.children
        }
        # OpenSpiel may allow what our rules do not, such as superko.
        return max(
            game.legal_actions(),
            key=lambda one: ranks.get(game.rules.to_openspiel(game.state, one), (-2, 0)),
        )


@dataclass
class _Node:
    """`total` sums the outcomes for the player who moved here."""

    num_visits: int = 0
    total: float = 0.0
    untried: list[int] | None = None
    children: dict[int, _Node] = field(default_factory=dict)


def _simulate(root: _Node, game: HostGame, exploration: float, rng: random.Random) -> None:
    """Walks down to a new node, plays out at random, and adds the outcome on the way."""
    node, path = root, [(root, 0)]
    while not game.is_over():
        if node.untried is None:
            node.untried = list(game.legal_actions())
            rng.shuffle(node.untried)
        player = game.to_play()
        if node.untried:
            action = node.untried.pop()
            node.children[action] = _Node()
            path.append((node.children[action], player))
            game.step(action)
            break
        log_visits = math.log(node.num_visits)
        action = max(
            node.children,
            key=lambda one: _bound(node.children[one], log_visits, exploration),
        )
        node = node.children[action]
        path.append((node, player))
        game.step(action)
    while not game.is_over():
        game.step(rng.choice(game.legal_actions()))
    outcome = game.outcome()
    for node, player in path:
        node.num_visits += 1
        node.total += outcome[player]


def _bound(node: _Node, log_visits: float, exploration: float) -> float:
    explored = math.sqrt(log_visits / node.num_visits)
    return node.total / node.num_visits + exploration * explored


@register_player("mcts")
def _make_rollouts(spec: str, rest: str) -> RolloutPlayer:
    """mcts:N: UCT with N random rollouts a move."""
    return RolloutPlayer(player_count(spec, rest))
