"""What the Synth2 studies are made of: arms, scores, ratios, and arrays that are kept."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.synth2.metrics import CiderD, split_caption
from tolman.agents.synth2.pairs import make_pairs
from tolman.envs.scenes import World
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2 import parts
from tolman.launchers.studies.synth2.arms import Exam, deranged, ratio_of, without_images
from tolman.launchers.studies.synth2.captions import ask
from tolman.launchers.studies.synth2.setting import QUICK, Options
from tolman.launchers.studies.synth2.stored import stored

WORLD = World("groups", cell_pixels=12)


@pytest.fixture
def study(tmp_path):
    return Study("synth2/toy", "toy", "-", True, 0, Path(tmp_path))


class Untrained:
    """A codec that tells nothing."""

    def encode(self, images):
        return np.zeros((len(images), 4), np.uint16)


@pytest.fixture(scope="module")
def ground():
    return parts.make_ground(0, QUICK, WORLD, 60)


def test_human_pairs_have_no_held_out_concept_and_tests_have_all(ground):
    counts = WORLD.named_objects(WORLD.facts(ground.human.scenes))
    assert counts[:, WORLD.held_out].sum() == 0 and len(ground.human.captions) == 60
    tested = WORLD.named_objects(WORLD.facts(ground.tested.scenes)) > 0
    assert tested.any(0).all() and 0.15 < ground.is_held_out.mean() < 0.35
    assert {len(row) for row in ground.tested.captions} == {5}


def test_true_captions_are_exact_and_others_are_not(ground):
    exam = Exam(ground, Untrained())
    exact = WORLD.caption(ground.tested.scenes, np.random.default_rng(0), is_exact=True)
    scores = exam.score([exact, exact[1:] + exact[:1]])
    np.testing.assert_array_equal(scores.is_exact[0], True)
    assert scores.is_exact[1].mean() < 0.1 and scores.object_f1[0] == 1.0
    assert scores.cider[0].mean() > 3 * scores.cider[1].mean()
    references = [[split_caption(one) for one in row] for row in ground.tested.captions]
    told = CiderD(references).scores([split_caption(one) for one in exact])
    np.testing.assert_allclose(scores.cider[0], told)
    held_out, seen = scores.on(True), scores.on(False)
    assert held_out.cider.shape[1] == ground.is_held_out.sum()
    np.testing.assert_allclose(seen.cider[0], told[~ground.is_held_out])


def test_rows_go_in_chunks_of_one_size():
    sizes = []

    def twice(rows):
        sizes.append(len(rows))
        return rows * 2

    rows = np.arange(10).reshape(5, 2)
    assert parts.in_chunks(twice, rows, 3).tolist() == (2 * rows).tolist()
    assert parts.in_chunks(twice, rows[:1], 3).tolist() == [[0, 2]]
    assert sizes == [3, 3, 3]


def test_each_captioner_writes_of_every_scene_in_their_order(ground):
    class Numbers(Untrained):
        def encode(self, images):
            return np.arange(len(images))[:, None]

    class Agent:
        def write(self, own, tokens, has_image, length):
            word = 3 + (own + tokens[:, 0]) % 7 + 10 * has_image
            return jnp.stack([jnp.full_like(word, 1), word, jnp.full_like(word, 2)], 1)

    exam, vocabulary = Exam(ground, Numbers()), ground.words.vocabulary
    for is_blind in (False, True):
        found = exam.write(Agent(), jnp.array([0, 5]), is_blind)
        start = 0 if is_blind else 10
        assert found == [
            [vocabulary[start + (own + scene) % 7] for scene in range(len(exam.tokens))]
            for own in (0, 5)
        ]


def test_deranged_captions_are_of_another_concept():
    rng = np.random.default_rng(0)
    captions = WORLD.caption(WORLD.sample(rng, 200), rng)
    pairs = make_pairs(np.arange(200)[:, None], np.arange(200)[:, None])
    moved = deranged(pairs, captions, WORLD).captions[:, 0]
    assert sorted(moved) == list(range(200))
    concept = WORLD.named_objects(WORLD.parse(captions)).argmax(1)
    assert (concept[moved] != concept).all()
    assert not without_images(pairs).has_image.any()


def test_ratios_and_their_intervals():
    rng = np.random.default_rng(0)
    base = rng.uniform(1, 3, (3, 400))
    twice = ratio_of(2 * base, base)
    assert twice.value == pytest.approx(2.0) and 1.9 < twice.low < 2.0 < twice.high < 2.1
    other = ratio_of(rng.uniform(1, 3, (3, 400)), base)
    assert other.low < 1.0 < other.high
    # Seeds that differ widen the interval.
    apart = ratio_of(base * np.array([[0.5], [1.0], [1.5]]), base)
    assert apart.low < 0.8 and apart.high > 1.2


def test_what_is_asked_of_each_style():
    rng = np.random.default_rng(0)
    counts = np.bincount(ask("class-prompted", 48, 4_800, rng), minlength=48)
    assert counts.min() > 50
    assert len(np.unique(ask("narrow", 48, 1_000, rng))) == 6
    assert (ask("unprompted", 48, 10, rng) == -1).all()


def test_arrays_are_made_once_for_their_inputs_and_again_where_broken(study, capsys):
    made = []

    def make():
        made.append(1)
        return {"x": np.arange(3)}

    inputs = {"a": np.ones(2), "b": 3}
    for _ in range(2):
        np.testing.assert_array_equal(stored(study, "one", inputs, make)["x"], [0, 1, 2])
    assert len(made) == 1
    (path,) = (study.folder / "made").glob("one-*.npz")
    stored(study, "one", {"a": np.ones(2), "b": 4}, make)
    assert len(made) == 2
    whole = path.read_bytes()
    entry = whole.rindex(b"PK\1\2") + 10  # Where the archive names its compression.
    odd = whole[:entry] + b"\x63" + whole[entry + 1 :]
    for broken in (whole[:20], b"", whole[:-1], bytes(len(whole)), odd):
        path.write_bytes(broken)
        np.testing.assert_array_equal(stored(study, "one", inputs, make)["x"], [0, 1, 2])
        assert path.read_bytes() == whole
    assert len(made) == 2 + 5
    assert capsys.readouterr().out.count("is broken, and is made again") == 5
    assert not list((study.folder / "made").glob("*.part"))


def test_a_generator_with_more_pairs_is_refused_or_told(study):
    more = make_pairs(np.zeros((4, 2), int), np.zeros((4, 3), int))
    few = make_pairs(np.zeros((2, 2), int), np.zeros((2, 3), int))
    parts.check_manifest(study, Options(), "images", few, few)
    assert study.settings["manifest"]["tokenizer"] == "images" and not study.notes
    with pytest.raises(ValueError, match="--no-controlled"):
        parts.check_manifest(study, Options(), "images", more, few)
    parts.check_manifest(study, Options(controlled=False), "images", more, few)
    assert "learned from 4 pairs, the captioner from 2" in study.notes[0]
