"""Pairs to learn from: made by people, made ahead by models, or made while learning.

Shapes: P pairs, B pairs of a batch, N tokens of an image, T places of a caption.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval

from tolman.agents.agent import Array, Params
from tolman.agents.synth2.codes import Examples, FrozenCodes
from tolman.agents.synth2.generator import Generator

MAX_CODES = 2**16  # A token is kept in two bytes.


class Pairs(NamedTuple):
    """Pairs as they are kept: two bytes a token; see `Examples`.

    Attributes:
      tokens: `[P, N]` uint16.
      captions: `[P, T]` uint16.
      has_image: `[P]` bool.
    """

    tokens: np.ndarray
    captions: np.ndarray
    has_image: np.ndarray


def make_pairs(tokens: np.ndarray, captions: np.ndarray, has_image: bool = True) -> Pairs:
    """P pairs to be kept.

    Args:
      tokens: `[P, N]`, in [0, 2^16).
      captions: `[P, T]`, in [0, 2^16).
      has_image: whether the captions have one; without it tokens are not read.

    Raises:
      ValueError: if there are no pairs, their numbers differ, or a token is too large.
    """
    if len(tokens) != len(captions) or not len(tokens):
        raise ValueError(
            f"{len(tokens)} images and {len(captions)} captions: each image needs its "
            "caption, and one pair is needed. Give them in the same order."
        )
    for name, rows in (("tokens", tokens), ("captions", captions)):
        if rows.min() < 0 or rows.max() >= MAX_CODES:
            raise ValueError(
                f"{name} from {rows.min()} to {rows.max()}: must lie in [0, {MAX_CODES}). "
                "Use a tokenizer or vocabulary with fewer entries."
            )
    rows = np.full(len(tokens), has_image)
    return Pairs(tokens.astype(np.uint16), captions.astype(np.uint16), rows)


def join(*parts: Pairs) -> Pairs:
    """All pairs, one part behind the other."""
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Table(NamedTuple):
    """Pairs in the memory of the devices, of two sorts.

    Attributes:
      pairs: `[P, ...]`.
      human: `[2]`, first and end of those that people made.
      other: `[2]`, of those that models made.
    """

    pairs: Examples
    human: Array
    other: Array


@dataclass(frozen=True)
class MixedPairs:
    """Batches of human and other pairs; the methods are those of a runner's `Source`.

    Arms of an experiment that differ in their pairs alone are of one compiled program: the
    human arm takes human pairs for the others too, and tables are filled up to one size.

    Attributes:
      human: `[P, ...]`.
      other: `[P, ...]`, or None for human pairs alone.
      share: of a batch that is other pairs, rounded to whole pairs.
      capacity: pairs that the table is filled up to, with ones that are never drawn; 0 for
        as many as there are.
    """

    human: Pairs
    other: Pairs | None = None
    share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    capacity: int = 0

    def load(self, split: str) -> Any:
        """The table; of each split the same."""
        del split
        parts = [self.human] if self.other is None else [self.human, self.other]
        pairs = join(*parts)
        human = (0, len(self.human.tokens))
        other = human if self.other is None else (human[1], len(pairs.tokens))
        missing = max(self.capacity - len(pairs.tokens), 0)
        filled = (
            jnp.asarray(np.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1))) for x in pairs
        )
        return Table(Examples(*filled), jnp.asarray(human), jnp.asarray(other))

    def sample(self, data: Table, key: Array, batch_size: int) -> Examples:
        human_key, other_key = jax.random.split(key)
        num_other = round(self.share * batch_size)
        human = _draw(human_key, data.human, batch_size - num_other)
        other = _draw(other_key, data.other, num_other)
        rows = jnp.concatenate([human, other])
        return _wide(jax.tree.map(lambda x: x[rows], data.pairs))


class ImageCodec(Protocol):
    """Writes images in tokens, and reads them; `Tokenizer` is one."""

    def encode(self, params: Params, images: Array) -> Array:
        """Tokens `[B, N]` of images `[B, H, W, 3]`."""
        ...

    def decode(self, params: Params, tokens: Array) -> Array:
        """Images of tokens."""
        ...


class Making(NamedTuple):
    """What pairs are made of while learning.

    Attributes:
      pairs: `[P, ...]` of people.
      captions: `[Q, T]`, to be drawn.
      params: of the generator, frozen.
      key: `[2]`; with the number of a caption it is all chance in its image.
      codec_params: of the codec, frozen; None where images stay tokens.
    """

    pairs: Examples
    captions: Array
    params: FrozenCodes
    key: Array
    codec_params: Params


@dataclass(frozen=True)
class MadePairs:
    """Batches of human pairs and of pairs that are made in the update itself.

    The methods are those of a runner's `Source`. With `fresh_images` False a caption has
    one image, the one that `draw_ahead` draws from the same key.

    Attributes:
      human: `[P, ...]`.
      captions: `[Q, T]`, of a model.
      generator: draws their images.
      params: of the generator.
      key: `[2]`, of the images.
      share: of a batch that is made, rounded to whole pairs.
      fresh_images: a caption gets another image each time.
      codec: decodes each image to pixels and encodes it again; None for the embeddings
        that the generator gives.
      codec_params: of the codec.
    """

    human: Pairs
    captions: np.ndarray
    generator: Generator
    params: FrozenCodes
    key: Array
    share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    fresh_images: bool = True
    codec: ImageCodec | None = None
    codec_params: Params = None

    def load(self, split: str) -> Any:
        """Pairs, captions, the parameters of the models and a key, on the devices."""
        del split
        human = Examples(*map(jnp.asarray, self.human))
        params, codec = jax.tree.map(jnp.asarray, (self.params, self.codec_params))
        return Making(human, jnp.asarray(self.captions), params, self.key, codec)

    def sample(self, data: Making, key: Array, batch_size: int) -> Examples:
        human_key, other_key, image_key = jax.random.split(key, 3)
        num_other = round(self.share * batch_size)
        rows = _draw(human_key, (0, len(data.pairs.tokens)), batch_size - num_other)
        human = _wide(jax.tree.map(lambda x: x[rows], data.pairs))
        chosen = _draw(other_key, (0, len(data.captions)), num_other)
        captions = data.captions[chosen].astype(jnp.int32)
        if self.fresh_images:
            keys = jax.random.split(image_key, num_other)
        else:
            keys = image_keys(data.key, chosen)
        tokens = self.generator.generate(data.params, captions, keys)
        if self.codec is not None:
            images = self.codec.decode(data.codec_params, tokens)
            tokens = self.codec.encode(data.codec_params, images)
        made = Examples(tokens, captions, jnp.ones(num_other, bool))
        return Examples(
            *(jnp.concatenate(column) for column in zip(human, made, strict=True))
        )


def image_keys(key: Array, numbers: Array) -> Array:
    """`[Q, 2]`, of the images of captions with these numbers, `[Q]`."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def draw_ahead(
    generator: Generator,
    params: FrozenCodes,
    captions: np.ndarray,
    key: Array,
    chunk: int = 128,
) -> np.ndarray:
    """Images of all captions, as tokens.

    Args:
      generator: draws them.
      params: of it.
      captions: `[Q, T]`.
      key: `[2]`.
      chunk: captions that are drawn at once.

    Returns:
      `[Q, N]` uint16.
    """
    num_captions = len(captions)
    places = np.arange(-(-num_captions // chunk) * chunk) % num_captions

    @jax.jit
    def draw(params: FrozenCodes, captions: Array, numbers: Array) -> Array:
        return generator.generate(params, captions, image_keys(key, numbers))

    drawn = [
        np.asarray(draw(params, np.int32(captions[part]), part), np.uint16)
        for part in places.reshape(-1, chunk)
    ]
    return np.concatenate(drawn)[:num_captions]


@dataclass(frozen=True)
class Manifest:
    """What each part was trained on, by fingerprint; see `fingerprint`.

    Attributes:
      tokenizer: images.
      generator: pairs.
      captioner: human pairs.
    """

    tokenizer: str
    generator: str
    captioner: str


def fingerprint(*arrays: np.ndarray) -> str:
    """16 digits that tell arrays apart, by their bytes, shapes and types."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def check_controlled(manifest: Manifest) -> None:
    """Refuses what is not the controlled condition: all have learned from the same pairs.

    Raises:
      ValueError: if generator and captioner were trained on other pairs.
    """
    if manifest.generator != manifest.captioner:
        raise ValueError(
            f"manifest: the generator learned from pairs {manifest.generator}, the "
            f"captioner from {manifest.captioner}: --controlled wants the same. Leave the "
            "generator's pairs as they are, or give --no-controlled."
        )


def _draw(key: Array, bounds: Any, number: int) -> Array:
    return jax.random.randint(key, (number,), bounds[0], bounds[1])


def _wide(pairs: Examples) -> Examples:
    tokens, captions = (x.astype(jnp.int32) for x in pairs[:2])
    return Examples(tokens, captions, pairs.has_image)
