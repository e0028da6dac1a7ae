"""Random first moves; without them deterministic players repeat a game."""

from __future__ import annotations

import random

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.recorded import RecordedGame

MAX_TRIES = 100  # For each opening, before an opening may come a second time.


def make_openings(
    game: HostGame, num_openings: int, num_moves: int, seed: int
) -> list[tuple[str, ...]]:
    """Openings of random moves, after which neither player can win at once.

    They differ as far as the game has enough of them. Each is to be played twice, with
    colours exchanged, so that its advantage goes to both players once.

    Args:
      game: its rules; is not changed.
      num_openings: how many.
      num_moves: of each; 0 for the start itself.
      seed: of the choice.

    Raises:
      ValueError: if no such opening is found.
    """
    rng = random.Random(seed)
    openings: list[tuple[str, ...]] = []
    found: set[tuple[str, ...]] = set()
    num_tries = MAX_TRIES if num_moves else 1  # There is one start.
    while len(openings) < num_openings:
        candidate: tuple[str, ...] | None = None
        for _ in range(num_tries):
            current = RecordedGame(game.new())
            while not current.is_over() and len(current.texts) < num_moves:
                current.step(rng.choice(current.legal_actions()))
            if len(current.texts) == num_moves and not _is_decided(current):
                candidate = current.texts
                if candidate not in found:
                    break
        if candidate is None:
            raise ValueError(
                f"opening_moves={num_moves} of {game.info.name}: {num_tries} random "
                "openings of that length all led to a win at once; take fewer."
            )
        openings.append(candidate)
        found.add(candidate)
    return openings


def _is_decided(game: HostGame) -> bool:
    """Over, or the player to move wins with one move."""
    if game.is_over():
        return True
    player = game.to_play()
    for action in game.legal_actions():
        after = game.copy()
        after.step(action)
        if after.outcome()[player] > 0:
            return True
    return False
