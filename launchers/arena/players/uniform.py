"""Random play."""

from __future__ import annotations

import random

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import refuse_rest, register_player


class RandomPlayer:
    """Any legal action, all alike."""

    def __init__(self, name: str = "random") -> None:
        """A player of that name."""
        self.name = name
        self._rng = random.Random(0)

    def reset(self, seed: int) -> None:
        self._rng.seed(seed)

    def choose(self, game: HostGame) -> int:
        return self._rng.choice(game.legal_actions())


@register_player("random")
def _make_random(spec: str, rest: str) -> RandomPlayer:
    """Any legal move."""
    refuse_rest(spec, rest)
    return RandomPlayer()
