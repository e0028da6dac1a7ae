"""Scores of captions: by hand, and against pycocoevalcap where it is installed."""

import itertools
import json
import math

import numpy as np
import pytest

from tolman.agents.synth2.metrics import (
    CiderD,
    bleu,
    longest_common,
    object_scores,
    rouge_l,
    split_caption,
)
from tolman.envs.data import data_set

CANDIDATES = [
    "a dog runs on the grass",
    "two cats sleep on a red sofa",
    "a man rides a brown horse near the sea",
]
REFERENCES = [
    ["a dog is running on grass", "the brown dog runs across the lawn"],
    ["two cats sleeping on a couch", "two cats sleep on the red sofa in the room"],
    ["a man on a horse", "someone rides a horse by the sea", "a man rides near the sea"],
]
# By pycocoevalcap 1.2.
FIXED_CIDER = [1.833351744752, 2.993804449749, 2.521344531779]
FIXED_BLEU = 0.3281370193
FIXED_ROUGE = [0.666666666667, 0.733466933868, 0.829931972789]
MEAN_CIDER_OF_PEOPLE = 1.125507837163


def words(*captions):
    return [caption.split() for caption in captions]


def test_words_are_lower_case_without_marks():
    caption = "The dog's  red-brown BALL, and 2 cats (it\u2019s old)."
    expected = [
        "the",
        "dog's",
        "red",
        "brown",
        "ball",
        "and",
        "2",
        "cats",
        "it\u2019s",
        "old",
    ]
    assert split_caption(caption) == expected
    assert split_caption(" ...") == []


@pytest.mark.parametrize(
    ("candidate", "references", "expected"),
    [
        ("a b", ["a b"], 5.0),  # Cosine 1 of one and of two words; none of three and four.
        ("a b c d", ["a b c d"], 10.0),
        # One of two words, equally rare: 1 / sqrt(2); a bigram less.
        ("a", ["a b"], 10 / 4 / np.sqrt(2) * np.exp(-1 / 72)),
        # The second "a" is clipped, but makes the candidate longer.
        ("a a", ["a b"], 10 / 4 / (2 * np.sqrt(2))),
        ("a b", ["a b", "x y"], 2.5),
        ("x y", ["a b"], 0.0),
        ("", ["a b"], 0.0),
        ("z a", ["z a"], 5.0),  # Of one word "a" alone; of two words "z a".
        ("z", ["z a"], 0.0),  # "z" stands in all pictures.
    ],
)
def test_cider_d_by_hand(candidate, references, expected):
    all_references = [words(*references), words("c z"), words("d z e")]
    if not candidate.startswith("z"):
        all_references = [*all_references[:1], words("c q"), words("d r e")]
    scores = CiderD(all_references).scores(words(candidate, "c", "d"))
    assert scores[0] == pytest.approx(expected, abs=1e-12)


def test_a_word_of_all_pictures_weighs_nothing():
    scorer = CiderD([words("z a"), words("z b")])
    assert scorer.scores(words("z", "z b")).tolist() == pytest.approx([0.0, 5.0])


def test_fixed_numbers():
    references = [words(*own) for own in REFERENCES]
    candidates = words(*CANDIDATES)
    assert CiderD(references).scores(candidates) == pytest.approx(FIXED_CIDER, abs=1e-9)
    assert bleu(candidates, references) == pytest.approx(FIXED_BLEU, abs=1e-7)
    assert rouge_l(candidates, references) == pytest.approx(FIXED_ROUGE, abs=1e-9)


def peer_scores(candidates, references):
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge

    true = {i: [" ".join(one) for one in own] for i, own in enumerate(references)}
    said = {i: [" ".join(one)] for i, one in enumerate(candidates)}
    cider_d = cider.Cider().compute_score(true, said)[1]
    bleu_4 = Bleu(4).compute_score(true, said, verbose=0)[0][3]
    return cider_d, bleu_4, Rouge().compute_score(true, said)[1]


def check_against_peer(candidates, references):
    cider_d, bleu_4, rouge = peer_scores(candidates, references)
    np.testing.assert_allclose(CiderD(references).scores(candidates), cider_d, atol=1e-9)
    assert bleu(candidates, references) == pytest.approx(bleu_4, abs=1e-7)
    np.testing.assert_allclose(rouge_l(candidates, references), rouge, atol=1e-9)


def test_fixed_numbers_are_the_peers():
    check_against_peer(words(*CANDIDATES), [words(*own) for own in REFERENCES])


def test_photographs_are_scored_as_the_peer_scores_them():
    """One human caption against the other four."""
    folder = data_set("coco_mini_cc")
    if folder is None:
        pytest.skip("no coco_mini_cc")
    rows = json.loads((folder / "captions.json").read_text())["images"]
    split = [[split_caption(one) for one in row["captions"]] for row in rows]
    candidates, references = [own[0] for own in split], [own[1:] for own in split]
    assert len(candidates) == 51
    check_against_peer(candidates, references)
    mean = CiderD(references).scores(candidates).mean()
    assert mean == pytest.approx(MEAN_CIDER_OF_PEOPLE, abs=1e-9)


def test_random_captions_are_scored_as_the_peer_scores_them():
    rng = np.random.default_rng(0)

    def drawn():
        return list(rng.choice(list("abcdefg"), rng.integers(1, 9)))

    references = [[drawn() for _ in range(rng.integers(1, 4))] for _ in range(30)]
    check_against_peer([drawn() for _ in range(30)], references)


def test_bleu_by_hand():
    # Matches: 3 of 4, 2 of 3, 1 of 2; the nearest reference is as long.
    candidates, references = words("a b c x"), [words("a b c d", "a")]
    assert bleu(candidates, references, 3) == pytest.approx(
        (3 / 4 * 2 / 3 * 1 / 2) ** (1 / 3)
    )
    assert bleu(candidates, references, 4) == 0
    # Twice "a" is clipped at one; two words against four.
    assert bleu(words("a a"), [words("a b c d")], 1) == pytest.approx(
        0.5 * np.exp(1 - 4 / 2)
    )
    # The nearer of two lengths at one distance is the shorter.
    assert bleu(words("a b"), [words("a b c", "a")], 1) == 1.0
    # Of 2 and 6 words the latter is nearer to 5.
    near = bleu(words("a b c d e"), [words("a b", "a b c d e f")], 1)
    assert near == pytest.approx(math.exp(1 - 6 / 5))
    # Over pictures, counts are added before they are divided.
    assert bleu(words("a b", "x"), [words("a b"), words("y")], 1) == pytest.approx(2 / 3)
    assert bleu(words(""), [words("a")]) == 0


def test_rouge_by_hand():
    # "a c" of 3 words and of 4; recall weighs 1.44.
    expected = 2.44 * (2 / 3) * (2 / 4) / (2 / 4 + 1.44 * 2 / 3)
    assert rouge_l(words("a x c"), [words("a b c d")])[0] == pytest.approx(expected)
    assert rouge_l(words("x"), [words("a b")])[0] == 0
    assert rouge_l(words(""), [words("a b")])[0] == 0
    assert rouge_l(words("a b"), [words("q", "a b")])[0] == pytest.approx(1)


def _longest_by_recursion(first, second):
    if not first or not second:
        return 0
    if first[-1] == second[-1]:
        return 1 + _longest_by_recursion(first[:-1], second[:-1])
    without = (first[:-1], second), (first, second[:-1])
    return max(_longest_by_recursion(*pair) for pair in without)


def test_the_longest_common_subsequence():
    texts = ["".join(text) for n in range(5) for text in itertools.product("ab", repeat=n)]
    for first, second in itertools.product(texts[::2], texts[::3]):
        assert longest_common(first, second) == _longest_by_recursion(first, second)


def test_objects_by_hand():
    said = np.array([[2, 0, 1], [0, 0, 0]])
    true = np.array([[1, 1, 1], [0, 3, 0]])
    found = object_scores(said, true)
    assert found == pytest.approx((2 / 3, 2 / 6, 4 / 9))
    assert object_scores(true, true) == (1, 1, 1)
    assert object_scores(0 * true, true) == (0, 0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CiderD([]), "references: 0 of 0 pictures have none"),
        (lambda: CiderD([words("a"), []]), "references: 1 of 2 pictures have none"),
        (lambda: CiderD([words("a")]).scores([]), "0 candidates for 1 pictures"),
        (lambda: bleu(words("a", "b"), [words("a")]), "2 candidates for 1 pictures"),
        (lambda: bleu([], []), "references: 0 of 0 pictures have none"),
        (lambda: rouge_l([], [words("a")]), "0 candidates for 1 pictures"),
        (
            lambda: object_scores(np.ones((2, 3)), np.ones((2, 4))),
            r"objects of shapes \(2, 3\) and \(2, 4\): must be alike",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
