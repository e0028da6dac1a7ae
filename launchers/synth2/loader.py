"""Photographs as batches of pixels, decoded in threads while the devices work.

Shapes: B images of a batch, H = W pixels.
"""

from __future__ import annotations

import collections
import io
import itertools
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge

from tolman.launchers.synth2.photographs import Photograph


class Batch(NamedTuple):
    """Attributes:
    images: `[B, H, W, 3]` uint8.
    captions: of each image one or more.
    """

    images: np.ndarray
    captions: list[tuple[str, ...]]


@dataclass
class Waiting:
    """How long what reads a loader has waited for it.

    Attributes:
      seconds: waited.
      since: when the first batch was asked for, by the clock `time.perf_counter`.
    """

    seconds: float = 0.0
    since: float | None = None

    @property
    def share(self) -> float:
        """Of the time since the first batch was asked for; 0 before."""
        if self.since is None:
            return 0.0
        return self.seconds / max(time.perf_counter() - self.since, 1e-9)


@dataclass(frozen=True)
class Loader:
    """Batches of photographs, in their order or shuffled.

    At most `num_ahead` batches of pixels, and `shuffle` files as they lie on disk, are in
    memory at once.

    Attributes:
      photographs: gone through once for each pass.
      image_size: H = W; the shorter side is scaled to it, the middle is cut out.
      batch_size: B.
      shuffle: a photograph is drawn among so many; 0 keeps the order.
      num_threads: that decode.
      num_ahead: batches that are decoded ahead.
      waiting: how long batches were waited for.
    """

    photographs: Iterable[Photograph]
    image_size: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(1)]
    shuffle: Annotated[int, Ge(0)] = 0
    num_threads: Annotated[int, Ge(1)] = 2
    num_ahead: Annotated[int, Ge(1)] = 2
    waiting: Waiting = field(default_factory=Waiting, compare=False)

    def once(self) -> Iterator[Batch]:
        """All photographs once, in their order; the last batch may be smaller."""
        return self._batches(self.photographs)

    def stream(self, key: Any, first: int) -> Iterator[np.ndarray]:
        """Images `[B, H, W, 3]` without end, pass after pass; see `StreamingSource`.

        Batches before `first` are read, but not decoded.
        """
        for batch in self.pairs(key, first):
            yield batch.images

    def pairs(self, key: Any, first: int) -> Iterator[Batch]:
        """As `stream`, with the captions."""
        numbers = np.asarray(key).astype(np.uint32).reshape(-1)
        rng = np.random.default_rng(numbers.tolist())
        endless = self._endless(rng)
        return self._batches(itertools.islice(endless, first * self.batch_size, None))

    def _endless(self, rng: np.random.Generator) -> Iterator[Photograph]:
        while True:
            held: list[Photograph] = []
            is_empty = True
            for photograph in self.photographs:
                is_empty = False
                held.append(photograph)
                if len(held) > self.shuffle:
                    yield _draw_from(held, rng, self.shuffle > 0)
            while held:
                yield _draw_from(held, rng, self.shuffle > 0)
            if is_empty:
                raise ValueError("no photographs: must be at least one. Give another file.")

    def _batches(self, photographs: Iterable[Photograph]) -> Iterator[Batch]:
        """Batches of photographs; while one is used, the next are decoded."""
        source = iter(photographs)
        ahead: collections.deque[list[tuple[Photograph, Future]]] = collections.deque()
        with ThreadPoolExecutor(self.num_threads) as threads:
            try:
                while True:
                    asked = time.perf_counter()
                    if self.waiting.since is None:
                        self.waiting.since = asked
                    while len(ahead) <= self.num_ahead:
                        part = list(itertools.islice(source, self.batch_size))
                        if not part:
                            break
                        ahead.append(
                            [
                                (one, threads.submit(decode, one, self.image_size))
                                for one in part
                            ]
                        )
                    if not ahead:
                        return
                    ready = ahead.popleft()
                    images = np.stack([image.result() for _, image in ready])
                    self.waiting.seconds += time.perf_counter() - asked
                    yield Batch(images, [one.captions for one, _ in ready])
            finally:
                threads.shutdown(wait=False, cancel_futures=True)


def decode(photograph: Photograph, image_size: int) -> np.ndarray:
    """`[H, W, 3]` uint8: scaled so that the shorter side fits, the middle cut out.

    Raises:
      ValueError: if the image cannot be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(photograph.image)) as image:
            image.draft("RGB", (2 * image_size, 2 * image_size))  # JPEG: fewer pixels.
            whole = ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "of no known format, or cut short"
        raise ValueError(
            f"{photograph.name}: is no image that can be read ({reason}). Take it out."
        ) from None
    fitted = ImageOps.fit(whole, (image_size, image_size), Image.Resampling.BICUBIC)
    return np.asarray(fitted)


def _draw_from(
    held: list[Photograph], rng: np.random.Generator, is_shuffled: bool
) -> Photograph:
    """Takes one out: any, or the first."""
    if not is_shuffled:
        return held.pop(0)
    place = int(rng.integers(len(held)))
    held[place], held[-1] = held[-1], held[place]
    return held.pop()
