"""A world of small scenes: draws them, pictures them, says what they show, and judges.

Shapes: N scenes, G concepts: each colour with each shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from annotated_types import Interval

from tolman.envs.scenes import grammar, pictures
from tolman.envs.scenes.facts import (
    ABSENT,
    COLOURS,
    FACTS,
    KINDS,
    LAYOUTS,
    NUM_CELLS,
    NUM_CONCEPTS,
    SHAPES,
    SIZES,
    Difficulty,
    agree,
    count_concepts,
    is_read,
    no_facts,
)
from tolman.envs.settings import check_choice

SCENE = np.dtype(
    [
        ("facts", FACTS),
        ("sort", np.int8, (NUM_CELLS,)),  # Which sort each cell holds, or ABSENT.
        ("place", np.int8, (NUM_CELLS, 2)),  # Down and right in the cell, on the grid.
    ]
)


class PictureWorld(Protocol):
    """What the Synth2 studies ask of a world; a user's own is one class with these methods.

    Scenes and facts are NumPy arrays of any structured type of the world's own; nobody else
    looks into them. A concept is what a caption can be prompted with, such as "red circle".

    Attributes:
      image_size: pixels of a side.
      vocabulary: all words of captions, in lower case.
      max_words: of a caption.
      concepts: G names.
      held_out: `[G]` bool, concepts that human pairs leave out.
    """

    @property
    def image_size(self) -> int: ...

    @property
    def vocabulary(self) -> tuple[str, ...]: ...

    @property
    def max_words(self) -> int: ...

    @property
    def concepts(self) -> tuple[str, ...]: ...

    @property
    def held_out(self) -> np.ndarray: ...

    def sample(
        self, rng: np.random.Generator, num: int, weights: np.ndarray | None = None
    ) -> Any:
        """Draws `[N]` scenes; `weights [G]` say how often a concept is in one."""
        ...

    def arrange(self, facts: Any, rng: np.random.Generator) -> Any:
        """Scenes `[N]` of which facts are true; what is not said is drawn."""
        ...

    def render(self, scenes: Any) -> np.ndarray:
        """Pictures `[N, H, W, 3]` uint8."""
        ...

    def caption(
        self, scenes: Any, rng: np.random.Generator, is_exact: bool = False
    ) -> list[str]:
        """One caption each, with a person's mistakes; all of it true with `is_exact`."""
        ...

    def facts(self, scenes: Any) -> Any:
        """What is true of scenes, `[N]`."""
        ...

    def parse(self, captions: Sequence[str]) -> Any:
        """What captions say, `[N]` facts."""
        ...

    def judge(self, images: np.ndarray) -> Any:
        """What pictures `[N, H, W, 3]`, from 0 to 255, show, `[N]` facts; not trained."""
        ...

    def is_read(self, facts: Any) -> np.ndarray:
        """`[N]` bool, False where a caption or picture could not be read."""
        ...

    def agree(self, said: Any, true: Any) -> np.ndarray:
        """`[N]` bool, what is said is right and enough."""
        ...

    def named_objects(self, facts: Any) -> np.ndarray:
        """`[N, G]` int, how many objects of each concept."""
        ...

    def drawn_objects(self, images: np.ndarray) -> np.ndarray:
        """`[N, G]` int, the same of pictures, those that show no whole scene too."""
        ...

    def is_held_out(self, scenes: Any) -> np.ndarray:
        """`[N]` bool, a held-out concept is in the scene."""
        ...


@dataclass(frozen=True)
class World:
    """Scenes of one sort of objects, or two beside or above each other; a `PictureWorld`.

    Colour, shape, size, number and relation; 48 concepts, of which 12 are held out: two of
    each shape, one or two of each colour.

    Attributes:
      difficulty: "single" objects; "groups", also of two to four alike; "pairs", also two
        objects with a relation; "crowds", also one or two objects beside one or two others.
      held_out_seed: which concepts are held out.
      cell_pixels: of a quarter's side; a picture has twice as many.
      leave_out_size: how often a caption does not tell the size of a sort.
      wrong_colour: how often it tells a wrong colour of a sort.
    """

    difficulty: Difficulty = "groups"
    held_out_seed: int = 0
    cell_pixels: Literal[12, 16] = 16
    leave_out_size: Annotated[float, Interval(ge=0, le=1)] = 0.15
    wrong_colour: Annotated[float, Interval(ge=0, le=1)] = 0.03

    @property
    def image_size(self) -> int:
        return 2 * self.cell_pixels

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return grammar.VOCABULARY

    @property
    def max_words(self) -> int:
        return grammar.MAX_WORDS

    @property
    def concepts(self) -> tuple[str, ...]:
        return tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)

    @property
    def held_out(self) -> np.ndarray:
        order = np.random.default_rng(self.held_out_seed).permutation(len(COLOURS))
        return ((order[:, None] + np.arange(len(SHAPES))) % 4 == 0).reshape(-1)

    def sample(
        self, rng: np.random.Generator, num: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Draws scenes.

        The two sorts of a scene are of two concepts, drawn without putting back.

        Args:
          rng: of all chance.
          num: N.
          weights: `[G]`, how probable each concept is, up to a factor; None for all alike.

        Returns:
          `[N]` of SCENE.

        Raises:
          ValueError: if there are weights of another number, below 0, or fewer than two
            above 0; if the difficulty is unknown.
        """
        check_choice("difficulty", self.difficulty, KINDS)
        weights = _weights(weights)
        # The two largest of log w + Gumbel noise are a draw without putting back.
        with np.errstate(divide="ignore"):
            scores = np.log(weights) + rng.gumbel(size=(num, NUM_CONCEPTS))
        drawn = np.argsort(-scores, axis=1)[:, :2]  # [N, 2]
        facts = no_facts(num)
        facts["colour"], facts["shape"] = drawn // len(SHAPES), drawn % len(SHAPES)
        facts["size"] = rng.integers(len(SIZES), size=(num, 2))
        facts["number"], facts["relation"] = _kinds(rng, self.difficulty, num)
        for field in ("colour", "shape", "size"):
            facts[field][facts["number"] == 0] = ABSENT
        return self.arrange(facts, rng)

    def arrange(self, facts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Scenes `[N]` of which facts are true; a size that is not said is drawn.

        Raises:
          ValueError: if facts could not be read, or no picture has room for them.
        """
        num, facts = len(facts), facts.copy()
        is_open = (facts["size"] == ABSENT) & (facts["number"] > 0)
        sizes = rng.integers(len(SIZES), size=(num, 2))
        facts["size"] = np.where(is_open, sizes, facts["size"])
        scenes = np.zeros(num, SCENE)
        scenes["facts"], scenes["sort"] = facts, _layouts(rng, facts)
        places = pictures.num_places(self.cell_pixels)[_looks(scenes)[..., 2]]
        scenes["place"] = rng.random((num, NUM_CELLS, 2)) * places[..., None]
        return scenes

    def render(self, scenes: np.ndarray) -> np.ndarray:
        """Pictures `[N, H, W, 3]` uint8 on a dark ground."""
        return pictures.draw(_looks(scenes), scenes["place"], self.cell_pixels)

    def caption(
        self, scenes: np.ndarray, rng: np.random.Generator, is_exact: bool = False
    ) -> list[str]:
        noise = (0.0, 0.0) if is_exact else (self.leave_out_size, self.wrong_colour)
        return grammar.say(scenes["facts"], rng, *noise)

    def facts(self, scenes: np.ndarray) -> np.ndarray:
        facts: np.ndarray = scenes["facts"]
        return facts

    def parse(self, captions: Sequence[str]) -> np.ndarray:
        """`[N]` of FACTS; number 0 of a caption that is not of the grammar."""
        return grammar.read(captions)

    def judge(self, images: np.ndarray) -> np.ndarray:
        """`[N]` of FACTS, by the nearest template of each quarter; number 0 of no scene."""
        return pictures.facts_of(pictures.see(images, self.cell_pixels))

    def is_read(self, facts: np.ndarray) -> np.ndarray:
        return is_read(facts)

    def agree(self, said: np.ndarray, true: np.ndarray) -> np.ndarray:
        """`[N]` bool: all that is said is true, and no more than a size is left out."""
        return agree(said, true)

    def named_objects(self, facts: np.ndarray) -> np.ndarray:
        return count_concepts(facts)

    def drawn_objects(self, images: np.ndarray) -> np.ndarray:
        return pictures.count_seen(pictures.see(images, self.cell_pixels))

    def is_held_out(self, scenes: np.ndarray) -> np.ndarray:
        return count_concepts(scenes["facts"])[:, self.held_out].any(1)


def _kinds(
    rng: np.random.Generator, difficulty: Difficulty, num: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers `[N, 2]` and relations `[N]` that a difficulty has."""
    kinds = KINDS[difficulty]
    kind, within = rng.integers(len(kinds), size=num), rng.random(num)
    numbers, relation = np.zeros((num, 2), np.int8), np.zeros(num, np.int8)
    for index, ways in enumerate(kinds):
        way = (within * len(ways)).astype(int)
        for number, (first, second, between) in enumerate(ways):
            rows = (kind == index) & (way == number)
            numbers[rows], relation[rows] = (first, second), between
    return numbers, relation


def _layouts(rng: np.random.Generator, facts: np.ndarray) -> np.ndarray:
    """`[N, 4]`, which sort each cell holds: one of the ways to show these facts."""
    num = len(facts)
    way, is_set = rng.random(num), np.zeros(num, bool)
    sort = np.zeros((num, NUM_CELLS), np.int8)
    for (first, second, relation), cells in LAYOUTS.items():
        rows = (facts["number"] == (first, second)).all(1)
        rows &= facts["relation"] == relation
        sort[rows] = cells[(way[rows] * len(cells)).astype(int)]
        is_set |= rows
    if not is_set.all():
        raise ValueError(
            f"facts: {num - is_set.sum()} of {num} are of no scene. Leave out those of "
            "captions that cannot be read."
        )
    return sort


def _looks(scenes: np.ndarray) -> np.ndarray:
    """`[N, 4, 3]`, colour, shape and size of what each cell holds; `ABSENT` of nothing."""
    facts = scenes["facts"]
    looks = np.stack([facts[field] for field in ("colour", "shape", "size")], -1)
    sort = scenes["sort"].astype(int)[..., None]  # [N, 4, 1]
    return np.where(
        sort == ABSENT, ABSENT, np.take_along_axis(looks, np.maximum(sort, 0), 1)
    )


def _weights(weights: np.ndarray | None) -> np.ndarray:
    """`[G]` of what may be given as weights."""
    found = np.ones(NUM_CONCEPTS) if weights is None else np.asarray(weights, float)
    if found.shape != (NUM_CONCEPTS,):
        raise ValueError(
            f"weights of shape {found.shape}: must be [{NUM_CONCEPTS}]. Give one for each "
            "of the world's concepts."
        )
    if not (np.isfinite(found).all() and (found >= 0).all() and (found > 0).sum() > 1):
        raise ValueError(
            f"weights from {found.min()} to {found.max()}: must be finite, from 0 on, and "
            "two of them above 0. Leave them out for all concepts alike."
        )
    return found


def zipf_weights(rng: np.random.Generator, num: int) -> np.ndarray:
    """`[num]`, 1, 1/2, 1/3, ..., in a random order: few concepts are frequent."""
    return rng.permutation(1.0 / np.arange(1, num + 1))
