"""Legal moves of shogi in plain Python, for positions in which OpenSpiel gives none.

OpenSpiel ends a game once a king has entered the far camp with 28 points, or once both
kings have; the rules here go on, and need moves there.

A board is 81 letters from the far left, row by row, as the player to move sees it: the
mover's pieces are capitals, `.` is an empty square. PLNSBRGK are plain pieces, A C D E
promoted pawn, lance, knight and silver, H and T promoted bishop and rook.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tolman.envs.board.shogi_moves import (
    DIRECTIONS,
    DROPPED,
    JUMPS,
    NUM_PLANES,
    NUM_WAYS,
    SIZE,
)

ZONE = 3  # Ranks of the promotion zone.
FAR = SIZE - 1
# By letter: how far it moves in each of DIRECTIONS, clockwise from ahead.
_GOLD = (1, 1, 1, 0, 1, 0, 1, 1)
REACH = {
    "P": (1, 0, 0, 0, 0, 0, 0, 0),
    "L": (FAR, 0, 0, 0, 0, 0, 0, 0),
    "N": (0,) * 8,  # It jumps.
    "S": (1, 1, 0, 1, 0, 1, 0, 1),
    "B": (0, FAR) * 4,
    "R": (FAR, 0) * 4,
    "H": (1, FAR) * 4,
    "T": (FAR, 1) * 4,
    "K": (1,) * 8,
    **dict.fromkeys("GACDE", _GOLD),
}
# Ranks on which an unpromoted piece would never move again.
STUCK = {"P": 1, "L": 1, "N": 2}


def legal_moves(board: str, hand: Sequence[int]) -> list[int]:
    """The legal actions, as `shogi_moves` numbers them, ascending.

    Args:
      board: see the module.
      hand: how many of each of PLNSBRG the mover holds.
    """
    return sorted(_legal(board, hand))


def turned(board: str) -> str:
    """The same board as the other player sees it."""
    return board[::-1].swapcase()


def is_attacked(board: Sequence[str], square: int) -> bool:
    """Whether a piece of the other side attacks a square."""
    row, column = divmod(square, SIZE)
    for direction, (rows, columns) in enumerate(DIRECTIONS):
        for distance in range(1, SIZE):
            to_row, to_column = row + rows * distance, column + columns * distance
            if not (0 <= to_row < SIZE and 0 <= to_column < SIZE):
                break
            piece = board[to_row * SIZE + to_column]
            if piece == ".":
                continue
            # Seen from the other side, the way back has the number of the way there.
            if piece.islower() and REACH[piece.upper()][direction] >= distance:
                return True
            break
    jumps = ((row + rows, column + columns) for rows, columns in JUMPS)
    return any(
        to_row >= 0 and 0 <= to_column < SIZE and board[to_row * SIZE + to_column] == "n"
        for to_row, to_column in jumps
    )


def _legal(board: str, hand: Sequence[int]) -> Iterator[int]:
    for action, origin, target, piece in _pseudo_legal(board, hand):
        after = list(board)
        if origin >= 0:
            after[origin] = "."
        after[target] = piece
        if is_attacked(after, after.index("K")):
            continue
        if origin < 0 and piece == "P" and _is_mate(board, after, target):
            continue
        yield action


def _is_mate(before: str, after: Sequence[str], target: int) -> bool:
    """Whether a pawn dropped at `target` mates, which no drop may do."""
    if target < SIZE or before[target - SIZE] != "k":
        return False
    # No drop helps against a check from the next square: hands do not matter.
    none_in_hand = (0,) * len(DROPPED)
    return next(_legal(turned("".join(after)), none_in_hand), None) is None


def _pseudo_legal(board: str, hand: Sequence[int]) -> Iterator[tuple[int, int, int, str]]:
    """Action, origin (-1 for a drop), target, and what stands there afterwards."""
    for origin, piece in enumerate(board):
        if not piece.isupper():
            continue
        for way, target in _ways(board, origin, piece):
            number = origin * NUM_PLANES + way
            row = target // SIZE
            if row >= STUCK.get(piece, 0):
                yield number, origin, target, piece
            if piece in "PLNSBR" and min(row, origin // SIZE) < ZONE:
                promoted = "ACDEHT"["PLNSBR".index(piece)]
                yield number + NUM_WAYS, origin, target, promoted
    for index, (piece, count) in enumerate(zip(DROPPED, hand, strict=True)):
        if not count:
            continue
        for target, there in enumerate(board):
            if there != "." or target // SIZE < STUCK.get(piece, 0):
                continue
            if piece == "P" and "P" in board[target % SIZE :: SIZE]:
                continue
            number = target * NUM_PLANES + 2 * NUM_WAYS + index
            yield number, -1, target, piece


def _ways(board: str, origin: int, piece: str) -> Iterator[tuple[int, int]]:
    """The plane of each move without promotion, and where it ends."""
    row, column = divmod(origin, SIZE)
    for direction, (rows, columns) in enumerate(DIRECTIONS):
        for distance in range(1, REACH[piece][direction] + 1):
            to_row, to_column = row + rows * distance, column + columns * distance
            if not (0 <= to_row < SIZE and 0 <= to_column < SIZE):
                break
            target = to_row * SIZE + to_column
            if board[target].isupper():
                break
            yield direction * FAR + distance - 1, target
            if board[target] != ".":
                break
    if piece == "N":
        for jump, (rows, columns) in enumerate(JUMPS):
            to_row, to_column = row + rows, column + columns
            target = to_row * SIZE + to_column
            if to_row >= 0 and 0 <= to_column < SIZE and not board[target].isupper():
                yield len(DIRECTIONS) * FAR + jump, target
