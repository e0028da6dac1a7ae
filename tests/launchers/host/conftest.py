"""What the tests of runs on the host share: replays of every kind that is installed."""

from importlib.util import find_spec

import pytest

HAS_REVERB = find_spec("reverb") is not None
KINDS = ["memory", *(["reverb"] if HAS_REVERB else [])]
NEED_REVERB = ["test_listening.py", "test_reverb.py"]

collect_ignore = [] if HAS_REVERB else NEED_REVERB


@pytest.fixture(params=KINDS)
def kind(request, monkeypatch):
    """The name of a replay."""
    if request.param == "reverb":
        from tolman.launchers.host.reverb import batches

        monkeypatch.setattr(batches, "SECONDS_A_REQUEST", 0.5)
    return request.param


@pytest.fixture
def open_replay(kind, tmp_path):
    """Opens a replay of that kind: for data, a layout, and what was saved."""
    from tolman.launchers.host.local import replay_maker

    opened = []

    def start(data, layout, num_streams=1, saved=None):
        make = replay_maker(kind, data, num_streams, tmp_path / "scratch", 0)
        opened.append(make(layout, saved))
        return opened[-1]

    yield start
    for replay in opened:
        replay.release()
        replay.close()
