"""Gardner's chess on a 5 x 5 mailbox, with moves as text."""

from collections import Counter

SIZE = 5
LINES = {
    "r": ((0, 1), (0, -1), (1, 0), (-1, 0)),
    "b": ((1, 1), (1, -1), (-1, 1), (-1, -1)),
}
LINES["q"] = LINES["k"] = LINES["r"] + LINES["b"]
LINES["n"] = tuple(
    (f, r) for f in (-2, -1, 1, 2) for r in (-2, -1, 1, 2) if abs(f) != abs(r)
)


class PlainGardner:
    """White's pieces are capitals; squares are (file, rank) from 0."""

    def __init__(self):
        back = "rnbqk"
        self.board = {(f, 0): kind.upper() for f, kind in enumerate(back)}
        self.board |= {(f, 4): kind for f, kind in enumerate(back)}
        self.board |= {(f, 1): "P" for f in range(SIZE)} | {
            (f, 3): "p" for f in range(SIZE)
        }
        self.num_plies = self.num_quiet = 0
        self.times = Counter([self.name()])

    def name(self):
        return frozenset(self.board.items()), self.num_plies % 2

    def is_mine(self, piece, side):
        return piece.isupper() == (side == 0)

    def targets(self, board, square, attacks_only=False):
        """Where the piece on `square` goes, its king's safety left out."""
        piece = board[square]
        side = 0 if piece.isupper() else 1
        file, rank = square
        found = []
        if piece.lower() == "p":
            ahead = 1 if side == 0 else -1
            if not attacks_only and (file, rank + ahead) not in board:
                found.append((file, rank + ahead))
            for aside in (-1, 1):
                target = file + aside, rank + ahead
                is_taken = target in board and not self.is_mine(board[target], side)
                if attacks_only or is_taken:
                    found.append(target)
        else:
            for step in LINES[piece.lower()]:
                for distance in range(1, SIZE):
                    target = file + step[0] * distance, rank + step[1] * distance
                    if target not in board or not self.is_mine(board[target], side):
                        found.append(target)
                    if target in board or piece.lower() in "kn":
                        break
        return [(f, r) for f, r in found if 0 <= f < SIZE and 0 <= r < SIZE]

    def in_check(self, board, side):
        king = next(s for s, piece in board.items() if piece == ("K", "k")[side])
        return any(
            king in self.targets(board, square, attacks_only=True)
            for square, piece in board.items()
            if not self.is_mine(piece, side)
        )

    def moves(self):
        """What each legal move, such as "a4b5n", makes of the board."""
        side, made = self.num_plies % 2, {}
        for square, piece in self.board.items():
            if not self.is_mine(piece, side):
                continue
            for target in self.targets(self.board, square):
                board = {s: p for s, p in self.board.items() if s != square}
                promotes = piece.lower() == "p" and target[1] in (0, SIZE - 1)
                board[target] = piece
                if self.in_check(board, side):
                    continue
                for kind in "qrbn" if promotes else ("",):
                    new = (kind.upper() if side == 0 else kind) or piece
                    made[self.text(square, target) + kind] = {**board, target: new}
        return made

    def text(self, *squares):
        return "".join(f"{'abcde'[file]}{rank + 1}" for file, rank in squares)

    def play(self, move):
        board = self.moves()[move]
        is_capture = len(board) < len(self.board)
        moved = self.board["abcde".index(move[0]), int(move[1]) - 1]
        self.num_quiet = 0 if is_capture or moved in "Pp" else self.num_quiet + 1
        self.board, self.num_plies = board, self.num_plies + 1
        self.times[self.name()] += 1

    def outcome(self):
        """None while the game goes on, else White's score."""
        side = self.num_plies % 2
        if not self.moves():
            return 0 if not self.in_check(self.board, side) else (-1, 1)[side]
        others = sorted(piece.lower() for piece in self.board.values() if piece not in "Kk")
        colours = {sum(s) % 2 for s, piece in self.board.items() if piece in "Bb"}
        is_dead = others in ([], ["n"]) or (set(others) == {"b"} and len(colours) == 1)
        is_drawn = self.num_quiet >= 100 or self.num_plies >= 256
        return 0 if is_dead or is_drawn or self.times[self.name()] >= 3 else None
