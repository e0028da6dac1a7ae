"""Go under OpenSpiel's rules and positional superko, with AlphaGo Zero's planes.

Source: Silver et al. 2017, "Mastering Chess and Shogi by Self-Play with a General
Reinforcement Learning Algorithm", table S1; area scoring and superko as in its section
"Domain knowledge". Shapes: N points a side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyspiel
from dm_env import specs

from tolman.envs.board.game import GameInfo
from tolman.envs.board.openspiel_game import grid_text

NUM_STEPS = 8  # Positions that the planes show.
COLUMNS = "ABCDEFGHJKLMNOPQRST"  # There is no I.
_STONES = np.zeros((2, 256, 2), np.float32)
for _player, (_own, _other) in enumerate([("X", "O"), ("O", "X")]):
    _STONES[_player, ord(_own), 0] = 1
    _STONES[_player, ord(_other), 1] = 1
_BITS = {
    letter: bytes(ord("1") if code == ord(letter) else ord("0") for code in range(256))
    for letter in "XO"
}


class Trail(NamedTuple):
    """The last position and, by `before`, all that were before it.

    Attributes:
      board: N x N letters from the top left, "X" black, "O" white, "+" empty.
      stones: black and white, as the bits of two integers; the last letter is bit 0.
      has_captures: stones were taken off the board in this game; without that no
        position can come back.
      before: None at the start.
    """

    board: bytes
    stones: tuple[int, int]
    has_captures: bool
    before: Trail | None


class GoRules:
    """Action: the point, row by row from the top left one; N * N passes.

    A move that would bring back an earlier position of the board is not legal (positional
    superko). The game ends by two passes, or after `max_num_moves`, by default
    2 * N * N.
    """

    def __init__(self, size: int = 9, komi: float = 7.5, max_num_moves: int = 0) -> None:
        self.size = size
        self.komi = komi
        num_points = size * size
        self.info = GameInfo(
            f"go_{size}x{size}",
            num_points + 1,
            num_points + 1,
            max_num_moves or 2 * num_points,
            (size, size),
            planes_are_masks=True,
        )
        self.game = pyspiel.load_game(
            "go",
            {
                "board_size": size,
                "komi": komi,
                "max_game_length": self.info.max_num_moves,
            },
        )
        # OpenSpiel counts rows from the bottom.
        points = np.arange(num_points).reshape(size, size)[::-1].ravel()
        self._upside_down = [*points.tolist(), num_points]

    def start(self, state: Any) -> Trail:
        return Trail(b"+" * self.size**2, (0, 0), False, None)

    def follow(self, trail: Trail, state: Any) -> Trail:
        board = self._board(state)
        stones = int(board.translate(_BITS["X"]), 2), int(board.translate(_BITS["O"]), 2)
        gone = (trail.stones[0] & ~stones[0]) | (trail.stones[1] & ~stones[1])
        return Trail(board, stones, trail.has_captures or gone != 0, trail)

    def legal(self, state: Any, trail: Trail) -> list[int]:
        turned = self._upside_down
        legal = sorted([turned[action] for action in state.legal_actions()])
        if trail.has_captures:
            for action in self._repeating(state, trail, legal):
                legal.remove(action)
        return legal

    def _repeating(self, state: Any, trail: Trail, legal: list[int]) -> set[int]:
        """Of these moves those after which the board would be as it was before.

        Such a move adds one stone to the mover's, and takes none or some of the others':
        hence an earlier board is compared by its bits, and hardly any move is tried out.
        """
        player = state.move_number() % 2
        own, other = trail.stones[player], trail.stones[1 - player]
        last_point = self.size**2 - 1
        repeating = set()
        earlier = trail.before
        while earlier is not None:
            added = earlier.stones[player] ^ own
            if (
                added
                and added & (added - 1) == 0
                and added & (own | other) == 0
                and earlier.stones[1 - player] & ~other == 0
            ):
                action = last_point - (added.bit_length() - 1)
                if action in legal:
                    after = state.child(self._upside_down[action])
                    if self._board(after) == earlier.board:
                        repeating.add(action)
            earlier = earlier.before
        return repeating

    def to_openspiel(self, state: Any, action: int) -> int:
        return self._upside_down[action]

    def is_over(self, state: Any, trail: Trail) -> bool:
        return state.is_terminal()

    def outcome(self, state: Any, trail: Trail) -> tuple[float, float]:
        first, second = state.returns()
        return first, second

    def observe(self, state: Any, trail: Trail) -> np.ndarray:
        size = self.size
        player = state.move_number() % 2
        boards: list[Any] = []
        earlier: Trail | None = trail
        # The start itself is empty, as is what was before it.
        while earlier is not None and len(boards) < NUM_STEPS:
            boards.append(earlier.board)
            earlier = earlier.before
        codes = np.frombuffer(b"".join(boards), np.uint8).reshape(len(boards), -1)
        planes = np.zeros((size * size, 2 * NUM_STEPS + 1), np.float32)
        stones = planes[:, : 2 * NUM_STEPS].reshape(size * size, NUM_STEPS, 2)
        stones[:, : len(boards)] = _STONES[player][codes.T]
        planes[:, -1] = player == 0
        return planes.reshape(size, size, -1)

    def observation_spec(self) -> specs.Array:
        return specs.Array((self.size, self.size, 2 * NUM_STEPS + 1), np.float32, "planes")

    def to_text(self, state: Any, action: int) -> str:
        """In GTP."""
        if action == self.size**2:
            return "pass"
        row, column = divmod(action, self.size)
        return f"{COLUMNS[column]}{self.size - row}"

    def render(self, state: Any) -> str:
        size = self.size
        text = self._board(state).decode().replace("+", ".")
        rows = [text[i : i + size] for i in range(0, size * size, size)]
        return grid_text(rows, (COLUMNS[:size], [str(size - row) for row in range(size)]))

    def _board(self, state: Any) -> bytes:
        lines = str(state).split("\n")[2 : 2 + self.size]
        return "".join([line[3:] for line in lines]).encode()
