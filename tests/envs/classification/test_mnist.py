"""Reading digits: made-up files of MNIST's format, sound and broken."""

import gzip
import struct
import sys

import numpy as np
import pytest

from tolman.envs.classification import mnist

FILES = {"train": 12, "t10k": 4}


def _write(folder, name, magic, shape, values):
    head = struct.pack(f">{1 + len(shape)}I", magic, *shape)
    (folder / f"{name}.gz").write_bytes(gzip.compress(head + bytes(values)))


@pytest.fixture
def data(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, count in FILES.items():
        values = np.arange(count * 4) % 256
        _write(folder, f"{part}-images-idx3-ubyte", 2051, (count, 2, 2), values.tolist())
        labels = (np.arange(count) % 10).tolist()
        _write(folder, f"{part}-labels-idx1-ubyte", 2049, (count,), labels)
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    return folder


def test_splits_of_the_files(data):
    assert mnist.which("auto") == "mnist"
    train, held_out, test = (mnist.read("mnist", split) for split in mnist.SPLITS)
    assert [len(part.label) for part in (train, held_out, test)] == [6, 6, 4]
    assert train.image[1].tolist() == [[4, 5], [6, 7]] and train.label.tolist() == [
        *range(6)
    ]
    assert held_out.label.tolist() == [6, 7, 8, 9, 0, 1] and held_out.image[0, 0, 0] == 24
    assert test.image.shape == (4, 2, 2) and test.label.dtype == np.int32


def test_unpacked_files_do_as_well(data):
    for path in data.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert mnist.read("auto", "test").label.tolist() == [0, 1, 2, 3]


def _cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def _cut_inside(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-3]))


def _no_gzip(path):
    path.write_bytes(b"<html>not found</html>")


def _other(path):
    path.write_bytes(gzip.compress(struct.pack(">II", 2049, 3) + bytes(3)))


def _cut_head(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:8]))


def _empty(path):
    path.write_bytes(gzip.compress(b""))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, "is no gzip file, or cut short"),
        (_cut_inside, "holds 45 values, must hold 48"),
        (_no_gzip, "is no gzip file, or cut short"),
        (_other, "begins with 2049, must begin with the number 2051 of IDX images"),
        (_cut_head, "holds 8 bytes, must hold 16 for its head alone"),
        (_empty, "begins with nothing, must begin with the number 2051"),
        (lambda path: path.unlink(), "holds no train-images-idx3-ubyte.gz. Put train-"),
    ],
)
def test_broken_files_are_refused_in_one_line(data, spoil, message):
    spoil(data / "train-images-idx3-ubyte.gz")
    with pytest.raises(ValueError, match=message) as caught:
        mnist.read("mnist", "train")
    assert "\n" not in str(caught.value)


def test_images_and_labels_must_be_as_many(data):
    _write(data, "t10k-labels-idx1-ubyte", 2049, (3,), [1, 2, 3])
    with pytest.raises(ValueError, match="t10k has 4 images and 3 labels"):
        mnist.read("mnist", "test")


def test_without_any_data_it_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    for name in ("auto", "mnist", "digits"):
        with pytest.raises(ValueError, match=r"is not there\. Put train-images"):
            mnist.which(name)
    with pytest.raises(
        ValueError, match="data='mnits': must be one of auto, digits, mnist"
    ):
        mnist.which("mnits")


def test_small_digits_stand_in_where_mnist_is_not_there(tmp_path, monkeypatch):
    """With what scikit-learn hands out: images of 0 to 16, in a fixed order."""
    rng = np.random.default_rng(0)

    class Found:
        images = rng.integers(0, 17, (100, 8, 8)).astype(float)
        target = np.arange(100) % 10
        images[:, 0, 0] = target  # So that an image says what its label is.

    module = type(sys)("sklearn.datasets")
    module.load_digits = Found
    package = type(sys)("sklearn")
    package.datasets = module
    monkeypatch.setitem(sys.modules, "sklearn", package)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", module)
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    mnist._small_digits.cache_clear()
    assert mnist.which("auto") == "digits"
    parts = [mnist.read("auto", split) for split in mnist.SPLITS]
    assert [len(part.label) for part in parts] == [70, 10, 20]
    whole = np.concatenate([part.label for part in parts])
    assert sorted(whole.tolist()) == sorted(Found.target.tolist())
    corner = np.concatenate([part.image for part in parts])[:, 0, 0]
    np.testing.assert_array_equal(corner, np.round(whole * (255 / 16)))
    assert parts[0].image.max() == 255 and parts[0].image.dtype == np.uint8
    mnist._small_digits.cache_clear()
