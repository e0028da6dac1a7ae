"""Draws scenes, and reads pictures of them by templates, without any training.

Objects stand on a grid of 4 pixels, so that few patches of 4 x 4 pixels occur.

Shapes: N pictures, four cells, C pixels of a cell's side, K templates.
"""

from __future__ import annotations

import functools

import numpy as np

from tolman.envs.scenes.facts import (
    ABSENT,
    COLOURS,
    NO_RELATION,
    NUM_CELLS,
    READINGS,
    SHAPES,
    SIZES,
    concepts_of,
    count,
    no_facts,
    pattern,
)

GRID = 4  # Pixels between the places where an object may stand.
SIDES = (8, 12)  # Pixels, of a small and of a large object.
BACKGROUND = (24, 24, 24)
RGB = np.array(
    [
        (214, 40, 40),  # red
        (44, 172, 60),  # green
        (48, 84, 232),  # blue
        (240, 216, 48),  # yellow
        (140, 48, 200),  # purple
        (60, 212, 224),  # cyan
        (252, 140, 196),  # pink
        (248, 248, 248),  # white
    ],
    np.uint8,
)
CELLS_AT_ONCE = 4096  # Cells that are compared with all templates in one product.


def mask(shape: int, side: int) -> np.ndarray:
    """`[side, side]` bool, the pixels of one shape."""
    centres = (2 * np.arange(side) + 1) / side - 1
    down, right = np.meshgrid(centres, centres, indexing="ij")
    radius = down**2 + right**2
    return {
        "circle": radius <= 1,
        "square": np.ones((side, side), bool),
        "triangle": np.abs(right) <= (down + 1) / 2,
        "cross": (np.abs(right) <= 1 / 3) | (np.abs(down) <= 1 / 3),
        "diamond": np.abs(right) + np.abs(down) <= 1,
        "ring": (radius <= 1) & (radius >= 0.3),
    }[SHAPES[shape]]


def num_places(cell: int) -> np.ndarray:
    """`[2]`, how many places along one side a small and a large object have in a cell."""
    return (cell - np.array(SIDES)) // GRID + 1


@functools.cache
def templates(cell: int) -> tuple[np.ndarray, np.ndarray]:
    """All that a cell of so many pixels can show, in every place.

    Returns:
      Pictures `[K, C, C, 3]` uint8, and their colour, shape and size `[K, 3]`; the first is
      the empty cell, of `ABSENT`.
    """
    shown, meant = [np.full((cell, cell, 3), BACKGROUND, np.uint8)], [(ABSENT,) * 3]
    for size, (side, places) in enumerate(zip(SIDES, num_places(cell), strict=True)):
        for shape in range(len(SHAPES)):
            for place in np.ndindex(places, places):
                for colour in range(len(COLOURS)):
                    picture = shown[0].copy()
                    top, left = (GRID * one for one in place)
                    window = picture[top : top + side, left : left + side]
                    window[mask(shape, side)] = RGB[colour]
                    shown.append(picture)
                    meant.append((colour, shape, size))
    return np.array(shown), np.array(meant, np.int8)


@functools.cache
def first_templates(cell: int) -> np.ndarray:
    """`[2, 6]`, of each size and shape the number of its first template, of colour 0."""
    _, meant = templates(cell)
    numbers = np.zeros((len(SIZES), len(SHAPES)), int)
    for number in range(len(meant) - 1, 0, -1):
        colour, shape, size = meant[number]
        if colour == 0:
            numbers[size, shape] = number
    return numbers


def draw(looks: np.ndarray, place: np.ndarray, cell: int) -> np.ndarray:
    """Pictures `[N, 2 C, 2 C, 3]` uint8 of what cells hold.

    Args:
      looks: `[N, 4, 3]`, colour, shape and size; `ABSENT` in an empty cell.
      place: `[N, 4, 2]`, down and right, on the grid.
      cell: C.
    """
    shown, _ = templates(cell)
    colour, shape, size = looks[..., 0], looks[..., 1], looks[..., 2]
    places = num_places(cell)[size]
    step = place[..., 0] * places + place[..., 1]
    numbers = first_templates(cell)[size, shape] + step * len(COLOURS) + colour
    cells = shown[np.where(colour == ABSENT, 0, numbers)]  # [N, 4, C, C, 3]
    rows = cells.reshape(-1, 2, 2, cell, cell, 3).transpose(0, 1, 3, 2, 4, 5)
    return rows.reshape(-1, 2 * cell, 2 * cell, 3)


def see(pictures: np.ndarray, cell: int) -> np.ndarray:
    """Colour, shape and size of what is nearest in each cell, `[N, 4, 3]`.

    Args:
      pictures: `[N, 2 C, 2 C, 3]`, from 0 to 255.
      cell: C.

    Raises:
      ValueError: if the pictures are of another size.
    """
    side = 2 * cell
    if pictures.shape[1:] != (side, side, 3):
        raise ValueError(
            f"pictures of shape {pictures.shape}: must be [N, {side}, {side}, "
            "3]. Scale them."
        )
    shown, meant = templates(cell)
    known = shown.reshape(len(shown), -1).astype(np.float32)
    rows = pictures.reshape(-1, 2, cell, 2, cell, 3).transpose(0, 1, 3, 2, 4, 5)
    cells = rows.reshape(-1, cell * cell * 3)
    offset = (known**2).sum(1) / 2
    nearest = np.zeros(len(cells), int)
    for first in range(0, len(cells), CELLS_AT_ONCE):
        part = cells[first : first + CELLS_AT_ONCE].astype(np.float32)
        nearest[first : first + CELLS_AT_ONCE] = (part @ known.T - offset).argmax(1)
    return meant[nearest].reshape(-1, NUM_CELLS, 3)


def count_seen(seen: np.ndarray) -> np.ndarray:
    """`[N, 48]` int, how many objects of each colour and shape cells `[N, 4, 3]` hold."""
    concepts = concepts_of(seen[..., 0], seen[..., 1])
    return count(concepts, np.ones_like(concepts))


def facts_of(seen: np.ndarray) -> np.ndarray:
    """`[N]` of FACTS, of what cells `[N, 4, 3]` hold; number 0 where that is no scene."""
    kinds = np.where(
        seen[..., 0] == ABSENT, ABSENT, (seen * np.array([1, 8, 64])).sum(-1)
    )  # [N, 4]
    largest = kinds.max(1)
    smallest = np.where(kinds == ABSENT, largest[:, None], kinds).min(1)
    in_first, in_second = kinds == largest[:, None], kinds == smallest[:, None]
    is_empty = kinds == ABSENT
    sorts = np.where(is_empty, ABSENT, np.where(in_first, 0, 1))
    readings = READINGS[pattern(sorts)]  # [N, 4]
    is_scene = (in_first | in_second | is_empty).all(1) & (readings[:, 0] > 0)
    facts = no_facts(len(seen))
    facts["number"] = np.where(is_scene[:, None], readings[:, :2], 0)
    facts["relation"] = np.where(is_scene, readings[:, 2], NO_RELATION)
    where = np.stack([in_first.argmax(1), in_second.argmax(1)], 1)  # [N, 2]
    where = np.where(readings[:, 3:] == 1, where[:, ::-1], where)
    held = np.take_along_axis(seen, where[..., None], 1)  # [N, 2, 3]
    held = np.where((facts["number"] > 0)[..., None], held, ABSENT)
    for index, field in enumerate(("colour", "shape", "size")):
        facts[field] = held[..., index]
    return facts
