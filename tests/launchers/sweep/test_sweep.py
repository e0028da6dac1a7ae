"""A sweep, whole: trained, gone on with, summarised; and its numbers by hand."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tolman.launchers.sweep.summary import Summary, as_json, interquartile_mean, table

TINY = """actor_critic --env two_step --core feedforward --env.num-trials 2
--num-env-steps 200 --agent.unroll-length 5 --agent.batch-size 2
--agent.torso flat""".split()


def test_the_interquartile_mean_by_hand():
    score, low, high = interquartile_mean(np.array([100.0, 1.0, 3.0, 2.0]))
    assert score == 2.5  # Without 1 and 100.
    assert 1.0 <= low < 2.5 < high <= 100.0
    assert interquartile_mean(np.array([1.0, 3.0])) == (2.0, 1.0, 3.0)
    assert all(math.isnan(value) for value in interquartile_mean(np.zeros(0)))
    alone = interquartile_mean(np.array([5.0]))
    assert alone[0] == 5.0 and all(math.isnan(end) for end in alone[1:])
    # Of many, the interval is that of the normal distribution.
    scores = np.random.default_rng(0).normal(size=4000)
    score, low, high = interquartile_mean(scores)
    assert (high - low) / 2 == pytest.approx(1.96 * 1.1 / 4000**0.5, rel=0.1)


def test_the_table_says_what_is_best():
    rows = [
        Summary("a=1", 2, 3.0, 2.0, 4.0),
        Summary("a=2", 1, 5.0, math.nan, math.nan),
        Summary("", 0, *[math.nan] * 3),
    ]
    assert table(rows) == [
        "setting   seeds  score  95 % interval",
        "a=1       2      3      2 to 4",
        "a=2       1      5      -",
        "as it is  0      -      -",
    ]
    assert as_json(rows)[2]["score"] is None and as_json(rows)[1]["low"] is None


def test_a_sweep_trains_and_goes_on(tolman, tmp_path):
    folder = tmp_path / "sweep"
    words = ["sweep", *TINY, "--agent.learning-rate", "1e-3,1e38", "--sweep-dir", folder]
    code, out, errors = tolman(*words, "--jobs", "2")
    good, bad = "agent.learning-rate=1e-3", "agent.learning-rate=1e38"
    assert code == 1
    lines = out.splitlines()
    assert lines[1].split()[:2] == [good, "1"] and lines[2].split()[:2] == [bad, "0"]
    assert lines[-1] == str(folder / "report.html")
    assert f"failed: {bad}__s0" in errors[-1] and "is nan at env_steps" in errors[-1]
    page = (folder / "report.html").read_text()
    assert "learning_rate" in page and f"{good}__s0" in page
    told = json.loads((folder / "sweep.json").read_text())
    assert [row["setting"] for row in told["results"]] == [good, bad]
    status = folder / f"{good}__s0" / "status.json"
    finished = status.read_bytes()
    assert json.loads(finished)["state"] == "finished"

    code, _, errors = tolman("sweep", "--sweep-dir", folder)  # What has finished stays.
    assert code == 1 and f"{good}__s0: finished" not in errors
    assert status.read_bytes() == finished
    code, out, _ = tolman("eval", folder / f"{good}__s0", "--num-episodes", "4")
    assert code == 0 and "eval/episode_return" in out

    code, _, (error,) = tolman(*words, "--seeds", "2")
    assert code == 2 and "holds another sweep" in error
    how = ["--sweep-launcher", "population"]
    code, _, (error,) = tolman("sweep", "--sweep-dir", folder, *how)
    assert code == 2 and "was begun by processes" in error


PARENT = """import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(600)"""
CHILD = """import time
from tolman.launchers.sweep.processes import stop_with_parent
stop_with_parent()
time.sleep(600)"""


def test_a_sweep_that_is_killed_leaves_no_child():
    words = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    for _ in range(600):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        state = Path(f"/proc/{child}/stat")
        if state.exists() and state.read_text().split()[2] == "Z":
            return  # Nobody has asked for its exit code.
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the child goes on without its parent")


def test_a_setting_that_cannot_be_run_is_told_before_anything_is_written(tolman, tmp_path):
    words = ["sweep", *TINY, "--agent.unroll-length", "5,x", "--seeds", "2"]
    code, _, (error,) = tolman(*words, "--sweep-dir", tmp_path / "sweep")
    assert code == 2 and "unroll-length" in error
    assert not (tmp_path / "sweep").exists()
    code, _, (error,) = tolman("sweep")
    assert code == 2 and "AGENT is missing" in error
    code, out, _ = tolman("sweep", "--help")
    assert code == 0 and "--jobs" in out
