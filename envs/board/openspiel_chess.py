"""Chess under OpenSpiel's rules, with the paper's planes and actions.

Source: Silver et al. 2017, "Mastering Chess and Shogi by Self-Play with a General
Reinforcement Learning Algorithm", tables S1 and S2, in the order of pgx.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyspiel
from dm_env import specs

from tolman.envs.board.game import GameInfo
from tolman.envs.board.openspiel_game import grid_text

NUM_STEPS = 8  # Positions that the planes show.
MAX_NUM_MOVES = 512
# OpenSpiel numbers castling apart; here it is the king's move of two squares.
CASTLING = {4672: 2364, 4673: 2367}  # To the queen's side, to the king's side.
# Before a game begins its planes are those of an empty board that never was before.
EMPTY = (b"." * 64, 1)
_DIGITS = [(str(count), "." * count) for count in range(1, 9)]
_PIECES = np.zeros((2, 256, 12), np.float32)
for _player, _letters in enumerate(("PNBRQKpnbrqk", "pnbrqkPNBRQK")):
    for _plane, _letter in enumerate(_letters):
        _PIECES[_player, ord(_letter), _plane] = 1

# The last positions, newest first: the board as 64 letters from a8 to h1, and how often
# it has stood by then.
Trail = tuple[tuple[bytes, int], ...]


class ChessRules:
    """Action: the from-square and one of 73 planes, seen by the player to move.

    A draw by rule: stalemate, the third repetition, fifty moves without progress, too
    little material, and move 512.
    """

    def __init__(self) -> None:
        self.info = GameInfo("chess", 4672, 256, MAX_NUM_MOVES, (8, 8))
        self.game = pyspiel.load_game("chess")

    def start(self, state: Any) -> Trail:
        return self.follow((EMPTY,) * NUM_STEPS, state)

    def follow(self, trail: Trail, state: Any) -> Trail:
        newest = _board(str(state)), state.num_repetitions(state)
        return (newest, *trail[: NUM_STEPS - 1])

    def legal(self, state: Any, trail: Trail) -> list[int]:
        legal = state.legal_actions()
        if legal[-1] < 4672:
            return legal
        return sorted([CASTLING.get(action, action) for action in legal])

    def to_openspiel(self, state: Any, action: int) -> int:
        for number, king_move in CASTLING.items():
            if action == king_move and number in state.legal_actions()[-2:]:
                return number
        return action

    def is_over(self, state: Any) -> bool:
        return state.is_terminal() or state.move_number() >= MAX_NUM_MOVES

    def outcome(self, state: Any) -> tuple[float, float]:
        if not state.is_terminal():
            return 0.0, 0.0
        second, first = state.returns()  # OpenSpiel's player 0 is Black.
        return first, second

    def observe(self, state: Any, trail: Trail) -> np.ndarray:
        _, to_play, castling, _, no_progress, _ = str(state).split(" ")
        player = int(to_play == "b")
        planes = np.empty((64, 119), np.float32)
        codes = np.frombuffer(b"".join([board for board, _ in trail]), np.uint8)
        boards = _PIECES[player][codes].reshape(NUM_STEPS, 8, 8, 12)
        if player:
            boards = boards[:, ::-1]
        steps = planes[:, :112].reshape(64, NUM_STEPS, 14)
        steps[..., :12] = boards.reshape(NUM_STEPS, 64, 12).swapaxes(0, 1)
        repeated = np.array([times > 1 for _, times in trail])
        steps[..., 12] = ~repeated
        steps[..., 13] = repeated
        own, other = ("qk", "QK") if player else ("QK", "qk")
        planes[:, 112:] = (
            player,
            state.move_number() / np.float32(MAX_NUM_MOVES),
            *[letter in castling for letter in own + other],
            int(no_progress) / np.float32(100),
        )
        return planes.reshape(8, 8, 119)

    def observation_spec(self) -> specs.Array:
        return specs.Array((8, 8, 119), np.float32, "planes")

    def to_text(self, state: Any, action: int) -> str:
        """In UCI."""
        move = pyspiel.chess.action_to_move(self.to_openspiel(state, action), state.board())
        return move.to_lan()

    def render(self, state: Any) -> str:
        board = _board(str(state)).decode()
        rows = [board[i : i + 8] for i in range(0, 64, 8)]
        return grid_text(rows, ("abcdefgh", list("87654321")))


def _board(fen: str) -> bytes:
    board = fen[: fen.index(" ")].replace("/", "")
    for digit, dots in _DIGITS:
        board = board.replace(digit, dots)
    return board.encode()
