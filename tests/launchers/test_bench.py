"""The benchmark: every part is measured, and a floor is a floor."""

import json
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace

import haiku as hk
import jax
import jax.numpy as jnp
import mctx
import numpy as np
import optax
import pgx
import pytest
from dm_env import specs
from toys import CountingTask, make_agent

from tolman.launchers.benches import (
    bench,
    cores,
    gpu,
    growth,
    mazes,
    on_device,
    peers,
    popgym,
    self_play,
)
from tolman.launchers.catalog.names import CORE, registered
from tolman.launchers.measuring import turns
from tolman.launchers.measuring.core_tasks import make_player, t_maze
from tolman.launchers.measuring.parts import acting, network_pass
from tolman.launchers.measuring.peers import jax_a2c, pgx_alphazero
from tolman.launchers.measuring.peers.bare_search import make_move
from tolman.launchers.measuring.peers.settings import ScreensPPOSettings


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(turns, "NUM_ROUNDS", 7)
    monkeypatch.setattr(turns, "SECONDS_PER_SAMPLE", 0.01)
    cases = (on_device.Case("two_step", "gru", 4, 11),)
    monkeypatch.setattr(on_device, "ON_DEVICE_CASES", cases)
    cases = (on_device.ReplayCase("prioritized", 2_000, 8),)
    monkeypatch.setattr(on_device, "REPLAY_CASES", cases)


def test_one_row_a_case(short, capsys):
    assert bench.run_bench("on_device", as_json=True) == 0
    row, replay = json.loads(capsys.readouterr().out)
    assert (replay["environment"], replay["batch"]) == ("cartpole", 32)
    assert replay["env steps/s"] > 0 and replay["compilations"] == 1
    assert 0.0 < replay["acting share"] < replay["ratio to floor"] < 2.0
    assert (row["environment"], row["core"], row["batch"]) == ("two_step", "gru", 4)
    assert row["env steps/s"] > 0 and row["compilations"] == 1
    # The loop does all that the floor does and more; generous, for a noisy machine.
    assert 0.0 < row["ratio to floor"] < 2.0
    assert 0.0 < row["environment share"] < row["ratio to floor"] + row["acting share"]
    assert row["bound"] in ("network", "acting", "environment")


def test_what_a_bench_took_is_told_beside_its_rows(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_bench.py").write_text(
        "import types\n"
        "def run():\n"
        "    held = bytearray(300_000_000)\n"
        "    held[::4096] = b'x' * len(held[::4096])\n"
        "    yield {'rate': 5_000}\n"
        "mine = types.SimpleNamespace(run=run)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert bench.run_bench("my_bench:mine", as_json=False) == 0
    told = capsys.readouterr()
    assert told.out == "rate: 5,000\n"
    found = re.match(
        r"tolman: at most ([0-9,]+) MB of memory.*, [0-9,]+ CPU seconds, load [0-9.]+\n$",
        told.err,
    )
    assert found and 300 < int(found[1].replace(",", "")) < 50_000


def test_growth_is_of_one_thing_at_a_time(short, monkeypatch, capsys):
    base = on_device.Case("two_step", "lstm", 4, 5, core_size=8)
    small = growth.Growth(base, batches=(4, 8), unrolls=(5, 10), sizes=(8, 16))
    monkeypatch.setattr(growth, "GROWTH", small)
    monkeypatch.setattr(growth, "NUM_ROUNDS", 1)
    assert bench.run_bench("growth", as_json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    found = [(row["batch"], row["unroll"], row["units"]) for row in rows]
    assert found == [(4, 5, 8), (8, 5, 8), (4, 10, 8), (4, 5, 16)]
    assert all(row["env steps per CPU-second"] > 0 for row in rows)
    agent, _ = on_device.agent_of(base)
    weights = jax.eval_shape(agent.init, jax.random.PRNGKey(0)).params
    matrices = sum(leaf.size for leaf in jax.tree.leaves(weights) if leaf.ndim == 2)
    products = float(rows[0]["multiply-adds per CPU-second"])
    rate = rows[0]["env steps per CPU-second"]
    assert products == pytest.approx(4 * matrices * rate, rel=0.01)


def test_mazes_are_measured_in_processor_time(short, monkeypatch, capsys):
    monkeypatch.setattr(turns, "NUM_ROUNDS", 1)
    monkeypatch.setattr(mazes, "CASES", (mazes.Case("maze/tiny", 2, ("pose",)),))
    monkeypatch.setattr(mazes, "DOOM_CASES", ())
    assert bench.run_bench("mazes", as_json=True) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["environment"], row["envs"], row["fields"]) == ("maze/tiny", 2, "pose")
    assert row["env steps per core-second"] > 0


def test_tasks_of_popgym_are_measured_one_by_one(short, monkeypatch, capsys):
    monkeypatch.setattr(turns, "NUM_ROUNDS", 1)
    monkeypatch.setattr(popgym, "UNROLL_LENGTH", 4)
    names = ["popgym/battleship/easy", "cartpole", "popgym/position_only_pendulum/easy"]
    monkeypatch.setattr(popgym, "registered", lambda kind: names)
    assert bench.run_bench("popgym", as_json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["environment"] for row in rows] == [names[0], names[2]]
    assert all(row["env steps per core-second"] > 0 for row in rows)


def test_processor_time_is_also_that_of_what_was_started():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            before, own = turns.processor_seconds(), time.process_time()
            time.sleep(1.0)
            spent = turns.processor_seconds() - before - (time.process_time() - own)
        finally:
            child.kill()
    assert spent > 0.05  # Of a second that it ran, on a busy machine.


def test_turns_are_taken(short):
    calls = []
    parts = {name: lambda count, name=name: calls.append((name, count)) for name in "ab"}
    seconds = turns.take_turns(parts)
    assert set(seconds) == {"a", "b"} and [name for name, _ in calls[-2:]] == ["a", "b"]
    assert len(calls) == 2 * (2 + 7)  # Two to learn how long they take, and seven rounds.


def test_unknown_name():
    with pytest.raises(ValueError, match=r"unknown \(did you mean 'on_device'\?\)"):
        bench.run_bench("on_devise", as_json=False)


def test_cores_are_compared_at_equal_size(short, monkeypatch, capsys):
    monkeypatch.setattr(turns, "NUM_ROUNDS", 2)
    monkeypatch.setattr(cores, "LENGTH", 6)
    known = registered(CORE)
    names = {name: known[name] for name in ("lstm", "gtrxl")}
    monkeypatch.setattr(cores, "registered", lambda kind: names)
    assert bench.run_bench("cores", as_json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    speeds, positions = rows[:2], rows[2:]
    assert [row["core"] for row in speeds] == sorted(names)
    parameters = [row["parameters"] for row in speeds]
    assert max(parameters) < 1.1 * 1.1 * min(parameters)
    gtrxl, lstm = speeds
    assert lstm["acting ratio"] == lstm["learning ratio"] == 1.0
    # By hand: the LSTM's two vectors of 48 float32; one layer of six rows and a length.
    assert lstm["state bytes"] == 2 * 48 * 4
    assert gtrxl["state bytes"] == (6 * 20 + 1) * 4
    for row in speeds:
        of_lstm = row["acting, steps/s"] / lstm["acting, steps/s"]
        assert row["acting ratio"] == pytest.approx(of_lstm, rel=0.02)
    assert [row["position"] for row in positions] == [0, 3, 6, 24]


def test_a_step_of_gtrxl_costs_the_same_wherever_it_is(monkeypatch):
    """A window run anew would cost many times as much at its end as at its start."""
    task = t_maze(64, 1)
    agent = make_player(task, "gtrxl").agent
    parts = {}
    for position in (0, 64, 512):
        memory = cores.memory_after(agent, task.environment, position)
        assert np.asarray(memory.core[0].length).tolist() == [min(position, 64)] * 32
        parts[str(position)] = cores.stepping_from(agent, task.environment, memory)
    monkeypatch.setattr(turns, "SECONDS_PER_SAMPLE", 0.05)
    seconds = turns.take_turns(parts, least=5, clock=time.process_time)
    assert max(seconds.values()) < 2.0 * min(seconds.values())  # For a noisy machine.


def test_the_maze_case_is_the_navigation_agents():
    case = next(case for case in on_device.ON_DEVICE_CASES if case.is_navigating)
    agent, maze = on_device.agent_of(case)
    assert maze.fields == ("rgb", "velocity", "depth_classes")
    assert [task.name for task in agent._auxiliary_tasks] == ["depth_2"]
    assert agent.data.batch_size == 32


class TwoFields(CountingTask):
    """Says the time and the number of the episode by name."""

    def _observe(self, state):
        return {"time": state.time.astype(jnp.float32), "episode": state.episode}

    def observation_spec(self):
        return {"time": specs.Array((), np.float32), "episode": specs.Array((), np.int32)}


def test_a_network_that_reads_several_fields_has_a_floor_too():
    agent = make_agent("actor_critic", TwoFields(), "feedforward", batch_size=2)
    network_pass(agent, TwoFields())(1)
    acting(agent, TwoFields(), length=2, batch_size=2)(1)


@pytest.mark.slow
def test_the_accelerator_s_table_has_a_row_of_every_kind(short, monkeypatch, capsys):
    monkeypatch.setattr(turns, "NUM_ROUNDS", 1)
    small = replace(gpu.BANDIT, batch_size=4, unroll_length=5)
    monkeypatch.setattr(gpu, "BANDIT", small)
    monkeypatch.setattr(gpu, "LOOPS", (small, small))
    monkeypatch.setattr(gpu, "PRECISIONS", ())
    monkeypatch.setattr(gpu, "PEER_BATCHES", (4,))
    monkeypatch.setattr(gpu, "MAZES", ())
    monkeypatch.setattr(gpu, "REPLAYS", ())
    monkeypatch.setattr(gpu, "GAMES", (self_play.Case("tic_tac_toe", 2, 2, 4, 1),))
    monkeypatch.setattr(gpu, "QUESTIONS", (2,))
    assert bench.run_bench("gpu", as_json=True) == 0
    machine, *rows = json.loads(capsys.readouterr().out)
    assert (machine["device"], machine["one seed twice"]) == ("cpu", "same bits")
    assert [row["section"] for row in rows] == [
        "training loop", "beside PureJaxRL's shape", "self-play", "MEMO", "training loop",
    ]  # fmt: skip
    loop, peer, game, memo, _ = rows
    assert loop["batch"] == peer["batch"] == 4 and peer["theirs, env steps/s"] > 0
    assert game["simulations/s"] == pytest.approx(2 * game["positions/s"], rel=0.01)
    assert memo["questions/s"] == pytest.approx(2 * memo["updates/s"], rel=0.1, abs=2)


def test_what_the_clock_or_memory_forbids_is_said(monkeypatch):
    def too_large():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    tasks = [gpu.Task("replay", too_large), gpu.Task("MEMO", dict)]
    monkeypatch.setattr(gpu, "_tasks", lambda: iter(tasks))
    monkeypatch.setattr(gpu, "_machine", dict)
    clock = iter([0.0, gpu.SECONDS - 1, gpu.SECONDS + 1])
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: next(clock))
    _, large, late = gpu.run()
    assert large["left out"] == "out of memory" and late["left out"] == "420 s are over"


def test_a_peer_learns_and_does_as_much_work(monkeypatch, capsys):
    monkeypatch.setattr(peers, "NUM_ROUNDS", 1)
    monkeypatch.setattr(peers, "SECONDS_PER_SAMPLE", 0.0)
    monkeypatch.setattr(peers, "ON_DEVICE", {"cartpole": jax_a2c.Settings(4, 5)})
    small = pgx_alphazero.Settings(4, 12, 2, 8, 1, batch_size=16)
    monkeypatch.setattr(peers, "SELF_PLAY", {"tic_tac_toe": small})
    monkeypatch.setattr(peers, "LOCAL", {})
    recurrent, self_play = peers.run()
    assert recurrent["weights"] == "10,899 and 10,899"
    # Theirs has an offset for each of 3 x 8 filters, and norms of the heads' three planes.
    assert self_play["weights"] == "1,631 and 1,661"
    for row in (recurrent, self_play):
        assert row["ratio in processor time"] > 0 < row["ours, steps per CPU-second"]


def test_the_self_playing_peer_s_outcomes_turn_with_the_mover():
    """By hand: the second game's third move wins; what comes after is not over."""
    reward = jnp.zeros((4, 2)).at[2, 1].set(1.0)
    moves = pgx_alphazero.Moves(reward, reward, reward, reward > 0)
    outcome, has_ended = pgx_alphazero.value_targets(moves)
    np.testing.assert_array_equal(outcome[:, 1], [1.0, -1.0, 1.0, 0.0])
    np.testing.assert_array_equal(has_ended[:, 1], [True, True, True, False])
    assert not outcome[:, 0].any() and not has_ended[:, 0].any()


def test_the_bare_search_stops_the_other_side_s_win():
    """Stones at 0 and 1 win at 2, so the other side must play there."""
    env = pgx.make("tic_tac_toe")
    state = jax.vmap(env.init)(jax.random.split(jax.random.PRNGKey(0), 1))
    for action in (0, 4, 1):
        state = jax.vmap(env.step)(state, jnp.array([action]))
    move = make_move(
        env, lambda _, seen: (jnp.zeros((1, 9)), jnp.zeros(1)),
        mctx.gumbel_muzero_policy, 1, 200,
    )  # fmt: skip
    weights = jax.jit(move)((), state, jax.random.PRNGKey(1)).weights[0]
    assert weights.argmax() == 2 and weights[2] > 0.5


def test_the_self_playing_peer_learns_what_was_played():
    """Policies are of legal moves; a value that is not known teaches nothing."""
    env = pgx.make("tic_tac_toe")
    settings = pgx_alphazero.Settings(4, 12, 2, 8, 1, batch_size=16)
    network = hk.without_apply_rng(
        hk.transform_with_state(
            lambda x, is_training: pgx_alphazero.tower(x, settings, 9, is_training)
        )
    )
    seen = jnp.zeros((1, 3, 3, 2))
    model = jax.jit(network.init, static_argnums=2)(jax.random.PRNGKey(0), seen, True)
    play = pgx_alphazero.playing(env, network, settings)
    seen, weights, outcome, has_ended = play(model, jax.random.PRNGKey(1))
    assert seen.shape == (12, 4, 3, 3, 2) and weights.shape == (12, 4, 9)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
    assert not (weights * seen.any(-1).reshape(12, 4, 9)).any()  # Where a stone lies.
    assert has_ended[0].all() and not has_ended[-1].all()
    optimizer = optax.sgd(0.1)
    learn = pgx_alphazero.learning(network, optimizer)
    flat = [leaf.reshape(-1, *leaf.shape[2:]) for leaf in (seen, weights, outcome)]

    def value_of(model, is_known):
        batch = (*flat, jnp.full(48, is_known))
        (params, _), _ = learn(model, optimizer.init(model[0]), batch)
        return params["linear_2"]["w"]

    before = model[0]["linear_2"]["w"]
    np.testing.assert_array_equal(value_of(model, False), before)
    assert (value_of(model, True) != before).any()


def test_the_peer_s_advantages_are_the_sums_of_errors():
    """By hand, two rows: errors 1 + .5 * 4 - 3 = 0 and 2 + 0 - 4 = -2; 0 + .5 * .9 * -2."""
    flat = jnp.zeros((2, 1))
    rows = jax_a2c.Row(
        flat, flat, flat, jnp.array([[3.0], [4.0]]), flat + jnp.array([[1.0], [2.0]]),
        jnp.array([[0.5], [0.0]]),
    )  # fmt: skip
    settings = jax_a2c.Settings(1, 2, gae_lambda=0.9)
    got = jax_a2c.advantages(rows, jnp.array([7.0]), settings)
    np.testing.assert_allclose(got[:, 0], [-0.9, -2.0], rtol=1e-6)


@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_a_loop_of_cleanrls_shape_learns_with_a_network_like_ours(agent):
    pytest.importorskip("torch")
    from tolman.launchers.measuring.peers import torch_loops

    made = []

    class Noted(torch_loops.torch.optim.Adam):
        def __init__(self, params, *args, **kwargs):
            made.append(params := [*params])
            super().__init__(params, *args, **kwargs)

    settings = peers.LOCAL[agent]
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(torch_loops.torch.optim, "Adam", Noted)
        take, weights = getattr(torch_loops, agent)("CartPole-v1", settings)
        before = [leaf.detach().clone() for leaf in made[0]]
        take(2)
        ours = peers._our_local(agent, "CartPole-v1", settings, stack).weights
    assert all((a != b).any() for a, b in zip(before, made[0], strict=True))
    assert abs(weights - ours) <= 1


def test_a_loop_of_cleanrls_shape_plays_games_of_atari_with_our_network():
    pytest.importorskip("torch")
    pytest.importorskip("envpool")
    from tolman.launchers.measuring.peers import torch_loops

    small = ScreensPPOSettings(num_envs=2, unroll_length=8, minibatch_size=8)
    take, weights = torch_loops.screens_ppo("ALE/Pong-v5", small)
    take(2)
    with ExitStack() as stack:
        assert weights == peers._our_local("ppo", "ALE/Pong-v5", small, stack).weights


def test_the_peer_s_memory_is_emptied_where_a_task_begins():
    params = jax_a2c.initial_params(jax.random.PRNGKey(0), 3, 4, 2)
    x, memory = jnp.ones((2, 3)), (jnp.ones((2, 4)), jnp.ones((2, 4)))
    empty = tuple(map(jnp.zeros_like, memory))
    begun = jax_a2c.apply(params, memory, x, jnp.array([True, False]))
    fresh = jax_a2c.apply(params, empty, x, jnp.array([False, False]))
    is_same = [(a[0] == b[0]).all() for a, b in zip(begun[0], fresh[0], strict=True)]
    assert all(is_same) and (begun[0][1][1] != fresh[0][1][1]).all()
