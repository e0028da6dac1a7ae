"""The bandit studies: their analysis on trajectories by hand, and each study end to end."""

from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tolman.envs.meta_rl import IndependentBandit, InformativeBandit
from tolman.envs.meta_rl.bandits import INFORMATIVE_ARM, easy
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.studies.meta_rl import bandit_optima as optima
from tolman.launchers.studies.meta_rl import common
from tolman.launchers.studies.meta_rl import dependent_bandits as dependent
from tolman.launchers.studies.meta_rl import independent_bandits as independent
from tolman.launchers.studies.meta_rl import informative_arm as informative
from tolman.launchers.studies.study import Study, run_study


def untrained(agent, environment, record):
    """Two members with parameters as they are before any training, 300 episodes."""
    keys = jax.random.split(jax.random.PRNGKey(0), 2)
    params = jax.jit(jax.vmap(agent.init))(keys).params
    return play_episodes(agent, environment, params, jax.random.PRNGKey(1), 300, record)


def by_hand(actions, means):
    """What the analyses read of a trajectory: `[T, P, E]` actions, `[P, E, K]` means."""
    actions, means = np.array(actions), np.array(means)
    length = np.full(means.shape[:2], len(actions))
    return SimpleNamespace(action=actions, record=means[None], episode_length=length)


# Regret.


def test_regret_of_a_trajectory_by_hand():
    # Two members, one episode of three trials; a fourth decision follows the end.
    played = by_hand([[[0], [1]], [[1], [1]], [[0], [0]]], [[[0.2, 0.7]], [[0.2, 0.7]]])
    played.action = np.concatenate([played.action, np.full((1, 2, 1), 1)])
    regret = independent.regret_of(played)
    np.testing.assert_allclose(regret, [[[0.5, 0.0, 0.5]], [[0.0, 0.0, 0.5]]])


def test_player_s_summary_by_hand():
    regret = np.zeros((3, 2, 4))  # [P, E, T]
    regret[0] = 0.25
    regret[1, 0] = 0.5
    player = independent.Player(regret)
    # Members: 1.0, (2 + 0) / 2 = 1.0, 0.0. Pulls: 4, 2, 0.
    assert player.median == pytest.approx(1.0)
    assert player.suboptimal_pulls == pytest.approx(2.0)
    # Episode means over members: 1.0 and 1/3; their standard error is half the distance.
    assert player.standard_error == pytest.approx((1.0 - 1 / 3) / 2)


def test_an_untrained_agent_s_regret_is_near_chance():
    # Made for independent arms, it plays dependent ones: one agent serves all tests.
    agent = common.make_agent(IndependentBandit(20), batch_size=4)
    played = untrained(agent, easy(20), independent.record_means)
    regret = independent.regret_of(played)
    assert regret.shape == (2, 300, 20)
    player = independent.Player(regret)
    assert abs(player.median - 20 * 0.8 / 2) < 4 * player.standard_error + 0.3


def test_baselines_come_out_in_order():
    rng = np.random.default_rng(0)
    means = rng.random((1500, 2))
    players = independent.play_baselines(independent.make_policies(), means, rng)
    medians = {name: player.median for name, player in players.items()}
    names = ("Bayes optimum", "Gittins", "Thompson", "UCB (chi = 1)", "UCB1", "random")
    assert list(medians) == list(reversed(names))
    error = players["Gittins"].standard_error
    assert medians["Bayes optimum"] < medians["Gittins"] + error
    assert sorted(medians.values())[2:] == [medians[name] for name in names[2:]]
    exact = optima.finite_horizon_regret(100)
    assert abs(medians["Bayes optimum"] - exact) < 4 * error


def test_select_looks_at_the_first_half_only():
    score = np.zeros((3, 4))
    score[0, :2], score[1, 2:], score[2, 0] = 1.0, 9.0, 0.5
    members, episodes = common.select(score, 2)
    np.testing.assert_array_equal(members, [0, 2])
    np.testing.assert_array_equal(episodes, [2, 3])


# Dependent arms.


@pytest.mark.parametrize(
    ("task", "chance", "best_return"),
    [("independent", 100 / 6, 200 / 3), ("uniform", 25, 75), ("easy", 40, 90),
     ("medium", 25, 75), ("hard", 10, 60)],
)  # fmt: skip
def test_levels_of_each_distribution(task, chance, best_return):
    assert dependent.chance(task) == pytest.approx(chance)
    assert dependent.best_return(task) == pytest.approx(best_return)
    assert dependent.optimum(task) < dependent.THOMPSON[task] < chance


def study_in(folder: Path) -> Study:
    return Study("meta_rl/test", "title", "paper", True, 0, folder)


def constant(regret: float) -> independent.Player:
    """A player of that regret an episode, the same in all."""
    return independent.Player(np.full((1, 3, 100), regret / 100))


def dependent_verdict(tmp_path: Path, own_regret: float, controls: dict) -> list[bool]:
    """The verdict on agents whose regret is the same everywhere."""
    players = {
        task: {trained: constant(own_regret) for trained in dependent.THOMPSON}
        for task in dependent.THOMPSON
    }
    study = study_in(tmp_path)
    dependent._check(study, players, controls)
    return [check.passed for check in study.checks]


def test_dependent_checks_fail_below_the_optimum_and_for_controls_that_learn(tmp_path):
    honest = {"no reward input": constant(40.0), "no memory": constant(9.0)}
    learned = {"no reward input": constant(1.0), "no memory": constant(1.0)}
    # A regret of 0.5 lies below every optimum: the four structured checks must see it.
    assert not any(dependent_verdict(tmp_path, 0.5, honest)[:4])
    assert dependent_verdict(tmp_path, 0.5, learned)[-2:] == [False, False]
    assert dependent_verdict(tmp_path, 5.0, honest)[-1] is True
    assert not any(dependent_verdict(tmp_path, 5.0, honest)[:4])


# The eleven arms.


def test_informative_analysis_by_hand():
    targets = np.array([[3, 7]])
    actions = np.array([[10, 10], [3, 10], [3, 7], [3, 7], [0, 7]])[:, None]  # [T, P, E]
    reward = np.array([[0.4, 0.8], [5, 0.8], [5, 5], [5, 5], [1, 5]])[:, None]
    opening = np.zeros((1, 1, 2))
    played = SimpleNamespace(
        action=actions,
        record=targets[None],
        timestep=SimpleNamespace(reward=np.concatenate([opening, reward])),
    )
    player = informative._analyse(played, np.array([0]), np.array([0, 1]))
    np.testing.assert_allclose(player.informative, [[1.0, 0.5, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(player.target, [[0.0, 0.5, 1.0, 1.0, 0.5]])
    assert player.mean_return == pytest.approx((16.4 + 16.6) / 2)
    second_only = informative._analyse(played, np.array([0]), np.array([1]))
    assert second_only.mean_return == pytest.approx(16.6)


def test_an_untrained_agent_rarely_finds_the_target():
    environment = InformativeBandit()
    agent = common.make_agent(environment, batch_size=4)
    played = untrained(agent, environment, informative._record_target)
    player = informative._analyse(played, np.arange(2), np.arange(300))
    assert player.target.mean() == pytest.approx(1 / 11, abs=0.05)
    assert player.mean_return == pytest.approx(5 * (5 + 9 + 0.55) / 11, abs=1.5)


def test_informative_baselines():
    targets = np.arange(10).repeat(100)
    players = informative._play_baselines(targets, np.random.default_rng(0))
    assert players["optimum"].mean_return == pytest.approx(20.55)
    assert players["Thompson"].mean_return == pytest.approx(11.0, abs=0.8)
    assert players["UCB1"].mean_return == pytest.approx(6.6, abs=0.3)
    assert players["Thompson"].informative.max() == 0.0
    assert INFORMATIVE_ARM == 10


# End to end.


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["independent_bandits", "dependent_bandits", "informative_arm"]
)
def test_quick_study_passes_its_checks(name, tmp_path):
    assert run_study(f"meta_rl/{name}", True, 0, tmp_path / "study") == 0
    assert (tmp_path / "study" / "figures").is_dir()
