"""Handwritten digits: MNIST from files that the user has, else scikit-learn's small ones.

Source: LeCun et al. 1998 (MNIST, 28 x 28); Alpaydin and Kaynak 1998 (8 x 8). Neither is
  part of this project.
"""

from __future__ import annotations

import functools
import gzip
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tolman.envs.data import DATA_VARIABLE, data_set
from tolman.envs.settings import check_choice

Name = Literal["auto", "mnist", "digits"]
SPLITS = ("train", "validation", "test")
NUM_CLASSES = 10
NUM_HELD_OUT = 5_000  # Of MNIST's training images, the last ones: for validation.
MAGIC = {"images": 2051, "labels": 2049}
SMALL_SHARES = (0.7, 0.8)  # Where training and validation end, of the small digits.
HOW_TO_GET = (
    "Put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz "
    f"and t10k-labels-idx1-ubyte.gz into a folder mnist/ and set {DATA_VARIABLE} to the "
    "folder that holds it, or `pip install scikit-learn` for its small digits."
)


class Digits(NamedTuple):
    """The images of one split.

    Attributes:
      image: `[N, S, S]` uint8, of side S.
      label: `[N]` int32.
    """

    image: np.ndarray
    label: np.ndarray


def which(name: Name) -> Literal["mnist", "digits"]:
    """The data set that there is: "auto" takes MNIST, else the small digits.

    Raises:
      ValueError: if there is none, in one line that says how to get it.
    """
    check_choice("data", name, ("auto", "mnist", "digits"))
    if name != "digits" and data_set("mnist") is not None:
        return "mnist"
    if name != "mnist" and _has_small_digits():
        return "digits"
    raise ValueError(f"data={name!r}: is not there. {HOW_TO_GET}")


def read(name: Name, split: str) -> Digits:
    """Returns one split; it is read once.

    Of MNIST the last 5,000 training images are for validation, and the test images are its
    own. Of the 1,797 small digits, which are in a fixed random order, the first 70 per cent
    train, the next tenth validates and the others test.

    Raises:
      ValueError: if the data are not there, cut short or something else.
    """
    check_choice("split", split, SPLITS)
    if which(name) == "digits":
        return _small_digits()[SPLITS.index(split)]
    folder = data_set("mnist")
    if folder is None:
        raise ValueError(f"data={name!r}: is not there. {HOW_TO_GET}")
    if split == "test":
        return _read_part(folder, "t10k")
    whole = _read_part(folder, "train")
    num_held_out = min(NUM_HELD_OUT, len(whole.label) // 2)
    part = slice(None, -num_held_out) if split == "train" else slice(-num_held_out, None)
    return Digits(whole.image[part], whole.label[part])


@functools.cache
def _read_part(folder: Path, part: str) -> Digits:
    image = _read_idx(folder, f"{part}-images-idx3-ubyte", "images")
    label = _read_idx(folder, f"{part}-labels-idx1-ubyte", "labels")
    if len(image) != len(label):
        raise ValueError(
            f"{folder}: {part} has {len(image)} images and {len(label)} labels; they must "
            "be as many. Get the files again."
        )
    return Digits(image, label.astype(np.int32))


def _read_idx(folder: Path, name: str, kind: Literal["images", "labels"]) -> np.ndarray:
    """An array of bytes: magic number, sizes (big endian), values."""
    path = next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
    if path is None:
        raise ValueError(f"{folder}: holds no {name}.gz. {HOW_TO_GET}")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path}: is no gzip file, or cut short ({error}). Get it again."
        ) from None
    num_axes = 3 if kind == "images" else 1
    size = 4 * (num_axes + 1)
    magic = int.from_bytes(content[:4], "big")
    if magic == MAGIC[kind] and len(content) < size:
        raise ValueError(
            f"{path}: holds {len(content)} bytes, must hold {size} for its head alone. Get "
            "it again."
        )
    if magic != MAGIC[kind]:
        got = magic if content else "nothing"
        raise ValueError(
            f"{path}: begins with {got}, must begin with the number {MAGIC[kind]} of IDX "
            f"{kind}. Get it again."
        )
    shape = tuple(np.frombuffer(content[4:size], ">u4").tolist())
    values = np.frombuffer(content, np.uint8, offset=size)
    if len(values) != np.prod(shape):
        raise ValueError(
            f"{path}: holds {len(values)} values, must hold {np.prod(shape)}, as its head "
            "says. Get it again."
        )
    return values.reshape(shape)


def _has_small_digits() -> bool:
    try:
        import sklearn.datasets  # noqa: F401
    except ImportError:
        return False
    return True


@functools.cache
def _small_digits() -> tuple[Digits, ...]:
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    image = np.round(found.images[order] * (255 / 16)).astype(np.uint8)
    label = found.target[order].astype(np.int32)
    ends = [round(share * len(label)) for share in SMALL_SHARES]
    parts = zip(np.split(image, ends), np.split(label, ends), strict=True)
    return tuple(Digits(*part) for part in parts)
