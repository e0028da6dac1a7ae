"""Go, slowly: chains by flood fill, superko by a set of boards, area by reach."""


class PlainGo:
    def __init__(self, size, komi):
        self.size, self.komi = size, komi
        self.stones = {}  # (row, column) -> 0 Black or 1 White.
        self.num_moves = 0
        self.num_passes = 0
        self.seen = {frozenset()}

    def points(self):
        return [(row, column) for row in range(self.size) for column in range(self.size)]

    def neighbours(self, point):
        row, column = point
        around = [
            (row - 1, column),
            (row + 1, column),
            (row, column - 1),
            (row, column + 1),
        ]
        return [(r, c) for r, c in around if 0 <= r < self.size and 0 <= c < self.size]

    def chain(self, stones, point):
        """The stones of a chain, and whether it has a liberty."""
        colour, chain, todo, has_liberty = stones[point], {point}, [point], False
        while todo:
            for beside in self.neighbours(todo.pop()):
                if beside not in stones:
                    has_liberty = True
                elif stones[beside] == colour and beside not in chain:
                    chain.add(beside)
                    todo.append(beside)
        return chain, has_liberty

    def after(self, point):
        """The stones after the mover's stone on `point`; None if that is suicide."""
        mover = self.num_moves % 2
        stones = {**self.stones, point: mover}
        for beside in self.neighbours(point):
            if stones.get(beside) == 1 - mover:
                chain, has_liberty = self.chain(stones, beside)
                if not has_liberty:
                    stones = {p: c for p, c in stones.items() if p not in chain}
        return stones if self.chain(stones, point)[1] else None

    def legal(self):
        """Points where the mover may play; to pass is always legal."""
        allowed = []
        for point in self.points():
            if point not in self.stones:
                stones = self.after(point)
                if stones is not None and frozenset(stones.items()) not in self.seen:
                    allowed.append(point)
        return allowed

    def play(self, point):
        """A point, or None to pass."""
        self.num_passes = self.num_passes + 1 if point is None else 0
        if point is not None:
            self.stones = self.after(point)
            self.seen.add(frozenset(self.stones.items()))
        self.num_moves += 1

    def margin(self):
        """Black's points less White's and komi."""
        total = -self.komi
        for point in self.points():
            reached, todo, colours = {point}, [point], set()
            while todo:
                here = todo.pop()
                if here in self.stones:
                    colours.add(self.stones[here])
                    continue
                for beside in self.neighbours(here):
                    if beside not in reached:
                        reached.add(beside)
                        todo.append(beside)
            total += (colours == {0}) - (colours == {1})
        return total
