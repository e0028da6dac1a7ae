"""The study of Atari games in turn: its numbers by hand, and ten games end to end."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("ale_py")

from tolman.envs.atari import GAMES, check_atari_id
from tolman.launchers.studies.ewc import sequential_atari
from tolman.launchers.studies.ewc.sequential_atari import (
    COMMON,
    FULL,
    POOL,
    QUICK,
    Learned,
    Options,
    labels_of,
    order_of,
    together,
)
from tolman.launchers.studies.study import Study


def test_every_game_of_the_pool_has_a_rom_and_a_human_score():
    assert len(set(POOL)) == len(POOL) == 28
    assert all(check_atari_id(f"ALE/{game}-v5") in GAMES for game in POOL)


@pytest.mark.parametrize("seed", range(8))
def test_an_order_is_of_ten_games_each_twice_and_none_after_itself(seed):
    order = order_of(seed)
    assert len(order) == 20 and len(set(order)) == 10 and set(order) <= set(POOL)
    assert all(order.count(game) == 2 for game in order)
    assert len(set(order[:10])) == 10  # All are met before one returns.
    assert all(a != b for a, b in pairwise(order))
    assert order == order_of(seed) != order_of(seed + 1)


def test_a_smaller_replay_can_be_asked_for(monkeypatch, tmp_path):
    taken = []

    def learn(study, label, arm, order, budget):
        taken.append(budget.agent["capacity"])
        raise StopIteration

    monkeypatch.setattr(sequential_atari, "learn", learn)
    study = Study("ewc/sequential_atari", "", "", False, 0, tmp_path)
    for options in (Options(), Options(capacity=50_000)):
        with pytest.raises(StopIteration):
            sequential_atari.run(study, options)
    assert taken == [500_000, 50_000]
    told = r"^capacity=49999: must be 0, or at least the 50000 .* Set --capacity\.$"
    with pytest.raises(ValueError, match=told):
        sequential_atari.run(study, Options(capacity=49_999))


def test_there_is_room_for_all_games_that_are_asked_for(monkeypatch, tmp_path):
    """The quick setting's is for two; no flag of the study could make more."""
    taken = []

    def learn(study, label, arm, order, budget):
        taken.append(budget.agent["max_tasks"])
        raise StopIteration

    monkeypatch.setattr(sequential_atari, "learn", learn)
    study = Study("ewc/sequential_atari", "", "", True, 0, tmp_path)
    for games in ((), ("Pong", "Boxing", "Freeway", "Krull", "Pong")):
        with pytest.raises(StopIteration):
            sequential_atari.run(study, Options(games=games))
    assert taken == [3, 5]


def learned(scores, visits=(0, 0, 1, 2)):
    steps = 100 * np.arange(1, len(scores) + 1)
    return Learned(steps, np.array(scores), np.array(visits), 0.5, 60.0, 1_000)


def test_totals_and_visits_by_hand():
    one = learned([[0.2, -0.1], [0.5, 0.0], [0.4, 3.0], [2.0, 0.25]])
    np.testing.assert_allclose(one.total, [0.2, 0.5, 1.4, 1.25])
    np.testing.assert_allclose(one.after_visit(0), [0.5, 0.0])
    np.testing.assert_allclose(one.after_visit(1), [0.4, 3.0])
    np.testing.assert_allclose(one.after_visit(9), [2.0, 0.25])


def test_networks_of_one_game_each_are_put_together():
    both = together([learned([[0.1], [0.2], [0.3]], (0, 0, 0)), learned([[0.9], [1.9]])])
    np.testing.assert_allclose(both.scores, [[0.1, 0.9], [0.2, 1.9]])
    assert both.env_steps.tolist() == [200, 400] and both.weight_bytes == 2_000
    assert both.frames_per_second == 60.0 and np.isnan(both.agreement)


def checks_of(tmp_path, results, order):
    study = Study("ewc/sequential_atari", "", "", True, 0, tmp_path)
    sequential_atari.check(study, results, order)
    return {check.claim: (check.measured, check.passed) for check in study.checks}


def test_checks_by_hand(tmp_path):
    held = learned([[0.5, 0.0], [0.6, 0.0], [0.4, 0.5], [0.45, 0.5]], (0, 0, 1, 1))
    lost = learned([[0.5, 0.0], [0.6, 0.0], [0.1, 0.5], [0.05, 0.6]], (0, 0, 1, 1))
    found = checks_of(tmp_path, {"given": held, "plain": lost}, ("A", "B"))
    assert [value for value, _ in found.values()] == pytest.approx([0.6, 0.75, 0.3])
    assert all(passed for _, passed in found.values())
    # A total that is higher by less than counts as learned is chance.
    near = learned([[0.5, 0.0], [0.6, 0.0], [0.4, 0.5], [0.10, 0.6]], (0, 0, 1, 1))
    found = checks_of(tmp_path, {"given": near, "plain": lost}, ("A", "B"))
    assert [*found.values()][2] == (pytest.approx(0.05), False)
    found = checks_of(tmp_path, {"inferred": lost}, ("A", "A", "B"))
    # The first visit ends where another game comes: too little learned to be kept.
    measured = [value for value, _ in found.values()]
    assert measured == pytest.approx([0.05, np.nan, 0.5], nan_ok=True)
    assert [passed for _, passed in found.values()] == [False, False, False]


def test_arms_and_settings():
    assert [labels_of(arm) for arm in ("given", "inferred", "none", "plain", "alone")] == [
        "given", "inferred", "none", "given", "given"
    ]  # fmt: skip
    assert 2 * FULL.num_env_steps * 4 == 50_000_000  # Frames of a game.
    assert FULL.agent["max_tasks"] >= 10 and QUICK.agent["max_tasks"] >= 2
    assert FULL.agent["num_fisher_batches"] == 100 and FULL.agent["strength"] == 400.0


def test_who_holds_nothing_has_no_strength(monkeypatch, tmp_path):
    configs = {}

    def resolve(config):
        configs[len(configs)] = config
        raise StopIteration

    monkeypatch.setattr(sequential_atari, "resolve", resolve)
    study, order = Study("ewc/x", "", "", True, 3, tmp_path), ("Pong", "Boxing")
    for arm in sequential_atari.NAMES:
        with pytest.raises(StopIteration):
            sequential_atari.learn(study, arm, arm, order, QUICK)
    assert [one.agent_config.strength for one in configs.values()] == [400, 400, 400, 0, 0]
    one = configs[0]
    assert one.tasks == ("ALE/Pong-v5", "ALE/Boxing-v5") and one.env_config.full_action_set
    assert (one.seed, one.steps_per_task, one.labels) == (3, 16_000, "given")


@pytest.fixture
def tiny(monkeypatch):
    """A quick setting of seconds, in which nothing is learned."""
    settings = {
        **COMMON, "torso": "conv", "torso_size": 8, "capacity": 400, "min_size": 60,
        "samples_per_insert": 1.0, "num_fisher_batches": 2, "max_tasks": 14,
        "batch_size": 8,
    }  # fmt: skip
    budget = replace(
        QUICK, num_env_steps=240, num_envs=2, rows=1, num_episodes=1, max_frames=200,
        agent=settings, hidden_size=8, arms=("inferred",),
    )  # fmt: skip
    monkeypatch.setattr(sequential_atari, "QUICK", budget)


@pytest.mark.slow
def test_arms_without_labels_and_with_a_network_a_game(tmp_path, tiny):
    study = Study("ewc/sequential_atari", "", "", True, 0, tmp_path)
    options = Options(games=("Pong", "Boxing", "Pong"), arms=("none", "alone"))
    sequential_atari.run(study, options)
    rows = {
        name: [json.loads(line) for line in
               (tmp_path / "training" / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("none", "alone_Pong", "alone_Boxing")
    }  # fmt: skip
    # One label for both games: nothing is ever held.
    assert {row["task/label"] for row in rows["none"]} == {0.0}
    assert max(row["loss/elastic"] for row in rows["none"]) == 0.0
    assert rows["none"][-1]["task/index"] == 2
    # A network of its own sees its game alone, for both its visits.
    assert (
        rows["alone_Pong"][-1]["env_steps"]
        >= 2 * 240
        > rows["alone_Boxing"][-1]["env_steps"]
    )
    assert "eval/ALE/Boxing-v5/episode_return" not in rows["alone_Pong"][-1]
    tables = {table["title"].split(":")[0]: table for table in study.tables}
    assert tables["one network a game"]["columns"][1:3] == ["Pong", "Boxing"]
    none, alone = (row[2] for row in study.tables[-1]["rows"])
    assert alone == 2 * none and not study.checks


@pytest.mark.slow
def test_ten_games_from_end_to_end(tmp_path, tiny):
    """Tasks inferred, replays switched, Fishers taken, all ten evaluated."""
    study = Study("ewc/sequential_atari", "", "", True, 0, tmp_path)
    games = order_of(0)[:10]
    sequential_atari.run(study, Options(games=(*games, games[0])))
    folder = tmp_path / "training" / "inferred"
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert all(f"eval/ALE/{game}-v5/episode_return" in rows[-1] for game in games)
    assert rows[-1]["task/index"] == 10 and rows[-1]["loss/elastic"] > 0.0
    assert study.checks[-1].measured > 0.8  # Agreement of labels and games.
    assert (tmp_path / "figures" / "totals.png").exists()
    costs = study.tables[-1]
    assert costs["columns"][3] == "bytes a game held" and costs["rows"][0][3] > 0


def test_games_are_told_by_name():
    names = [*sequential_atari.POOL, "UpNDown"]
    assert not [*Options(games=tuple(names)).setting_problems()]
    (problem,) = Options(games=("Pong", "Pongg")).setting_problems()
    assert problem[0] == "games" and "did you mean 'Pong'" in problem[1]
