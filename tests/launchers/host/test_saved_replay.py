"""A saved replay of which any part is cut, changed or missing is not taken up."""

import numpy as np
import pytest
import reverb

from tolman.agents.agent import DataSpec
from tolman.launchers.host.reverb.replay import Replay
from tolman.launchers.host.saved_replay import check_replays, replay_folder

DATA = DataSpec(1, 1, replay="uniform")


class Layout:
    """One table of vectors."""

    def tables(self, data, share):
        selectors = reverb.selectors
        limiter = reverb.rate_limiters.MinSize(1)
        return [reverb.Table("unrolls", selectors.Uniform(), selectors.Fifo(), 99, limiter)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint with the replay of one server, of 20 items."""
    folder = tmp_path_factory.mktemp("saved")
    replay = Replay(DATA, Layout(), folder / "scratch")
    for number in range(20):
        replay.client().insert([np.full(50, float(number))], {"unrolls": 1.0})
    replay.save(replay_folder(folder, 0))
    replay.stop()
    assert [path.name for path in folder.iterdir()] == ["replay"]
    return folder


def test_it_comes_back_and_may_be_saved_anew(saved, tmp_path):
    check_replays(saved, 1)
    replay = Replay(DATA, Layout(), tmp_path / "scratch", replay_folder(saved, 0))
    assert replay.num_items() == 20
    for _ in range(2):  # The second takes the place of one that was not finished.
        replay.save(tmp_path / "again" / "0")
        replay.client().insert([np.zeros(50)], {"unrolls": 1.0})
    replay.stop()
    second = Replay(DATA, Layout(), tmp_path / "scratch", tmp_path / "again" / "0")
    assert second.num_items() == 21
    second.stop()


def test_what_a_killed_server_left_unfinished_is_not_taken_up(saved, tmp_path):
    scratch = tmp_path / "scratch"
    replay = Replay(DATA, Layout(), scratch)
    replay.client().insert([np.zeros(50)], {"unrolls": 1.0})
    replay._server.localhost_client().checkpoint()  # Whole, but it was never moved.
    replay.stop()
    second = Replay(DATA, Layout(), scratch, replay_folder(saved, 0))
    assert second.num_items() == 20
    second.stop()


@pytest.mark.parametrize(
    "name", ["chunks.tfrecord", "items.tfrecord", "tables.tfrecord", "checksums.json"]
)
def test_a_part_that_is_not_as_it_was_is_told(name, saved):
    path = replay_folder(saved, 0) / name
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    try:
        for changed in (whole[:-3], b"", bytes(flipped)):
            path.write_bytes(changed)
            with pytest.raises(ValueError, match=r"broken replay \(.*--empty-replay"):
                check_replays(saved, 1)
        path.unlink()
        with pytest.raises(ValueError, match=r"broken replay \(FileNotFound"):
            check_replays(saved, 1)
    finally:
        path.write_bytes(whole)
    check_replays(saved, 1)
    with pytest.raises(ValueError, match=r"replay/1: this checkpoint has no such replay"):
        check_replays(saved, 2)


def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch):
    replay = Replay(DATA, Layout(), tmp_path / "scratch")

    class Full:
        def checkpoint(self):
            (tmp_path / "scratch").mkdir()
            raise IndexError("chunks.tfrecord; No space left on device")

    class Server:
        localhost_client = Full

    server = replay._server
    monkeypatch.setattr(replay, "_server", Server)
    with pytest.raises(OSError, match="No space left on device"):
        replay.save(tmp_path / "saved")
    assert not list(tmp_path.iterdir())
    server.stop()
