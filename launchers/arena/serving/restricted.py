"""A position in which only some of the legal moves may be thought about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.recorded import RecordedGame


class RestrictedGame:
    """A `HostGame` whose next move is one of a few; after it the game is as it was."""

    def __init__(self, game: HostGame, allowed: frozenset[int] | None) -> None:
        """Takes over `game`; `allowed` is None for all of its legal actions."""
        self._game = game
        self._allowed = allowed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._game, name)

    def copy(self) -> RestrictedGame:
        return RestrictedGame(self._game.copy(), self._allowed)

    def step(self, action: int) -> None:
        self._game.step(action)
        self._allowed = None

    def legal_actions(self) -> Sequence[int]:
        legal, allowed = self._game.legal_actions(), self._allowed
        return legal if allowed is None else [one for one in legal if one in allowed]


def restricted(position: RecordedGame, texts: Sequence[str]) -> RecordedGame:
    """The position with these moves only.

    Raises:
      ValueError: for a move that is not legal.
    """
    allowed = frozenset(position.text_to_action(text) for text in texts)
    inner: Any = RestrictedGame(position.inner.copy(), allowed)
    return RecordedGame(inner, position.texts)
