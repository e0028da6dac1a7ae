"""Checkpoints and tokenizers of llama2.c: by hand, and a real one with its own text."""

import itertools
import struct

import numpy as np
import pytest
from oracles import language as oracle

from tolman.envs.data import data_set
from tolman.launchers.probe.llama2c import load_llama2c, read_checkpoint, read_tokenizer
from tolman.launchers.probe.tokenizer import Encoded, encode_pair

SPACE, A, B, C, BC, AB, ABC, SPACE_A = range(259, 267)  # The pieces of conftest.
# Printed in llama2.c's doc/stories260K.md.
STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in "
    "the park. One day, she saw a big, red ball. She wanted to play with it, but it was "
    "too high.\nLily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't "
    'know what to do. She said, "I want to play with your ball, but I can\'t find it."\n'
    "Lily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know "
    "what to do.\"\nLily didn't want to help her mom, so she said, \"I'm sorry, mom. I "
    "didn't know what to do.\" Her mom said, \"Don't worry, Lily. We can help you."
)


@pytest.fixture(scope="module")
def tokenizer(tiny_files):
    return read_tokenizer(tiny_files / "tokenizer.bin", 267)


def test_the_best_union_comes_first(tokenizer):
    # b and c first, then a and bc, though "ab" stands further left.
    assert tokenizer.encode("abc") == Encoded([1, SPACE, ABC], [0, 0, 3])
    assert tokenizer.encode("ab") == Encoded([1, SPACE, AB], [0, 0, 2])
    assert tokenizer.encode("a") == Encoded([1, SPACE_A], [0, 1])
    assert tokenizer.encode("") == Encoded([1], [0])
    two_bytes = [1, SPACE, B, 3 + 0xC3, 3 + 0xA9]
    assert tokenizer.encode("bé") == Encoded(two_bytes, [0, 0, 1, 2, 2])


def joined_slowly(tokenizer, text):
    """All neighbours are looked through for the best union, again and again."""
    pieces, scores = tokenizer._pieces, tokenizer._scores
    singles = [" ", *text] if text else []
    tokens = [1]
    for character in singles:
        piece = character.encode()
        tokens += [pieces.index(piece)] if piece in pieces else [3 + byte for byte in piece]
    while True:
        unions = [
            (-scores[pieces.index(left + right)], place)
            for place, (left, right) in enumerate(
                itertools.pairwise(pieces[token] for token in tokens)
            )
            if left + right in pieces
        ]
        if not unions:
            return tokens
        _, place = min(unions)
        union = pieces[tokens[place]] + pieces[tokens[place + 1]]
        tokens[place : place + 2] = [pieces.index(union)]


def test_unions_are_those_of_a_slow_search(tokenizer):
    rng = np.random.default_rng(0)
    for length in range(1, 40):
        text = "".join(rng.choice(list("aabbcc é"), size=length))
        tokens, ends = tokenizer.encode(text)
        assert tokens == joined_slowly(tokenizer, text)
        assert ends == sorted(ends) and ends[-1] == length
        for token, begin, end in zip(tokens[2:], ends[1:], ends[2:], strict=False):
            if token >= SPACE:
                assert tokenizer.decode([token], is_start=False) == text[begin:end]


def test_text_comes_back(tokenizer):
    for text in ("abc cab", "é\n", " a", "日本"):
        assert tokenizer.decode(tokenizer.encode(text).tokens, is_start=True) == text
    assert tokenizer.decode([SPACE_A, 2], is_start=False) == " a"


def test_where_a_prompt_ends(tokenizer):
    assert encode_pair(tokenizer, "a", " b") == ([1, SPACE_A, SPACE, B], 2)
    assert encode_pair(tokenizer, "a ", "b") == ([1, SPACE_A, SPACE, B], 2)
    # "abc" reaches across, and is the continuation's.
    assert encode_pair(tokenizer, "ab", "c") == ([1, SPACE, ABC], 2)
    assert encode_pair(tokenizer, "", "a") == ([1, SPACE_A], 1)
    with pytest.raises(ValueError, match="the continuation of 'a' is empty"):
        encode_pair(tokenizer, "a", "")


@pytest.mark.parametrize("name", ("tied", "untied"))
def test_a_checkpoint_computes_what_loops_do(tiny_files, name):
    model = load_llama2c(tiny_files / f"{name}.bin", tiny_files / "tokenizer.bin")
    assert model.config.has_tied_embeddings == (name == "tied")
    assert (model.config.max_length, model.config.mlp_size) == (40, 12)
    log_p = oracle.log_probabilities(model, [1, SPACE_A, SPACE, B, C])
    scores = model.score(["a", "a", "a b"], [" b", " bb", "b"])
    by_hand = log_p[1, SPACE] + log_p[2, B]
    expected = [by_hand, by_hand + log_p[3, B], log_p[3, B]]
    np.testing.assert_allclose(scores.log_probability, expected, atol=1e-4)
    np.testing.assert_array_equal(scores.num_tokens, [2, 3, 1])
    (attention,) = model.attention(["a b"])
    _, weights = oracle.model_logits(model, [1, SPACE_A, SPACE, B])
    np.testing.assert_allclose(attention, weights, atol=1e-5)


def test_files_that_are_not_what_they_should_be(tiny_files, tmp_path):
    path = tmp_path / "file.bin"
    whole = (tiny_files / "tied.bin").read_bytes()
    later = struct.pack("<i", 0x616B3432) + bytes(300)
    for content, message in (
        (b"short", "has 5 bytes, no header"),
        (whole[:-4], f"has {len(whole) - 4} bytes, its header asks for {len(whole)}"),
        (whole + b"1234", "its header asks for"),
        (later, "later version"),
        (struct.pack("<7i", 8, 12, 2, 3, 1, 267, 40), "no header of llama2.c"),
        (struct.pack("<7i", 8, 12, 0, 4, 2, 267, 40), "no header of llama2.c"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_checkpoint(path)
    with pytest.raises(ValueError, match=r"cannot be read \(No such file"):
        read_checkpoint(tmp_path / "nothing.bin")
    pieces = (tiny_files / "tokenizer.bin").read_bytes()
    for content, size in ((pieces, 266), (pieces[:-1], 267), (pieces, 268), (b"", 267)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"no tokenizer of llama2.c with {size} tok"):
            read_tokenizer(path, size)


@pytest.mark.skipif(data_set("stories260K") is None, reason="stories260K is not there")
def test_a_real_model_writes_its_documented_text():
    folder = data_set("stories260K")
    model = load_llama2c(folder / "stories260K.bin", folder / "tok512.bin")
    assert model.generate([""], 256) == [STORY]
    scores = model.score(["Once upon a"] * 2, [" time", " banana"])
    tokens, begin = encode_pair(model.tokenizer, "Once upon a", " banana")
    log_p = oracle.log_probabilities(model, tokens)
    by_hand = sum(log_p[i - 1, tokens[i]] for i in range(begin, len(tokens)))
    assert scores.log_probability[1] == pytest.approx(by_hand, abs=1e-3)
    assert scores.log_probability[0] > -0.01
