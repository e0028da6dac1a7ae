"""`tolman list runs`: what each run is, how far it came, and how good it is."""

import json
import os
import socket


def make(folder, name, status=None, rows=(), time=0):
    path = folder / name
    path.mkdir(parents=True)
    (path / "config.yaml").write_text("agent: meta_rl\n")
    if status is not None:
        (path / "status.json").write_text(json.dumps(status))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.utime(path, (time, time))
    return path


def test_runs_and_studies_stand_in_a_table_the_last_first(tolman, tmp_path):
    runs = tmp_path / "runs"
    gone = {"host": socket.gethostname(), "pid": 2**22 + 1, "started": "long ago"}
    make(runs, "new", time=5)
    make(
        runs,
        "good",
        {"state": "finished", "unit": "env_steps", "env_steps": 1200},
        [
            {"env_steps": 600, "loss/total": 1.0, "train/episode_return": 2.5},
            {"env_steps": 1200, "loss/total": 0.5, "train/episode_return": 3.25},
        ],
        time=4,
    )
    make(
        runs,
        "killed",
        {"state": "running", "unit": "updates", "updates": 7, "process": gone},
        [{"updates": 7, "loss/total": 0.5, "train/episode_return": float("nan")}],
        time=3,
    )
    (make(runs, "torn", {"state": "failed"}, time=2) / "metrics.jsonl").write_text("{\n{}")
    study = make(runs, "study", time=1)
    (study / "study.json").write_text("{}")
    os.utime(study, (1, 1))
    (runs / "notes").mkdir()
    assert tolman("list", "runs") == (
        0,
        "run     state       trained          score\n"
        "new     not begun\n"
        "good    finished    1,200 env_steps  train/episode_return 3.25\n"
        "killed  dead        7 updates        loss/total 0.5\n"
        "torn    failed                       metrics.jsonl is broken\n"
        "study   unfinished",
        [],
    )
    (study / "result.json").write_text(
        json.dumps({"study": "a", "seconds": 61.4, "checks": [{"passed": True}, {}]})
    )
    lines = tolman("list", "runs", "runs")[1].splitlines()
    assert "study   finished   61 s             1 of 2 checks passed" in lines


def test_a_folder_without_runs(tolman, tmp_path):
    assert tolman("list", "runs", ".") == (0, "no runs in ./", [])
    code, out, (line,) = tolman("list", "runs")
    assert (code, out) == (2, "")
    assert "runs: no such folder. Name the one that holds the runs." in line
