"""Animal shogi with a dictionary for a board; the lion may not step into check."""

from collections import Counter

ROWS, COLUMNS = 4, 3
AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
STEPS = {
    "chick": (0,),
    "elephant": (1, 3, 5, 7),
    "giraffe": (0, 2, 4, 6),
    "lion": range(8),
    "hen": (0, 1, 2, 4, 6, 7),
}
DROPPED = ("chick", "elephant", "giraffe")


class PlainAnimalShogi:
    """Squares are (row, column) as the mover sees them; pieces are (owner, kind)."""

    def __init__(self):
        back = ("elephant", "lion", "giraffe")
        self.board = {(3, column): (0, kind) for column, kind in enumerate(back)}
        self.board |= {(0, 2 - column): (1, kind) for column, kind in enumerate(back)}
        self.board |= {(2, 1): (0, "chick"), (1, 1): (1, "chick")}
        self.hands = (Counter(), Counter())
        self.num_plies, self.has_tried = 0, False
        self.times = Counter([self.name()])

    def copy(self):
        other = object.__new__(PlainAnimalShogi)
        other.board = dict(self.board)
        other.hands = tuple(Counter(hand) for hand in self.hands)
        other.num_plies, other.has_tried = self.num_plies, self.has_tried
        other.times = Counter(self.times)
        return other

    def name(self):
        hands = tuple(tuple(hand[kind] for kind in DROPPED) for hand in self.hands)
        return frozenset(self.board.items()), hands, self.num_plies % 2

    def attacks(self, board, owner):
        """Squares that the pieces of `owner`, 0 the mover or 1, could capture on."""
        for (row, column), (who, kind) in board.items():
            if who == owner:
                for direction in STEPS[kind]:
                    rows, columns = AROUND[direction]
                    sign = 1 if owner == 0 else -1
                    yield row + sign * rows, column + sign * columns

    def after(self, action):
        """Board and captured kind after a move of the mover; None if it is not legal."""
        square, plane = divmod(action, 11)
        origin = divmod(square, COLUMNS)
        board, captured = dict(self.board), None
        if plane >= 8:
            kind = DROPPED[plane - 8]
            if origin in board or not self.hands[0][kind]:
                return None
            board[origin] = (0, kind)
        else:
            owner, kind = board.get(origin, (1, "chick"))
            target = tuple(x + y for x, y in zip(origin, AROUND[plane], strict=True))
            is_on_board = 0 <= target[0] < ROWS and 0 <= target[1] < COLUMNS
            if owner == 1 or plane not in STEPS[kind] or not is_on_board:
                return None
            if board.get(target, (1,))[0] == 0:
                return None
            captured = board.get(target, (1, None))[1]
            del board[origin]
            becomes_hen = kind == "chick" and target[0] == 0
            board[target] = (0, "hen" if becomes_hen else kind)
        lion = next(square for square, piece in board.items() if piece == (0, "lion"))
        return None if lion in self.attacks(board, 1) else (board, captured)

    def legal(self):
        if self.is_drawn() or self.has_tried:
            return []
        return [action for action in range(132) if self.after(action)]

    def play(self, action):
        board, captured = self.after(action)
        if action % 11 >= 8:
            self.hands[0][DROPPED[action % 11 - 8]] -= 1
        if captured:
            self.hands[0]["chick" if captured == "hen" else captured] += 1
        lion = next(square for square, piece in board.items() if piece == (0, "lion"))
        self.has_tried = lion[0] == 0
        self.board = {
            (ROWS - 1 - row, COLUMNS - 1 - column): (1 - owner, kind)
            for (row, column), (owner, kind) in board.items()
        }
        self.hands = self.hands[::-1]
        self.num_plies += 1
        self.times[self.name()] += 1

    def is_drawn(self):
        """By a third time; a lion that has tried wins all the same."""
        return self.times[self.name()] >= 3 or self.num_plies >= 256
