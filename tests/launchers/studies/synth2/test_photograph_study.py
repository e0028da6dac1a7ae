"""The study of photographs: what is read, what is told, and open models end to end."""

import json
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from small_models import amused, smolvlm

from tolman.agents.synth2.captioner import CaptionerConfig
from tolman.agents.synth2.tokenizer import TokenizerConfig
from tolman.launchers.probe.opening import Opened
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2 import asking, photographs
from tolman.launchers.studies.synth2.photographs import Coded, Options, Setting

SETTING = Setting(
    TokenizerConfig(image_size=8, patch_size=2, num_codes=16, code_size=4, batch_size=4),
    CaptionerConfig(16, 2, 1, 1, 2, batch_size=8, learning_rate=1e-2),
    tokenizer_updates=60, captioner_updates=150, max_words=4,
)  # fmt: skip
CAPTIONS = [["A red wall.", "red all over"], ["a green lawn"], ["the blue sky", "blue"],
            ["snow, white and cold in the sun"]]  # fmt: skip
COLOURS = [(220, 20, 20), (20, 200, 20), (20, 20, 220), (250, 250, 250)]


@pytest.fixture
def study(tmp_path):
    return Study("synth2/photographs", "toy", "-", True, 0, tmp_path / "study")


@pytest.fixture
def data(tmp_path):
    """Four photographs of a colour each."""
    from PIL import Image

    (tmp_path / "images").mkdir()
    rows = []
    for number, (colour, captions) in enumerate(zip(COLOURS, CAPTIONS, strict=True)):
        name = f"{number}.png"
        Image.new("RGB", (12, 10), colour).save(tmp_path / "images" / name)
        rows.append({"file": name, "split": "train", "captions": captions})
    (tmp_path / "captions.json").write_text(json.dumps({"images": rows}))
    return tmp_path / "captions.json"


class Model:
    """Stands for an open model: tells an image by its colour."""

    image_size, num_tokens = 8, 2
    codebook = np.eye(4, dtype=np.float32)

    def encode(self, images):
        assert images.shape[1:] == (8, 8, 3)
        colours = images.mean((1, 2))[:, None]
        nearest = ((colours - np.array(COLOURS)) ** 2).sum(-1).argmin(1)
        return np.stack([nearest, nearest], 1).astype(np.uint16)


def test_all_photographs_are_read_once_in_their_order(study, data):
    coded = photographs.encode(study, Options(str(data)), SETTING, Model())
    assert coded.tokens.tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert coded.captions == CAPTIONS and coded.codebook.shape == (4, 4)
    assert 0.0 <= coded.waiting <= 1.0


def test_another_image_is_the_control(study):
    coded = Coded(np.arange(4)[:, None], CAPTIONS, np.eye(4), 0.25)
    written = photographs.with_control(
        lambda rows: [CAPTIONS[row][0] for row in rows[:, 0]], coded.tokens
    )
    photographs.report(study, coded, 6, written)
    rows = study.tables[0]["rows"]
    assert [row[0] for row in rows] == ["its own", "that of another"]
    assert float(rows[0][1]) > 3.0 and float(rows[0][3]) > 0.9 and float(rows[1][1]) < 0.5
    assert study.checks[0].passed and "waited 25.0% for the loader" in study.notes[0]
    same = photographs.with_control(lambda rows: [CAPTIONS[0][0]] * 4, coded.tokens)
    photographs.report(study, coded, 6, same)
    assert not study.checks[1].passed


def test_an_open_captioner_is_shown_every_photograph_in_their_order(study, data):
    class Captioner:
        image_size = 6

        def caption(self, images):
            assert images.shape[1:] == (6, 6, 3) and images.dtype == np.uint8
            distance = (images.mean((1, 2))[:, None] - np.array(COLOURS)) ** 2
            return [CAPTIONS[one][0] for one in distance.sum(-1).argmin(1)]

    found = photographs.captions_of(Options(str(data)), Captioner())
    assert found == [row[0] for row in CAPTIONS]
    coded = Coded(np.arange(4)[:, None], CAPTIONS, np.eye(4), 0.25)
    none = [""] * 4
    captions = {"its own": none, "that of another": none, "open": found}
    photographs.report(study, coded, 6, captions)
    assert float(study.tables[0]["rows"][2][1]) > 3.0


def test_drawn_images_are_scored_with_their_own_captions_and_those_of_others(study):
    class Clip:
        def scores(self, images, captions):
            return np.array(
                [float(i == int(c)) for i, c in zip(images, captions, strict=True)]
            )

    photographs.check_drawn(study, Clip(), np.arange(3), ["0", "1", "2"])
    assert study.tables[0]["rows"][0][1:] == ["1.000"] * 3 and study.checks[0].passed
    photographs.check_drawn(study, Clip(), np.arange(3), ["2", "0", "1"])
    assert study.checks[1].measured == -1.0 and not study.checks[1].passed


def test_long_captions_are_cut():
    assert photographs.cut("Snow, white and cold in the sun", 4) == "snow white and cold"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(), "--data: none. Give"),
        (Options("x", num_drawn=3), "--num-drawn 3: needs a model that draws"),
        (Options("x", clip="c"), "--clip c: scores what a model draws. Give --model and"),
        (Options("nowhere"), "nowhere: no such file or folder"),
        (Options(__file__, model="nowhere"), "nowhere: no such folder"),
        (Options(__file__, writer="x"), "--writer x: writes what a model draws. Give --m"),
        (Options(__file__, concepts="x"), "--concepts x: .* Give --writer"),
        (
            Options(__file__, captioner="no"),
            "no: no such folder. Give a folder of class Blip",
        ),
    ],
)
def test_what_cannot_be_is_told(study, options, message):
    with pytest.raises(ValueError, match=message):
        photographs.run_setting(study, options, SETTING)


class Inventor:
    """Stands for a language model: says what it was asked for, or nothing of it."""

    abilities = frozenset({"generate"})
    questions_at_once = 4

    def __init__(self):
        self.asked = []

    def generate(self, prompts, max_new_tokens, sampling=None):
        self.asked += prompts
        seeds = sampling.seeds if sampling else [0] * len(prompts)
        kind = ["an old {}", "a new {} by the sea", "it"]
        found = [next((c for c in ("dog", "cat") if f": {c}." in p), "it") for p in prompts]
        return [f"Here is {kind[s % 3].format(one)} number {s % 50}."
                for one, s in zip(found, seeds, strict=True)]  # fmt: skip

    def hidden_states(self, *_):
        raise AssertionError

    score = attention = jacobian = first_token = hidden_states


@pytest.fixture
def inventor(monkeypatch):
    model = Inventor()
    opened = Opened(model, {"inventor": 1})
    monkeypatch.setattr(asking, "open_model", lambda config: opened)
    return model


def test_a_language_model_invents_captions_of_concepts(study, inventor, tmp_path):
    (tmp_path / "concepts.txt").write_text("dog\ncat\n")
    found = asking.ask_model(study, "mine", str(tmp_path / "concepts.txt"), 60)
    assert all("dog" in one or "cat" in one for one in found) and len(set(found)) > 20
    rows = dict(study.tables[0]["rows"])
    assert rows["asked for"] == "60" and rows["kept"] == str(len(found))
    left_out = [int(value) for key, value in rows.items() if key.startswith("left out")]
    assert len(found) + sum(left_out) == 60 and rows["concepts that are named"] == "1.000"
    named = [sum(word in one for one in found) / len(found) for word in ("dog", "cat")]
    entropy = -sum(share * np.log2(share) for share in named)
    assert float(rows["normalised entropy of concepts"]) == pytest.approx(entropy, abs=1e-3)
    sent = len(inventor.asked)
    assert asking.ask_model(study, "mine", str(tmp_path / "concepts.txt"), 60) == found
    assert len(inventor.asked) == sent  # Nothing is asked for twice.


def test_captions_of_nothing_that_was_asked_for_are_refused(study, inventor, tmp_path):
    (tmp_path / "concepts.txt").write_text("zebra\n")
    with pytest.raises(ValueError, match=r"--writer mine: none of 9 captions .* missing"):
        asking.ask_model(study, "mine", str(tmp_path / "concepts.txt"), 9)


@pytest.mark.slow
def test_invented_captions_are_drawn_and_learned(
    study, data, inventor, monkeypatch, tmp_path
):
    monkeypatch.setattr(Drawer, "drawn", [])
    monkeypatch.setitem(photographs.LOADERS, "amused", lambda folder: Drawer())
    weights = tmp_path / "model" / "transformer" / "weights"
    weights.parent.mkdir(parents=True)
    weights.write_text("first")
    model = str(tmp_path / "model")
    options = Options(str(data), model=model, num_drawn=9, writer="mine")
    photographs.run_setting(study, options, SETTING)
    assert study.tables[0]["title"] == "Captions of mine"
    asked = asking.ask_model(study, "mine", None, 9)
    once = [photographs.cut(one, SETTING.max_words) for one in asked]
    assert Drawer.drawn == once
    photographs.run_setting(study, options, SETTING)
    assert Drawer.drawn == once  # Nothing is drawn again,
    weights.write_text("other")  # As long as before.
    photographs.run_setting(study, options, SETTING)
    assert Drawer.drawn == [*once, *once]  # but by other weights in the same folder.


class Drawer(Model):
    """Draws, too: codes of nothing."""

    drawn: ClassVar[list[str]] = []

    def draw(self, captions, seed):
        self.drawn.extend(captions)
        return np.zeros((len(captions), 2), np.uint16)

    def decode(self, tokens):
        return np.zeros((len(tokens), 8, 8, 3), np.uint8)


@pytest.mark.slow
def test_fewer_captions_than_images_asked_for_are_told(study, data, monkeypatch):
    monkeypatch.setitem(photographs.LOADERS, "amused", lambda folder: Drawer())
    for asked in (6, 7):  # Six captions there are.
        options = Options(str(data), model="mine", num_drawn=asked)
        photographs.run_setting(study, options, SETTING)
    told = [note for note in study.notes if note.startswith("Drawn")]
    assert told == ["Drawn: 6 of --num-drawn 7, as there are no more captions."]


@pytest.mark.slow
def test_a_tokenizer_and_a_captioner_learn_photographs_by_heart(study, data):
    photographs.run_setting(study, Options(str(data)), SETTING)
    assert study.checks[0].passed and float(study.tables[0]["rows"][0][1]) > 3.0


@pytest.mark.slow
def test_an_open_model_feeds_the_captioner(study, data, tmp_path):
    pytest.importorskip("diffusers")
    drawer, captioner = tmp_path / "amused", tmp_path / "smolvlm"
    for folder in (drawer, captioner):
        folder.mkdir()
    amused(drawer)
    smolvlm(captioner)
    options = Options(str(data), model=str(drawer), num_drawn=5, captioner=str(captioner))
    photographs.run_setting(study, options, SETTING)
    # Drawn once: codes lie in the study's folder.
    assert len(list((study.folder / "drawn").glob("*.npy"))) == 1
    assert study.checks[0].passed
    names = [row[0] for row in study.tables[-1]["rows"]]
    assert names == ["its own", "that of another", "its own, by the open captioner"]


@pytest.mark.slow
def test_coco_mini_cc_is_learned_by_heart(study):
    folder = Path(os.environ.get("TOLMAN_DATA", "shared/data")) / "coco_mini_cc"
    if not folder.exists():
        pytest.skip("coco_mini_cc is not there")
    photographs.run_setting(study, Options(str(folder)), photographs.QUICK)
    assert study.checks[0].passed
