"""Pictures to choose between: characters, photographs, or ones drawn from a seed.

Shapes: C classes, E examples of each, S pixels a side.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from tolman.envs.data import DATA_VARIABLE, data_set
from tolman.envs.settings import check_choice

Source = Literal["auto", "omniglot", "fruits", "generated"]
Split = Literal["train", "held_out"]
SOURCES: tuple[str, ...] = get_args(Source)
SPLITS: tuple[str, ...] = get_args(Split)

FOLDERS = {"omniglot": "omniglot", "fruits": "fruits360_subset"}
HELD_OUT_EVERY = 4  # Of the sorted alphabets or varieties, the last of every four.


def find_source(source: str) -> str:
    """Which pictures `source` stands for: "auto" takes the first kind that is there.

    The order is omniglot, fruits, generated; the choice of "auto" is logged.

    Raises:
      ValueError: for an unknown source, or one whose files are absent.
    """
    check_choice("source", source, SOURCES)
    if source == "auto":
        there = [name for name, folder in FOLDERS.items() if data_set(folder) is not None]
        found = [*there, "generated"][0]
        logging.getLogger(__name__).info("image source auto: using %s", found)
        return found
    if source in FOLDERS and data_set(FOLDERS[source]) is None:
        raise ValueError(
            f"source={source!r}: its folder {FOLDERS[source]!r} is not there. Set "
            f"{DATA_VARIABLE} to the folder that holds it, or use --env.source generated."
        )
    return source


def load_images(source: str, split: str, size: int, num_images: int) -> np.ndarray:
    """Pictures of one split; no class of one split occurs in the other.

    Characters are split by alphabet, photographs by variety. There is one example of
    each class if the classes are more than `num_images`, else about
    `num_images / num_classes`.

    Args:
      source: "omniglot", "fruits" or "generated"; see `find_source` for "auto".
      split: "train" or "held_out".
      size: S, pixels.
      num_images: the most that are loaded; `generated` gives exactly as many, each a
        class of its own.

    Returns:
      `[C, E, S, S, 3]` uint8, read-only.

    Raises:
      ValueError: for an unknown or absent source, a folder without pictures, or an unknown
        split.
    """
    check_choice("split", split, SPLITS)
    found = find_source(source)
    folder = data_set(FOLDERS[found]) if found in FOLDERS else None
    return _load(found, split, size, num_images, folder)


@functools.lru_cache(maxsize=16)
def _load(
    source: str, split: str, size: int, num_images: int, folder: Path | None
) -> np.ndarray:
    if folder is None:
        drawn = [draw_image(split, index, size) for index in range(num_images)]
        images = np.stack(drawn)[:, None]
    elif source == "omniglot":
        images = _omniglot(folder, split, size, num_images)
    else:
        images = _fruits(folder, split, size, num_images)
    images.setflags(write=False)
    return images


def _split(names: list[str], split: str) -> list[str]:
    def is_held_out(index: int) -> bool:
        return index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1

    return [
        name
        for index, name in enumerate(sorted(names))
        if is_held_out(index) == (split == "held_out")
    ]


def _table(classes: list[list[str]], num_images: int) -> list[list[str]]:
    """As many classes, and as many examples of each, as `num_images` allows."""
    classes = classes[:num_images]
    num_examples = min(max(1, num_images // len(classes)), min(map(len, classes)))
    return [examples[:num_examples] for examples in classes]


def _omniglot(folder: Path, split: str, size: int, num_images: int) -> np.ndarray:
    paths = sorted(folder.glob("images_background*.zip"))
    if not paths:
        raise _nothing_in(folder, "images_background*.zip")
    with contextlib.ExitStack() as stack:
        archives = [stack.enter_context(zipfile.ZipFile(path)) for path in paths]
        return _read_omniglot(archives, split, size, num_images)


def _read_omniglot(
    opened: Sequence[zipfile.ZipFile], split: str, size: int, num_images: int
) -> np.ndarray:
    from PIL import Image

    archives: dict[str, zipfile.ZipFile] = {}  # Character to archive; some are in both.
    drawings: dict[str, list[str]] = {}
    for archive in opened:
        members: dict[str, list[str]] = {}
        for name in sorted(archive.namelist()):
            if name.endswith(".png") and not name.startswith("__MACOSX"):
                members.setdefault("/".join(name.split("/")[1:3]), []).append(name)
        for character, names in members.items():
            archives[character], drawings[character] = archive, names
    alphabets = _split(list({character.split("/")[0] for character in drawings}), split)
    characters = [name for name in sorted(drawings) if name.split("/")[0] in alphabets]

    def read(character: str, name: str) -> np.ndarray:
        with Image.open(io.BytesIO(archives[character].read(name))) as image:
            small = image.convert("L").resize((size, size), Image.Resampling.BOX)
        ink = 255.0 - np.asarray(small, np.float32)
        ink *= 255.0 / max(float(ink.max()), 1.0)  # Thin strokes fade when made small.
        return np.repeat((255.0 - ink)[..., None], 3, axis=-1).astype(np.uint8)

    table = _table([drawings[character] for character in characters], num_images)
    return np.stack(
        [
            np.stack([read(character, name) for name in names])
            for character, names in zip(characters, table, strict=False)
        ]
    )


def _fruits(folder: Path, split: str, size: int, num_images: int) -> np.ndarray:
    from PIL import Image

    photographs: dict[str, list[str]] = {}
    seen: set[bytes] = set()
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path.glob("*.jpg"))
        if not files:
            continue
        # Some varieties are there twice, under two names; one could be held out.
        first = files[0].read_bytes()
        if first not in seen:
            photographs[path.name] = [str(file) for file in files]
        seen.add(first)
    if not photographs:
        raise _nothing_in(folder, "folders of *.jpg")
    varieties = _split(list(photographs), split)

    def read(path: str) -> np.ndarray:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((size, size), Image.Resampling.BOX)
        return np.asarray(small, np.uint8)

    table = _table([photographs[variety] for variety in varieties], num_images)
    return np.stack([np.stack([read(path) for path in paths]) for paths in table])


def _nothing_in(folder: Path, wanted: str) -> ValueError:
    return ValueError(
        f"{folder}: has no {wanted}. Copy the pictures there anew, or use --env.source "
        "generated."
    )


def draw_image(split: str, index: int, size: int) -> np.ndarray:
    """Draws picture number `index` of a split: two colours in one of three patterns.

    The patterns are gratings, smooth blobs and outlined shapes; orientation, scale,
    place and colours are drawn. The same picture at another size shows the same thing.

    Returns:
      `[S, S, 3]` uint8.
    """
    rng = np.random.default_rng([2016, SPLITS.index(split), index])
    colours = rng.uniform(0.0, 255.0, (2, 3))
    while np.abs(colours[0] - colours[1]).max() < 96.0:
        colours = rng.uniform(0.0, 255.0, (2, 3))
    centre = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    y, x = np.meshgrid(centre, centre, indexing="ij")
    pattern = (_grating, _blobs, _shape)[rng.integers(3)]
    weight = pattern(rng, x, y)[..., None]  # [S, S, 1] in [0, 1].
    return (weight * colours[0] + (1.0 - weight) * colours[1]).astype(np.uint8)


def _grating(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle, phase = rng.uniform(0.0, np.pi), rng.uniform(0.0, 2.0 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    return 0.5 + 0.5 * np.sin(np.pi * rng.uniform(0.7, 2.5) * along + phase)


def _blobs(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    field = np.zeros_like(x)
    for _ in range(rng.integers(2, 5)):
        at_x, at_y = rng.uniform(-0.9, 0.9, 2)
        width = rng.uniform(0.25, 0.6)
        field += np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / width**2)
    return np.minimum(field, 1.0)


def _shape(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle, radius = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.4, 0.85)
    num_corners = rng.integers(3, 8)
    # A regular polygon, seen from its centre: the distance to the nearest side.
    direction = (np.arctan2(y, x) - angle) % (2.0 * np.pi / num_corners)
    distance = np.hypot(x, y) * np.cos(direction - np.pi / num_corners)
    edge = 2.0 / len(x)
    filled = np.clip((radius - distance) / edge + 0.5, 0.0, 1.0)
    hole = np.clip((0.5 * radius - distance) / edge + 0.5, 0.0, 1.0)
    return filled - hole * rng.integers(2)
