"""The arms: what each learns from, for how long, and what its scores must say."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tolman.agents.synth2.pairs import make_pairs
from tolman.agents.synth2.words import Words
from tolman.envs.scenes import World
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2 import arms, augmentation, diversity, human_share
from tolman.launchers.studies.synth2.arms import Arm, Scores
from tolman.launchers.studies.synth2.making import Made
from tolman.launchers.studies.synth2.parts import Ground
from tolman.launchers.studies.synth2.setting import QUICK, Options, ShareOptions

WORLD = World("single", cell_pixels=12)
STYLES = "class-prompted", "unprompted", "narrow"


@pytest.fixture
def study(tmp_path):
    return Study("synth2/toy", "toy", "-", True, 0, Path(tmp_path))


class Codec:
    """Its images are what the judge says of them; pixels come back one larger."""

    params = SimpleNamespace(codebook=np.zeros((2, 1)))

    def encode(self, images):
        if images.ndim == 2:
            return images + 1
        return WORLD.named_objects(WORLD.judge(images))

    def decode(self, tokens):
        return tokens


def captions_of(seed, num=12):
    rng = np.random.default_rng(seed)
    return WORLD.caption(WORLD.sample(rng, num), rng, is_exact=True)


@pytest.fixture
def made(monkeypatch):
    """Sets of 12 captions; images of drawer d of set s are all token 10 d + s."""
    sets = {style: captions_of(i) for i, style in enumerate(STYLES)}
    numbers = {tuple(own): i for i, own in enumerate(sets.values())}

    def draw(self, study, name, captions, drawer=None):
        number = 10 * (drawer or 1) + numbers.get(tuple(captions), 9)
        rows = np.full((len(captions), 3), number)
        return make_pairs(rows, self.ground.words.encode(captions)), number / 100

    monkeypatch.setattr(Made, "draw", draw)
    words = Words(WORLD.vocabulary, WORLD.max_words)
    human = make_pairs(np.zeros((40, 3), int), words.encode(captions_of(9, 40)))
    ground = Ground(WORLD, words, None, None, None)
    told = {style: SimpleNamespace(captions=own) for style, own in sets.items()}
    return Made(ground, Codec(), human, 1, told)


@pytest.mark.parametrize("is_blind", [False, True])
def test_an_arm_learns_from_its_pairs_as_long_as_it_says(
    study, monkeypatch, made, is_blind
):
    asked = []

    def trained(study, label, agent, source, updates, members):
        asked.append((label, source, updates, members))
        return SimpleNamespace(params="weights", curves={"loss/total": [[9.0], [2.0, 4.0]]})

    class Exam:
        ground, tokens = made.ground, np.zeros((5, 3))

        def write(self, agent, params, is_blind):
            assert params == "weights"
            return is_blind

        def score(self, captions, loss):
            return captions, loss

    monkeypatch.setattr(arms, "trained", trained)
    other = made.human._replace(tokens=made.human.tokens + 1)
    arm = Arm("a + b", made.human, other, times=2, is_blind=is_blind)
    found = arms.train_arm(study, QUICK, Exam(), made.codec, arm, 99)
    ((label, source, updates, members),) = asked
    assert found == (is_blind, 3.0) and label == "captioner_a_and_b"
    assert source.human is made.human and source.other is other and source.capacity == 99
    assert (updates, members) == (2 * QUICK.captioner_updates, QUICK.num_members)


def test_true_images_show_what_the_captions_say(made):
    captions = captions_of(3)
    pairs = arms.true_pairs(made.ground, made.codec, captions, 0)
    said = WORLD.named_objects(WORLD.parse(captions))
    np.testing.assert_array_equal(pairs.tokens, said)
    assert made.ground.words.decode(pairs.captions) == captions


def test_each_arm_of_the_table_has_the_pairs_of_its_name(study, monkeypatch, made):
    drawers = []

    def train_drawer(study, label, config, codec, pairs, words, updates):
        assert pairs is made.human
        drawers.append((label, config.text_dropout, updates))
        return 1 + len(drawers)

    monkeypatch.setattr(augmentation.parts, "train_drawer", train_drawer)
    setting = replace(QUICK, generator_updates=100, weak_share=0.25)
    found, fidelities = augmentation.make_arms(study, setting, made)
    assert drawers == [("generator_weak", 0.1, 25), ("generator_no_text", 1.0, 25)]
    of = {arm.name: arm for arm in found}
    assert [arm.times for arm in found] == [1, 2] + [1] * (len(found) - 2)
    assert [arm.name for arm in found if arm.is_blind] == ["reads zeros"]
    human = [arm for arm in found if arm.name.startswith("human")]
    assert all(arm.human is made.human for arm in human)
    assert [arm.name for arm in human if arm.other is None] == [
        "human", "human, twice the steps"
    ]  # fmt: skip
    tokens = {
        "synthetic": 10, "pixels": 11, "deranged captions": 10,
        "captions without image": 10, "unprompted": 11, "narrow": 12,
        "weak generator": 20, "generator without text": 30,
    }  # fmt: skip
    for name, number in tokens.items():
        assert (of[f"human + {name}"].other.tokens == number).all(), name
    synthetic = of["human + synthetic"].other
    for name in ("pixels", "captions without image", "weak generator", "true images"):
        own = of[f"human + {name}"].other
        np.testing.assert_array_equal(own.captions, synthetic.captions)
    for name, arm in of.items():
        is_seen = name not in ("human + captions without image", "reads zeros")
        own = arm.human if arm.other is None else arm.other
        assert (own.has_image == is_seen).all(), name
    moved = of["human + deranged captions"].other.captions
    assert (moved != synthetic.captions).any(1).all()
    assert sorted(moved.tolist()) == sorted(synthetic.captions.tolist())
    alone = of["synthetic alone"]
    assert alone.human is synthetic and alone.other is None
    assert fidelities == {
        "synthetic": 0.10, "pixels": 0.10, "unprompted": 0.11, "narrow": 0.12,
        "weak generator": 0.20, "generator without text": 0.30,
    }  # fmt: skip


@pytest.mark.parametrize("is_readable", [True, False])
def test_all_arms_are_trained_alike_checked_and_told(study, monkeypatch, made, is_readable):
    found = trained_arms(monkeypatch, augmentation, made)
    monkeypatch.setattr(augmentation, "is_readable", lambda *_: is_readable)
    table = [Arm("human", made.human), Arm("both", made.human, made.human)]
    monkeypatch.setattr(augmentation, "make_arms", lambda *_: (table, {"both": 0.5}))
    told = []
    for name in ("check_arms", "report"):
        monkeypatch.setattr(augmentation, name, lambda _, *rest: told.append(rest))
    augmentation.run_setting(study, Options("single"), QUICK)
    if not is_readable:
        assert not found and not told
        return
    # The larger table, 40 and 40 pairs, is the size of all.
    assert found == {"human": (table[0], 80), "both": (table[1], 80)}
    scores = {"human": "human", "both": "both"}
    assert told == [(scores,), (scores, {"both": 0.5})]


GOOD = {  # CIDEr-D on seen and on held-out scenes.
    "human": (2.0, 1.0), "human + synthetic": (2.2, 1.5), "human + pixels": (2.2, 1.5),
    "human + true images": (3.0, 3.0), "human + captions without image": (2.0, 1.1),
    "human + deranged captions": (1.5, 0.8), "human + generator without text": (1.6, 0.9),
    "reads zeros": (0.1, 0.1),
}  # fmt: skip
IS_HELD_OUT = np.arange(8) > 3


def scores_of(levels):
    rows = np.where(IS_HELD_OUT, levels[1], levels[0])
    cider = np.stack([0.99 * rows, 1.01 * rows])
    return Scores(cider > 1.0, cider, np.ones(2), [], IS_HELD_OUT, 0.0)


def verdicts(study, **changes):
    levels = GOOD | changes
    augmentation.check_arms(study, {n: scores_of(own) for n, own in levels.items()})
    return study.checks


def test_claims_are_ratios_over_human_pairs_alone(study):
    checks = verdicts(study)
    assert all(check.passed for check in checks) and len(checks) == 9
    measured = [check.measured for check in checks]
    assert measured[0] == pytest.approx(3.7 / 3.0) and measured[2] == pytest.approx(1.5)
    assert measured[3] == pytest.approx(0.99 * 0.4)  # The worse of two captioners.
    assert measured[4] == pytest.approx(2.3 / 3.0)
    assert measured[6] == pytest.approx(6.0 / 3.7)
    assert measured[7] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("name", "levels", "failing"),
    [
        ("human + synthetic", (2.0, 1.0), {0, 1, 2, 3, 5}),
        ("human + pixels", (2.1, 1.4), {5}),
        ("human + true images", (2.2, 1.4), {6}),
        ("human + captions without image", (2.0, 1.6), {3}),
        ("human + deranged captions", (1.7, 0.9), {4}),
        ("human + generator without text", (1.6, 1.35), {7}),
        ("reads zeros", (1.2, 0.1), {8}),
    ],
)
def test_each_broken_arm_fails_the_check_that_is_about_it(study, name, levels, failing):
    found = {i for i, one in enumerate(verdicts(study, **{name: levels})) if not one.passed}
    assert found == failing


def trained_arms(monkeypatch, module, made):
    """Stands for training: what each arm of a study is."""
    found = {}

    def train_arm(study, setting, exam, codec, arm, capacity):
        found[arm.name] = arm, capacity
        return arm.name

    monkeypatch.setattr(module, "make_parts", lambda *_, **__: made)
    monkeypatch.setattr(module, "is_readable", lambda *_: True)
    monkeypatch.setattr(module, "Exam", lambda *_: None)
    monkeypatch.setattr(module, "train_arm", train_arm)
    return found


@pytest.mark.parametrize("own_generators", [False, True])
def test_each_share_has_its_human_pairs_and_all_synthetic_ones(
    study, monkeypatch, made, own_generators
):
    found = trained_arms(monkeypatch, human_share, made)
    reports, learned = [], []

    def train_drawer(study, label, config, codec, pairs, words, updates):
        learned.append((label, len(pairs.tokens), updates))
        return 1 + len(learned)

    monkeypatch.setattr(human_share.parts, "train_drawer", train_drawer)
    monkeypatch.setattr(human_share, "report", lambda *rest: reports.append(rest))
    options = ShareOptions("single", own_generators=own_generators)
    human_share.run_setting(study, options, QUICK, (0.1, 0.5, 1.0))
    sizes = {"10": 4, "50": 20, "100": 40}
    assert set(found) == {f"human{x} {s}" for s in sizes for x in ("", " + synthetic")}
    drawn = {"10": 20, "50": 30, "100": 10} if own_generators else dict.fromkeys(sizes, 10)
    for share, size in sizes.items():
        alone, capacity = found[f"human {share}"]
        both, _ = found[f"human + synthetic {share}"]
        assert len(alone.human.tokens) == len(both.human.tokens) == size
        assert alone.other is None and (both.other.tokens == drawn[share]).all()
        assert len(both.other.tokens) == 12 and capacity == 40 + 12
    updates = QUICK.generator_updates
    wanted = [("generator_10", 4, updates), ("generator_50", 20, updates)]
    assert learned == (wanted if own_generators else [])
    ((_, shares, scores, fidelities),) = reports
    assert shares == (0.1, 0.5, 1.0)
    assert scores["human + synthetic", 0.5] == "human + synthetic 50"
    assert fidelities == [drawn[share] / 100 for share in sizes]
    assert (human_share.ONE_GENERATOR in study.notes) != own_generators


def test_each_set_of_captions_has_an_arm_of_its_own(study, monkeypatch, made):
    found = trained_arms(monkeypatch, diversity, made)
    reports = []
    monkeypatch.setattr(diversity, "report", lambda *rest: reports.append(rest))
    setting = replace(QUICK, num_synthetic=12)
    diversity.run_setting(study, Options("single"), setting)
    assert found["human"][0].other is None
    for number, style in enumerate(STYLES):
        arm, capacity = found[f"human + {style}"]
        assert arm.human is made.human and (arm.other.tokens == 10 + number).all()
        assert capacity == 40 + 12
    ((_, scores, entropies),) = reports
    assert list(scores) == ["human", *STYLES, diversity.BALANCED]
    assert list(entropies) == [*STYLES, diversity.BALANCED]
    for style in STYLES:
        counts = WORLD.named_objects(WORLD.parse(made.sets[style].captions)).sum(0)
        share = counts[counts > 0] / counts.sum()
        wanted = -(share * np.log(share)).sum() / np.log(len(WORLD.concepts))
        assert entropies[style] == pytest.approx(wanted)


def test_a_balanced_set_has_no_concept_more_than_once_before_it_repeats(made, study):
    rng = np.random.default_rng(0)
    every = WORLD.caption(WORLD.sample(rng, 60), rng, is_exact=True)
    concept = WORLD.named_objects(WORLD.parse(every)).argmax(1)
    often = [one for one, own in zip(every, concept, strict=True) if own == concept[0]][:1]
    rest = [one for one, own in zip(every, concept, strict=True) if own != concept[0]][:5]
    made.sets["unprompted"] = SimpleNamespace(captions=often * 20 + rest)
    setting = replace(QUICK, num_synthetic=25)
    balanced = diversity.caption_sets(study, setting, made)[diversity.BALANCED]
    distinct = len({concept[every.index(one)] for one in [*often, *rest]})
    # 25 captions of 48 concepts: one of each concept, and these again and again.
    assert len(balanced) == 25 and len(set(balanced)) == distinct
    assert balanced.count(often[0]) in (25 // distinct, 25 // distinct + 1)
