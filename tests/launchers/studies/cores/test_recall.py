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
from tolman.launchers import matching
from tolman.launchers.benches import turns
from tolman.launchers.studies import options as study_options
from tolman.launchers.studies.cores import recall, tasks
from tolman.launchers.studies.study import Training, run_study
from tolman.networks.core import CORES


@dataclass(frozen=True)
class MineConfig:
    hidden_size: int = 8


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


@pytest.fixture
def short(monkeypatch):
    """Two tasks of a few updates, and speeds of a few repetitions."""
    monkeypatch.setattr(turns, "NUM_ROUNDS", 1)
    monkeypatch.setattr(turns, "SECONDS_PER_SAMPLE", 0.0)
    small = [
        replace(tasks.t_maze(3, 1), name="T-maze 30", num_episodes=20),
        replace(tasks.bandit(1, num_arms=2, num_trials=4), num_episodes=20),
    ]
    monkeypatch.setattr(tasks, "tasks", lambda quick: small)
    monkeypatch.setattr(tasks, "REFERENCE_CONFIG", tasks.LSTMConfig(16))
    monkeypatch.setattr(recall, "registered", lambda kind: ["feedforward", "gru", "lstm"])
    monkeypatch.setattr(recall, "MUST_SOLVE", ("gru", "lstm"))
    return small


def test_the_page_from_end_to_end(short, tmp_path, monkeypatch, capsys):
    name = f"{__name__}:Mine"
    monkeypatch.setattr("tolman.launchers.names.import_attribute", lambda *_: Mine)
    folder = tmp_path / "out"
    code = run_study("cores/recall", True, 0, folder, recall.Options((name, "lstm")))
    assert code == 1  # One update teaches nothing, and the checks say so.
    result = json.loads((folder / "result.json").read_text())
    verdicts = {check["claim"]: check["passed"] for check in result["checks"]}
    assert not verdicts["gru solves T-maze 30: mean return"]
    scores, efficiency, cost, sizes = result["tables"]
    assert [row[0] for row in scores["rows"]] == ["feedforward", "gru", "lstm", name]
    assert [row[0] for row in efficiency["rows"]] == [row[0] for row in scores["rows"]]
    assert cost["columns"][:2] == ["core", "parameters"]
    reference = next(row for row in cost["rows"] if row[0] == "lstm")
    assert reference[4] == reference[6] == 1.0
    for _, core, parameters, rate, _ in sizes["rows"]:
        assert rate in recall.QUICK_RATES
        counts = [row[2] for row in sizes["rows"] if row[1] == "lstm"]
        nearest = min(abs(parameters - count) / count for count in counts)
        assert nearest <= matching.TOLERANCE, core
    figures = {path.name for path in (folder / "figures").glob("*.png")}
    assert figures == {"learning_curves.png", "delays.png"}
    with pytest.raises(ValueError, match="Choose another folder"):
        run_study("cores/recall", True, 0, folder)  # Without the user's core.


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
    reference = players["lstm"].num_parameters
    for core, player in players.items():
        assert abs(player.num_parameters / reference - 1) <= matching.TOLERANCE, core


@pytest.mark.parametrize("core", ["gtrxl", "memo"])
def test_the_sign_is_in_reach_at_the_junction_and_not_two_steps_further(core):
    def influence(length):
        player = tasks.make_player(tasks.t_maze(4, 1), core)
        agent = player.agent
        params = agent.network.init(jax.random.PRNGKey(0))
        environment = TMaze(length)

        def logits(sign):
            state, timestep = environment.reset(jax.random.PRNGKey(0))
            observation = jax.nn.one_hot(sign, 4)
            timestep = timestep._replace(observation=observation)
            actor = agent.initial_actor_state(1)
            for _ in range(length + 1):
                batch = jax.tree.map(lambda leaf: leaf[None], timestep)
                decision, actor = agent.act(params, jnp.zeros((1, 2)), batch, actor)
                state, timestep = environment.step(state, jnp.int32(0))
            return np.asarray(decision.logits)

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


def test_options_as_words():
    options = recall.Options(("a:B", "c:D"))
    assert study_options.option_words(options) == ["--core", "a:B", "--core", "c:D"]
    assert study_options.option_words(None) == []
