"""The pictures: where they are from, and that held-out ones were never shown."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from tolman.envs.data import data_set
from tolman.envs.meta_rl import HarlowChoice
from tolman.envs.meta_rl.images import (
    FOLDERS,
    HELD_OUT_EVERY,
    _split,
    draw_image,
    find_source,
    load_images,
)

SOURCES = [
    "generated",
    *(
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                data_set(folder) is None, reason=f"the data set {folder} is not there"
            ),
        )
        for name, folder in FOLDERS.items()
    ),
]


def rows(images):
    return {image.tobytes() for image in images.reshape(-1, *images.shape[2:])}


@pytest.mark.parametrize("source", SOURCES)
def test_splits_are_disjoint_and_classes_differ(source):
    train = load_images(source, "train", 20, 60)
    held_out = load_images(source, "held_out", 20, 60)
    for images in (train, held_out):
        assert images.dtype == np.uint8
        assert images.shape[2:] == (20, 20, 3)
        assert 2 <= images.shape[0] * images.shape[1] <= 60
        assert len(rows(images)) == images.shape[0] * images.shape[1]
        assert images.std() > 20
        assert not images.flags.writeable
    assert not rows(train) & rows(held_out)


@pytest.mark.parametrize("source", SOURCES)
def test_environment_uses_what_was_asked_for(source):
    environment = HarlowChoice(source=source, num_images=8)
    assert environment.source_used == source
    assert environment.images.shape[2:] == (14, 14, 3)


def test_classes_not_examples_are_held_out():
    names = [f"class_{index:02}" for index in range(10)]
    train, held_out = _split(names, "train"), _split(names, "held_out")
    assert held_out == ["class_03", "class_07"]
    assert sorted(train + held_out) == names
    assert HELD_OUT_EVERY == 4


def test_generated_pictures_repeat_and_keep_their_content_at_another_size():
    np.testing.assert_array_equal(draw_image("train", 7, 14), draw_image("train", 7, 14))
    for index in range(20):
        large = draw_image("train", index, 56).astype(float)
        small = draw_image("train", index, 14).astype(float)
        shrunk = large.reshape(14, 4, 14, 4, 3).mean((1, 3))
        assert np.abs(shrunk - small).mean() < 12.0


def test_absent_source_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="source='fruits': its folder") as caught:
        list(HarlowChoice(source="fruits").setting_problems())
    assert "TOLMAN_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert find_source("auto") == "generated"
    assert HarlowChoice(num_images=4).source_used == "generated"


def test_data_variable_that_names_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"TOLMAN_DATA=.*: must name a folder"):
        list(HarlowChoice().setting_problems())


def test_auto_prefers_characters_then_photographs(monkeypatch, tmp_path):
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    (tmp_path / FOLDERS["fruits"]).mkdir()
    assert find_source("auto") == "fruits"
    (tmp_path / FOLDERS["omniglot"]).mkdir()
    assert find_source("auto") == "omniglot"


@pytest.mark.parametrize(
    "source, wanted", [("omniglot", r"images_background\*.zip"), ("fruits", r"\*.jpg")]
)
def test_a_folder_without_pictures_is_one_line(source, wanted, monkeypatch, tmp_path):
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    (tmp_path / FOLDERS[source] / "empty").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"has no .*{wanted}. Copy") as caught:
        load_images(source, "train", 14, 8)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_archives_are_closed(monkeypatch, tmp_path):
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    (tmp_path / FOLDERS["omniglot"]).mkdir()
    picture = io.BytesIO()
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(picture, "PNG")
    path = tmp_path / FOLDERS["omniglot"] / "images_background.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4):
            name = f"images_background/alphabet_{number}/character/one.png"
            archive.writestr(name, picture.getvalue())
    opened = []

    class Watched(zipfile.ZipFile):
        def __init__(self, *given):
            super().__init__(*given)
            opened.append(self)

    monkeypatch.setattr(zipfile, "ZipFile", Watched)
    assert load_images("omniglot", "train", 4, 8).shape == (3, 1, 4, 4, 3)
    (archive,) = opened
    assert archive.fp is None  # Closed.
