"""The studies of AlphaZero from end to end, on sizes that learn nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tolman.agents.alphazero import AlphaZeroConfig, GumbelAlphaZeroConfig
from tolman.launchers.arena.players.solved_positions import load_positions
from tolman.launchers.arena.ratings import Result, rate
from tolman.launchers.cli import main
from tolman.launchers.studies.alphazero import (
    chess,
    connect_four,
    large_games,
    league,
    tic_tac_toe,
)
from tolman.launchers.studies.alphazero.league import rate_over
from tolman.launchers.studies.study import Study, run_study

SIZES = {
    "num_filters": 4,
    "num_blocks": 1,
    "value_units": 4,
    "num_simulations": 2,
    "num_parallel_games": 8,
    "moves_per_iteration": 4,
    "batch_size": 16,
    "min_positions": 16,
}
PUCT = replace(AlphaZeroConfig(), optimizer="adam", learning_rate=1e-3, **SIZES)


def claims(folder, passed):
    checks = json.loads((folder / "result.json").read_text())["checks"]
    return [check["claim"] for check in checks if check["passed"] == passed]


def test_connect_four(tmp_path, monkeypatch):
    config = replace(GumbelAlphaZeroConfig(), **SIZES)
    monkeypatch.setattr(connect_four, "QUICK", connect_four.Setting(config, 320, 2, 0.7))
    monkeypatch.setattr(connect_four, "NUM_GAMES", 2)
    monkeypatch.setattr(connect_four, "SIMULATIONS", (0, 2))
    few = load_positions()[:4]
    monkeypatch.setattr(connect_four, "load_positions", lambda: few)
    assert run_study("alphazero/connect_four", True, 0, tmp_path) == 1
    failed = claims(tmp_path, passed=False)
    assert "points a game against 100 rollouts, 2 simulations" in failed
    over_training, by_simulations, rated = json.loads(
        (tmp_path / "result.json").read_text()
    )["tables"]
    columns = [*connect_four.OPPONENTS, "value kept"]
    assert over_training["columns"] == ["positions", *columns]
    assert [row[0] for row in over_training["rows"]] == [0, 160, 320]
    assert [row[0] for row in by_simulations["rows"]] == [0, 2]
    for row in over_training["rows"] + by_simulations["rows"]:
        assert all(0.0 <= value <= 1.0 for value in row[1:])
    names = [(when, name) for when in (0, 160, 320) for name in connect_four.OPPONENTS]
    assert [tuple(row[:2]) for row in rated["rows"]] == names
    for row in rated["rows"]:
        low, high = map(float, row[3].split(" to "))
        assert low < float(row[2]) < high
    names = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert names == {"strength.png", "losses.png"}


def test_tic_tac_toe(tmp_path, monkeypatch):
    monkeypatch.setattr(tic_tac_toe, "CONFIG", PUCT)
    monkeypatch.setattr(tic_tac_toe, "QUICK", (1, 96))
    monkeypatch.setattr(tic_tac_toe, "NUM_SIMULATIONS", 2)
    monkeypatch.setattr(tic_tac_toe, "NUM_GAMES", 4)
    assert run_study("alphazero/tic_tac_toe", True, 0, tmp_path) == 1
    assert "best moves of the policy alone" in claims(tmp_path, passed=False)
    (table,) = json.loads((tmp_path / "result.json").read_text())["tables"]
    players = [f"{row[0]}, {row[1]}" for row in table["rows"]]
    names = ["seed 0", *tic_tac_toe.TWINS]
    assert players == [f"{name}, {of}" for name in names for of in ("untrained", "trained")]
    assert all(0 <= row[2] + row[3] <= 4 for row in table["rows"])
    for row in table["rows"]:
        low, high = map(float, row[6].split(" to "))
        assert low < float(row[5]) < high and float(row[5]) <= 0.0  # Nobody beats it.


def test_a_rating_over_an_opponent_is_that_of_the_arena():
    """Two after another share an opening: six games are three observations."""
    results = [1.0, 0.0, 1.0, 1.0, -1.0, 1.0]
    games = [Result(0, 1, (r + 1) / 2, n // 2) for n, r in enumerate(results)]
    assert rate_over(results) == rate(["a", "b"], games, "b")["a"]
    apart = [Result(0, 1, (r + 1) / 2, n) for n, r in enumerate(results)]
    assert rate_over(results) != rate(["a", "b"], apart, "b")["a"]


@pytest.mark.parametrize("on_host", [True, False])
def test_a_large_game_is_rated_with_its_opponents(on_host, tmp_path, monkeypatch):
    setting = large_games.Setting(
        game="tic_tac_toe",
        noise_alpha=1.0,
        paper_games=1000,
        quick_positions=192,
        quick_samples=4.0,
        quick_value_cost=1.0,
        quick_games=2,
        is_faster_on_host=on_host,
        opponents={"greedy": "greedy", "an engine": "gtp:/nowhere/engine --mode gtp"},
        stronger={"not asked for": "gtp:/nowhere/other"},
    )
    monkeypatch.setattr(large_games, "_scale", lambda *_: (PUCT, 192, 2))
    monkeypatch.setattr(large_games, "SIMULATIONS", (2, 4))
    study = Study("alphazero/mine", "", "", True, 0, tmp_path)
    large_games.run_setting(study, setting, large_games.Options())
    assert study.notes[0] == "an engine did not play: /nowhere/engine is not installed."
    assert "positions a second with 2 simulations each" in study.notes[1]
    over_training, by_simulations = (table["rows"] for table in study.tables)
    names = ["untrained", "64 positions", "128 positions", "192 positions"]
    assert [row[0] for row in over_training] == [*names, "random", "greedy"]
    assert [row[0] for row in by_simulations] == [2, 4]
    elo = {row[0]: float(row[1]) for row in over_training}
    assert elo["random"] == 0.0
    ahead = [name for name in ("random", "greedy") if elo[name] > elo[names[-1]]]
    assert len(study.notes) - 4 == len(ahead)


def test_a_league_that_was_broken_off_plays_the_rest(tmp_path, monkeypatch):
    """What has been played counts and is not played again."""
    file = tmp_path / "league.json"
    played = {"random - a": [1.0, -1.0, 1.0, -1.0], "random - b": [0.0] * 4}
    file.write_text(json.dumps(played))
    asked = []

    def match(side, opponent, *_):
        asked.append((side, opponent))
        return np.array([1.0, 1.0, 0.0, 0.0])

    monkeypatch.setattr(league, "play_match", match)
    sides = {"random": 0, "a": 1, "b": 2}
    elo = league.league(sides, None, 4, 0, file)
    assert asked == [(1, 2)]
    assert json.loads(file.read_text()) == {**played, "a - b": [1, 1, 0, 0]}
    assert elo["random"].elo == 0.0 and elo["a"].elo == pytest.approx(-elo["b"].elo)
    assert elo["a"].low < 0.0 < elo["a"].elo < elo["a"].high
    # With half a virtual draw a pair, 5.5 of 9 points: logistic(x) + logistic(2 x) = 11 / 9
    # at x = 0.303, which is 52.6 Elo.
    assert elo["a"].elo == pytest.approx(52.6, abs=0.2)
    assert league.league(sides, None, 4, 0, file) == elo and len(asked) == 1
    file.write_text('{"random - a": 2.0}')
    with pytest.raises(ValueError, match="an earlier version wrote it"):
        league.league(sides, None, 4, 0, file)


@pytest.mark.parametrize("name", ["sh", "/bin/sh"])
def test_programs_are_found_by_name_and_by_path(name):
    assert large_games.find_program(name).endswith("/sh")
    assert large_games.find_program("no-such-engine") is None


def test_shares_at_the_ends_by_hand():
    """3 of 6 in the last two of twenty, 4 of 4 in the first two."""
    part = np.array([1.0, 3.0, *[9.0] * 16, 2.0, 1.0])
    whole = np.array([2.0, 2.0, *[1.0] * 16, 5.0, 1.0])
    assert large_games._ends(part, whole).tolist() == [1.0, 0.5]


def test_positions_to_a_rating_by_hand():
    """100 Elo a doubling, 300 after 4,000: 500 takes two doublings more."""
    elo_at = {1000: 100.0, 2000: 200.0, 4000: 300.0}
    assert league.positions_to(500.0, elo_at) == pytest.approx(16_000.0)
    assert league.positions_to(500.0, {1000: 100.0, 2000: 90.0}) == float("inf")
    assert league.positions_to(1e9, elo_at) == float("inf")


def test_budgets_take_the_place_of_the_settings_own(tmp_path):
    study = Study("alphazero/chess", "", "", False, 0, tmp_path)
    config, num_positions, num_games = large_games._scale(
        study, chess.SETTING, large_games.Options(num_positions=1000, num_filters=64)
    )
    assert (config.num_filters, config.num_blocks, config.num_simulations) == (64, 19, 800)
    assert (num_positions, num_games) == (1000, 100)


def test_the_last_quarter_of_a_quick_run_has_a_tenth_of_the_learning_rate(tmp_path):
    """64,000 positions, each learned from once in batches of 256, make 250 updates."""
    study = Study("alphazero/chess", "", "", True, 0, tmp_path)
    options = large_games.Options(num_positions=64_000)
    config, num_positions, _ = large_games._scale(study, chess.SETTING, options)
    assert (num_positions, config.samples_per_position) == (64_000, 1.0)
    assert config.learning_rate_drops == (188,)


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--num-positions", "-1", "num_positions=-1: must be at least 0"),
        ("--num-games", "3", "num_games=3: must be at least 0 and a multiple of 2"),
        ("--num-position", "3", "did you mean '--num-positions'"),
    ],
)
def test_wrong_budgets_are_refused_in_one_line(flag, value, reason, tmp_path, capsys):
    words = ["study", "alphazero/chess", "--quick", "--out", str(tmp_path / "x")]
    assert main([*words, flag, value]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize("game", ["tic_tac_toe", "connect_four"])
def test_the_quick_setting_learns(game, tmp_path):
    assert run_study(f"alphazero/{game}", True, 0, tmp_path) == 0
