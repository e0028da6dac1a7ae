"""Tic-tac-toe, connect four, othello and hex under OpenSpiel's rules.

Planes and action numbers are pgx's. Shapes: A actions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyspiel
from dm_env import specs

from tolman.envs.board.game import GameInfo
from tolman.envs.board.openspiel_game import grid_text

LETTERS = "abcdefghijklmnopqrs"
# Boards are kept as bytes: "." empty, "x" of player 0, "o" of player 1.
_PLANES = np.zeros((2, 256, 2), np.float32)
for _player, (_own, _other) in enumerate([("x", "o"), ("o", "x")]):
    _PLANES[_player, ord(_own), 0] = 1
    _PLANES[_player, ord(_other), 1] = 1


class _SmallRules:
    """What these four games share: their planes show the present board alone."""

    def __init__(self, info: GameInfo, game: Any) -> None:
        self.info = info
        self.game = game

    def start(self, state: Any) -> None:
        return None

    def follow(self, trail: None, state: Any) -> None:
        return None

    def legal(self, state: Any, trail: None) -> list[int]:
        return state.legal_actions()

    def to_openspiel(self, state: Any, action: int) -> int:
        return action

    def is_over(self, state: Any, trail: None) -> bool:
        return state.is_terminal()

    def outcome(self, state: Any, trail: None) -> tuple[float, float]:
        first, second = state.returns()
        return first, second

    def observe(self, state: Any, trail: None) -> np.ndarray:
        codes = np.frombuffer(self.board(state), np.uint8)
        return _PLANES[state.move_number() % 2][codes].reshape(*self.info.board, 2)

    def observation_spec(self) -> specs.Array:
        return specs.Array((*self.info.board, 2), np.float32, "planes")

    def board(self, state: Any) -> bytes:
        """Rows from the top, as one string."""
        return str(state).replace("\n", "").encode()

    def to_text(self, state: Any, action: int) -> str:
        row, column = divmod(action, self.info.board[1])
        return f"{LETTERS[column]}{row + 1}"

    def render(self, state: Any) -> str:
        num_rows, num_columns = self.info.board
        text = self.board(state).decode()
        rows = [text[i : i + num_columns] for i in range(0, len(text), num_columns)]
        names = [str(row + 1) for row in range(num_rows)]
        return grid_text(rows, (LETTERS[:num_columns], names))


class TicTacToeRules(_SmallRules):
    """Action: the square, row by row; `a1` is the top left one."""

    def __init__(self) -> None:
        super().__init__(
            GameInfo("tic_tac_toe", 9, 9, 9, (3, 3), 1), pyspiel.load_game("tic_tac_toe")
        )


class ConnectFourRules(_SmallRules):
    """Action: the column; written 1 to 7."""

    def __init__(self) -> None:
        super().__init__(
            GameInfo("connect_four", 7, 7, 42, (6, 7)), pyspiel.load_game("connect_four")
        )

    def to_text(self, state: Any, action: int) -> str:
        return str(action + 1)

    def render(self, state: Any) -> str:
        text = self.board(state).decode()
        return grid_text([text[i : i + 7] for i in range(0, 42, 7)], ("1234567", [""] * 6))


class OthelloRules(_SmallRules):
    """Action: the square, row by row, `a1` the top left one; 64 passes."""

    def __init__(self) -> None:
        super().__init__(
            GameInfo("othello", 65, 65, 122, (8, 8)), pyspiel.load_game("othello")
        )

    def board(self, state: Any) -> bytes:
        lines = str(state).split("\n")
        first = next(i for i, line in enumerate(lines) if line.startswith("1 "))
        text = "".join(lines[first : first + 8])
        return text.translate(_OTHELLO_CELLS).encode()

    def to_text(self, state: Any, action: int) -> str:
        return "pass" if action == 64 else super().to_text(state, action)


_OTHELLO_CELLS = {ord(letter): None for letter in "12345678 "} | {ord("-"): "."}


class HexRules(_SmallRules):
    """Action: the cell, row by row, `a1` the top left one; the last one swaps.

    Player 0 joins top and bottom. To swap is to take over the first stone, mirrored at the
    long diagonal, and is open to player 1 at its first turn.
    """

    def __init__(self, size: int = 11) -> None:
        num_actions = size * size + 1
        super().__init__(
            GameInfo(
                f"hex_{size}x{size}", num_actions, num_actions, num_actions, (size, size)
            ),
            pyspiel.load_game("hex", {"board_size": size, "swap": True}),
        )

    def board(self, state: Any) -> bytes:
        return str(state).replace("\n", "").replace(" ", "").encode()

    def observe(self, state: Any, trail: None) -> np.ndarray:
        planes = np.empty((*self.info.board, 4), np.float32)
        planes[..., :2] = super().observe(state, trail)
        planes[..., 2] = state.move_number() % 2
        planes[..., 3] = state.move_number() == 1
        return planes

    def observation_spec(self) -> specs.Array:
        return specs.Array((*self.info.board, 4), np.float32, "planes")

    def to_text(self, state: Any, action: int) -> str:
        return (
            "swap"
            if action == self.info.num_actions - 1
            else super().to_text(state, action)
        )
