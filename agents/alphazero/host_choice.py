"""How a search over rules on the host chooses the next move, and its final policy.

PUCT and Gumbel as `tolman.agents.alphazero.search` has them, of one node at a time.

Shapes: n legal moves of one position.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from tolman.agents.alphazero.config import AlphaZeroConfig
from tolman.envs.board.game import HostGame

VISITS_BEFORE = 50.0  # c_visit. Danihelka et al. 2022, appendix F.
TINY = float(np.finfo(np.float32).tiny)


@dataclass(slots=True)
class Node:
    """One position, and the search's statistics of its moves.

    `mean` is of all values that came up to it, its own among them, to its player.
    """

    game: HostGame
    player: int
    is_over: bool
    actions: Any = None  # [n]; None until it is evaluated.
    prior: Any = None  # [n]
    visits: Any = None  # [n]
    q: Any = None  # [n], to this node's player; 0 for moves not tried.
    children: dict[int, Node] = field(default_factory=dict)
    value: float = 0.0  # The network's.
    total: int = 0
    mean: float = 0.0
    noise: Any = None  # [n], of a root that Gumbel searches.


class Choice(Protocol):
    """A rule of choice; moves are numbers in `[0, n)`."""

    def begin(
        self, root: Node, rng: np.random.Generator, explore: bool, is_opening: bool
    ) -> None:
        """Adds noise to a root that has been evaluated.

        Args:
          root: of one game.
          rng: what the noise is drawn from.
          explore: as in self-play.
          is_opening: whether the move is among the `num_exploring_moves`.
        """
        ...

    def at_root(self, root: Node, simulation: int, num_simulations: int) -> int:
        """The move that simulation `simulation`, from 0, tries first."""
        ...

    def inside(self, node: Node) -> int:
        """The move tried below the root."""
        ...

    def end(
        self, root: Node, rng: np.random.Generator, is_drawn: bool
    ) -> tuple[int, np.ndarray]:
        """The move to play, drawn or the best, and the improved policy `[n]`."""
        ...


class Puct:
    """PUCT, AlphaZero's rule; see `tolman.agents.alphazero.puct`."""

    def __init__(self, config: AlphaZeroConfig) -> None:
        self._config = config

    def begin(
        self, root: Node, rng: np.random.Generator, explore: bool, is_opening: bool
    ) -> None:
        """Mixes the noise into the prior."""
        del is_opening
        if explore:
            share = self._config.noise_share
            noise = rng.dirichlet(np.full(len(root.prior), self._config.noise_alpha))
            root.prior = (1.0 - share) * root.prior + share * noise

    def at_root(self, root: Node, simulation: int, num_simulations: int) -> int:
        del simulation, num_simulations
        return self.inside(root)

    def inside(self, node: Node) -> int:
        """See `select_puct`."""
        config = self._config
        untried = {"draw": 0.0, "loss": -1.0, "parent": node.mean}[config.first_play]
        value = np.where(node.visits > 0, node.q, untried)
        base = config.exploration_base
        rate = config.exploration_init + math.log((1.0 + node.total + base) / base)
        bonus = rate * math.sqrt(node.total) * node.prior / (1.0 + node.visits)
        return int((value + bonus).argmax())

    def end(
        self, root: Node, rng: np.random.Generator, is_drawn: bool
    ) -> tuple[int, np.ndarray]:
        weights = root.visits / root.visits.sum()
        if is_drawn:
            return int(rng.choice(len(weights), p=weights)), weights
        return int(root.visits.argmax()), weights


class Gumbel:
    """Sequential halving at the root (Danihelka et al. 2022, algorithm 2)."""

    def __init__(self, config: AlphaZeroConfig) -> None:
        self._config = config

    def begin(
        self, root: Node, rng: np.random.Generator, explore: bool, is_opening: bool
    ) -> None:
        """Draws what is added to the logits; none outside of exploration."""
        size = len(root.prior)
        is_noisy = explore and is_opening
        root.noise = rng.gumbel(size=size) if is_noisy else np.zeros(size)

    def at_root(self, root: Node, simulation: int, num_simulations: int) -> int:
        most = min(self._config.num_considered_actions, len(root.prior))
        visits = considered_visits(most, num_simulations)[simulation]
        return self._best(root, visits)

    def inside(self, node: Node) -> int:
        """Keeps visits in proportion to the improved policy (section 5)."""
        improved = _softmax(_logits(node) + self._scaled_values(node))
        return int((improved - node.visits / (1.0 + node.visits.sum())).argmax())

    def end(
        self, root: Node, rng: np.random.Generator, is_drawn: bool
    ) -> tuple[int, np.ndarray]:
        del rng, is_drawn  # The noise was the draw.
        weights = _softmax(_logits(root) + self._scaled_values(root))
        return self._best(root, int(root.visits.max())), weights

    def _best(self, root: Node, visits: int) -> int:
        """Of the moves visited so often, the best by noise, prior and value."""
        score = root.noise + _logits(root) + self._scaled_values(root)
        return int(np.where(root.visits == visits, score, -np.inf).argmax())

    def _scaled_values(self, node: Node) -> np.ndarray:
        """sigma(q) of equation 8 for all moves: (c_visit + largest visit count) c_scale q.

        A move not tried yet has the mean of the network's value and those of the moves
        tried, weighed by their prior (appendix D).
        """
        config = self._config
        is_tried = node.visits > 0
        total = node.visits.sum()
        mixed = node.value
        if total:
            prior = np.maximum(node.prior, TINY)[is_tried]
            mean = float((prior * node.q[is_tried]).sum() / prior.sum())
            mixed = (node.value + total * mean) / (total + 1)
        values = np.where(is_tried, node.q, mixed)
        if config.gumbel_scales_values:
            least, most = values.min(), values.max()
            values = (values - least) / max(most - least, 1e-8)
        return (VISITS_BEFORE + node.visits.max()) * config.gumbel_value_scale * values


@lru_cache
def considered_visits(num_considered: int, num_simulations: int) -> Sequence[int]:
    """How often the move that each simulation tries has been tried before.

    Sequential halving: rounds of as many simulations each, all moves in the first, then
    half of them, and so on down to two.

    Args:
      num_considered: moves in the first round.
      num_simulations: in all.

    Source: Danihelka et al. 2022, algorithm 2; as in mctx, whatever is left over goes to
      the last rounds.
    """
    if num_considered <= 1:
        return range(num_simulations)
    num_rounds = math.ceil(math.log2(num_considered))
    counts: list[int] = []
    visits, left = 0, num_considered
    while len(counts) < num_simulations:
        for _ in range(max(1, num_simulations // (num_rounds * left))):
            counts += [visits] * left
            visits += 1
        left = max(2, left // 2)
    return tuple(counts[:num_simulations])


def _logits(node: Node) -> np.ndarray:
    return np.log(np.maximum(node.prior, TINY))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
