"""Shogi by OpenSpiel's moves, with the paper's planes and actions.

OpenSpiel finds the moves and counts repetitions. When a game ends, and who has won, is
decided here, as in `shogi`: OpenSpiel ends games by an entering-king rule of its own, and
takes six checks in a row for perpetual check.

Source: Silver et al. 2017, "Mastering Chess and Shogi by Self-Play with a General
Reinforcement Learning Algorithm", tables S1 and S2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyspiel
from dm_env import specs

from tolman.envs.board.game import GameInfo
from tolman.envs.board.openspiel_game import grid_text
from tolman.envs.board.shogi_moves import (
    NUM_ACTIONS,
    NUM_PLANES,
    SIZE,
    action_to_usi,
    usi_to_action,
)
from tolman.envs.board.shogi_plain import legal_moves, turned

NUM_STEPS = 8  # Positions that the planes show.
NUM_REPEATS = 3
NUM_KINDS = 14
PER_STEP = 2 * NUM_KINDS + NUM_REPEATS + 14
# A letter for each kind of piece, in the order of the planes: what can be in hand, the
# king, and promoted ones. Black's are capitals.
LETTERS = "PLNSBRGKACDEHT"
PROMOTED = {"P": "A", "L": "C", "N": "D", "S": "E", "B": "H", "R": "T"}
MOST_IN_HAND = np.array([18, 4, 4, 4, 2, 2, 4], np.float32)
ZONE = 3 * SIZE  # Squares of the promotion zone.
NEEDED_IN_ZONE, NEEDED_POINTS = 10, (28, 27)
_POINTS = {letter: 5 if letter in "BRHT" else 1 for letter in LETTERS} | {"K": 0}
_PROMOTIONS = [
    (f"+{plain}", promoted)
    for capital, capital_promoted in PROMOTED.items()
    for plain, promoted in (
        (capital, capital_promoted),
        (capital.lower(), capital_promoted.lower()),
    )
]
_EXPAND = str.maketrans({"/": "", **{str(count): "." * count for count in range(1, 10)}})
_PIECES = np.zeros((2, 256, 2 * NUM_KINDS), np.float32)
for _player, _letters in enumerate((LETTERS, LETTERS.lower())):
    for _plane, _letter in enumerate(_letters + _letters.swapcase()):
        _PIECES[_player, ord(_letter), _plane] = 1


class Step(NamedTuple):
    """A position of the past.

    Attributes:
      board: 81 letters from 9a to 1i, as Black sees them.
      hands: `[14]` float32, Black's then White's, as shares of MOST_IN_HAND.
      num_repeats: how often it had been there before, at most 3.
    """

    board: bytes
    hands: np.ndarray
    num_repeats: int


class Trail(NamedTuple):
    """What of the past the rules and the planes need.

    Attributes:
      steps: the last positions, newest first.
      checks: how many of each player's last moves gave check, without a break.
      result: of a game that is over, for each player; None before.
      legal: the legal actions where OpenSpiel gives none, as it takes the game to be over.
    """

    steps: tuple[Step, ...]
    checks: tuple[int, int]
    result: tuple[float, float] | None
    legal: tuple[int, ...] = ()


class ShogiRules:
    """Action: one of 81 squares and one of 139 planes, seen by the player to move.

    The fourth repetition draws, or loses for who gave check all along. A player to move
    whose king has entered wins by declaration (27 points, 28 for Black). After
    `max_num_moves` plies the game is drawn.
    """

    def __init__(self, max_num_moves: int = 512, with_declaration: bool = True) -> None:
        self.info = GameInfo(
            "shogi", NUM_ACTIONS, 600, max_num_moves, (SIZE, SIZE), NUM_PLANES,
            planes_are_masks=True,
        )  # fmt: skip
        self.game = pyspiel.load_game("shogi")
        self.with_declaration = with_declaration
        # For each player. The tables fill up as moves turn up.
        self._to_ours: tuple[dict[int, int], ...] = ({}, {})
        self._to_openspiel: tuple[dict[int, int], ...] = ({}, {})

    def start(self, state: Any) -> Trail:
        return self.follow(Trail((), (0, 0), None), state)

    def follow(self, trail: Trail, state: Any) -> Trail:
        board, hands = _parse(str(state))
        num_before = state.num_repetitions(state) - 1
        newest = Step(board, hands, min(num_before, NUM_REPEATS))
        player = state.move_number() % 2
        in_check = state.in_check()
        checks = list(trail.checks)
        checks[1 - player] = checks[1 - player] + 1 if in_check else 0
        legal = _missing_moves(newest, state)
        won, lost = ((1.0, -1.0), (-1.0, 1.0))[:: -1 if player else 1]
        result: tuple[float, float] | None = None
        if legal is not None and not legal:
            result = lost
        elif num_before >= NUM_REPEATS:
            result = _repetition_result(state, checks)
        elif self.with_declaration and _can_declare(newest, player) and not in_check:
            result = won
        elif state.move_number() >= self.info.max_num_moves:
            result = 0.0, 0.0
        steps = (newest, *trail.steps[: NUM_STEPS - 1])
        return Trail(steps, (checks[0], checks[1]), result, tuple(legal or ()))

    def legal(self, state: Any, trail: Trail) -> list[int]:
        if trail.legal:
            return list(trail.legal)
        legal, player = state.legal_actions(), state.move_number() % 2
        ours = self._to_ours[player]
        try:
            return sorted([ours[action] for action in legal])
        except KeyError:
            for action in legal:
                number = usi_to_action(state.action_to_string(action), player == 1)
                ours[action] = number
                self._to_openspiel[player][number] = action
            return sorted([ours[action] for action in legal])

    def to_openspiel(self, state: Any, action: int) -> int:
        numbers = self._to_openspiel[state.move_number() % 2]
        if action not in numbers:
            numbers[action] = state.parse_move_to_action(self.to_text(state, action))
        return numbers[action]

    def is_over(self, state: Any, trail: Trail) -> bool:
        return trail.result is not None

    def outcome(self, state: Any, trail: Trail) -> tuple[float, float]:
        return (0.0, 0.0) if trail.result is None else trail.result

    def observe(self, state: Any, trail: Trail) -> np.ndarray:
        player, steps = state.move_number() % 2, trail.steps
        num_squares, num_steps = SIZE * SIZE, len(steps)
        planes = np.zeros((num_squares, NUM_STEPS * PER_STEP + 2), np.float32)
        shown = planes[:, :-2].reshape(num_squares, NUM_STEPS, PER_STEP)[:, :num_steps]
        codes = np.frombuffer(b"".join([step.board for step in steps]), np.uint8)
        codes = codes.reshape(num_steps, num_squares)
        if player:
            codes = codes[:, ::-1]
        shown[..., : 2 * NUM_KINDS] = _PIECES[player][codes.T]
        for index, step in enumerate(steps):
            if step.num_repeats:
                first = 2 * NUM_KINDS
                shown[:, index, first : first + step.num_repeats] = 1
        hands = np.array([step.hands for step in steps])
        if player:
            hands = np.roll(hands, 7, axis=1)
        shown[..., 2 * NUM_KINDS + NUM_REPEATS :] = hands
        planes[:, -2] = player
        planes[:, -1] = state.move_number() / self.info.max_num_moves
        return planes.reshape(SIZE, SIZE, -1)

    def observation_spec(self) -> specs.Array:
        return specs.Array((SIZE, SIZE, NUM_STEPS * PER_STEP + 2), np.float32, "planes")

    def to_text(self, state: Any, action: int) -> str:
        """In USI."""
        return action_to_usi(action, state.move_number() % 2 == 1)

    def render(self, state: Any) -> str:
        """The board, promoted pieces by their own letters, and the hands as in SFEN."""
        board = _parse(str(state))[0].decode()
        rows = [board[i : i + SIZE] for i in range(0, SIZE * SIZE, SIZE)]
        hands = str(state).split(" ")[2]
        return f"{grid_text(rows, ('987654321', list('abcdefghi')))}\nin hand: {hands}"


def _parse(sfen: str) -> tuple[bytes, np.ndarray]:
    board, _, held, _ = sfen.split(" ")
    if "+" in board:
        for old, new in _PROMOTIONS:
            board = board.replace(old, new)
    board = board.translate(_EXPAND)
    if held == "-":
        return board.encode(), _NONE_IN_HAND
    counts, count = np.zeros(14, np.float32), ""
    for letter in held:
        if letter.isdigit():
            count += letter
            continue
        kind = LETTERS.index(letter.upper()) + 7 * letter.islower()
        counts[kind] = int(count or 1) / MOST_IN_HAND[kind % 7]
        count = ""
    return board.encode(), counts


_NONE_IN_HAND = np.zeros(14, np.float32)


def _hand(step: Step, player: int) -> list[int]:
    """How many pieces of each kind a player holds."""
    shares = step.hands[7 * player : 7 * player + 7]
    return [int(count) for count in np.rint(shares * MOST_IN_HAND)]


def _missing_moves(step: Step, state: Any) -> list[int] | None:
    """The legal actions where OpenSpiel gives none; None where it gives them."""
    if not state.is_terminal():
        return None
    player = state.move_number() % 2
    board = step.board.decode()
    return legal_moves(turned(board) if player else board, _hand(step, player))


def _repetition_result(state: Any, checks: Sequence[int]) -> tuple[float, float]:
    """Who gave check with every move since the position was there first, loses."""
    replayed = state.get_game().new_initial_state(state.start_sfen())
    wanted = str(state).rpartition(" ")[0]  # All but the number of the move.
    for action in state.history():
        if str(replayed).rpartition(" ")[0] == wanted:
            break
        replayed.apply_action(action)
    num_moves = (state.move_number() - replayed.move_number()) // 2
    has_checked = [float(count >= num_moves) for count in checks]
    return has_checked[1] - has_checked[0], has_checked[0] - has_checked[1]


def _can_declare(step: Step, player: int) -> bool:
    """As `shogi_rules.can_declare`, of a player that is not in check."""
    zone = step.board[-ZONE:] if player else step.board[:ZONE]
    if (b"k" if player else b"K") not in zone:
        return False
    pieces = zone.decode()
    own = [p.upper() for p in pieces if p.isalpha() and p.islower() == (player == 1)]
    points = sum(_POINTS[letter] for letter in own) + sum(
        _POINTS[letter] * count
        for letter, count in zip(LETTERS, _hand(step, player), strict=False)
    )
    return len(own) - 1 >= NEEDED_IN_ZONE and points >= NEEDED_POINTS[player]
