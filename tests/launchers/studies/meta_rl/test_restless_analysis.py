"""Rescorla-Wagner: values and likelihood by hand, an independent optimiser, recovery."""

import numpy as np
import pytest
from scipy import optimize

from tolman.launchers.studies.meta_rl import bandit_baselines as bandits
from tolman.launchers.studies.meta_rl import rescorla_wagner as models
from tolman.launchers.studies.meta_rl import restless_analysis as restless
from tolman.launchers.studies.meta_rl import structured_baselines as structured


def mixed_walks(
    generator: np.random.Generator, num_episodes: int
) -> tuple[np.ndarray, np.ndarray]:
    volatility = np.tile([0.02, 0.2], num_episodes // 2)
    return structured.restless_walks(generator, num_episodes, 100, volatility), volatility


def test_value_differences_by_hand():
    actions, rewards = np.array([[0, 1, 0]]), np.array([[1.0, 1.0, 0.0]])
    # Values (.5, .5); arm 0 pays: (.75, .5); arm 1 pays: (.75, .75).
    differences = models.value_differences(actions, rewards, np.asarray(0.5))
    np.testing.assert_allclose(differences, [[0.0, 0.25, 0.0]])


def test_log_likelihood_by_hand():
    actions, differences = np.array([[0, 1]]), np.array([[0.0, 0.25]])
    score = models.choice_log_likelihood(
        differences, actions, np.asarray(4.0), np.asarray(0.2)
    )
    second = 0.1 + 0.8 / (1 + np.e)  # arm 1 at log-odds -4 x .25
    assert score == pytest.approx(np.log(0.5) + np.log(second))


def test_candidates_broadcast_over_blocks():
    generator = np.random.default_rng(0)
    actions = generator.integers(0, 2, (3, 4, 6))
    rewards = generator.random((3, 4, 6))
    rates = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])
    differences = models.value_differences(actions, rewards, rates)
    assert differences.shape == (2, 3, 4, 6)
    single = models.value_differences(actions[1], rewards[1], np.asarray(0.2))
    np.testing.assert_allclose(differences[0, 1], single)


def test_fit_agrees_with_nelder_mead():
    generator = np.random.default_rng(1)
    means = structured.restless_walks(generator, 20, 100, 0.1)
    pulls = models.simulate_rescorla_wagner(means, generator, 0.35, 6.0, 0.1)
    actions, rewards = (x.reshape(2, 10, 100) for x in pulls)
    fit = models.fit_rescorla_wagner(actions, rewards, "abe")
    for block in range(2):

        def loss(parameters, block=block):
            rate, temperature, lapse = np.clip(parameters, [0, 0.01, 0], [1, 200, 1])
            differences = models.value_differences(actions[block], rewards[block], rate)
            return -models.choice_log_likelihood(
                differences, actions[block], temperature, lapse
            )

        other = optimize.minimize(loss, [0.4, 5.0, 0.05], method="Nelder-Mead")
        assert fit.log_likelihood[block] > -other.fun - 0.05
        assert fit.learning_rate[block] == pytest.approx(other.x[0], abs=0.02)


def test_fit_recovers_parameters():
    generator = np.random.default_rng(2)
    means = structured.restless_walks(generator, 200, 100, 0.1)
    pulls = models.simulate_rescorla_wagner(means, generator, 0.3, 6.0, 0.1)
    actions, rewards = (x.reshape(20, 10, 100) for x in pulls)
    fit = models.fit_rescorla_wagner(actions, rewards, "abe")
    for estimate, truth in ((fit.learning_rate, 0.3), (fit.lapse, 0.1)):
        assert abs(estimate.mean() - truth) < 4 * estimate.std() / np.sqrt(20) + 0.01
    assert np.median(fit.inverse_temperature) == pytest.approx(6.0, rel=0.15)
    expected = 3 * np.log(1000) - 2 * fit.log_likelihood
    np.testing.assert_allclose(fit.bic, expected)


def test_nested_models_are_never_more_likely():
    generator = np.random.default_rng(3)
    means, _ = mixed_walks(generator, 40)
    pulls = models.simulate_rescorla_wagner(means, generator, 0.7, 8.0, 0.05)
    actions, rewards = (x.reshape(4, 10, 100) for x in pulls)
    score = {
        model: models.fit_rescorla_wagner(actions, rewards, model).log_likelihood
        for model in models.MODELS
    }
    for small, large in (("b", "ab"), ("b", "be"), ("ab", "abe"), ("be", "abe")):
        assert (score[large] > score[small] - 0.05).all()


@pytest.mark.parametrize("lapse", [0.0, 0.1])
def test_control_of_fixed_rate_does_not_adapt(lapse):
    generator = np.random.default_rng(4)
    means, volatility = mixed_walks(generator, 200)
    pulls = models.simulate_rescorla_wagner(means, generator, 0.5, 6.0, lapse)
    comparison = restless.compare_models(*pulls, volatility)
    assert comparison.adaptation_bic > 0
    assert comparison.preferred == ("be" if lapse else "b")
    low, high = (comparison.learning_rates[v] for v in (0.02, 0.2))
    assert low.num_blocks == high.num_blocks == 10
    assert low.mean == pytest.approx(0.5, abs=0.06)
    assert high.mean - low.mean < 0.05


def test_player_of_two_rates_adapts():
    generator = np.random.default_rng(5)
    means, volatility = mixed_walks(generator, 200)
    rate = np.where(volatility > 0.1, 0.6, 0.3)
    pulls = models.simulate_rescorla_wagner(means, generator, rate)
    comparison = restless.compare_models(*pulls, volatility)
    assert comparison.adaptation_bic < 0
    assert "a" in comparison.preferred
    rates = comparison.learning_rates
    assert rates[0.02].mean == pytest.approx(0.3, abs=0.08)
    assert rates[0.2].mean == pytest.approx(0.6, abs=0.08)


def test_bayesian_player_that_infers_the_volatility_adapts():
    generator = np.random.default_rng(6)
    means, volatility = mixed_walks(generator, 200)
    pulls = structured.play_walk_filter(means, generator, (0.02, 0.2), is_greedy=True)
    comparison = restless.compare_models(*pulls, volatility)
    assert comparison.adaptation_bic < 0
    rates = comparison.learning_rates
    assert rates[0.2].mean - rates[0.02].mean > 0.05


def test_another_fixed_rate_shows_in_one_sign_only():
    generator = np.random.default_rng(7)
    means, volatility = mixed_walks(generator, 200)
    pulls = models.simulate_rescorla_wagner(means, generator, 0.25)
    comparison = restless.compare_models(*pulls, volatility)
    rates = comparison.learning_rates
    assert comparison.adaptation_bic < 0
    assert abs(rates[0.2].mean - rates[0.02].mean) < 0.05


def test_rescorla_wagner_regret():
    generator = np.random.default_rng(8)
    means, _ = mixed_walks(generator, 2000)
    # Reference 8.25 for the fixed rate 1/2 on a few hundred episodes; measured here on
    # 8000: 8.44 per arm at inverse temperature 10, 7.26 with one shared value at rate 0.2.
    for expected, arguments in (
        (8.44, {"learning_rate": 0.5}),
        (7.26, {"learning_rate": 0.2, "inverse_temperature": 20.0, "is_shared": True}),
    ):
        pulls = models.simulate_rescorla_wagner(means, generator, **arguments)
        regret = bandits.expected_regret(means, pulls.actions)
        assert abs(regret.mean() - expected) < 4 * regret.std() / np.sqrt(len(regret))


def test_greedy_player_stays_on_a_sure_arm():
    means = np.tile([1.0, 0.0], (50, 8, 1))
    pulls = models.simulate_rescorla_wagner(
        means, np.random.default_rng(0), 0.5, inverse_temperature=np.inf
    )
    # Arm 0 pays at once; arm 1 fails at once: from the second trial all pull arm 0.
    assert set(pulls.actions[:, 0]) == {0, 1}
    assert (pulls.actions[:, 1:] == 0).all()
    assert (pulls.rewards[:, 1:] == 1).all()


def test_blocks_hold_one_volatility():
    volatility = np.array([0.2, 0.02] * 12)
    episodes, values = restless.blocks_of_equal_volatility(volatility, 5)
    assert episodes.shape == (4, 5)
    np.testing.assert_array_equal(values, [0.02, 0.02, 0.2, 0.2])
    np.testing.assert_array_equal(episodes[0], [1, 3, 5, 7, 9])
    assert (volatility[episodes] == values[:, None]).all()
    whole, _ = restless.blocks_of_equal_volatility(np.full(10, 0.2), 5)
    np.testing.assert_array_equal(whole, np.arange(10).reshape(2, 5))


def test_rows_of_learning_rates_by_hand():
    rates = np.array([0.2, 0.9, 0.4, 0.6])
    fit = models.RescorlaWagnerFit("ab", rates, *(np.zeros(4) for _ in range(4)))
    rows = restless.learning_rates_by_volatility(fit, np.array([0.1, 0.3, 0.1, 0.1]))
    assert list(rows) == [0.1, 0.3]
    # Deviations -0.2, 0, 0.2: the variance of a sample of three is 0.08 / 2.
    assert rows[0.1].mean == pytest.approx(0.4)
    assert rows[0.1].standard_error == pytest.approx(0.2 / np.sqrt(3))
    assert (rows[0.1].num_blocks, rows[0.3].num_blocks) == (3, 1)
    assert rows[0.3].mean == 0.9 and np.isnan(rows[0.3].standard_error)


def test_user_mistakes_are_named():
    generator = np.random.default_rng(0)
    actions = np.zeros((1, 2, 3), int)
    with pytest.raises(ValueError, match="abe"):
        models.fit_rescorla_wagner(actions, actions, "abc")
    with pytest.raises(ValueError, match=r"\[B, E, T\]"):
        models.fit_rescorla_wagner(actions[0], actions[0], "b")
    with pytest.raises(ValueError, match="two arms"):
        models.fit_rescorla_wagner(actions + 2, actions, "b")
    with pytest.raises(ValueError, match="Evaluate more"):
        restless.blocks_of_equal_volatility(np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="per episode"):
        restless.compare_models(np.zeros((4, 3), int), np.zeros((4, 3)), np.zeros(5))
    with pytest.raises(ValueError, match="learning_rate"):
        models.simulate_rescorla_wagner(np.zeros((1, 2, 2)), generator, 1.5)
    fit = models.fit_rescorla_wagner(actions, actions, "b")
    with pytest.raises(ValueError, match="free learning rate"):
        restless.learning_rates_by_volatility(fit, np.array([0.1]))
