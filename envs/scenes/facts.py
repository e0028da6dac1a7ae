"""What is true of a scene: one or two sorts of objects, how many of each, and where.

Shapes: N scenes. Four cells of a picture, row by row.
"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np

COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan", "pink", "white")
SHAPES = ("circle", "square", "triangle", "cross", "diamond", "ring")
SIZES = ("small", "large")
NUM_CONCEPTS = len(COLOURS) * len(SHAPES)
NUM_CELLS = 4
ABSENT = -1  # A colour, shape or size of a sort that is not there; a size that is not said.
NO_RELATION, LEFT_OF, ABOVE = 0, 1, 2

# The first sort is the one to the left or above; `number` is 0 of a sort that is not there,
# and of the first one too where nothing could be read.
FACTS = np.dtype(
    [
        ("number", np.int8, (2,)),
        ("colour", np.int8, (2,)),
        ("shape", np.int8, (2,)),
        ("size", np.int8, (2,)),
        ("relation", np.int8),
    ]
)
Difficulty = Literal["single", "groups", "pairs", "crowds"]


def no_facts(num: int) -> np.ndarray:
    """`[N]` of FACTS, of nothing."""
    facts = np.zeros(num, FACTS)
    for field in ("colour", "shape", "size"):
        facts[field] = ABSENT
    return facts


def is_read(facts: np.ndarray) -> np.ndarray:
    """`[N]` bool: there is something that could be read."""
    return facts["number"][:, 0] > 0


def concepts_of(colour: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The number of each colour with a shape, in [0, 48); `ABSENT` where there is none."""
    return np.where(colour >= 0, colour.astype(int) * len(SHAPES) + shape, ABSENT)


def count_concepts(facts: np.ndarray) -> np.ndarray:
    """`[N, 48]` int, how many objects of each colour and shape there are."""
    concepts = concepts_of(facts["colour"], facts["shape"])  # [N, 2]
    return count(concepts, facts["number"])


def count(concepts: np.ndarray, number: np.ndarray) -> np.ndarray:
    """`[N, 48]` int, the sum of `number [N, K]` over the places of each of `concepts`."""
    counts = np.zeros((len(concepts), NUM_CONCEPTS + 1), int)
    np.add.at(counts, (np.arange(len(concepts))[:, None], concepts), number)
    return counts[:, :NUM_CONCEPTS]  # ABSENT is counted behind them.


def agree(said: np.ndarray, true: np.ndarray) -> np.ndarray:
    """`[N]` bool: all that is said is true, and no more than a size is left out.

    Colour, shape, number and relation must be said; what could not be read agrees with
    nothing.
    """
    same = is_read(said) & is_read(true) & (said["relation"] == true["relation"])
    for field in ("number", "colour", "shape"):
        same &= (said[field] == true[field]).all(1)
    size_fits = (said["size"] == true["size"]) | (said["size"] == ABSENT)
    return same & size_fits.all(1)


def _layout(cells: tuple[int, ...]) -> tuple[tuple[int, int, int], bool] | None:
    """Numbers and relation of cells that hold the sorts 0, 1 or `ABSENT`.

    Returns:
      The numbers of the first and of the second sort and the relation, and whether sort 1
      is the first one; None where that is no scene: two sorts must share no row and each
      have its own, or no column, and one object beside another must be in line with it.
    """
    places = [[i for i, cell in enumerate(cells) if cell == sort] for sort in (0, 1)]
    counts = [len(own) for own in places]
    if not counts[1]:
        return ((counts[0], 0, NO_RELATION), False) if counts[0] else None
    if not counts[0]:
        return None
    rows, columns = ([{divide(i) for i in own} for own in places] for divide in _AXES)
    in_row, in_column = rows[0] == rows[1], columns[0] == columns[1]
    is_lone = counts == [1, 1]
    for own, other, relation in ((columns, in_row, LEFT_OF), (rows, in_column, ABOVE)):
        is_apart = all(len(one) == 1 for one in own) and own[0] != own[1]
        if is_apart and (other or not is_lone):
            is_second_first = min(own[1]) < min(own[0])
            numbers = counts[::-1] if is_second_first else counts
            return (numbers[0], numbers[1], relation), is_second_first
    return None


_AXES = (lambda i: i // 2, lambda i: i % 2)  # The row and the column of a cell.
_BASE = 3 ** np.arange(NUM_CELLS)


def pattern(cells: np.ndarray) -> np.ndarray:
    """The number of each pattern of sorts, `[..., 4]` of `ABSENT`, 0 and 1, in [0, 81)."""
    return ((cells.astype(int) + 1) * _BASE).sum(-1)


# Of each pattern: the two numbers, the relation, and whether sort 1 is the first one.
READINGS = np.zeros((3**NUM_CELLS, 4), np.int8)
# Of numbers and relation: the cells of all pictures that show them, `[K, 4]`.
LAYOUTS: dict[tuple[int, int, int], np.ndarray] = {}
for _cells in itertools.product((ABSENT, 0, 1), repeat=NUM_CELLS):
    if _found := _layout(_cells):
        READINGS[pattern(np.array(_cells))] = [*_found[0], _found[1]]
        if not _found[1]:
            _rows = [*LAYOUTS.get(_found[0], ()), _cells]
            LAYOUTS[_found[0]] = np.array(_rows, np.int8)
_GROUPS = [(number, 0, NO_RELATION) for number in range(1, NUM_CELLS + 1)]
_RELATIONS = (LEFT_OF, ABOVE)
# What numbers and relations there are; each of a difficulty is as probable as the others of
# its kind, and each kind as the other kinds.
KINDS: dict[Difficulty, list[list[tuple[int, int, int]]]] = {
    "single": [_GROUPS[:1]],
    "groups": [_GROUPS[:1], _GROUPS[1:]],
    "pairs": [_GROUPS[:1], _GROUPS[1:], [(1, 1, relation) for relation in _RELATIONS]],
    "crowds": [
        _GROUPS,
        [(1, 1, relation) for relation in _RELATIONS],
        [
            (*numbers, relation)
            for numbers in ((1, 2), (2, 1), (2, 2))
            for relation in _RELATIONS
        ],
    ],
}
