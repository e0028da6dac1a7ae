"""Chess under OpenSpiel's rules, with the paper's planes and actions.

Source: Silver et al. 2017, "Mastering Chess and Shogi by Self-Play with a General
Reinforcement Learning Algorithm", tables S1 and S2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyspiel
from dm_env import specs

from tolman.envs.board.chess_moves import num_planes, uci_to_action
from tolman.envs.board.game import GameInfo
from tolman.envs.board.openspiel_game import grid_text

NUM_STEPS = 8  # Positions that the planes show.
NUM_QUIET = 100  # Plies without progress that make a draw.
# OpenSpiel numbers castling apart; here it is the king's move of two squares.
CASTLING = {4672: uci_to_action("e1c1", False), 4673: uci_to_action("e1g1", False)}
_KING_MOVES = frozenset(CASTLING.values())
_EXPAND = str.maketrans({"/": "", **{str(count): "." * count for count in range(1, 9)}})
_PIECES = np.zeros((2, 256, 12), np.float32)
for _player, _letters in enumerate(("PNBRQKpnbrqk", "pnbrqkPNBRQK")):
    for _plane, _letter in enumerate(_letters):
        _PIECES[_player, ord(_letter), _plane] = 1

# The last positions, newest first: the board as 64 letters from a8 to h1, and how often
# it had stood before.
Trail = tuple[tuple[bytes, int], ...]


class ChessRules:
    """Action: the from-square and one of 73 planes, seen by the player to move.

    A draw by rule: stalemate, the third repetition, fifty moves without progress, too
    little material, and `max_num_moves` plies.
    """

    def __init__(self, max_num_moves: int = 512) -> None:
        self.info = GameInfo(
            "chess", 4672, 256, max_num_moves, (8, 8), num_planes(8), planes_are_masks=True
        )
        self.game = pyspiel.load_game("chess")
        # Both numberings are as the mover sees the board, so that one table serves both
        # colours. It fills up as moves turn up.
        self._to_ours: dict[int, int] = {}
        self._to_openspiel: dict[int, int] = {}

    def start(self, state: Any) -> Trail:
        return self.follow((), state)

    def follow(self, trail: Trail, state: Any) -> Trail:
        newest = _board(str(state)), state.num_repetitions(state) - 1
        return (newest, *trail[: NUM_STEPS - 1])

    def legal(self, state: Any, trail: Trail) -> list[int]:
        legal = state.legal_actions()
        try:
            return sorted([self._to_ours[action] for action in legal])
        except KeyError:
            self._learn(state, legal)
            return sorted([self._to_ours[action] for action in legal])

    def _learn(self, state: Any, actions: list[int]) -> None:
        board = state.board()
        for action in actions:
            text = pyspiel.chess.action_to_move(action, board).to_lan()
            ours = uci_to_action(text, state.move_number() % 2 == 1)
            self._to_ours[action] = ours
            if action not in CASTLING:
                self._to_openspiel[ours] = action

    def to_openspiel(self, state: Any, action: int) -> int:
        if action in _KING_MOVES:
            castling = [
                number for number in state.legal_actions()[-2:] if number in CASTLING
            ]
            for number in castling:
                if self._to_ours[number] == action:
                    return number
        return self._to_openspiel[action]

    def is_over(self, state: Any, trail: Trail) -> bool:
        return state.is_terminal() or state.move_number() >= self.info.max_num_moves

    def outcome(self, state: Any, trail: Trail) -> tuple[float, float]:
        if not state.is_terminal():
            return 0.0, 0.0
        second, first = state.returns()  # OpenSpiel's player 0 is Black.
        return first, second

    def observe(self, state: Any, trail: Trail) -> np.ndarray:
        _, to_play, castling, _, no_progress, _ = str(state).split(" ")
        player = int(to_play == "b")
        num_steps = len(trail)
        planes = np.zeros((64, 119), np.float32)
        codes = np.frombuffer(b"".join([board for board, _ in trail]), np.uint8)
        boards = _PIECES[player][codes].reshape(num_steps, 8, 8, 12)
        if player:
            boards = boards[:, ::-1]
        steps = planes[:, :112].reshape(64, NUM_STEPS, 14)
        steps[:, :num_steps, :12] = boards.reshape(num_steps, 64, 12).swapaxes(0, 1)
        for step, (_, times) in enumerate(trail):
            if times:
                steps[:, step, 12] = 1
                steps[:, step, 13] = times > 1
        own, other = ("qk", "QK") if player else ("QK", "qk")
        planes[:, 112:] = (
            player,
            state.move_number() / self.info.max_num_moves,
            *[letter in castling for letter in own + other],
            int(no_progress) / NUM_QUIET,
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
    return fen[: fen.index(" ")].translate(_EXPAND).encode()
