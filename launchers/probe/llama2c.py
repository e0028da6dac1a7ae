"""Checkpoints and tokenizers of llama2.c, version 0 of its format.

A checkpoint is a header of seven int32 (hidden size, MLP size, layers, heads, heads of keys
and values, vocabulary, context) and float32 matrices, output by input. A vocabulary
below 0 says that the last matrix is an unembedding of its own.

Source: github.com/karpathy/llama2.c, run.c and export.py (the format), MIT.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.probe.tokenizer import Encoded
from tolman.networks.language import LanguageModelConfig

HEADER = struct.Struct("<7i")
NEWER = 0x616B3432  # "ak42": how later versions of the format begin.
START, END = 1, 2
FIRST_BYTE = 3  # The tokens of single bytes follow the special ones.


def load_llama2c(checkpoint: Path, tokenizer: Path) -> HaikuModel:
    """A model of llama2.c that is asked by text.

    Args:
      checkpoint: such as `stories260K.bin`.
      tokenizer: such as `tok512.bin`.

    Raises:
      ValueError: if a file is not there or not in the format.
    """
    config, params = read_checkpoint(checkpoint)
    return HaikuModel(config, params, read_tokenizer(tokenizer, config.vocabulary_size))


def read_checkpoint(path: Path) -> tuple[LanguageModelConfig, dict[str, Any]]:
    """The settings and parameters that a checkpoint holds.

    Raises:
      ValueError: if the file is not there, or not in version 0 of the format.
    """
    content = _read(path)
    if len(content) < HEADER.size:
        raise ValueError(f"{path}: has {len(content)} bytes, no header of llama2.c.")
    header = HEADER.unpack_from(content)
    if header[0] == NEWER:
        raise ValueError(
            f"{path}: is in a later version of llama2.c's format, not 0. Export it anew "
            "with --version 0."
        )
    hidden_size, mlp_size, num_layers, heads, groups, vocabulary, max_length = header
    sizes = hidden_size, mlp_size, num_layers, heads, groups, abs(vocabulary), max_length
    if min(sizes) < 1 or hidden_size % heads or heads % groups or hidden_size // heads % 2:
        raise ValueError(
            f"{path}: begins with {header}, which is no header of llama2.c. Give one of "
            "its checkpoints."
        )
    config = LanguageModelConfig(
        vocabulary_size=abs(vocabulary),
        max_length=max_length,
        hidden_size=hidden_size,
        num_layers=num_layers,
        num_heads=heads,
        num_key_value_heads=groups,
        mlp_size=mlp_size,
        positions="rope",
        has_tied_embeddings=vocabulary > 0,
    )
    shapes = _shapes(config)
    expected = HEADER.size + 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    if len(content) != expected:
        raise ValueError(
            f"{path}: has {len(content)} bytes, its header asks for {expected}. Copy it "
            "anew."
        )
    return config, _params(config, _split(content, shapes))


def _shapes(config: LanguageModelConfig) -> dict[str, tuple[int, ...]]:
    """What follows the header, in order; L layers first where each has its own."""
    size, inner, layers = config.hidden_size, config.mlp_size, config.num_layers
    narrow = config.num_key_value_heads * config.head_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings": (config.vocabulary_size, size),
        "attention_scale": (layers, size),
        "query": (layers, size, size),
        "key": (layers, narrow, size),
        "value": (layers, narrow, size),
        "attended": (layers, size, size),
        "mlp_scale": (layers, size),
        "gate": (layers, inner, size),
        "down": (layers, size, inner),
        "up": (layers, inner, size),
        "final_scale": (size,),
        "unused_cosines": (config.max_length, config.head_size // 2),
        "unused_sines": (config.max_length, config.head_size // 2),
    }
    if not config.has_tied_embeddings:
        shapes["unembedding"] = config.vocabulary_size, size
    return shapes


def _split(content: bytes, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    found, offset = {}, HEADER.size
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        found[name] = np.frombuffer(content, "<f4", count, offset).reshape(shape)
        offset += 4 * count
    return found


def _params(config: LanguageModelConfig, found: dict[str, np.ndarray]) -> dict[str, Any]:
    """The parameters of the Haiku module, from what a checkpoint holds."""
    top = {"embeddings", "final_scale", "unembedding"} & set(found)
    of_layers = set(found) - top - {"unused_cosines", "unused_sines"}
    params = {"language_model": {name: found[name] for name in top}}
    for layer in range(config.num_layers):
        own = {name: found[name][layer] for name in of_layers}
        params[f"language_model/~/layer_{layer}"] = own
    return params


def read_tokenizer(path: Path, vocabulary_size: int) -> Llama2CTokenizer:
    """The tokenizer that a file holds.

    Args:
      path: such as `tok512.bin`.
      vocabulary_size: of the model; the file does not say its own.

    Raises:
      ValueError: if the file is not there, or holds something else.
    """
    content = _read(path)
    pieces, scores, offset = [], [], 4  # The length of the longest piece comes first.
    try:
        for _ in range(vocabulary_size):
            score, size = struct.unpack_from("<fi", content, offset)
            offset += 8
            if size < 0 or offset + size > len(content):
                raise struct.error
            pieces.append(content[offset : offset + size])
            scores.append(score)
            offset += size
    except struct.error:
        offset = -1
    if offset != len(content) or len(pieces) < FIRST_BYTE + 256:
        raise ValueError(
            f"{path}: is no tokenizer of llama2.c with {vocabulary_size} tokens. Give the "
            "one that the checkpoint was trained with."
        )
    return Llama2CTokenizer(pieces, scores)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}).") from None


class Llama2CTokenizer:
    """Byte-pair encoding: the neighbours whose union has the best score are joined first.

    A text begins with a token for the start and a space of its own; a character that has
    no token is given by its bytes in UTF-8. The methods are those of
    `tolman.launchers.probe.tokenizer.Tokenizer`.

    Source: Sennrich et al. 2016, section 3.2; order and details as in llama2.c's run.c.
    """

    stops = (START, END)

    def __init__(self, pieces: Sequence[bytes], scores: Sequence[float]) -> None:
        """Takes the bytes and the score of every token, in order."""
        self._pieces, self._scores = list(pieces), list(scores)
        self._numbers: dict[bytes, int] = {}
        for number, piece in enumerate(pieces):
            self._numbers.setdefault(piece, number)

    @property
    def vocabulary_size(self) -> int:
        return len(self._pieces)

    def encode(self, text: str) -> Encoded:
        tokens, ends = [START], [0]
        if text:
            tokens, ends = [START, self._numbers[b" "]], [0, 0]
        for end, character in enumerate(text, start=1):
            piece = character.encode("utf-8", "replace")
            if piece in self._numbers:
                new = [self._numbers[piece]]
            else:
                new = [FIRST_BYTE + byte for byte in piece]
            tokens += new
            ends += [end] * len(new)
        return self._joined(tokens, ends)

    def _joined(self, tokens: list[int], ends: list[int]) -> Encoded:
        """Joins neighbours, those of the best score first, the leftmost of equals."""
        following = [*range(1, len(tokens)), -1]
        preceding = list(range(-1, len(tokens) - 1))
        is_there = [True] * len(tokens)
        waiting: list[tuple[float, int, int, int]] = []

        def offer(left: int) -> None:
            if left >= 0 and following[left] >= 0:
                piece = b"".join(self._pieces[tokens[i]] for i in (left, following[left]))
                if (number := self._numbers.get(piece)) is not None:
                    offered = -self._scores[number], left, following[left], number
                    heapq.heappush(waiting, offered)

        for place in range(len(tokens)):
            offer(place)
        while waiting:
            _, left, right, number = heapq.heappop(waiting)
            if not (is_there[left] and following[left] == right):
                continue  # One of the two was joined to something else.
            if (
                self._pieces[tokens[left]] + self._pieces[tokens[right]]
                != self._pieces[number]
            ):
                continue  # One of the two has grown.
            tokens[left], ends[left], is_there[right] = number, ends[right], False
            following[left] = following[right]
            if following[left] >= 0:
                preceding[following[left]] = left
            offer(preceding[left])
            offer(left)
        kept = [place for place, there in enumerate(is_there) if there]
        return Encoded([tokens[i] for i in kept], [ends[i] for i in kept])

    def decode(self, tokens: Sequence[int], is_start: bool) -> str:
        found = b"".join(self._bytes(token) for token in tokens)
        text = found.decode("utf-8", "replace")
        return text.removeprefix(" ") if is_start else text

    def _bytes(self, token: int) -> bytes:
        """What a token stands for; nothing where it is a special one."""
        if token < FIRST_BYTE:
            return b""
        if token < FIRST_BYTE + 256:
            return bytes([token - FIRST_BYTE])
        return self._pieces[token]
