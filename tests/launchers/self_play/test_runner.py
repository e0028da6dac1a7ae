"""Self-play runs: they resume to the bit, their rows are right, mistakes are named."""

import json
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from stones import TINY, HostStones, Stones

from tolman.agents.alphazero import AlphaZero
from tolman.agents.alphazero.self_play import play_moves, start_games
from tolman.launchers.cli import main
from tolman.launchers.runs.job import resolve
from tolman.launchers.self_play.players import make_player
from tolman.launchers.self_play.runner import SelfPlayRunner
from tolman.launchers.settings.commands import parse_train

SMALL = replace(
    TINY, num_simulations=6, num_parallel_games=4, moves_per_iteration=3, batch_size=8,
    samples_per_position=2.0, window_games=6, min_positions=12, learning_rate=0.01,
)  # fmt: skip


def begin(game, config=SMALL, saved=None, folder=None):
    """A fresh runner and its state, also from a checkpoint and the folder of its replay."""
    runner = SelfPlayRunner(AlphaZero(config, game))
    state = runner.init(jax.random.PRNGKey(3)[None])
    if saved is not None:
        runner.load_replay(folder)
        state = runner.place(saved)
    return runner, runner.prepare(state, 99)


@pytest.mark.parametrize(
    ("game", "num_random_moves"),
    [(Stones(), 3), (HostStones(), 0), (HostStones(), 3)],
    ids=["device-3", "host-0", "host-3"],
)
def test_a_run_that_was_broken_off_goes_on_to_the_same_bits(
    game, num_random_moves, tmp_path
):
    config = replace(SMALL, num_random_moves=num_random_moves)
    runner, state = begin(game, config)
    state, _ = runner.train(state, 4)
    runner.save_replay(tmp_path)
    saved = jax.device_get(state)
    whole, _ = runner.train(state, 5)
    twin, state = begin(game, config, saved, tmp_path)
    for num_updates in (2, 3):  # Nor is it seen where a part ends.
        state, _ = twin.train(state, num_updates)
    whole, parted = jax.device_get((whole, state))
    jax.tree.map(np.testing.assert_array_equal, whole, parted)
    jax.tree.map(
        np.testing.assert_array_equal, *(r.replay._window() for r in (runner, twin))
    )
    assert runner.replay.open_actions() == twin.replay.open_actions()
    assert int(whole.learner.updates) > 5 and int(whole.env_steps) == 9 * 12


def test_devices_share_out_games_and_batches():
    """Each half of the games has chance of its own; the gradient is that of one device."""
    agent = AlphaZero(replace(SMALL, num_exploring_moves=99), Stones())
    runner = SelfPlayRunner(agent, devices=jax.devices()[:2])
    state = runner.init(jax.random.PRNGKey(0)[None])
    game_key = jax.random.split(jax.random.PRNGKey(0), 3)[2]
    one = make_player(agent, jax.devices()[:1]).start(game_key)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.games), one)
    key = jax.random.PRNGKey(7)
    params = jax.device_get(state.learner.params)
    _, moves = runner._player.play(params, state.games, key)
    for half in range(2):
        own = jax.tree.map(lambda leaf: leaf[half * 2 : half * 2 + 2], one)  # noqa: B023
        drawn = jax.random.fold_in(key, half)
        _, expected = jax.jit(play_moves, static_argnums=(0, 4))(
            agent, params, own, drawn, SMALL.moves_per_iteration
        )
        np.testing.assert_array_equal(
            moves.action[:, half * 2 : half * 2 + 2], expected.action
        )
    lone = SelfPlayRunner(agent, devices=jax.devices()[:1])
    state, _ = runner.train(runner.init(key[None]), 6)
    row = runner.replay.sample(np.random.default_rng(0), 8)._replace(version=None)
    learner = jax.device_get(state.learner)
    results = [
        one._update(
            one.place(state._replace(learner=learner)).learner, row, key, np.float32(0)
        )
        for one in (runner, lone)
    ]
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), *jax.device_get(results))
    assert runner.describe_devices() == "2 x cpu" and int(state.learner.updates) > 0
    odd = AlphaZero(replace(SMALL, num_parallel_games=3), Stones())
    assert SelfPlayRunner(odd).describe_devices() == "1 x cpu"


def test_moves_follow_one_another_and_games_are_replaced():
    game = Stones()
    agent = AlphaZero(replace(SMALL, num_exploring_moves=99), game)
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    games = jax.jit(start_games, static_argnums=(0, 1))(game, 5, jax.random.PRNGKey(0))
    after, moves = jax.jit(play_moves, static_argnums=(0, 4))(
        agent, params, games, jax.random.PRNGKey(1), 20
    )
    moves = jax.device_get(moves)
    for column in range(5):
        state, number = game.init(None), 0
        for t in range(20):
            expanded = game.expand(jax.tree.map(lambda x: x[t, column], moves.position))  # noqa: B023
            jax.tree.map(np.testing.assert_array_equal, expanded, state)
            assert moves.player[t, column] == state.player
            chosen = moves.slots[t, column] == moves.action[t, column]
            assert moves.weights[t, column][chosen].sum() > 0
            state, number = game.step(state, moves.action[t, column]), number + 1
            assert moves.is_last[t, column] == game.is_over(state)
            np.testing.assert_array_equal(moves.outcome[t, column], game.outcome(state))
            if game.is_over(state):
                state, number = game.init(None), 0
        assert after.move_number[column] == number
        np.testing.assert_array_equal(after.state.stones[column], state.stones)
    assert moves.is_last.sum() >= 5


def first_moves(game, num_games, num_random_moves):
    """The first moves that are kept of so many games."""
    config = replace(SMALL, num_parallel_games=num_games, num_random_moves=num_random_moves)
    agent = AlphaZero(config, game)
    player = make_player(agent, jax.devices()[:1])
    games = player.start(jax.random.PRNGKey(1))
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    return player.play(params, games, jax.random.PRNGKey(2))[1]


@pytest.mark.parametrize("game", [Stones(), HostStones()], ids=["device", "host"])
def test_games_open_with_random_moves_that_are_not_learned_from(game):
    """0, 1 or 2 moves, evenly; those that leave no game to play are taken back."""
    position = first_moves(game, 600, 2).position
    on_host = isinstance(game, HostStones)
    stones = position[0].argmax(-2).ravel() if on_host else position.stones[0]
    counts = np.bincount(stones.astype(int), minlength=13) / 600
    # One move takes 1 to 5, two take 2 to 10: in (1, 2, 3, 4, 5, 4, 3, 2, 1) of 25 cases.
    expected = np.zeros(13)
    expected[12] = 1 / 3
    expected[7:12] += 1 / 15
    expected[2:11] += np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 75
    np.testing.assert_allclose(counts, expected, atol=0.06)


@pytest.mark.parametrize("game", [Stones(start=2), HostStones(start=2)])
def test_an_opening_that_ends_the_game_is_taken_back(game):
    weights = first_moves(game, 50, 9).weights.astype(float)
    assert (np.abs(weights.sum(-1) - 1.0) < 0.01).all()  # There was a move to make.


def test_rows_tell_of_the_games():
    runner, state = begin(Stones())
    _, row = runner.train(state, 8)
    values = {name: float(value[0]) for name, value in row.items()}
    assert values["board/replay_games"] == min(values["board/games"], 6)
    assert values["board/replay_positions"] == len(runner.replay)
    assert 3 <= values["board/game_length"] <= 12
    assert 0 <= values["board/first_player_score"] <= 1
    assert 0 <= values["board/value_error"] <= 4
    assert 0 <= values["time/param_lag"] <= values["board/gradient_steps"]
    owed = runner.replay.num_inserted * SMALL.samples_per_position / SMALL.batch_size
    assert values["board/gradient_steps"] == int(owed)


def test_a_run_that_goes_on_with_an_empty_replay_learns_at_the_rate_of_before():
    config = replace(SMALL, window_games=1000)  # None of its games leaves.
    runner, state = begin(Stones(), config)
    before = jax.device_get(runner.train(state, 9)[0])
    runner, state = begin(Stones(), config, before, folder=None)
    after, _ = runner.train(state, 9)
    num_learned = int(after.learner.updates) - int(before.learner.updates)
    owed = len(runner.replay) * config.samples_per_position / config.batch_size
    assert owed > 5 and owed - 1 < num_learned < owed + 1


def test_command_line_trains_and_resumes(tmp_path, capsys):
    words = (
        f"train gumbel_alphazero --env tic_tac_toe --run-dir {tmp_path}/r "
        "--agent.num-filters 8 --agent.num-blocks 1 --agent.num-simulations 4 "
        "--agent.num-parallel-games 4 --agent.moves-per-iteration 4 --agent.batch-size 8 "
        "--agent.min-positions 8 --log-interval 16 --checkpoint-interval 16 "
        "--num-env-steps 48"
    )
    assert main(words.split()) == 0
    rows = (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["env_steps"] for row in rows] == [16, 32, 48]
    assert (tmp_path / "r" / "checkpoints" / "48" / "replay.npz").is_file()
    replays = [
        tmp_path / "r" / "checkpoints" / f"{at}" / "replay.npz" for at in (16, 32, 48)
    ]
    whole = np.load(replays[2].parent / "state.npz")["arr_0"]
    replays[2].write_bytes(replays[2].read_bytes()[:-100])
    capsys.readouterr()
    assert main(["resume", f"{tmp_path}/r"]) == 0  # From 32, whole, to the same bits.
    assert "48: checkpoint not used (" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load(replays[2].parent / "state.npz")["arr_0"], whole)
    for replay in replays:
        replay.unlink()
    assert main(["resume", f"{tmp_path}/r"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the replay of this checkpoint is missing" in error
    assert "--empty-replay" in error
    assert main(["resume", f"{tmp_path}/r", "--empty-replay"]) == 0
    capsys.readouterr()
    assert main(["eval", f"{tmp_path}/r"]) == 2
    assert "tolman tournament" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("alphazero --env two_step", "two_step"),
        ("alphazero --env connect_four --core gtrxl", "Leave --core out"),
        ("dqn --env connect_four", "connect_four"),
    ],
)
def test_mistakes_are_refused_in_one_line(words, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        resolve(parse_train(words.split()))
    assert "\n" not in str(caught.value)
