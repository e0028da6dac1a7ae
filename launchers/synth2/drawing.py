"""Codes of an open text-to-image model for many captions, kept on disk part by part."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tolman.launchers.synth2.open_parts import TextToCodes

logger = logging.getLogger("tolman")


def draw_codes(
    model: TextToCodes,
    identity: str,
    captions: Sequence[str],
    folder: Path,
    seed: int = 0,
    at_once: int = 16,
    told: Callable[[int], None] = lambda _: None,
) -> np.ndarray:
    """`[N, T]` uint16, an image of each caption; a part that is on disk is not drawn again.

    Args:
      model: that draws.
      identity: what tells the model and its settings apart from any other.
      captions: N texts.
      folder: of the parts.
      seed: of all images.
      at_once: captions of a part.
      told: is called with the number of captions, after each part.

    Raises:
      ValueError: if there are no captions, or one is empty.
    """
    empty = [i for i, one in enumerate(captions) if not one.strip()]
    if empty or not captions:
        where = f", the first is number {empty[0]}" if empty else ""
        raise ValueError(
            f"captions: {len(empty)} of {len(captions)} are empty{where}. Give at least "
            "one, and leave empty ones out."
        )
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for first in range(0, len(captions), at_once):
        own = list(captions[first : first + at_once])
        key = json.dumps([identity, seed + first, own]).encode()
        path = folder / f"{hashlib.sha256(key).hexdigest()[:24]}.npy"
        tokens = _read(path, (len(own), model.num_tokens))
        if tokens is None:
            tokens = model.draw(own, seed + first)
            written = path.with_suffix(".part")
            with written.open("wb") as file:
                np.save(file, tokens)
            written.replace(path)
        parts.append(tokens)
        told(len(own))
    return np.concatenate(parts)


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """A part, or None where it is not there or broken."""
    if not path.exists():
        return None
    try:
        tokens: np.ndarray = np.load(path, allow_pickle=False)
    except Exception:  # A torn file can make its readers raise anything.
        tokens = np.zeros(0)
    if tokens.shape != shape or tokens.dtype != np.uint16:
        logger.warning("%s: is broken, and is drawn anew.", path)
        return None
    return tokens
