"""A checkpoint of llama2.c that is small enough to be written and worked out by hand."""

import struct

import numpy as np
import pytest

SIZE, INNER, LAYERS, HEADS, GROUPS, CONTEXT, VOCABULARY = 8, 12, 2, 4, 2, 40, 267
# Beside the special tokens and the bytes: a piece and its score.
PIECES = (
    *((" ", 0.0), ("a", 0.0), ("b", 0.0), ("c", 0.0)),
    *(("bc", -0.5), ("ab", -1.0), ("abc", -2.0), (" a", -3.0)),
)


def checkpoint_bytes(is_tied):
    """A checkpoint with random weights, written matrix by matrix."""
    rng = np.random.default_rng(0)
    narrow = GROUPS * SIZE // HEADS

    def draw(*shape):
        return 0.5 * rng.normal(size=shape)

    parts = [
        3 * draw(VOCABULARY, SIZE),
        1 + draw(LAYERS, SIZE),
        draw(LAYERS, SIZE, SIZE),
        draw(LAYERS, narrow, SIZE),
        draw(LAYERS, narrow, SIZE),
        draw(LAYERS, SIZE, SIZE),
        1 + draw(LAYERS, SIZE),
        draw(LAYERS, INNER, SIZE),
        draw(LAYERS, SIZE, INNER),
        draw(LAYERS, INNER, SIZE),
        1 + draw(SIZE),
        np.full((2, CONTEXT, SIZE // HEADS // 2), np.nan),  # Not to be read.
    ]
    parts += [] if is_tied else [draw(VOCABULARY, SIZE)]
    vocabulary = VOCABULARY if is_tied else -VOCABULARY
    sizes = SIZE, INNER, LAYERS, HEADS, GROUPS, vocabulary, CONTEXT
    return struct.pack("<7i", *sizes) + b"".join(x.astype("<f4").tobytes() for x in parts)


def tokenizer_bytes():
    pieces = [(piece, 0.0) for piece in ("<unk>", "\n<s>\n", "\n</s>\n")]
    pieces += [(f"<0x{byte:02X}>", 0.0) for byte in range(256)]
    rows = [
        struct.pack("<fi", score, len(piece)) + piece.encode()
        for piece, score in (*pieces, *PIECES)
    ]
    return struct.pack("<i", 6) + b"".join(rows)


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tied.bin").write_bytes(checkpoint_bytes(is_tied=True))
    (folder / "untied.bin").write_bytes(checkpoint_bytes(is_tied=False))
    (folder / "tokenizer.bin").write_bytes(tokenizer_bytes())
    return folder
