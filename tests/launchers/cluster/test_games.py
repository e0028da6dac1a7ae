"""Self-play over Ray: processes that are killed, games that count once."""

import os
import signal
from types import SimpleNamespace

import pytest
from cluster_runs import Run, role_processes, wait_for

from tolman.agents.agent import DataSpec
from tolman.launchers.cluster.games import GameStatistics
from tolman.launchers.cluster.parameters import ParameterClient
from tolman.launchers.cluster.statistics import RateLimiter
from tolman.launchers.host.parameters import Closed

FLAGS = """train gumbel_alphazero --env tic_tac_toe --launcher ray --actors 1
--agent.num-filters 8 --agent.num-blocks 1 --agent.value-units 8
--agent.num-simulations 4 --agent.num-parallel-games 8 --agent.moves-per-iteration 4
--agent.batch-size 32 --agent.min-positions 200 --agent.window-games 100"""


def test_games_count_once():
    statistics = GameStatistics()
    assert statistics.metrics() == {"board/new_games": 0.0}

    def tell(shard, incarnation, *totals):
        statistics.take_replay(shard, incarnation, SimpleNamespace(totals=totals))

    tell(0, 0, 2, 10, 1.5, 1, 0.5)
    tell(1, 0, 1, 6, 0.0, 0, 1.0)
    tell(0, 0, 2, 10, 1.5, 1, 0.5)
    assert statistics.metrics() == {
        "board/new_games": 3.0,
        "board/game_length": 16 / 3,
        "board/first_player_score": 0.5,
        "board/draws": 1 / 3,
        "board/value_error": 0.5,
    }
    tell(0, 0, 3, 17, 2.5, 1, 0.75)
    tell(0, 0, 2, 10, 1.5, 1, 0.5)  # A report that came late.
    tell(1, 1, 1, 9, 0.5, 1, 0.5)  # A new incarnation counts from 0.
    assert statistics.metrics()["board/game_length"] == (7 + 9) / 2
    tell(0, 0, 3, 17, 2.5, 1, 0.75)
    assert statistics.metrics() == {"board/new_games": 0.0}


def test_acting_and_learning_wait_for_each_other():
    data = DataSpec(1, 10, replay="uniform", min_size=100, samples_per_insert=2.0)
    limiter = RateLimiter(data)
    assert [limiter.max_updates(n) for n in (0, 99, 104, 105, 155)] == [0, 0, 0, 1, 11]
    # 8 batches, 80 samples of 40 positions, ahead at most.
    assert not limiter.is_ahead(140, 0) and limiter.is_ahead(141, 0)
    assert not limiter.is_ahead(145, 1) and limiter.is_ahead(146, 1)


def test_actors_wait_while_there_is_too_much_data(monkeypatch):
    client, requests = ParameterClient(server=None), []

    def set_ahead(is_ahead):
        client._known = client._known._replace(is_ahead=is_ahead)

    def update(seconds):
        requests.append(seconds)
        set_ahead(len(requests) < 3)

    monkeypatch.setattr(client, "_update", update)
    client.wait_while_ahead()
    assert not requests  # Nothing to wait for, nothing to ask.
    set_ahead(True)
    client.wait_while_ahead()
    assert len(requests) == 3
    monkeypatch.undo()
    set_ahead(True)
    client.close()
    with pytest.raises(Closed):
        client.wait_while_ahead()


def kill(role):
    os.kill(role_processes(role)[0], signal.SIGKILL)


def check_rows(rows):
    """Every move of every row belongs to a game that ended in it."""
    steps = [0, *(row["env_steps"] for row in rows)]
    assert steps == sorted(steps)
    for before, row in zip(steps, rows, strict=False):
        moves = row["board/new_games"] * row.get("board/game_length", 0.0)
        assert row["env_steps"] - before == pytest.approx(moves)


@pytest.mark.usefixtures("leftovers")
def test_an_actor_is_killed(tmp_path):
    words = [*FLAGS.split(), "--eval-episodes", 0, "--log-interval", 100]
    words += ["--run-dir", tmp_path, "--num-env-steps", 3000]
    with Run(tmp_path, words) as run:
        run.wait_for_rows(2)
        kill("ActorRole")
        output, _ = run.process.communicate(timeout=300)
        assert run.process.returncode == 0, output
    assert run.status()["restarts"] == {"actor": 1, "replay": 0, "learner": 0}
    rows = run.rows()
    check_rows(rows)
    assert rows[-1]["env_steps"] >= 3000 and rows[-1]["time/param_lag"] >= 0.0
    errors = [row["board/value_error"] for row in rows if row["board/new_games"]]
    assert errors and all(0.0 < error <= 4.0 for error in errors)
    assert "actor 0 died" in (tmp_path / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("leftovers")
def test_every_process_may_die_and_the_run_goes_on_from_its_checkpoint(tmp_path, tolman):
    words = [*FLAGS.split(), "--actors", 2, "--replay-shards", 2, "--eval-episodes", 2]
    words += ["--log-interval", 200, "--checkpoint-interval", 400, "--run-dir", tmp_path]
    roles = ("actor", "learner", "replay", "evaluator")
    with Run(tmp_path, [*words, "--num-env-steps", 10_000_000]) as run:
        run.wait_for_checkpoint()
        for role in roles:
            kill(f"{role.capitalize()}Role")
            run.wait_for_restart(role, 1)
            run.wait_for_rows(2)
        check_rows(run.rows())
        assert "restored with" in (tmp_path / "log.txt").read_text()
        wait_for(
            lambda: any("eval/score_against_random" in row for row in run.rows()),
            "evaluation",
            run.process,
        )
    # The driver was killed too, and took all others with it.
    wait_for(lambda: not role_processes(), "end of all roles")
    saved = run.checkpoints()[-1]
    with Run(tmp_path, ["resume", tmp_path]) as resumed:
        wait_for(lambda: run.rows()[-1]["env_steps"] == saved, "cut of the rows")
        resumed.wait_for_rows(2)
        code, output = resumed.stop(signal.SIGINT)
    assert code == 130, output
    check_rows(run.rows())
    assert "restored with" in output or (tmp_path / "log.txt").read_text().count("restored")
    # What was trained takes part in a tournament as any other run.
    code, output, errors = tolman(
        *f"tournament tic_tac_toe random {tmp_path}@last --num-games 2".split()
    )
    assert code == 0, errors
