"""The study of small games in turn: its numbers by hand, and once from end to end."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers import cli
from tolman.launchers.studies.ewc import control_sequence
from tolman.launchers.studies.ewc.control_sequence import (
    Budget,
    Learned,
    half_width,
    interval,
    make_agent,
    make_switch,
)
from tolman.launchers.studies.study import Study

# A game has 25 updates, and a row and a checkpoint every 5.
SMALL = Budget(600, 3, 4, 2, 5, (30.0,), (1.0,), 1e5)
KILLED = """
import os, signal, sys
from tolman.launchers.cli import main
from tolman.launchers.runs import loop
from tolman.launchers.studies.ewc import control_sequence

def train(runner, state, num_updates):
    if runner.agent.config.strength == 30 and int(state.updates[0]) == 35:
        os.kill(os.getpid(), signal.SIGKILL)
    return unbroken(runner, state, num_updates)

loop.SECONDS_BETWEEN_CHECKPOINTS = 0.0
control_sequence.QUICK = control_sequence.Budget(600, 3, 4, 2, 5, (30.0,), (1.0,), 1e5)
unbroken = control_sequence.SequenceRunner.train
control_sequence.SequenceRunner.train = train
sys.exit(main())
"""


def test_what_is_kept_by_hand():
    one = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [0.25, 0.6, 0.9]])
    learned = Learned(1.0, np.stack([one, one - 0.1]), np.arange(3), np.zeros((3, 3, 2)))
    np.testing.assert_allclose(learned.average, [1.75 / 3, 1.75 / 3 - 0.1])
    np.testing.assert_allclose(learned.lost, [(0.75 + 0.2) / 2] * 2)
    np.testing.assert_allclose(learned.when_learned(2), [0.9, 0.8])
    # Three members: t = 4.303, standard deviation 1.
    assert half_width(np.array([1.0, 2.0, 3.0])) == pytest.approx(4.303 / np.sqrt(3))
    assert interval(np.array([1.0, 1.0, 1.0])) == "1.00 ± 0.00"


def test_l2_holds_all_shared_weights_alike_and_begins_the_next_game():
    agent = make_agent(1.0)
    assert agent.config.strength == 1.0 and agent.config.torso_size == 100
    assert make_switch("ewc", agent) is None is make_switch("strong", agent)
    state = jax.jit(agent.init)(jax.random.PRNGKey(0))
    told = jax.jit(make_switch("l2", agent))(state, (), jax.random.PRNGKey(1), 0, 2)
    fisher, centre = told.elastic.quadratic.fisher, told.elastic.quadratic.centre
    assert all((leaf == 1).all() for leaf in jax.tree.leaves(fisher.shared))
    assert not any(leaf.any() for leaf in jax.tree.leaves(fisher.own))
    shared = state.params.weights.shared
    jax.tree.map(np.testing.assert_array_equal, centre.shared, shared)
    assert told.task == 2 and isinstance(told.task, jnp.ndarray)


def learned(first, second, third):
    """Of three members: the first two games at the end, and the last when learned.

    Every game is learned to 1 in its turn but the last; its members differ by a tenth.
    """
    apart = np.array([-0.1, 0.0, 0.1])
    scores = np.zeros((3, 3, 3))
    scores[:, [0, 1, 1], [0, 0, 1]] = 1.0
    for game, end in enumerate((first, second, third)):
        scores[:, 2, game] = end + apart
    return Learned(1.0, scores, np.arange(3), np.zeros((3, 3, 3)))


GOOD = {
    "plain": learned(-0.5, 0.9, 1.0), "ewc": learned(0.8, 0.9, 1.0),
    "l2": learned(0.7, 0.8, 0.9), "shuffled": learned(0.2, 0.9, 1.0),
    "strong": learned(1.0, 1.0, 0.1),
}  # fmt: skip


def checks_of(tmp_path, **changes):
    changes = {"alone": np.array([0.8, 0.9, 1.0]), **changes}
    study = Study("ewc/control_sequence", "", "", True, 0, tmp_path)
    singles = {"catch": changes.pop("alone"), "exchanged": np.ones(3)}
    control_sequence.check(study, {**GOOD, **changes}, singles)
    return study.checks


def test_checks_by_hand(tmp_path):
    found = checks_of(tmp_path)
    assert all(check.passed for check in found)
    # The first two lose 0.2 and 0.1 under EWC, 1.5 and 0.1 without; averages 0.9, 0.4667.
    wanted = [0.9, 1.5, 0.15 / 0.8, 1.3 / 3, 1.0, 0.1, 0.2, 0.9]
    assert [check.measured for check in found] == pytest.approx(wanted)
    apart = GOOD["ewc"].scores + np.array([-0.2, 0.0, 0.2])[:, None, None]
    held = GOOD["ewc"]._replace(scores=apart)
    # The lead has a standard deviation of 0.2: its low end is 4.303 * 0.2 / sqrt(3) off.
    low = checks_of(tmp_path, ewc=held)[3]
    assert low.measured == pytest.approx(1.3 / 3 - 4.303 * 0.2 / 3**0.5) and not low.passed


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"alone": np.array([0.7, 0.8, 0.9])}, "every game is learned alone"),
        ({"plain": learned(0.1, 0.9, 1.0)}, "Double DQN, lost of one"),
        ({"ewc": learned(0.0, 0.9, 1.0)}, "EWC, forgetting over"),
        ({"plain": learned(-0.5, 0.9, 2.4)}, "EWC, average over Double DQN's"),
        ({"ewc": learned(0.8, 0.9, 0.79)}, "EWC, the last game when learned over alone"),
        ({"l2": learned(0.9, 0.9, 1.0)}, "EWC, average over L2"),
        ({"shuffled": learned(0.9, 0.9, 1.0)}, "EWC, average over shuffled Fisher"),
        ({"strong": learned(1.0, 1.0, 0.9)}, "the last game when learned, EWC over lambda"),
    ],
)
def test_a_broken_result_fails_its_check(tmp_path, changes, claim):
    failed = [one.claim for one in checks_of(tmp_path, **changes) if not one.passed]
    assert any(one.startswith(claim) for one in failed), failed


def test_a_search_takes_the_best_average_at_the_end(tmp_path, monkeypatch):
    found = {1.0: learned(0.2, 0.9, 1.0), 3.0: learned(0.8, 0.9, 1.0), 9.0: GOOD["strong"]}
    found = {strength: one._replace(strength=strength) for strength, one in found.items()}
    monkeypatch.setattr(
        control_sequence, "learn", lambda study, label, kind, strength, *_: found[strength]
    )
    study = Study("ewc/control_sequence", "", "", True, 0, tmp_path)
    best = control_sequence.search(study, "ewc", (1.0, 3.0, 9.0), SMALL)
    assert best.strength == 3.0 and len(study.tables[0]["rows"]) == 3


def test_scores_are_of_the_rows_in_which_a_game_ends(tmp_path, monkeypatch):
    """Five rows a game: those of number 4, 9 and 14."""
    curves = {
        f"eval/{name}/episode_return": 100 * game + np.arange(15.0)[:, None] + np.zeros(3)
        for game, name in enumerate(control_sequence.GAMES)
    }
    stage = SimpleNamespace(curves=curves, units=np.arange(15), params=None)
    asked = {}

    def run_stage(folder, runner, keys, num_units, num_rows):
        asked.update(rows=num_rows, units=num_units, folder=folder.name, keys=len(keys))
        return stage

    monkeypatch.setattr(control_sequence, "run_stage", run_stage)
    study = Study("ewc/control_sequence", "", "", True, 0, tmp_path)
    games = [*control_sequence.GAMES]
    one = control_sequence.learn(study, "ewc", "ewc", 30.0, games, SMALL)
    assert asked == {"rows": 15, "units": 1800, "folder": "ewc_30", "keys": 3}
    wanted = [[4, 104, 204], [9, 109, 209], [14, 114, 214]]
    assert one.scores.tolist() == [wanted] * 3 and one.curves.shape == (15, 3, 3)


def test_a_shuffled_fisher_is_held_in_other_places():
    agent = make_agent(1.0)
    state = jax.jit(agent.init)(jax.random.PRNGKey(0))
    weights = state.params.weights
    own = jax.tree.map(
        lambda leaf: jnp.arange(1.0, leaf.size + 1).reshape(leaf.shape), weights
    )
    agent.fisher = lambda weights, examples: own
    switch = jax.jit(make_switch("shuffled", agent))
    told = switch(state, (), jax.random.PRNGKey(1), 0, 1)
    fisher = told.elastic.quadratic.fisher
    for mixed, leaf in zip(*map(jax.tree.leaves, (fisher.shared, own.shared)), strict=True):
        np.testing.assert_array_equal(np.sort(mixed.ravel()), leaf.ravel())
        assert (mixed != leaf).mean() > 0.9
    assert not any(leaf.any() for leaf in jax.tree.leaves(fisher.own))


@pytest.mark.slow
def test_from_end_to_end(tmp_path, monkeypatch):
    budget = Budget(600, 3, 4, 2, 1, (30.0,), (1.0, 3.0), 1e5)
    monkeypatch.setattr(control_sequence, "QUICK", budget)
    study = Study("ewc/control_sequence", "", "", True, 0, tmp_path)
    control_sequence.run(study)
    assert len(study.checks) == 11 and len(study.tables) == 3
    assert (tmp_path / "figures" / "matrices.png").exists()


def rows_of(stage):
    """Of a training, without what depends on the clock."""
    lines = (stage / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


@pytest.mark.slow
def test_killed_in_the_second_game_it_goes_on_there(tmp_path, monkeypatch):
    """To the bits of a training that nobody killed; what was trained before stays."""
    out = tmp_path / "out"
    words = ["study", "ewc/control_sequence", "--quick", "--out", str(out)]
    code = subprocess.run([sys.executable, "-c", KILLED, *words], env=os.environ).returncode
    assert code == -signal.SIGKILL
    plain, ewc = (out / "training" / name for name in ("plain_0", "ewc_30"))
    assert [path.name for path in sorted((out / "training").iterdir())] == [
        "ewc_30", "plain_0"
    ]  # fmt: skip
    (saved,) = [path for path in (ewc / "checkpoints").iterdir() if path.name.isdigit()]
    assert 600 < int(saved.name) < 1200  # In the second game.
    assert len(rows_of(ewc)) == 7 and rows_of(ewc)[-1]["task/index"] == 3 * [1]
    before = (plain / "metrics.jsonl").read_bytes()

    monkeypatch.setattr(control_sequence, "QUICK", SMALL)
    assert cli.main(words) in (0, 1)  # So few steps prove nothing.
    assert (plain / "metrics.jsonl").read_bytes() == before
    assert "it was killed" in (ewc / "log.txt").read_text()
    whole = Study("ewc/control_sequence", "", "", True, 0, tmp_path / "whole")
    games = [*control_sequence.GAMES]
    learned = control_sequence.learn(whole, "ewc", "ewc", 30.0, games, SMALL)
    rows = rows_of(ewc)
    unbroken = rows_of(tmp_path / "whole" / "training" / "ewc_30")
    np.testing.assert_equal(rows, unbroken)  # NaN, where no episode ended, is NaN.
    assert len(rows) == 15
    found = json.loads((out / "result.json").read_text())
    assert len(found["checks"]) == 11 and found["settings"]["num_env_steps"] == 600
    (line,) = [row for row in found["tables"][0]["rows"] if row[0] == "EWC"]
    assert line[-2:] == [interval(learned.average), interval(learned.lost)]
