"""What comes before the captioners: fidelity, gate, who learns from what, caption sets."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tolman.agents.synth2.generator import GeneratorConfig
from tolman.agents.synth2.writer import NO_CONCEPT, Writer
from tolman.envs.scenes import World
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2 import captions as caption_sets
from tolman.launchers.studies.synth2 import making, parts
from tolman.launchers.studies.synth2.parts import Drawer, Ground, Scenes
from tolman.launchers.studies.synth2.setting import QUICK, Options
from tolman.networks.language import LanguageModelConfig

WORLD = World("single", cell_pixels=12)


@pytest.fixture
def study(tmp_path):
    return Study("synth2/toy", "toy", "-", True, 0, Path(tmp_path))


class Counts:
    """A world of two concepts: captions and images are counts of objects, "2 0"."""

    concepts = ("a", "b")

    def parse(self, captions):
        return np.array([[int(x) for x in one.split()] for one in captions])

    named_objects = staticmethod(lambda facts: facts)
    drawn_objects = staticmethod(lambda images: images)
    judge = staticmethod(lambda images: images)

    def agree(self, said, true):
        return (said == true).all(1)


class Same:
    """A codec whose tokens are the image."""

    encode = decode = staticmethod(lambda rows: rows)


def test_fidelity_is_the_share_of_drawn_objects_that_are_named():
    drawn = np.array([[2, 0], [1, 1]])
    objects, is_right = parts.fidelity(Counts(), drawn, ["1 0", "1 1"])
    # Of four drawn objects three are named; of three named ones all are drawn.
    assert objects.precision == 0.75 and objects.recall == 1.0
    assert is_right.tolist() == [False, True]


@pytest.mark.parametrize(("gate", "is_readable"), [(0.7, True), (0.75, False)])
def test_below_the_gate_no_arm_is_read(study, monkeypatch, gate, is_readable):
    drawn = np.array([[1, 0], [2, 0], [1, 0]])
    monkeypatch.setattr(parts, "draw_images", lambda *_: drawn)
    monkeypatch.setattr(making.plots, "draw_scenes", lambda *_: None)
    captions = [["1 0"], ["1 0"], ["1 1"]]
    held_out = np.array([False, True, False])
    words = SimpleNamespace(encode=lambda texts: np.zeros((len(texts), 3), int))
    tested = Scenes(None, drawn, captions)
    made = making.Made(Ground(Counts(), words, tested, tested, held_out), Same(), None,
                       None, {})  # fmt: skip
    assert making.is_readable(study, replace(QUICK, gate=gate), made) == is_readable
    assert study.tables[0]["rows"] == [
        ["seen", "1.000", "0.667", "0.500"], ["held out", "0.500", "1.000", "0.000"]
    ]  # fmt: skip
    assert [check.measured for check in study.checks] == [0.75, 1.0]
    assert study.checks[0].passed == is_readable
    assert ["no arm is trained" in note for note in study.notes] == [True] * (
        not is_readable
    )


def test_codecs_are_judged_on_seen_and_held_out_concepts_apart(study):
    facts = np.array([[1, 0], [0, 1], [1, 1], [2, 0]])
    world = Counts()
    world.facts = lambda scenes: scenes
    held_out = np.array([False, True, False, True])
    ground = Ground(world, None, None, Scenes(facts, facts, []), held_out)
    blind = SimpleNamespace(encode=lambda rows: rows, decode=lambda rows: rows.clip(0, 1))
    making.check_codecs(study, ground, Same(), blind)
    assert study.tables[0]["rows"] == [
        ["tokenizer", "1.000", "1.000"], ["blind tokenizer", "1.000", "0.500"]
    ]  # fmt: skip
    assert [check.measured for check in study.checks] == [1.0, 1.0, 0.5]


def test_the_twin_without_text_never_reads_any():
    config = parts.without_text_config(GeneratorConfig())
    assert config.text_dropout == 1.0 and config.guidance == 0.0


def test_a_blind_tokenizer_sees_no_held_out_concept(study, monkeypatch):
    sources = []

    def trained(study, label, agent, source, *rest):
        sources.append(source)
        return SimpleNamespace(params=np.zeros(1))

    monkeypatch.setattr(parts, "trained", trained)
    setting = replace(QUICK, num_images=150)
    for is_blind in (False, True):
        parts.train_codec(study, setting, WORLD, "codec", is_blind)
    seen = [
        WORLD.named_objects(WORLD.judge(one.images))[:, WORLD.held_out].sum()
        for one in sources
    ]
    assert seen[0] > 10 and seen[1] == 0


def test_images_are_drawn_anew_for_another_generator(study, monkeypatch):
    drawn = []

    def draw_ahead(agent, params, captions, key, chunk):
        drawn.append(params)
        return np.full((len(captions), 2), params, np.uint16)

    monkeypatch.setattr(parts, "draw_ahead", draw_ahead)
    rows = np.zeros((3, 4), int)
    for params in (1, 2, 1):
        tokens = parts.draw_images(study, Drawer(None, params), rows, "set")
        assert tokens.tolist() == [[params, params]] * 3
    parts.draw_images(study, Drawer(None, 1), rows + 1, "set")
    assert drawn == [1, 2, 1]


@pytest.mark.parametrize(("more", "learned"), [(0, 5), (8, 8), (3, 3)])
def test_the_generator_learns_from_as_many_pairs_as_are_asked_for(
    study, monkeypatch, more, learned
):
    asked = {}

    def train_drawer(study, label, config, codec, pairs, *rest):
        asked["generator"] = pairs

    codec = SimpleNamespace(encode=lambda images: images[:, 0, :, 0] // 128)
    monkeypatch.setattr(parts, "train_codec", lambda *_: (codec, "images"))
    monkeypatch.setattr(parts, "train_writer", lambda *_: (None, None))
    monkeypatch.setattr(parts, "train_drawer", train_drawer)
    for name in ("check_codecs", "check_instruments", "report_sets"):
        monkeypatch.setattr(making, name, lambda *_: None)
    monkeypatch.setattr(making, "write_sets", lambda *_: {})
    options = Options("single", controlled=False, generator_pairs=more)
    setting = replace(QUICK, num_human=5, num_tested=4)
    made = making.make_parts(study, setting, options)
    assert len(made.human.tokens) == 5
    assert len(asked["generator"].tokens) == learned
    both = min(5, learned)
    for own, other in zip(made.human, asked["generator"], strict=True):
        np.testing.assert_array_equal(own[:both], other[:both])
    assert len(study.notes) == (learned != 5)


def test_a_set_has_captions_that_are_read_and_name_what_was_asked_for(study, monkeypatch):
    ground = parts.make_ground(0, replace(QUICK, num_tested=30), WORLD, 60)
    rng = np.random.default_rng(0)
    scenes = WORLD.sample(rng, 60)
    captions = WORLD.caption(scenes, rng, is_exact=True)
    asked = WORLD.named_objects(WORLD.facts(scenes)).argmax(1)
    asked[0] = (asked[0] + 1) % len(WORLD.concepts)
    captions[1] = WORLD.vocabulary[0]
    written = []

    def write(writer, params, asked, key):
        written.append(writer.temperature)
        return ground.words.encode(captions)

    monkeypatch.setattr(caption_sets, "_write", write)
    monkeypatch.setattr(caption_sets, "ask", lambda *_: asked)
    setting = replace(QUICK, num_asked=60, num_synthetic=80)
    writer = Writer(LanguageModelConfig(9), 9, 9)

    def made(style):
        return caption_sets.write_set(study, setting, ground, writer, np.zeros(1), style)

    one = made("class-prompted")
    kept = [text for i, text in enumerate(captions) if i > 1 and text not in captions[:i]]
    assert len(one.captions) == 80 and list(dict.fromkeys(one.captions)) == kept
    assert one.captions[: len(kept)] == kept and one.num_distinct == len(kept)
    assert one.grammatical == pytest.approx(59 / 60)
    assert one.named == pytest.approx(58 / 60) and one.named_kept == 1.0
    # The first caption is of another concept than was asked for: of none, it stays.
    asked = np.full(60, NO_CONCEPT)
    assert captions[0] in made("unprompted").captions
    made("narrow")
    assert written == [1.0, 1.0, caption_sets.NARROW_TEMPERATURE]
