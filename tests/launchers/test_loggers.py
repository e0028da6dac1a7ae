import importlib.machinery
import json
import logging
import math
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from tolman.launchers.runs import folder as run_folder
from tolman.launchers.runs import loggers, versions
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import resolve
from tolman.launchers.runs.progress import Progress
from tolman.launchers.settings.config import TrainConfig

ROW = {"env_steps": 40, "loss/policy": 0.5, "time/env_steps_per_second": 100.0}


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    loggers.cut_metrics(path, 5)
    lines = [json.dumps({"env_steps": step}) for step in (10, 20, 30)]
    path.write_text("\n".join([*lines, '{"env_st']))
    loggers.cut_metrics(path, 20)
    assert path.read_text() == '{"env_steps": 10}\n{"env_steps": 20}\n'
    loggers.cut_metrics(path, 0)
    assert path.read_text() == ""


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for the package that remembers what it was told."""
    module = types.ModuleType("wandb")
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
    module.told = []

    class Run:
        def log(self, row, step):
            module.told.append((step, row))

        def finish(self):
            module.told.append("finish")

    def init(**settings):
        module.told.append(settings)
        return Run()

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_wandb_is_told_everything_and_resumes_the_same_chart(wandb, tmp_path):
    config = resolve(TrainConfig("meta_rl", "two_step", loggers=("wandb",))).config
    for _ in range(2):
        for logger in loggers.make_loggers(config, RunFolder(tmp_path), 0):
            logger.write(ROW)
            logger.close()
    first, row, end, second, *_ = wandb.told
    assert first["config"]["agent.learning_rate"] == 0.001
    assert (first["resume"], first["id"]) == ("allow", second["id"])
    assert (row, end) == ((40, ROW), "finish")


def test_wandb_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'tolman\[wandb\]'"):
        resolve(TrainConfig("meta_rl", "two_step", loggers=("wandb",)))


def test_object_without_write_is_no_logger(extension):
    config = TrainConfig("meta_rl", "two_step", loggers=("my_extension:MyConfig",))
    with pytest.raises(ValueError, match=r"has no write\(\)"):
        resolve(config)


def test_progress_lines_where_there_is_no_terminal(tmp_path, capsys):
    with Progress(0, 120, tmp_path / "log.txt") as progress:
        for env_steps in (40, 80, 120):
            progress.update({**ROW, "env_steps": env_steps, "train/episode_return": 1.25})
        logging.getLogger("tolman.anything").warning("mind this")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [  # 80 came within ten seconds.
        "tolman: env_steps 40 of 120 (33 %)  100 steps/s  return 1.25  1 s left",
        "tolman: env_steps 120 of 120 (100 %)  100 steps/s  return 1.25  0 s left",
        "tolman: warning: mind this",
    ]
    assert "WARNING mind this" in (tmp_path / "log.txt").read_text()
    assert logging.getLogger("tolman").handlers == []


def test_nothing_is_left_of_a_run_that_is_done_at_its_first_row(tmp_path, capsys):
    with Progress(0, 120, tmp_path / "log.txt") as progress:
        progress.update({**ROW, "env_steps": 130, "time/env_steps_per_second": 0.0})
    assert capsys.readouterr().err.strip().endswith("0 s left")


def test_a_slow_rate_is_not_rounded_to_nothing(tmp_path, capsys):
    with Progress(0, 120, tmp_path / "log.txt") as progress:
        progress.update({**ROW, "time/env_steps_per_second": 0.163})
    assert "  0.16 steps/s  491 s left" in capsys.readouterr().err


def test_a_line_tells_the_median_of_the_members_that_have_a_value(tmp_path, capsys):
    with Progress(0, 120, tmp_path / "log.txt") as progress:
        for value in ([None, 3.0, math.nan, 5.0], [None, math.nan]):
            progress.update({**ROW, "env_steps": 120, "train/episode_return": value})
    first, second = capsys.readouterr().err.splitlines()
    assert "  return 4  " in first and "return" not in second


def test_default_folder_says_what_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = TrainConfig("meta_rl", "bandit/easy", core="my_pkg.mod:Core", seed=3)
    with run_folder.new_run(config) as folder:
        (folder.path / "config.yaml").write_text("")
    name, _, time = folder.path.name.rpartition("__")
    assert name == "bandit-easy__meta_rl__my_pkg.mod-Core__s3"
    assert len(time) == len("20260101T000000Z")
    with run_folder.new_run(config) as again:
        assert again.path != folder.path
    assert not again.path.exists()  # Nothing came of it.


@pytest.mark.parametrize("is_default", [True, False])
def test_two_runs_that_start_at_once_get_folders_of_their_own(
    is_default, monkeypatch, tmp_path
):
    monkeypatch.setattr(run_folder, "_default_path", lambda config: tmp_path / "run")
    config = TrainConfig("meta_rl", "bandit/easy")
    if not is_default:
        config = replace(config, run_dir=str(tmp_path / "run"), if_exists="new")
    with run_folder.new_run(config) as first, run_folder.new_run(config) as second:
        assert (first.path.name, second.path.name) == ("run", "run-2")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    config = TrainConfig("meta_rl", "two_step", run_dir=str(tmp_path / "file" / "run"))
    with (
        pytest.raises(
            ValueError, match=r"cannot be made \((Not a directory|File exists)\)"
        ),
        run_folder.new_run(config),
    ):
        pass


def test_status_is_replaced_whole_and_survives_garbage(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.status() == {}
    folder.write_status("failed", 10, 1.5, "why")
    status = folder.status()
    assert [status[key] for key in ("state", "reason", "env_steps", "seconds")] == [
        *("failed", "why", 10, 1.5)
    ]
    (tmp_path / "status.json").write_text("{")
    assert folder.status() == {}


def test_changed_versions_are_named(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_versions("1 x cpu")
    assert versions.changed_versions(tmp_path, "1 x cpu") == []
    found = versions.changed_versions(tmp_path, "4 x gpu")
    assert found == ["devices 1 x cpu -> 4 x gpu"]
    listed = json.loads((tmp_path / "versions.json").read_text())
    assert {"dm-reverb", "pgx", "ray", "tolman", "commit"} <= listed.keys()


@pytest.mark.parametrize("num_members", [1, 2])
def test_rows_read_back_as_curves(num_members):
    """What is not finite, or missing in some rows, is NaN."""
    nan = np.nan
    wanted = {"loss/a": [[0.1, nan], [nan, 2.5]], "seldom": [[nan, nan], [3.0, 4.0]]}
    wanted = {name: np.array(v)[:, :num_members] for name, v in wanted.items()}
    told = [{"loss/a": wanted["loss/a"][0]}, {n: v[1] for n, v in wanted.items()}]
    rows = [
        loggers.make_row("updates", at, row) for at, row in zip((5, 9), told, strict=True)
    ]
    units, curves = loggers.read_curves(json.loads(json.dumps(rows)), num_members)
    assert units.tolist() == [5, 9]
    for name, values in wanted.items():
        np.testing.assert_array_equal(curves[name], values)
