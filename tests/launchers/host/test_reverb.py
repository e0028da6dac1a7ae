"""What is only Reverb's: its tables, its server, and what it saves."""

import time
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import reverb
from replays import fill, layout_of

from tolman.agents.agent import DataSpec
from tolman.launchers.host.actor import VectorActor
from tolman.launchers.host.learner import AgentLearner
from tolman.launchers.host.reverb.replay import ReverbReplay
from tolman.launchers.host.reverb.server import ReplayServer, make_table
from tolman.launchers.host.saved_replay import check_replays, replay_folder


def tables():
    """One table of vectors."""
    selectors = reverb.selectors
    limiter = reverb.rate_limiters.MinSize(1)
    return [reverb.Table("unrolls", selectors.Uniform(), selectors.Fifo(), 99, limiter)]


def size_of(server):
    return server.client().server_info()["unrolls"].current_size


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint with the replay of one server, of 20 items."""
    folder = tmp_path_factory.mktemp("saved")
    replay = ReplayServer(tables(), folder / "scratch")
    for number in range(20):
        replay.client().insert([np.full(50, float(number))], {"unrolls": 1.0})
    replay.save(replay_folder(folder, 0))
    replay.stop()
    assert [path.name for path in folder.iterdir()] == ["replay"]
    return folder


def test_it_comes_back_and_may_be_saved_anew(saved, tmp_path):
    check_replays(saved, 1)
    replay = ReplayServer(tables(), tmp_path / "scratch", replay_folder(saved, 0))
    assert size_of(replay) == 20
    for _ in range(2):  # The second takes the place of one that was not finished.
        replay.save(tmp_path / "again" / "0")
        replay.client().insert([np.zeros(50)], {"unrolls": 1.0})
    replay.stop()
    second = ReplayServer(tables(), tmp_path / "scratch", tmp_path / "again" / "0")
    assert size_of(second) == 21
    second.stop()


def test_what_a_killed_server_left_unfinished_is_not_taken_up(saved, tmp_path):
    scratch = tmp_path / "scratch"
    replay = ReplayServer(tables(), scratch)
    replay.client().insert([np.zeros(50)], {"unrolls": 1.0})
    replay._server.localhost_client().checkpoint()  # Whole, but it was never moved.
    replay.stop()
    second = ReplayServer(tables(), scratch, replay_folder(saved, 0))
    assert size_of(second) == 20
    second.stop()


def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch):
    replay = ReplayServer(tables(), tmp_path / "scratch")

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


def test_the_table_is_drawn_from_as_often_as_the_agent_asks():
    data = DataSpec(
        1, 2, replay="prioritized", capacity=3, min_size=2, samples_per_insert=4.0
    )
    layout = SimpleNamespace(num_items=2, columns=lambda: {"row": (2, 4)})
    limits = make_table(data, layout).info.rate_limiter_info
    assert (limits.samples_per_insert, limits.min_size_to_sample) == (4.0, 2)
    slack = 2 * 4.0  # A batch of 2, four times.
    assert (limits.min_diff, limits.max_diff) == (4.0 * 2 - slack, 4.0 * 2 + slack)
    assert make_table(data, layout).info.max_size == 3


def test_little_is_read_ahead_of_the_learner(tmp_path):
    """Draws that nobody has asked for: they let an actor run ahead of a learner."""
    data = DataSpec(1, 8, replay="uniform", min_size=20, samples_per_insert=1.0)
    replay = ReverbReplay(data, layout_of(8), tmp_path / "scratch", None)
    writer = Thread(target=fill, args=(replay, np.ones(300)), daemon=True)
    writer.start()
    number = -1
    while number != (number := replay.num_items()) or number < 20:
        time.sleep(0.5)
    replay.release()
    writer.join()
    replay.close()
    assert number <= 20 + 8 + 8 * 8  # To begin with, the slack, and eight batches.


def test_the_roles_are_what_acme_asks_for():
    import acme  # Its own import of Launchpad has been met by now.

    for ours, theirs in ((VectorActor, acme.Actor), (AgentLearner, acme.Learner)):
        assert issubclass(ours, theirs)
        assert all(callable(getattr(ours, name)) for name in theirs.__abstractmethods__)
