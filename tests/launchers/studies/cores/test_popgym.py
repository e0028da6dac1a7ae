"""The table of POPGym's tasks: its arithmetic by hand, its cells, a killed study."""

import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers import cli
from tolman.launchers.catalog.names import CORE, find
from tolman.launchers.studies.cores import popgym
from tolman.launchers.studies.cores import popgym_cells as cells
from tolman.launchers.studies.cores.choosing import choose_cores, choose_tasks
from tolman.launchers.studies.cores.popgym_cells import Cell, Setting
from tolman.launchers.studies.study import run_study


def make_cell(frozen, curve=((0.0,), (1.0,)), episode_error=0.0, core="gru"):
    curve = np.array(curve, float)
    return Cell(
        "t", core, "", 9, np.arange(len(curve)), curve, np.array(frozen), episode_error, 1.0
    )


def test_the_score_is_the_largest_mean_of_an_epoch():
    nan = np.nan
    curve = np.array([[nan, 0.1, nan], [0.3, -0.2, nan], [0.2, nan, nan]])
    np.testing.assert_array_equal(cells.max_mean_returns(curve), [0.3, 0.1, nan])


def test_the_first_epoch_is_no_score_where_there_are_more():
    # Of episodes of 9 and 1,000 steps only the short ones end in an epoch of 10.
    curve = np.array([[0.9, 0.9, 0.9], [0.3, -0.2, np.nan], [0.2, -0.1, np.nan]])
    np.testing.assert_array_equal(make_cell([0.0], curve).scores, [0.3, -0.1, np.nan])
    np.testing.assert_array_equal(make_cell([0.0], curve[:1]).scores, [0.9, 0.9, 0.9])


def test_means_and_errors_by_hand():
    # Deviation by n - 1: 0.1; over the root of 3: 0.0577.
    assert cells.with_error(np.array([0.1, 0.2, 0.3])) == "0.200 ± 0.058"
    one = make_cell([0.1, 0.2, 0.3], episode_error=0.03)
    sure = make_cell([0.0, 0.0, 0.0], episode_error=0.03)  # Seeds that agree by luck.
    assert one.frozen_error == pytest.approx(0.0577350)
    assert sure.frozen_error == 0.03
    # 0.2 over the root of 0.003333 + 0.0009.
    assert cells.difference_in_errors(one, sure) == pytest.approx(3.0739, abs=1e-3)


def test_rows_of_the_table():
    made = {
        "b": {"x": make_cell([0.1, 0.3]), "y": make_cell([0.0, 0.0])},
        "a": {"x": make_cell([0.3, 0.3]), "y": make_cell([1.0, 0.0])},
        "c": {"x": make_cell([9.0, 9.0])},
    }
    rows = cells.score_rows(made, ["x", "y"], lambda cell: cell.frozen)
    assert rows == [
        ["a", "0.300 ± 0.000", "0.500 ± 0.500"],
        ["b", "0.200 ± 0.100", "0.000 ± 0.000"],
        ["c", "9.000 ± 0.000", "-"],
        # Seeds' means over a and b: 0.2, 0.3 and 0.5, 0.
        ["mean of 2 tasks", "0.250 ± 0.050", "0.250 ± 0.250"],
    ]
    del made["a"]
    assert len(cells.score_rows(made, ["x", "y"], lambda cell: cell.frozen)) == 2


def test_epochs_are_the_papers_where_there_are_enough():
    full = Setting("easy", 15_000_000, 3)
    assert (full.num_epochs, full.epoch) == (229, 65_502)
    assert (Setting("easy", 200_000, 3).num_epochs, Setting("easy", 1600, 3).epoch) == (
        16,
        100,
    )


@pytest.mark.parametrize(
    ("task", "size", "same", "other"),
    [
        # 52 cards: 12 of 51 others have the suit seen, 13 another; one decision of 51 is
        # on the first card itself.
        ("repeat_first", "easy", 2 * (1 / 51 + 50 / 51 * 12 / 51) - 1, 2 * 650 / 51**2 - 1),
        ("repeat_previous", "easy", 2 * 12 / 51 - 1, 2 * 13 / 51 - 1),
        ("repeat_previous", "medium", 2 * 25 / 103 - 1, 2 * 26 / 103 - 1),
    ],
)
def test_chance_by_hand_and_by_play(task, size, same, other):
    least, most = popgym.chance(task, size)
    assert (least, most) == pytest.approx((min(same, other), max(same, other)))
    environment = cells.make_environment(task, size)

    def play(key, shift):
        def step(carry, _):
            state, timestep, total = carry
            state, timestep = environment.step(state, (timestep.observation + shift) % 4)
            return (state, timestep, total + timestep.reward), None

        length = 52 * environment.num_decks - 1
        carry = (*environment.reset(key), jnp.float32(0))
        return jax.lax.scan(step, carry, None, length)[0][2]

    keys = jax.random.split(jax.random.PRNGKey(0), 20_000)
    for shift, expected in ((0, same), (1, other)):
        returns = jax.jit(jax.vmap(play, (0, None)))(keys, shift)
        error = returns.std() / np.sqrt(len(keys))
        assert abs(returns.mean() - expected) < 4 * error, shift


def test_no_chance_is_claimed_where_it_is_not_known():
    assert popgym.chance("autoencode", "easy") is None


def test_what_is_chosen():
    every, own = popgym.tasks_of_suite(), popgym.QUICK_TASKS
    assert len(every) == 16
    assert choose_tasks("", every, own) == list(own)
    assert choose_tasks("", every) == choose_tasks("all", every, own) == every
    assert choose_tasks("repeat_first, autoencode", every) == ["repeat_first", "autoencode"]
    assert choose_cores("", popgym.QUICK_CORES) == ["feedforward", *popgym.QUICK_CORES]
    assert choose_cores("lru,gru,lru") == ["feedforward", "lru", "gru"]
    cores = choose_cores("")
    assert choose_cores("all", popgym.QUICK_CORES) == cores
    assert cores[0] == "feedforward" and len(cores) == len(set(cores)) >= 17


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tasks", "RepeatFrist"], "did you mean 'repeat_first'?"),
        (["--cores", "gruu"], "core 'gruu' is unknown (did you mean 'gru'?)"),
        (["--size", "eazy"], "did you mean 'easy'?"),
        (["--num-seeds", "1"], "num_seeds=1: must be at least 2"),
        (["--num-env-steps", "-1"], "num_env_steps=-1: must be at least 0"),
    ],
)
def test_mistakes_in_one_line(tmp_path, capsys, words, told):
    out = tmp_path / "out"
    asked = ["study", "cores/popgym", "--quick", "--out", str(out), *words]
    assert cli.main(asked) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("size", "length"), [("easy", 64), ("medium", 256), ("hard", 1024)]
)
def test_unrolls_are_as_long_as_the_page_says(size, length):
    config = find(CORE, "feedforward").default_settings()
    environment = cells.make_environment("repeat_first", size)
    made = cells.make_agent(
        Setting(size, 1, 2), "repeat_first", environment, "feedforward", config
    )
    assert made.config.unroll_length == length


@pytest.mark.parametrize("core", ["feedforward", "gru", "lru"])
def test_cores_are_of_one_size(core):
    setting = Setting("easy", 1, 2)
    config = cells.matched_config(core, setting)
    sizes = []
    for name, own in ((core, config), (cells.REFERENCE, cells.REFERENCE_CONFIG)):
        environment = cells.make_environment("repeat_first", "easy")
        agent = cells.make_agent(setting, "repeat_first", environment, name, own)
        assert not agent.config.use_previous_action
        sizes.append(cells.count_parameters(agent))
    assert abs(sizes[0] / sizes[1] - 1) <= 0.1


def test_the_last_action_is_seen_where_the_row_does_not_tell_it():
    config = find(CORE, "feedforward").default_settings()
    seen = []
    for task in popgym.tasks_of_suite():
        environment = cells.make_environment(task, "easy")
        agent = cells.make_agent(
            Setting("easy", 1, 2), task, environment, "feedforward", config
        )
        seen += [task] if agent.config.use_previous_action else []
        assert not agent.config.use_previous_reward
        assert cells.count_parameters(agent) > 1_000
    assert seen == ["battleship", "concentration", "minesweeper", "multiarmed_bandit"]


@pytest.fixture
def no_training(monkeypatch):
    """Trainings are made up: gru remembers, feedforward does not; returns those made."""
    made = []

    def train(folder, runner, keys, num_units, num_rows):
        made.append(f"{folder.parent.name}/{folder.name}")
        value = -0.5 if folder.name == "feedforward" else 0.75
        curve = np.array([[value - 0.1] * len(keys), [value] * len(keys)])
        curves = {"train/episode_return": curve}
        return SimpleNamespace(
            params=folder.name, units=np.array([1.0, 2.0]), curves=curves
        )

    def play(agent, environment, core, key, num_episodes):
        coin = np.where(np.arange(num_episodes) % 4, -1.0, 1.0)  # Mean -0.5.
        one = coin if core == "feedforward" else 0.5 + coin / 4
        return SimpleNamespace(episode_return=np.stack([one, one, one]))

    monkeypatch.setattr(cells, "run_stage", train)
    monkeypatch.setattr(cells, "play_episodes", play)
    return made


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def test_the_page_and_cells_that_are_added(no_training, tmp_path):
    out = tmp_path / "out"
    options = popgym.Options("gru", "repeat_first")
    assert run_study("cores/popgym", True, 0, out, options) == 0
    assert no_training == ["repeat_first/feedforward", "repeat_first/gru"]
    result = result_of(out)
    best, frozen, random, about = result["tables"]
    assert best["columns"] == frozen["columns"] == ["task", "feedforward", "gru"]
    assert best["rows"] == [["repeat_first", "-0.500 ± 0.000", "0.750 ± 0.000"]]
    assert frozen["rows"] == [["repeat_first", "-0.500 ± 0.000", "0.375 ± 0.000"]]
    mean, error = map(float, random["rows"][0][1].split(" ± "))  # Chance is -0.5.
    assert mean == pytest.approx(-0.5, abs=0.02) and 0.003 < error < 0.006
    assert [row[:2] for row in about["rows"]] == [["feedforward", 1], ["gru", 1]]
    # 768 coins of 1 and -1, a quarter of them 1: deviation 0.866 (by n - 1), error 0.0313;
    # those of gru a quarter of it. 0.875 over the root of both squares.
    chance, memory = result["checks"]
    assert chance["bar"] == "> -0.6253 and < -0.3743" and chance["passed"]
    assert memory["measured"] == pytest.approx(0.875 / 0.03222, rel=1e-3)

    # A core more and a task more: their cells only, and the page has all.
    more = popgym.Options("gru,lru", "repeat_first,autoencode")
    assert run_study("cores/popgym", True, 0, out, more) == 0
    assert sorted(no_training[2:]) == [
        "autoencode/feedforward", "autoencode/gru", "autoencode/lru", "repeat_first/lru",
    ]  # fmt: skip
    rows = result_of(out)["tables"][0]["rows"]
    assert [row[0] for row in rows] == ["autoencode", "repeat_first", "mean of 2 tasks"]
    assert all("-" not in row for row in rows)
    # Fewer than there are: nothing is made, nothing is lost.
    assert run_study("cores/popgym", True, 0, out, options) == 0
    assert len(no_training) == 6 and result_of(out)["tables"][0]["rows"] == rows
    assert (out / "figures" / "learning_curves.png").is_file()

    # What fixes the cells is what fixes the folder.
    other = popgym.Options("gru", "repeat_first", size="hard")
    with pytest.raises(ValueError, match="Choose another folder"):
        run_study("cores/popgym", True, 0, out, other)


def test_a_cell_of_another_kind_is_refused(no_training, tmp_path, monkeypatch):
    out, options = tmp_path / "out", popgym.Options("gru", "repeat_first")
    run_study("cores/popgym", True, 0, out, options)
    path = out / "cells" / "repeat_first" / "gru.json"
    monkeypatch.setitem(cells.AGENT, "discount", 0.5)
    with pytest.raises(
        ValueError, match=r"feedforward.json: was made with .*another --out"
    ):
        run_study("cores/popgym", True, 0, out, options)
    monkeypatch.undo()
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match=r"gru.json: is no cell \(JSON.*Delete it"):
        run_study("cores/popgym", True, 0, out, options)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"gru.json: is no cell \(KeyError"):
        run_study("cores/popgym", True, 0, out, options)


@pytest.mark.parametrize(
    ("core", "returns", "claim"),
    [
        ("feedforward", -0.3, "feedforward is at chance on repeat_first"),
        ("feedforward", -0.7, "feedforward is at chance on repeat_first"),
        ("gru", -0.45, "gru returns more than feedforward on repeat_first"),
        ("gru", -0.9, "gru returns more than feedforward on repeat_first"),
    ],
)
def test_the_checks_can_fail(no_training, tmp_path, monkeypatch, core, returns, claim):
    made_up = cells.play_episodes

    def play(*arguments):
        played = made_up(*arguments)
        if arguments[2] == core:
            played.episode_return += returns - played.episode_return.mean()
        return played

    monkeypatch.setattr(cells, "play_episodes", play)
    options = popgym.Options("gru", "repeat_first")
    assert run_study("cores/popgym", True, 0, tmp_path / "out", options) == 1
    checks = result_of(tmp_path / "out")["checks"]
    assert any(c["claim"].startswith(claim) and not c["passed"] for c in checks)


def test_a_killed_study_makes_no_cell_twice(tmp_path, capsys):
    """SIGKILL as soon as the first of two cells is there, in earnest."""
    out = tmp_path / "out"
    words = [
        "study",
        "cores/popgym",
        "--quick",
        "--cores",
        "feedforward",
        "--out",
        str(out),
    ]
    words += ["--tasks", "repeat_first,repeat_previous", "--num-env-steps", "4000"]
    command = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", command, *words])
    first = out / "cells" / "repeat_first" / "feedforward.json"
    second = out / "cells" / "repeat_previous" / "feedforward.json"
    deadline = time.monotonic() + 240
    while not first.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not second.exists() and not (out / "result.json").exists()
    before = first.read_text(), first.stat().st_mtime_ns
    assert cli.main(words) in (0, 1)  # So few steps prove nothing.
    assert (first.read_text(), first.stat().st_mtime_ns) == before
    told = capsys.readouterr().out
    assert "Cell 1 of 2" not in told and "Cell 2 of 2" in told
    rows = result_of(out)["tables"][1]["rows"]
    assert [row[0] for row in rows] == [
        "repeat_first",
        "repeat_previous",
        "mean of 2 tasks",
    ]
    cell = json.loads(second.read_text())
    assert len(cell["frozen"]) == 3 and np.shape(cell["curve"]) == (4, 3)  # 4 updates.
