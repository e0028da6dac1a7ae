"""The comparison of cores: equal sizes, an honest choice, and its page from end to end."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.memory import TMaze
from tolman.launchers.measuring import core_tasks as tasks
from tolman.launchers.measuring import matching, turns
from tolman.launchers.studies.cores import choosing, recall
from tolman.launchers.studies.study import Study, Training, run_study
from tolman.networks.core import CORES


@dataclass(frozen=True)
class MineConfig:
    hidden_size: int = 8


@dataclass(frozen=True)
class RigidConfig:
    num_slots: int = 3


class Mine(hk.Module):
    """A core of a user: keeps the largest input."""

    def __init__(self, config: MineConfig, name: str | None = None):
        super().__init__(name)
        self._size = config.hidden_size
        self._linear = hk.Linear(config.hidden_size)

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, self._size))

    def __call__(self, x, reset, state):
        state = jnp.where(reset[:, None], 0.0, state)
        state = jnp.maximum(state, jnp.tanh(self._linear(x)))
        return state, state

    def unroll(self, x, reset, state):
        return hk.scan(lambda s, row: self(*row, s)[::-1], state, (x, reset))[::-1]


CORES_COMPARED = ("feedforward", "gru", "lstm")
USERS = f"{__name__}:Mine"


@pytest.fixture
def two_tasks(monkeypatch):
    """Two small tasks and few cores, a user's among those that can be named."""
    small = [
        replace(tasks.t_maze(3, 1), name="T-maze 30", num_episodes=20),
        replace(tasks.bandit(1, num_arms=2, num_trials=4), num_episodes=20),
    ]
    monkeypatch.setattr(tasks, "tasks", lambda quick: small)
    monkeypatch.setattr(tasks, "REFERENCE_CONFIG", tasks.LSTMConfig(16))
    monkeypatch.setattr(choosing, "registered", lambda kind: CORES_COMPARED)
    monkeypatch.setattr("tolman.launchers.catalog.names.import_attribute", lambda *_: Mine)
    monkeypatch.setattr(turns, "NUM_ROUNDS", 1)
    monkeypatch.setattr(turns, "SECONDS_PER_SAMPLE", 0.0)


@pytest.fixture
def no_training(two_tasks, monkeypatch):
    """Results are made up: the second rate is the better one; feedforward flips a coin."""

    def train(self, label, agent, environment, num_env_steps, num_members, hyperparameters):
        rates = np.asarray(hyperparameters.learning_rate)
        curve = np.outer([0.0, 0.95, 1.0], rates / rates.max())  # [C, P]
        return Training(label, np.array([1000, 2000, 3000]), curve)

    def play(agent, environment, label, key, num_episodes, chunk_length):
        coin = np.tile([1.0, -1.0], num_episodes // 2)
        one = coin if "feedforward" in label else np.ones(num_episodes)
        bad = np.zeros(num_episodes)
        return SimpleNamespace(episode_return=np.stack([bad, one]))

    def measure(players, task):
        return [
            {"core": core, "parameters": player.num_parameters}
            for core, player in players.items()
        ]

    monkeypatch.setattr(Study, "train", train)
    monkeypatch.setattr(recall, "play_episodes", play)
    monkeypatch.setattr(recall, "measure", measure)


def test_the_page(no_training, tmp_path):
    folder = tmp_path / "out"
    options = recall.Options(cores=f"gru,lstm,{USERS}")
    assert run_study("cores/recall", True, 0, folder, options) == 0
    result = json.loads((folder / "result.json").read_text())
    scores, efficiency, cost, sizes = (table["rows"] for table in result["tables"])
    names = [*CORES_COMPARED, USERS]
    for rows in (scores, efficiency, cost):
        assert [row[0] for row in rows] == names
    # Returns of 1: of a bandit, over its four trials.
    assert scores[1][1:] == ["1.00 ± 0.00", "0.25 ± 0.00"]
    # A fair coin of 20 throws: standard deviation 1, over the root of 20.
    assert scores[0][1] == "0.00 ± 0.22"
    # 0.95 is above 0.9 at 2000 steps; a quarter of it is never above 0.65.
    assert efficiency[2][1:] == ["2", "-"]
    assert [row[:2] for row in sizes] == [
        [task, core] for task in ("T-maze 30", "bandit of 2 arms") for core in names
    ]
    for task, core, parameters, rate, _ in sizes:
        reference = next(row[2] for row in sizes if row[:2] == [task, "lstm"])
        assert rate == recall.QUICK_RATES[1]
        assert abs(parameters / reference - 1) <= matching.TOLERANCE, core
    figures = {path.name for path in (folder / "figures").glob("*.png")}
    assert figures == {"learning_curves.png"}  # One corridor: nothing to compare.
    # The same folder, without lstm: it is timed all the same, for speeds are ratios to it.
    assert run_study("cores/recall", True, 0, folder, recall.Options(cores="gru")) == 0
    result = json.loads((folder / "result.json").read_text())
    scores, _, cost, _ = (table["rows"] for table in result["tables"])
    assert [row[0] for row in scores] == ["feedforward", "gru"]
    assert [row[0] for row in cost] == ["lstm", "feedforward", "gru"]
    with pytest.raises(ValueError, match="Choose another folder"):
        run_study("cores/recall", True, 0, folder, recall.Options(num_env_steps=1))


def test_some_tasks_only(no_training, tmp_path, monkeypatch):
    mazes = [replace(tasks.t_maze(n, 1), num_episodes=20) for n in (4, 8)]
    monkeypatch.setattr(tasks, "tasks", lambda quick: [*mazes, tasks.bandit(1)])
    folder = tmp_path / "out"
    options = recall.Options(tasks="T-maze 8, T-maze 4", num_env_steps=7, num_seeds=1)
    assert run_study("cores/recall", False, 0, folder, options) == 0
    result = json.loads((folder / "result.json").read_text())
    assert result["settings"]["seeds"] == 1
    assert result["settings"]["env_steps"] == {"T-maze 4": 7, "T-maze 8": 7}
    assert {row[0] for row in result["tables"][3]["rows"]} == {"T-maze 4", "T-maze 8"}
    assert (folder / "figures" / "delays.png").is_file()
    with pytest.raises(
        ValueError, match=r"'t-maze 8': .*did you mean 'T-maze 8'.*use some"
    ):
        run_study("cores/recall", True, 0, tmp_path / "b", recall.Options(tasks="t-maze 8"))
    with pytest.raises(ValueError, match="num_seeds=-1: must be at least 0"):
        run_study("cores/recall", True, 0, tmp_path / "c", recall.Options(num_seeds=-1))


@pytest.mark.parametrize(
    ("returns", "failed"),
    [
        ({"gru": 0.8}, ["gru solves T-maze 30: mean return"]),
        ({"feedforward": 1.0}, ["feedforward is at chance on T-maze 30"]),
        ({"feedforward": -1.0}, ["feedforward is at chance on T-maze 30"]),
    ],
)
def test_the_checks_can_fail(no_training, tmp_path, monkeypatch, returns, failed):
    made_up = recall.play_episodes

    def play(agent, environment, label, *arguments, **keywords):
        played = made_up(agent, environment, label, *arguments, **keywords)
        for core, value in returns.items():
            if label.endswith(f"/{core}"):
                played.episode_return[1] = value + np.resize([0.1, -0.1], 20)
        return played

    monkeypatch.setattr(recall, "play_episodes", play)
    assert run_study("cores/recall", True, 0, tmp_path / "out") == 1
    checks = json.loads((tmp_path / "out" / "result.json").read_text())["checks"]
    claims = [check["claim"] for check in checks if not check["passed"]]
    assert len(claims) == 1 and claims[0].startswith(failed[0])


@pytest.mark.slow
def test_the_study_learns(two_tasks, tmp_path, monkeypatch):
    task = replace(tasks.t_maze(5, 60_000), name="T-maze 30", num_episodes=400)
    monkeypatch.setattr(tasks, "tasks", lambda quick: [task])
    assert run_study("cores/recall", True, 0, tmp_path / "out") == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    cost = result["tables"][2]
    reference = dict(zip(cost["columns"], cost["rows"][-1], strict=True))
    assert reference["core"] == "lstm" and reference["acting ratio"] == 1.0


def test_a_core_that_cannot_be_sized_is_refused_before_training(no_training, tmp_path):
    class Rigid(Mine):
        def __init__(self, config: RigidConfig, name: str | None = None):
            super().__init__(MineConfig(), name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tolman.launchers.catalog.names.import_attribute", lambda *_: Rigid)
        with pytest.raises(ValueError, match="core 'mine:Rigid': RigidConfig has no"):
            options = recall.Options(cores="mine:Rigid")
            run_study("cores/recall", True, 0, tmp_path / "x", options)
    assert not (tmp_path / "x").exists()


def test_every_core_gets_the_same_settings_and_reaches_the_sign():
    task = tasks.t_maze(30, 1)
    players = {core: tasks.make_player(task, core) for core in sorted(CORES)}
    configs = {player.agent.config for player in players.values()}
    assert len(configs) == 1
    (config,) = configs
    # The sign, thirty steps, and the row after the turn: gradients reach the first row.
    assert config.unroll_length == 32
    assert not (config.use_previous_action or config.use_previous_reward)
    assert players["gtrxl"].config.memory_length == players["memo"].config.capacity == 30
    # Gates keep 30/31 of their content a step at first.
    kept = [
        players["lstm"].config.forget_bias,
        -players["lstm"].config.input_bias,
        -players["gru"].config.update_bias,
    ]
    assert 1 / (1 + np.exp(-np.array(kept))) == pytest.approx(30 / 31)
    reference = players["lstm"].num_parameters
    for core, player in players.items():
        assert abs(player.num_parameters / reference - 1) <= matching.TOLERANCE, core


@pytest.mark.parametrize(
    ("core", "settings"),
    [
        ("mingru", {"longest_memory": 90}),
        ("slstm", {"longest_memory": 90}),
        ("ffm", {"longest_memory": 120}),
        ("lru", {"radius_min": 30 / 33, "radius_max": 0.999}),
        ("s5", {"time_step_min": 0.2 / 30, "time_step_max": 20 / 30}),
        ("shm", {"typical_memory": 90}),
        ("linear_attention", {"shortest_memory": 10, "longest_memory": 90}),
        ("delta_net", {"shortest_memory": 10, "longest_memory": 90}),
        ("mamba", {"shortest_memory": 10, "longest_memory": 90}),
        ("attention", {"window": 30}),
        ("stack", {"layers": ("mingru?longest_memory=90",) * 2}),
    ],
)
def test_a_core_starts_as_a_delay_of_thirty_needs_it(core, settings):
    """The rule of docs/cores.md, worked out for N = 30."""
    made = tasks.core_settings(core, 30)
    for name, expected in settings.items():
        assert getattr(made, name) == (
            pytest.approx(expected) if isinstance(expected, float) else expected
        )


def test_the_seeds_shown_are_those_of_the_best_rate(no_training, tmp_path, monkeypatch):
    """Two rates of two seeds: members 2 and 3 have the second one, which is the better."""

    def play(agent, environment, label, key, num_episodes, chunk_length):
        members = np.array([0.0, 0.0, 0.25, 0.75])
        return SimpleNamespace(episode_return=np.outer(members, np.ones(num_episodes)))

    monkeypatch.setattr(recall, "play_episodes", play)
    options = recall.Options(cores="gru", tasks="T-maze 30", num_seeds=2)
    run_study("cores/recall", True, 0, tmp_path, options)
    scores = json.loads((tmp_path / "result.json").read_text())["tables"][0]["rows"]
    # Mean of 0.25 and 0.75; 40 episodes of a deviation of 0.25.
    assert scores[1] == ["gru", "0.50 ± 0.04"]


@pytest.mark.parametrize("core", ["gtrxl", "memo"])
def test_the_sign_is_in_reach_at_the_junction_and_not_two_steps_further(core):
    agent = tasks.make_player(tasks.t_maze(4, 1), core).agent
    params = jax.jit(agent.network.init)(jax.random.PRNGKey(0))
    act = jax.jit(agent.act)

    def influence(length):
        environment = TMaze(length)

        def logits(sign):
            state, timestep = environment.reset(jax.random.PRNGKey(0))
            observation = jax.nn.one_hot(sign, 4)
            timestep = timestep._replace(observation=observation)
            actor = agent.initial_actor_state(1)
            for _ in range(length + 1):
                batch = jax.tree.map(lambda leaf: leaf[None], timestep)
                decision, actor = act(params, jnp.zeros((1, 2)), batch, actor)
                state, timestep = environment.step(state, jnp.int32(0))
            return np.asarray(decision.policy)

        return np.abs(logits(0) - logits(1)).max()

    assert influence(4) > 0.0
    # The fact stored one step after the sign holds it too: memo reaches one step further.
    assert influence(6) == 0.0


def test_the_rate_is_chosen_by_the_end_of_training():
    # Two rates of two seeds: the first is ahead at the start, the second in the end.
    curve = np.array([[9.0, 9.0, 0.0, 0.0]] * 8 + [[0.0, 1.0, 0.9, 0.8]] * 2)
    assert recall.choose_rate(Training(None, np.arange(10), curve), 2) == 1
    curve[-1, 2] = np.nan  # A diverged member does not hide the others.
    assert recall.choose_rate(Training(None, np.arange(10), curve), 2) == 1
    curve[-2:, 2:] = np.nan
    assert recall.choose_rate(Training(None, np.arange(10), curve), 2) == 0


def test_steps_to_a_score_are_those_of_the_median_seed():
    curve = np.array([[0.0, 0.0, 0.95], [0.0, 0.92, 0.95], [0.95, 0.93, 0.95]])
    result = recall.Result(None, 1e-3, np.array([10, 20, 30]), curve, np.ones(3), 0.0)
    assert result.steps_to(0.9) == 20 and np.isnan(result.steps_to(0.99))


def test_hyperparameters_are_the_grid():
    config = SimpleNamespace(discount=0.5, entropy_cost=0.1)
    made = tasks.make_hyperparameters(SimpleNamespace(config=config), (0.1, 0.2), 3)
    np.testing.assert_allclose(made.learning_rate, [0.1] * 3 + [0.2] * 3)
    np.testing.assert_allclose(made.discount, [0.5] * 6)
    np.testing.assert_allclose(made.entropy_cost, [0.1] * 6)


@pytest.mark.parametrize("length", [100, 300])
def test_long_delays_are_asked_of_cores_that_can_learn_them(
    no_training, tmp_path, monkeypatch, length
):
    """Of gru and lstm, which take part, and of no core that is left out."""
    task = replace(tasks.t_maze(3, 1), name=f"T-maze {length}", num_episodes=20)
    monkeypatch.setattr(tasks, "tasks", lambda quick: [task])
    assert run_study("cores/recall", False, 0, tmp_path, recall.Options(num_seeds=1)) == 0
    checks = json.loads((tmp_path / "result.json").read_text())["checks"]
    assert [check["claim"].split(":")[0] for check in checks] == [
        f"gru solves T-maze {length}",
        f"lstm solves T-maze {length}",
        f"feedforward is at chance on T-maze {length}",
    ]
