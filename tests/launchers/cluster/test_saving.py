"""Replays save their content into a checkpoint, all of them or the run ends."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError

from tolman.agents.agent import DataSpec
from tolman.launchers.cluster.session import Session
from tolman.launchers.cluster.supervisor import MAX_DEATHS_IN_A_ROW
from tolman.launchers.runs.failures import ProcessFailure


class Replay:
    """Stands in for the process of a replay that dies some times while it saves."""

    def __init__(self, index, num_deaths):
        self.index, self.name, self.num_deaths = index, f"replay {index}", num_deaths
        self.folders = []
        self.start()

    def start(self):
        self.handle = SimpleNamespace(save=SimpleNamespace(remote=self.save))

    def save(self, folder):
        self.folders.append(folder)
        return len(self.folders) > self.num_deaths

    def die(self, error):
        self.handle = None


class Saving(Session):
    """A session of replays only."""

    def __init__(self, replays, kind="uniform"):
        self._data = DataSpec(1, 1, replay=kind)
        self._replays, self._replay_before = replays, None

    def _wait_for_processes(self):
        for replay in self._replays:
            replay.start()

    def _finish(self, request):
        if not request:
            raise RayActorError


def test_one_that_dies_is_restarted_and_saves_then():
    replays = [Replay(0, 0), Replay(1, 2)]
    session = Saving(replays)
    session.save_replays(Path("/run/checkpoints/80.unfinished"))
    folder = Path("/run/checkpoints/80.unfinished/replay")
    assert replays[0].folders == [folder / "0"] and replays[1].folders == 3 * [folder / "1"]
    # A replay that is restarted later begins with what the finished checkpoint holds.
    assert session._replay_before == Path("/run/checkpoints/80")


def test_one_that_cannot_save_ends_the_run_and_the_checkpoint_before_stays():
    session = Saving([Replay(0, MAX_DEATHS_IN_A_ROW)])
    with pytest.raises(ProcessFailure, match="replay 0 died while it saved its content"):
        session.save_replays(Path("/run/checkpoints/80.unfinished"))
    assert session._replay_before is None


def test_a_queue_has_nothing_to_save():
    replay = Replay(0, 0)
    Saving([replay], "queue").save_replays(Path("/run/checkpoints/80.unfinished"))
    assert not replay.folders
