"""Runs of a sweep that train in one program, beside runs of their own."""

import json

import numpy as np
import pytest

from tolman.launchers.settings.commands import parse_train
from tolman.launchers.sweep import population
from tolman.launchers.sweep.grid import Sweep, plan_runs

TINY = """actor_critic --env two_step --core feedforward --env.num-trials 2
--num-env-steps 200 --agent.unroll-length 5 --agent.batch-size 2
--agent.torso flat""".split()
REPLAYS = """dqn --env cartpole --core feedforward --num-env-steps 120 --num-envs 2
--agent.min-size 20 --agent.capacity 40 --agent.batch-size 4 --agent.torso-size 8""".split()


def groups_of(*words, seeds=(0, 1)):
    runs = plan_runs(Sweep((*TINY, *words), seeds))
    groups = population.find_groups(runs, [parse_train(run.words) for run in runs])
    return [[run.name for run in group.runs] for group in groups]


def test_seeds_and_settings_that_are_arrays_share_a_program():
    rates = "--agent.learning-rate", "1e-3,1e-4", "--agent.entropy-cost", "0,0.1"
    assert [len(group) for group in groups_of(*rates)] == [8]
    # A discount is a number in the program.
    assert groups_of("--agent.discount", "0.9,0.5") == [
        ["agent.discount=0.9__s0", "agent.discount=0.9__s1"],
        ["agent.discount=0.5__s0", "agent.discount=0.5__s1"],
    ]
    # The same number spelled twice, and settings in another order, are one program.
    assert [len(group) for group in groups_of("--agent.discount", "0.9,0.90")] == [4]


@pytest.mark.parametrize(
    "words, told",
    [
        (["--eval-every", "100"], "eval_every=100 is for runs of their own"),
        (["--launcher", "local"], "trains by 'local/acts'"),
        (["--num-devices", "1"], "num_devices=1 is for runs of their own"),
    ],
)
def test_runs_that_are_no_population_are_told_in_one_line(words, told):
    with pytest.raises(ValueError, match=told):
        groups_of(*words)


def states(folder):
    (checkpoint,) = (folder / "checkpoints").iterdir()
    with np.load(checkpoint / "state.npz") as file:
        about = json.loads(file["description"].tobytes())
        leaves = [file[f"arr_{index}"] for index in range(len(about["leaves"]))]
    return checkpoint.name, dict(zip(about["leaves"], leaves, strict=True)), about


@pytest.mark.parametrize("words", [TINY, REPLAYS], ids=["queue", "replay"])
def test_a_member_is_what_a_lone_run_is(tolman, tmp_path, words):
    rate = "--agent.learning-rate", "1e-3"
    code, out, _ = tolman(
        "sweep",
        *words,
        rate[0],
        "1e-3,1e-2",
        "--seeds",
        "3,5",
        "--sweep-dir",
        tmp_path / "sweep",
    )
    assert code == 0 and len(out.splitlines()) == 4
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text())["launcher"] == (
        "population"
    )
    member = tmp_path / "sweep" / "agent.learning-rate=1e-3__s5"
    assert not list((tmp_path / "sweep").glob("population*"))
    lone = tmp_path / "lone"
    code, _, _ = tolman("train", *words, *rate, "--seed", "5", "--run-dir", lone)
    assert code == 0
    (name, got, about), (wanted_name, wanted, wanted_about) = states(member), states(lone)
    assert name == wanted_name and [*got] == [*wanted]
    for leaf, value in wanted.items():
        assert got[leaf].shape == value.shape and got[leaf].dtype == value.dtype, leaf
        np.testing.assert_allclose(got[leaf], value, rtol=1e-3, atol=1e-4, err_msg=leaf)
    own = ("run_dir", "if_exists")
    configs = [
        {key: value for key, value in each["metadata"]["config"].items() if key not in own}
        for each in (about, wanted_about)
    ]
    assert configs[0] == configs[1]
    rows = [
        [json.loads(line) for line in (each / "metrics.jsonl").read_text().splitlines()]
        for each in (member, lone)
    ]
    for row, wanted_row in zip(*rows, strict=True):
        del row["time/env_steps_per_second"], wanted_row["time/env_steps_per_second"]
        assert row == pytest.approx(wanted_row, rel=1e-3, abs=1e-4)
    code, out, _ = tolman("resume", member, "--num-env-steps", "300")
    assert (
        code == 0 and json.loads((member / "status.json").read_text())["env_steps"] >= 300
    )


def test_a_member_that_diverges_fails_alone_and_a_broken_off_sweep_goes_on(
    tolman, tmp_path, monkeypatch
):
    folder = tmp_path / "sweep"
    words = ["sweep", *TINY, "--agent.learning-rate", "1e38,1e-3", "--sweep-dir", folder]
    rows_of, calls = population._rows_of, []

    def breaks_once(rows, index):
        calls.append(index)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rows_of(rows, index)

    monkeypatch.setattr(population, "_rows_of", breaks_once)
    code, _, _ = tolman(*words)
    assert code == 130 and calls == [0, 1]
    bad, good = (folder / f"agent.learning-rate={rate}__s0" for rate in ("1e38", "1e-3"))
    assert json.loads((bad / "status.json").read_text())["state"] == "failed"
    assert not good.exists() and (folder / "population-0").is_dir()

    code, out, errors = tolman("sweep", "--sweep-dir", folder)
    assert code == 1 and calls == [0, 1, 1]  # What was written stays as it is.
    assert "is not finite at env_steps" in errors[-1] and bad.name in errors[-1]
    assert out.splitlines()[1].split()[1:2] == ["1"]
    assert not (folder / "population-0").exists()
    code, out, _ = tolman("eval", good, "--num-episodes", "4")
    assert code == 0 and "eval/episode_return" in out
    before = (good / "status.json").read_bytes()
    assert tolman("sweep", "--sweep-dir", folder)[0] == 1
    assert (good / "status.json").read_bytes() == before


def test_members_that_all_diverge_at_once_have_failed(tolman, tmp_path):
    folder = tmp_path / "sweep"
    words = ["sweep", *TINY, "--agent.learning-rate", "1e38,2e38", "--sweep-dir", folder]
    code, _, errors = tolman(*words)
    assert code == 1
    assert sum(line.startswith("failed: ") for line in errors) == 2
    for rate in ("1e38", "2e38"):
        run = folder / f"agent.learning-rate={rate}__s0"
        told = json.loads((run / "status.json").read_text())
        assert told["state"] == "failed" and "is finite for no member" in told["reason"]
    # What a kill left behind is cleared away by the next call.
    (folder / "population-0").mkdir()
    assert tolman("sweep", "--sweep-dir", folder)[0] == 1
    assert not (folder / "population-0").exists()
