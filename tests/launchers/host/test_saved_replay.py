"""A saved replay of which any part is cut, changed or missing is not taken up."""

import numpy as np
import pytest
from replays import fill, layout_of

from tolman.agents.agent import DataSpec
from tolman.launchers.host.saved_replay import check_replays, replay_folder

DATA = DataSpec(1, 20, replay="prioritized", min_size=1)


@pytest.fixture
def saved(open_replay, tmp_path):
    """A checkpoint with the replay of one server, of 20 items."""
    replay = open_replay(DATA, layout_of(20))
    fill(replay, 1.0 + np.arange(20.0))
    for _ in range(2):  # The second takes the place of one that was not finished.
        replay.save(replay_folder(tmp_path / "checkpoint", 0))
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["replay"]
    return tmp_path / "checkpoint"


def test_a_part_that_is_not_as_it_was_is_told(saved):
    paths = [path for path in replay_folder(saved, 0).iterdir() if path.stat().st_size]
    assert len(paths) >= 4
    for path in paths:
        whole = path.read_bytes()
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        for changed in (whole[:-3], b"", flipped):
            path.write_bytes(changed)
            with pytest.raises(ValueError, match=r"broken replay \(.*--empty-replay"):
                check_replays(saved, 1)
        path.unlink()
        with pytest.raises(ValueError, match=r"broken replay \(FileNotFound"):
            check_replays(saved, 1)
        path.write_bytes(whole)
    check_replays(saved, 1)
    with pytest.raises(ValueError, match=r"replay/1: this checkpoint has no such replay"):
        check_replays(saved, 2)
