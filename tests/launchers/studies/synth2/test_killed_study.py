"""`tolman study synth2/augmentation`, killed within trainings, and files that are cut."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
LABELS = "tokenizer", "generator", "captioner_human_and_synthetic"
TESTS = Path(__file__).resolve().parents[3]


def begin(folder):
    """Starts the study in a process of its own, or goes on with it."""
    words = ["study", "tiny_synth2:augmentation", "--difficulty", "single",
             "--seed", "3", "--out", str(folder)]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )  # fmt: skip


def end(folder):
    """Runs the study to its end; gives what it prints and what it found."""
    run = begin(folder)
    told = run.communicate()[0]
    assert run.returncode == 1, told  # So little training passes no check.
    result = json.loads((folder / "result.json").read_text())
    del result["seconds"]
    return told, result


def stage_of(folder, label):
    (found,) = (folder / "training").glob(f"{label}-*")
    return found


def kill_within(folder, label):
    """Kills the study when a training has checkpoints behind it and more to do."""
    run = begin(folder)
    while run.poll() is None:
        for stage in (folder / "training").glob(f"{label}-*"):
            saved = [int(p.name) for p in (stage / "checkpoints").glob("[0-9]*")
                     if p.name.isdigit()]  # fmt: skip
            if saved and max(saved) >= 3:
                run.send_signal(signal.SIGKILL)
        time.sleep(0.005)
    assert run.wait() == -signal.SIGKILL, run.communicate()[0]
    status = json.loads((stage_of(folder, label) / "status.json").read_text())
    assert status["state"] == "running"
    assert not (folder / "result.json").exists()


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.slow
def test_a_study_killed_within_trainings_finds_what_an_unbroken_one_finds(tmp_path):
    _, whole = end(tmp_path / "whole")
    broken = tmp_path / "broken"
    for label in LABELS:
        kill_within(broken, label)
    _, found = end(broken)
    for label in LABELS:
        log = (stage_of(broken, label) / "log.txt").read_text()
        updates = [int(line.split()[-1]) for line in log.splitlines()
                   if "resuming at updates" in line]  # fmt: skip
        assert updates[0] >= 3, log
    # Bit by bit.
    assert found == whole and len(whole["tables"]) > 4

    # A file of arrays that is cut is made again; of a training that is cut it is told.
    cut(next((broken / "made").glob("synthetic-*")))
    stage = stage_of(broken, "generator")
    cut(next(stage.glob("checkpoints/*/state.npz")))
    run = begin(broken)
    told = run.communicate()[0].splitlines()
    assert run.returncode == 2
    (line,) = [line for line in told if line.startswith("tolman: error: ")]
    assert "every checkpoint is broken" in line and line.endswith(
        f"Remove {stage} to begin anew."
    )
    shutil.rmtree(stage)
    told, found = end(broken)
    assert found == whole and "is broken, and is made again." in told
