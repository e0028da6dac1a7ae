"""The score of a position of Go, which the rules of a game keep to themselves."""

from __future__ import annotations

import numpy as np

from tolman.envs.board.game import HostGame
from tolman.envs.board.openspiel_game import OpenSpielGame
from tolman.launchers.arena.recorded import innermost


def with_komi(game: HostGame, komi: float) -> HostGame | None:
    """The start of the same game with another komi; None where there is nothing to change.

    The planes do not show komi: a network plays on as if it were its own, its search
    scores by this one.
    """
    inner = innermost(game)
    if getattr(getattr(inner, "rules", None), "komi", komi) == komi:
        return None
    from tolman.envs.board.openspiel_go import GoRules

    return OpenSpielGame(GoRules(game.info.board[0], komi, game.info.max_num_moves))


def score_text(game: HostGame) -> str:
    """By area, all stones alive, as GTP writes it: "B+3.5", "W+0.5" or "0".

    Args:
      game: of Go, under OpenSpiel's rules.
    """
    planes = game.observe()
    black, white = planes[..., 0] > 0, planes[..., 1] > 0
    if game.to_play() == 1:
        black, white = white, black
    points = area(black, white) - area(white, black) - innermost(game).rules.komi
    return f"{'B' if points > 0 else 'W'}+{abs(points):g}" if points else "0"


def area(own: np.ndarray, other: np.ndarray) -> int:
    """Stones of one side and the empty points that reach no stone of the other.

    Args:
      own: `[n, n]` bool.
      other: `[n, n]` bool.

    Source: Tromp and Taylor's rules, 6 and 9.
    """
    empty = ~own & ~other
    territory = empty & _reached(own, empty) & ~_reached(other, empty)
    return int(own.sum() + territory.sum())


def _reached(stones: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """The stones, and the empty points that a way over empty points joins to them."""
    reached = stones
    while True:
        wider = reached.copy()
        wider[1:] |= reached[:-1]
        wider[:-1] |= reached[1:]
        wider[:, 1:] |= reached[:, :-1]
        wider[:, :-1] |= reached[:, 1:]
        wider &= empty | stones
        if (wider == reached).all():
            return reached
        reached = wider
