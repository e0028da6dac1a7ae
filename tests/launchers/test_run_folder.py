"""Runs that lose nothing: folders that are held, whole checkpoints, failures told."""

import errno
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tolman.launchers.report.status import DEAD, read_status, this_process
from tolman.launchers.runs.checkpoints import Checkpoints, check_finite
from tolman.launchers.runs.folder import RunFolder, hold, make_folder
from tolman.launchers.runs.stopping import stop_request


def train_words(run, *more):
    flags = """--env two_step --core feedforward --env.num-trials 2 --num-env-steps 200
    --agent.unroll-length 5 --agent.batch-size 2 --agent.torso flat
    --log-interval 40 --checkpoint-interval 80"""
    return ["train", "actor_critic", *flags.split(), "--run-dir", run, *more]


def leaves(run, units):
    with np.load(run / "checkpoints" / str(units) / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        return {name: file[f"arr_{i}"] for i, name in enumerate(names)}


def test_every_process_gets_a_folder_of_its_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda _: make_folder(tmp_path / "a" / "run", "--x", True), range(8))
        )
    assert len(set(made)) == 8
    with pytest.raises(ValueError, match=r"exists\. Choose another --x"):
        make_folder(tmp_path / "a" / "run", "--x")


def test_a_held_folder_is_refused_to_others(tmp_path):
    with (
        hold(tmp_path),
        pytest.raises(ValueError, match="another process is playing"),
        hold(tmp_path, "playing this tournament"),
    ):
        pass
    with hold(tmp_path):
        pass


def test_a_run_without_a_process_is_dead(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_status("running", 10, 1.0)
    assert folder.status()["state"] == "running"
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["process"] == this_process()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    cases = [
        ({"pid": child.pid}, DEAD),
        ({"started": "another boot 12"}, DEAD),  # The number has been given again.
        ({"host": "elsewhere", "pid": child.pid}, "running"),  # Nobody here can tell.
        ({"pid": "text"}, "running"),
    ]
    for changed, state in cases:
        process = {**status["process"], **changed}
        (tmp_path / "status.json").write_text(json.dumps({**status, "process": process}))
        assert read_status(tmp_path)["state"] == state
    (tmp_path / "status.json").write_text('{"state": "running"}')  # An old one.
    assert read_status(tmp_path)["state"] == "running"


def test_a_signal_is_kept_where_its_interruption_is_lost():
    with stop_request(is_deferred=False) as stop, stop_request() as inner:
        assert inner is stop
        with stop.deferred():
            os.kill(os.getpid(), 2)
            assert stop.signal_number == 2
    with stop_request(is_deferred=False) as stop:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), 2)
        with pytest.raises(KeyboardInterrupt):
            stop.check()


def test_some_member_must_be_finite():
    bad = np.array([[1.0, np.nan], [1.0, 2.0]])
    check_finite({"w": bad, "v": np.ones((2, 3))}, 2)
    with pytest.raises(ValueError, match=r"parameter \['w'\] is not finite"):
        check_finite({"w": bad}, 1)
    with pytest.raises(ValueError, match="not finite"):
        check_finite({"w": bad, "v": bad[::-1]}, 2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    from tolman.launchers.cli import main

    run = tmp_path_factory.mktemp("finished") / "run"
    assert main([str(word) for word in train_words(run)]) == 0
    return run


def test_parameters_that_are_not_finite_are_not_restored(finished, tolman, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "checkpoints" / "240.unfinished").mkdir()
    path = run / "checkpoints" / "200" / "state.npz"
    with np.load(path) as file:
        arrays = dict(file)
    names = json.loads(arrays["description"].tobytes())["leaves"]
    first = next(i for i, name in enumerate(names) if name.startswith(".learner.params"))
    arrays[f"arr_{first}"][...] = np.nan
    np.savez(path, **arrays)
    code, out, _ = tolman("eval", run, "--num-episodes", "2")
    assert code == 0 and "at env_steps 160" in out
    code, _, errors = tolman("resume", run)
    assert code == 0, errors
    assert any("checkpoint not used (parameter" in line for line in errors)
    assert not (run / "checkpoints" / "240.unfinished").exists()
    assert all(
        np.array_equal(leaf, leaves(finished, 200)[name])
        for name, leaf in leaves(run, 200).items()
    )


def test_a_full_disk_is_one_line(tolman, tmp_path, monkeypatch):
    save = Checkpoints.save

    def full(self, units, *rest):
        if units == 160:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save(self, units, *rest)

    monkeypatch.setattr(Checkpoints, "save", full)
    code, _, errors = tolman(*train_words(tmp_path / "run"))
    assert code == 1
    assert errors[-1] == (
        "tolman: error: the disk is full at env_steps 160 (update 16); the last good "
        f"checkpoint is {tmp_path / 'run' / 'checkpoints' / '80'}. Make room, then resume "
        "the run."
    )
    assert read_status(tmp_path / "run")["state"] == "failed"
    monkeypatch.undo()


def test_checkpoints_that_would_not_fit_are_refused(tolman, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 1000)
    )
    code, _, (error,) = tolman(*train_words(tmp_path / "run"))
    assert code == 2 and "are free there, and the checkpoints need" in error
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_counts_the_replay_of_its_last_checkpoint(
    finished, tolman, tmp_path, monkeypatch
):
    """Three checkpoints are there and three are kept: one more must fit before one goes."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    last = run / "checkpoints" / "200"
    size = sum(path.stat().st_size for path in last.rglob("*"))
    (last / "replay").mkdir()
    (last / "replay" / "0").write_bytes(bytes(10**6))
    for free, code in ((10**6 + size, 0), (10**6 + size - 1, 2)):
        disk = shutil._ntuple_diskusage(10**9, 10**9, free)
        monkeypatch.setattr("shutil.disk_usage", lambda path, disk=disk: disk)
        found, _, errors = tolman("resume", run)
        assert found == code, errors
    needed = f"{(10**6 + size) / 1e9:.3g} GB"
    assert f"the checkpoints need {needed} ({needed} each)" in errors[-1]


def test_foreign_code_that_fails_is_told_in_one_line(tolman, tmp_path, extension):
    run = tmp_path / "run"
    code, _, errors = tolman(*train_words(run, "--loggers", "my_extension:Failing"))
    assert code == 1
    place = f"{extension / 'my_extension.py'}:"
    assert errors[-1].startswith("tolman: error: KeyError: 'nothing' (" + place)
    assert "Traceback" not in "\n".join(errors)
    log = (run / "log.txt").read_text()
    assert "Traceback" in log and place.rstrip(":") in log
    assert place in read_status(run)["reason"]


def test_a_run_starts_from_another(finished, tolman, tmp_path):
    run, words = (
        tmp_path / "run",
        ["--num-env-steps", "10", "--agent.learning-rate", "1e-30"],
    )
    source = f"{finished}@160"
    code, _, errors = tolman(*train_words(run, *words, "--init-from", source))
    assert code == 0, errors
    old, new = leaves(finished, 160), leaves(run, 10)
    params = [name for name in old if name.startswith(".learner.params")]
    assert params and all(np.array_equal(old[name], new[name]) for name in params)
    assert (
        f"took {len(params)} of {len(params)} parameters" in (run / "log.txt").read_text()
    )

    more = [*words, "--init-from", finished, "--fresh", "heads"]
    code, _, errors = tolman(*train_words(tmp_path / "b", *more))
    assert code == 0, errors
    old, new = leaves(finished, 200), leaves(tmp_path / "b", 10)
    kept = {name for name in params if np.array_equal(old[name], new[name])}
    heads = {name for name in params if "heads" in name}
    assert heads and {name for name in heads if name.endswith("['w']")}.isdisjoint(kept)
    assert kept >= set(params) - heads
    assert "fresh, as asked" in (tmp_path / "b" / "log.txt").read_text()

    for given, message in (
        (
            ["--init-from", finished, "--fresh", "tails"],
            "no parameter has that in its path",
        ),
        (["--init-from", f"{finished}@7"], "no checkpoint 7; there are [80, 160, 200]"),
        (["--init-from", tmp_path / "none"], "no such run folder"),
        (["--fresh", "heads"], "Set --init-from RUN"),
    ):
        code, _, (error,) = tolman(*train_words(tmp_path / "c", *given))
        assert code == 2 and message in error
        assert not (tmp_path / "c").exists()
