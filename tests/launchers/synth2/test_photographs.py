"""Photographs with captions: three forms of files, what is wrong with them, and batches."""

import io
import itertools
import json
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from tolman.envs.data import data_set
from tolman.launchers.synth2.loader import Loader, decode
from tolman.launchers.synth2.photographs import Photograph, open_photographs

COLOURS = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255)}


def png(colour, size=(6, 4)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def write_images(folder):
    folder.mkdir()
    for name, colour in COLOURS.items():
        (folder / f"{name}.png").write_bytes(png(colour))


def karpathy():
    rows = zip("abc", ("train", "val", "train"), strict=True)
    return {
        "images": [
            {"filename": f"{name}.png", "split": split, "sentences": [{"raw": f"a {name}"}]}
            for name, split in rows
        ]
    }


def coco():
    said = [(7, "a b"), (3, "an a"), (7, "one b")]
    return {
        "images": [
            {"id": i, "file_name": f"{name}.png"} for i, name in ((3, "a"), (7, "b"))
        ]
        + [{"id": 9, "file_name": "c.png"}],
        "annotations": [{"image_id": i, "caption": caption} for i, caption in said],
    }


def write_json(tmp_path, content, images="images"):
    write_images(tmp_path / images)
    path = tmp_path / "captions.json"
    path.write_text(json.dumps(content))
    return path


def write_tar(path, files):
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def told(photographs):
    return [(one.name, one.captions) for one in photographs]


def test_karpathys_json(tmp_path):
    path = write_json(tmp_path, karpathy())
    found = open_photographs(path)
    expected = [(f"{tmp_path}/images/{name}.png", (f"a {name}",)) for name in "abc"]
    assert told(found) == told(found) == told(open_photographs(tmp_path)) == expected
    assert [one.image for one in found] == [png(COLOURS[name]) for name in "abc"]
    assert told(open_photographs(path, splits=("train",))) == expected[::2]


def test_a_folder_of_images_by_its_name_and_by_filepath(tmp_path):
    content = {"images": [{"file": "b.png", "filepath": "val", "captions": ["x", "y"]}]}
    path = write_json(tmp_path, content, "val")
    assert told(open_photographs(path)) == [(f"{tmp_path}/val/b.png", ("x", "y"))]
    content["images"][0].pop("filepath")
    path.write_text(json.dumps(content))
    assert told(open_photographs(path, tmp_path / "val")) == [
        (f"{tmp_path}/val/b.png", ("x", "y"))
    ]


def test_cocos_json(tmp_path):
    """A picture without captions is passed over."""
    found = open_photographs(write_json(tmp_path, coco()))
    folder = f"{tmp_path}/images"
    expected = [(f"{folder}/a.png", ("an a",)), (f"{folder}/b.png", ("a b", "one b"))]
    assert told(found) == expected


def test_tars_in_turn(tmp_path):
    files = {
        "x/0.png": png(COLOURS["a"]),
        "x/0.txt": b"an a\n",
        "x/1.json": json.dumps({"captions": ["a b", "one b"]}).encode(),
        "x/1.png": png(COLOURS["b"]),
    }
    write_tar(tmp_path / "0.tar", files)
    last = {"2.json": json.dumps({"caption": "a c"}).encode(), "2.jpg": b"..."}
    write_tar(tmp_path / "1.tar", last)
    found = open_photographs(tmp_path)
    first, second = tmp_path / "0.tar", tmp_path / "1.tar"
    expected = [
        (f"{first}: x/0", ("an a",)),
        (f"{first}: x/1", ("a b", "one b")),
        (f"{second}: 2", ("a c",)),
    ]
    assert told(found) == told(found) == expected
    assert next(iter(found)).image == png(COLOURS["a"])


def _tar(files):
    return lambda path: write_tar(path / "x.tar", files)


def _json(content):
    return lambda path: write_json(path, content)


def _text(text, name="x.json"):
    def write(path):
        (path / name).write_text(text)
        return path / name

    return write


def _cut_tar(path):
    whole = write_tar(path / "x.tar", {"0.png": png((0, 0, 0)) * 99, "0.txt": b"x"})
    whole.write_bytes(whole.read_bytes()[:3000])
    return whole


EMPTY = {
    "images": [{"file": "a.png", "captions": ["x"]}, {"file": "b.png", "captions": [" "]}]
}
MISSING = {"images": [{"file": "q.png", "captions": ["x"]}]}
MARKS = {"images": [{"file": "a.png", "captions": ["x", "!?", "..."]}]}
NONE = {"images": [{"file": "a.png", "captions": []}]}
BROKEN = _json({"images": [{"file": "../captions.json", "captions": ["x"]}]})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path / "no", "no such file or folder. Give Karpathy's JSON"),
        (lambda path: path, r"has no .json and no .tar. Give Karpathy's JSON"),
        (_text("x", "x.txt"), r"has x.txt. Give Karpathy's JSON"),
        (_text("{"), "is no JSON"),
        (_text("[]"), "is a JSON of another kind .its parts have other types"),
        (_text('{"images": [{"id": 1}]}'), "JSON of another kind .'file' is missing"),
        (
            _text('{"images": [], "annotations": [{}]}'),
            "of another kind .'image_id' is missing",
        ),
        (_text('{"images": []}'), "names no images"),
        (
            _json(EMPTY),
            "1 of 2 captions are empty or have no word, the first is ' ' of b.p",
        ),
        (_json(MARKS), r"2 of 3 captions are empty or have no word, the first is '!\?' of"),
        (_json(NONE), "1 of 1 images have no captions, the first is a.png"),
        (_json(MISSING), r"q.png: cannot be read \(No such file"),
        (
            BROKEN,
            r"/images/../captions.json: is no image that can be read \(of no known",
        ),
        (_text("x", "x.tar"), "is no whole tar"),
        (_cut_tar, "is no whole tar .*after 0 photographs"),
        (_tar({}), "is an empty tar"),
        (_tar({"0.png": b"x"}), "0 has .png: must have an image .* and a caption"),
        (_tar({"0.txt": b"x"}), "0 has .txt: must have an image"),
        (_tar({"0.png": b"x", "0.txt": b" "}), "0 has .png, .txt: must have an image"),
        (_tar({"0.png": b"x", "0.json": b"["}), "0 has .json, .png: must have an image"),
        (_tar({"0.png": b"x", "0.txt": b"x"}), r"\.tar: 0: is no image that can be read"),
        (_tar({"0.png": png((0, 0, 0)), "0.txt": b"..."}), "must have an image .* and a c"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, write, message):
    with pytest.raises(ValueError, match=message) as caught:
        for _ in Loader(open_photographs(write(tmp_path)), 4, 2).once():
            pass
    assert "\n" not in str(caught.value)


def test_splits_that_are_not_there(tmp_path):
    path = write_json(tmp_path, karpathy())
    with pytest.raises(
        ValueError, match=r"no image is of the splits test\. It has train, val"
    ):
        open_photographs(path, splits=("test",))
    tar = write_tar(tmp_path / "x.tar", {})
    with pytest.raises(ValueError, match="has its images in it and no splits"):
        open_photographs(tar, splits=("test",))


def test_the_middle_is_cut_out_and_scaled():
    rows = np.zeros((4, 8, 3), np.uint8)
    rows[:, 2:6] = 255
    buffer = io.BytesIO()
    Image.fromarray(rows).save(buffer, "PNG")
    found = decode(Photograph("x", buffer.getvalue(), ()), 4)
    assert found.shape == (4, 4, 3) and found.dtype == np.uint8 and (found == 255).all()
    grey = io.BytesIO()
    Image.new("L", (5, 9), 77).save(grey, "PNG")
    assert (decode(Photograph("x", grey.getvalue(), ()), 3) == 77).all()


def test_all_photographs_once(tmp_path):
    photographs = open_photographs(write_json(tmp_path, karpathy()))
    first, second = Loader(photographs, 2, 2).once()
    assert first.images.shape == (2, 2, 2, 3) and second.images.shape == (1, 2, 2, 3)
    assert first.images[0, 0, 0].tolist() == [255, 0, 0]
    assert second.images[0, 1, 1].tolist() == [0, 0, 255]
    assert [*first.captions, *second.captions] == [("a a",), ("a b",), ("a c",)]


def numbered(num):
    image = png((9, 9, 9))
    return [Photograph(str(i), image, (str(i),)) for i in range(num)]


def names(loader, first, num, key=(0, 1)):
    stream = loader.pairs(np.array(key), first)
    return [
        one for _, batch in zip(range(num), stream, strict=False) for one in batch.captions
    ]


def test_a_stream_goes_on_where_it_was_broken_off():
    loader = Loader(numbered(10), 2, 3, shuffle=4)
    whole = names(loader, 0, 8)
    assert names(loader, 5, 3) == whole[15:]
    assert names(loader, 0, 8, (0, 2)) != whole


def test_each_pass_has_every_photograph_once():
    for shuffle in (0, 1, 4, 100):
        drawn = names(Loader(numbered(10), 2, 5, shuffle=shuffle), 0, 6)
        for first in (0, 10, 20):
            assert sorted(drawn[first : first + 10]) == sorted((str(i),) for i in range(10))
        in_order = [(str(i),) for i in range(10)] * 3
        assert (drawn == in_order) == (shuffle == 0)


def test_no_more_than_a_few_files_are_read_ahead():
    num_read = 0

    def read():
        nonlocal num_read
        for one in numbered(1000):
            num_read += 1
            yield one

    loader = Loader(read(), 2, 5, num_ahead=3)
    next(loader.once())
    assert num_read == 4 * 5


def test_the_share_of_waiting():
    loader = Loader(numbered(12), 2, 2)
    assert loader.waiting.share == 0.0
    for _ in loader.once():
        time.sleep(0.02)
    assert 0.0 < loader.waiting.share < 0.9
    assert loader.waiting.share <= loader.waiting.seconds / (6 * 0.02)


def test_all_waits_are_counted(monkeypatch):
    """On a clock that goes on by 1 whenever it is read, each of six batches waits 1."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    loader = Loader(numbered(12), 2, 2)
    assert len([*loader.once()]) == 6 and loader.waiting.seconds == 6.0


def test_a_stream_of_nothing_is_told():
    with pytest.raises(ValueError, match="no photographs: must be at least one"):
        next(Loader([], 2, 2).stream((0, 1), 0))


def test_51_photographs_of_coco():
    folder = data_set("coco_mini_cc")
    if folder is None:
        pytest.skip("no coco_mini_cc")
    batches = list(Loader(open_photographs(folder), 64, 16).once())
    assert sum(len(batch.images) for batch in batches) == 51
    assert sum(len(own) for batch in batches for own in batch.captions) == 255
    assert 60 < np.mean([batch.images.mean() for batch in batches]) < 160
