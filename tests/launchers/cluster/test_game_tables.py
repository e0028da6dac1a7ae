"""Whole games in Reverb: counted once, drawn evenly, learned from; without Ray."""

import threading

import jax
import numpy as np
import pytest

from tolman.agents.alphazero.self_play import Moves
from tolman.launchers.cluster.game_tables import GameCounter, GameLayout, GameWriter
from tolman.launchers.cluster.games import GameEvaluator, GameWork, SelfPlayLoop
from tolman.launchers.cluster.work import ActorIdentity
from tolman.launchers.host.learner import AgentLearner
from tolman.launchers.host.reverb.batches import Batches
from tolman.launchers.host.reverb.server import ReplayServer
from tolman.launchers.runs.job import resolve
from tolman.launchers.self_play.open_games import EndedGame, Row
from tolman.launchers.self_play.players import make_player
from tolman.launchers.settings.commands import parse_train

EXAMPLE = Moves(
    position={"a": np.zeros((1, 2), np.int8), "b": np.zeros(1, np.int32)},
    slots=np.zeros((1, 3), np.int16),
    weights=np.zeros((1, 3), np.float16),
    value=np.zeros(1, np.float32),
    player=np.zeros(1, np.int8),
    action=np.zeros(1, np.int32),
    is_last=np.zeros(1, bool),
    outcome=np.zeros((1, 2), np.float32),
)
FLAGS = (
    "gumbel_alphazero --env tic_tac_toe --launcher ray --agent.num-filters 8 "
    "--agent.num-blocks 1 --agent.value-units 8 --agent.num-simulations 4 "
    "--agent.num-parallel-games 3 --agent.moves-per-iteration 5 --agent.batch-size 16 "
    "--agent.min-positions 20"
)


def game(number, length, outcome=1.0):
    """Its positions are 100 `number` and on."""
    position = {
        "a": np.full((length, 2), number, np.int8),
        "b": 100 * number + np.arange(length, dtype=np.int32),
    }
    zeros = np.zeros((length, 3))
    rows = Row(
        position, zeros.astype(np.int16), zeros.astype(np.float16),
        np.full(length, 0.5, np.float32), np.ones(length, np.int8),
        np.full(length, number, np.int32),
    )  # fmt: skip
    return EndedGame(rows, outcome)


class Server:
    """A replay of games, its counter and a writer."""

    def __init__(self, folder, layout, max_num_moves=20, saved=None):
        self.replay = ReplayServer(layout.tables(share=1), folder / "scratch", saved)
        self.counter = GameCounter(self.replay.client())
        self.is_over = threading.Event()
        self.writer = GameWriter(
            self.replay.address, layout.row, max_num_moves, self.is_over
        )

    def stop(self):
        self.writer.close()
        self.replay.stop()


@pytest.fixture(scope="module")
def work():
    return GameWork(resolve(parse_train(FLAGS.split())).config, num_shards=1)


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(layout=None, **settings):
        layout = layout or GameLayout(EXAMPLE, 3, 64, lambda position: position["a"])
        servers.append(Server(tmp_path, layout, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def batches_of(server, layout, work):
    return Batches(
        [server.replay.address],
        resolve(work.config).make_agent().data,
        layout,
        jax.devices()[0],
    )


def take(batches, count):
    taken = []
    while len(taken) < count:
        batch = batches.next()
        if batch is not None:
            taken.append(batch)
    return taken


def test_each_game_counts_once_in_this_incarnation_and_in_no_other(serve, tmp_path):
    server = serve()
    assert server.counter.statistics()[:3] == ((0,), 0, 0)
    for number, (length, outcome) in enumerate([(4, 1.0), (1, 0.0), (9, -1.0), (5, 0.0)]):
        server.writer.write(game(number, length, outcome))
    # 4 games, 19 moves, 1 + 0.5 + 0 + 0.5 points, 2 draws, 4 errors of 0.5 ** 2; the first
    # game has left.
    expected = ((19,), 0, 3, (4.0, 19.0, 2.0, 2.0, 1.0))
    assert server.counter.statistics() == server.counter.statistics() == expected
    server.writer.write(game(4, 2))
    server.replay.save(tmp_path / "saved")  # With an entry that is not counted yet.
    assert server.counter.statistics().inserted == (21,)
    server.stop()
    again = serve(saved=tmp_path / "saved")
    assert again.counter.statistics() == ((0,), 0, 3, (0.0,) * 5)
    again.writer.write(game(5, 7))
    assert again.counter.statistics() == ((7,), 0, 3, (1.0, 7.0, 1.0, 0.0, 0.25))


def test_what_ends_the_reading_is_raised_where_a_batch_is_asked_for(serve, work):
    layout = GameLayout(EXAMPLE, 3, 64, lambda position: position["a"])
    server = serve(layout)
    layout.versions = lambda data: {}["gone"]  # A fault that no server is to blame for.
    server.writer.write(game(0, 4))
    batches = batches_of(server, layout, work)
    try:
        with pytest.raises(KeyError, match="gone"):
            take(batches, 1)
    finally:
        batches.close()


def test_the_window_is_in_games_and_its_positions_are_drawn_alike(serve, work):
    server = serve()
    for number, length in enumerate([4, 1, 9, 5]):
        server.writer.write(game(number, length))
    layout = GameLayout(EXAMPLE, 3, 64, lambda position: position["a"])
    batches = batches_of(server, layout, work)
    try:
        taken = take(batches, 60)
    finally:
        batches.close()
    drawn = np.concatenate([layout.row.read(batch.items).position["b"] for batch in taken])
    found, counts = np.unique(drawn, return_counts=True)
    assert found.tolist() == [100, *range(200, 209), *range(300, 305)]
    np.testing.assert_allclose(counts / len(drawn), 1 / 15, atol=0.02)
    versions = np.concatenate([batch.versions for batch in taken])
    np.testing.assert_array_equal(versions, drawn // 100)
    positions = layout.assemble(taken[0].items, None)
    np.testing.assert_array_equal(
        positions.observation[:, 0], layout.row.read(taken[0].items).position["b"] // 100
    )
    assert positions.outcome.dtype == positions.weights.dtype == np.float32


class Parameters:
    """Stands in for a `ParameterClient`: version 7 of some parameters."""

    def __init__(self, params, address=""):
        self.params, self._address = params, address
        self.is_closed = threading.Event()

    def wait_while_ahead(self):
        pass

    def get(self, num_unrolls=0):
        return 7, self.params

    def address(self, shard):
        return self._address


def test_actor_replay_and_learner_without_processes(serve, work):
    """Self-play writes legal games, and a learner takes what they earn it."""
    agent = work.agent()
    layout = work.layout(agent)
    server = serve(layout)
    state = agent.init(jax.random.PRNGKey(1))
    source = Parameters(state.params, server.replay.address)
    key = np.asarray(jax.random.PRNGKey(2))
    loop = SelfPlayLoop(work, ActorIdentity(0, 0, 0, key), source)
    while sum(server.counter.statistics().inserted) < 40:
        loop.unroll()
    statistics = server.counter.statistics()
    assert sum(statistics.inserted) <= loop.num_steps and loop.version == 7
    observe = make_player(agent).observe
    samples = server.replay.client().sample(
        "games", 20, emit_timesteps=False, unpack_as_table_signature=True
    )
    for sample in samples:
        row = layout.row.read(sample.data)
        check_game(observe(row.position), row.outcome)

    batches = batches_of(server, layout, work)
    learner = AgentLearner(agent, layout, lambda: take(batches, 1)[0], state, 0, 100, 0)
    try:
        metrics = [jax.device_get(learner.step()) for _ in range(3)]
    finally:
        batches.close()
        loop.close()
    assert learner.num_updates == 3 and int(learner.save().updates) == 3
    assert all(np.isfinite(row["loss/total"]) for row in metrics)
    assert learner.num_compilations() == 1


def check_game(planes, outcome):
    """What was written is one game from its opening to its end, and says who won it.

    Of tic-tac-toe: stones come one by one, the outcome alternates between the players.
    """
    stones = np.asarray(planes).sum(axis=(1, 2, 3))
    opening, moves = stones[0], stones[-1] + 1
    assert stones.tolist() == list(range(int(opening), int(moves))) and 5 <= moves <= 9
    assert (outcome == 0).all() or (outcome[1:] == -outcome[:-1]).all()
    assert outcome[-1] == 1 or (moves == 9 and outcome[-1] == 0)


def test_incarnations_play_different_games(work):
    agent = work.agent()
    params = agent.init(jax.random.PRNGKey(1)).params
    key = np.asarray(jax.random.PRNGKey(2))
    keys = [
        np.asarray(ActorIdentity(*words, key).key()) for words in ((0, 0, 0), (0, 1, 0))
    ]
    assert (keys[0] != keys[1]).any()
    evaluator = GameEvaluator(agent, seed=0)
    first, again, other = (evaluator.evaluate(params, 4, number) for number in (0, 0, 1))
    assert first == again and set(first) == set(other)
    assert 0.0 <= first["eval/score_against_random"] <= 1.0
    assert 5 <= first["eval/game_length"] <= 9
