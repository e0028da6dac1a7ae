"""The restless study's own analysis, on hand-made trajectories; then the study itself."""

from types import SimpleNamespace

import numpy as np
import pytest

from tolman.launchers.studies.meta_rl import restless_bandits as study
from tolman.launchers.studies.meta_rl.rescorla_wagner import simulate_rescorla_wagner
from tolman.launchers.studies.meta_rl.restless_analysis import Player, Tasks, analyse
from tolman.launchers.studies.meta_rl.restless_plots import typical_episode
from tolman.launchers.studies.meta_rl.structured_baselines import restless_walks
from tolman.launchers.studies.study import run_study

NUM_ROWS = 128  # Rows past the 100 trials belong to the next episode.


def played(actions: np.ndarray, means: np.ndarray, volatility: np.ndarray):
    """A trajectory of actions `[P, E, T]` on means `[E, T]`; what follows is rubbish."""
    num_members, num_episodes, num_trials = actions.shape
    action = np.full((NUM_ROWS, num_members, num_episodes), 1)
    action[:num_trials] = np.moveaxis(actions, -1, 0)
    reward = np.full((NUM_ROWS + 1, num_members, num_episodes), 7.0)
    reward[1 : num_trials + 1] = action[:num_trials] == 0  # Arm 0 pays, arm 1 does not.
    recorded = np.full((NUM_ROWS + 1, num_members, num_episodes, 2), 0.5)
    recorded[:num_trials, :, :, 0] = means.T[:, None]
    recorded[:num_trials, :, :, 1] = 1.0 - means.T[:, None]
    volatilities = np.broadcast_to(np.float32(volatility), reward.shape)
    return SimpleNamespace(
        timestep=SimpleNamespace(reward=reward),
        action=action,
        record={"means": recorded, "volatility": volatilities},
    )


def test_rows_of_the_episode_are_cut_out_and_turned():
    generator = np.random.default_rng(0)
    actions = generator.integers(0, 2, (2, 3, study.NUM_TRIALS))
    means = generator.random((3, study.NUM_TRIALS))
    trajectory = played(actions, means, np.array([0.02, 0.2, 0.02]))
    tasks = study._tasks(trajectory, np.array([1, 2]))
    np.testing.assert_allclose(tasks.means[..., 0], means[1:])
    assert tasks.volatility.tolist() == [0.2, 0.02]
    pulls = study._pulls(trajectory, 1, np.array([1, 2]))
    np.testing.assert_array_equal(pulls.actions, actions[1, 1:])
    np.testing.assert_array_equal(pulls.rewards, actions[1, 1:] == 0)


def test_regret_of_every_member_and_episode_by_hand():
    actions = np.zeros((2, 2, study.NUM_TRIALS), int)
    actions[1] = 1
    means = np.stack([np.full(study.NUM_TRIALS, 0.9), np.full(study.NUM_TRIALS, 0.4)])
    regret = study._regret(played(actions, means, np.array([0.02, 0.2])))
    np.testing.assert_allclose(regret, [[0.0, 20.0], [80.0, 0.0]])


def mixed_tasks(num_episodes: int, seed: int = 0) -> Tasks:
    volatility = np.tile([0.02, 0.2], num_episodes // 2)
    generator = np.random.default_rng(seed)
    return Tasks(restless_walks(generator, num_episodes, 100, volatility), volatility)


def test_players_of_known_learning_rates_come_out_as_what_they_are():
    tasks = mixed_tasks(200)
    generator = np.random.default_rng(1)
    rates = np.where(tasks.volatility < 0.1, 0.2, 0.6)
    adaptive = simulate_rescorla_wagner(tasks.means, generator, rates)
    fixed = simulate_rescorla_wagner(tasks.means, generator)
    adapts, does_not = (analyse([pulls], tasks) for pulls in (adaptive, fixed))
    np.testing.assert_allclose(adapts.rates, [[0.2, 0.6]], atol=0.05)
    assert adapts.rate_difference == pytest.approx(0.4, abs=0.08)
    assert adapts.adaptation_bic < 0 < does_not.adaptation_bic
    assert abs(does_not.rate_difference) < 0.05


def test_baselines_are_ordered_as_theory_says():
    regret = study.play_baselines(mixed_tasks(60), np.random.default_rng(2))
    assert all(values.shape == (60,) for values in regret.values())
    means = {name: values.mean() for name, values in regret.items()}
    assert min(means, key=lambda name: means[name]) == "optimum"
    assert means["win-stay, lose-shift"] > means["Rescorla-Wagner"] > means["optimum"]


def test_distance_to_the_optimum_is_paired():
    regret = np.array([[1.0, 5.0, 9.0], [3.0, 7.0, 11.0]])  # Means 2, 6, 10.
    player = Player(pulls=[], regret=regret, fits=[])
    difference, error = study.distance_to_optimum(player, np.array([1.0, 4.0, 7.0]))
    assert difference == pytest.approx(2.0)  # Of 1, 2, 3; the episodes' spread cancels.
    assert error == pytest.approx(1 / np.sqrt(3))
    assert player.median_regret == pytest.approx(6.0)


def test_typical_episode_is_the_median_of_the_candidates():
    regret = np.array([9.0, 1.0, 0.0, 5.0, 3.0])
    assert typical_episode(regret, np.array([True, True, False, True, True])) == 4
    assert typical_episode(regret, np.array([False, False, True, False, False])) == 2


@pytest.mark.slow
def test_quick_study_passes(tmp_path):
    assert run_study("meta_rl/restless_bandits", True, 0, tmp_path / "study") == 0
    figures = {path.stem for path in (tmp_path / "study" / "figures").glob("*.png")}
    assert figures == {"adaptation", "learning_curves"}
