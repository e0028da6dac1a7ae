"""Codes on disk: a part is drawn once, and one that is broken again."""

import numpy as np
import pytest

from tolman.launchers.synth2.drawing import draw_codes


class Counted:
    num_tokens = 3

    def __init__(self, fails_after=10**9):
        self.drawn, self.fails_after = [], fails_after

    def draw(self, captions, seed):
        if len(self.drawn) >= self.fails_after:
            raise KeyboardInterrupt
        self.drawn.append((tuple(captions), seed))
        rows = [[len(one), seed, i] for i, one in enumerate(captions)]
        return np.array(rows, np.uint16)


CAPTIONS = ["a", "bb", "ccc", "dddd", "eeeee"]
EXPECTED = [[1, 7, 0], [2, 7, 1], [3, 9, 0], [4, 9, 1], [5, 11, 0]]


def test_a_part_is_drawn_once(tmp_path):
    model, told = Counted(), []
    found = draw_codes(model, "m", CAPTIONS, tmp_path, 7, 2, told.append)
    assert found.tolist() == EXPECTED and found.dtype == np.uint16
    assert told == [2, 2, 1] and len(model.drawn) == 3
    assert draw_codes(model, "m", CAPTIONS, tmp_path, 7, 2).tolist() == EXPECTED
    assert len(model.drawn) == 3
    for changed in (("n", CAPTIONS, 7), ("m", CAPTIONS, 8), ("m", ["x", *CAPTIONS[1:]], 7)):
        identity, captions, seed = changed
        draw_codes(model, identity, captions, tmp_path, seed, 2)
    assert len(model.drawn) == 3 + 3 + 3 + 1


def test_a_killed_drawing_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        draw_codes(Counted(fails_after=2), "m", CAPTIONS, tmp_path, 7, 2)
    model = Counted()
    assert draw_codes(model, "m", CAPTIONS, tmp_path, 7, 2).tolist() == EXPECTED
    assert model.drawn == [(("eeeee",), 11)]


def test_a_half_written_part_is_drawn_again(tmp_path, caplog):
    draw_codes(Counted(), "m", CAPTIONS, tmp_path, 7, 5)
    (path,) = tmp_path.glob("*.npy")
    whole = path.read_bytes()
    for broken in (whole[:-4], b"", whole[:9], b"x" * len(whole), b"PK\3\4" + whole[4:]):
        path.write_bytes(broken)
        model = Counted()
        assert len(draw_codes(model, "m", CAPTIONS, tmp_path, 7, 5)) == 5
        assert len(model.drawn) == 1 and path.read_bytes() == whole
    assert caplog.text.count("is broken, and is drawn anew") == 5


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ([], "captions: 0 of 0 are empty"),
        (["a", " ", ""], "captions: 2 of 3 are empty, the first is number 1"),
    ],
)
def test_empty_captions_are_refused(tmp_path, captions, message):
    with pytest.raises(ValueError, match=message):
        draw_codes(Counted(), "m", captions, tmp_path)
