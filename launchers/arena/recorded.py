"""A host game that keeps its moves, for engines and for records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from dm_env import specs

from tolman.envs.board.game import GameInfo, HostGame


class RecordedGame:
    """A `HostGame` with its moves as texts; `inner` is the game itself, for looking at."""

    def __init__(self, inner: HostGame, texts: tuple[str, ...] = ()) -> None:
        """Takes over `inner`, at which `texts` led from the start."""
        self.inner = inner
        self.texts = texts

    @property
    def info(self) -> GameInfo:
        return self.inner.info

    def new(self) -> RecordedGame:
        return RecordedGame(self.inner.new())

    def copy(self) -> RecordedGame:
        return RecordedGame(self.inner.copy(), self.texts)

    def step(self, action: int) -> None:
        text = self.inner.action_to_text(action)
        self.inner.step(action)
        self.texts = (*self.texts, text)

    def legal_actions(self) -> Sequence[int]:
        return self.inner.legal_actions()

    def to_play(self) -> int:
        return self.inner.to_play()

    def is_over(self) -> bool:
        return self.inner.is_over()

    def outcome(self) -> tuple[float, float]:
        return self.inner.outcome()

    def observe(self) -> np.ndarray:
        return self.inner.observe()

    def observation_spec(self) -> specs.Array:
        return self.inner.observation_spec()

    def action_to_text(self, action: int) -> str:
        return self.inner.action_to_text(action)

    def text_to_action(self, text: str) -> int:
        return self.inner.text_to_action(text)

    def render(self) -> str:
        return self.inner.render()


def innermost(game: HostGame) -> Any:
    """The game within a RecordedGame; any other as it is."""
    return game.inner if isinstance(game, RecordedGame) else game


def moves_so_far(game: HostGame, player: str) -> tuple[str, ...]:
    """The moves of a RecordedGame.

    Raises:
      ValueError: for another game, which does not know them.
    """
    if not isinstance(game, RecordedGame):
        raise ValueError(
            f"game of {player}: is a {type(game).__name__}; must be a RecordedGame, whose "
            "moves an engine can be told. Wrap it."
        )
    return game.texts
