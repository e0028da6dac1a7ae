"""The exact analysis of random patterns, against networks that learn them."""

import numpy as np
import pytest

from tolman.launchers.studies.ewc import random_patterns
from tolman.launchers.studies.ewc.random_patterns import (
    elastic,
    gradient_descent,
    signal_to_noise,
    slope,
)
from tolman.launchers.studies.study import Study


def simulated(num_weights, num_patterns, stiffness, num_networks, seed=0):
    """The same by learning: many networks side by side."""
    rng = np.random.default_rng(seed)
    w, found, first = np.zeros((num_networks, num_weights)), [], None
    for t in range(1, num_patterns + 1):
        signs = rng.integers(0, 2, (num_networks, num_weights)) * 2.0 - 1.0
        x, y = signs / np.sqrt(num_weights), rng.integers(0, 2, num_networks) * 2.0 - 1.0
        first = first or (x, y)
        error = y - (w * x).sum(-1)
        w += x * (error / (1.0 + stiffness(t)))[:, None]
        answer = first[1] * (w * first[0]).sum(-1)
        found.append((answer.mean(), answer.std()))
    return np.array(found)


@pytest.mark.parametrize("make", [gradient_descent, elastic])
def test_it_is_what_networks_come_to(make):
    found = simulated(12, 30, make(12), 40_000)
    exact = signal_to_noise(12, 30, make(12))
    assert exact[0] == np.inf
    np.testing.assert_allclose(found[1:, 0] / found[1:, 1], exact[1:], rtol=0.03, atol=0.01)


def test_two_patterns_by_hand():
    # n = 1: x_2 = +-x_1, so w = y_1 x_1 / 2 moves by x_2 (y_2 - w x_2) / 2, to 1/4 +- 1/2.
    np.testing.assert_allclose(signal_to_noise(1, 2, lambda t: 1.0)[1], 0.25 / 0.5)


def test_slopes_and_the_crossing():
    plain, held = (
        signal_to_noise(300, 1_000, make(300)) for make in (gradient_descent, elastic)
    )
    assert slope(held, 600) == pytest.approx(-0.54, abs=0.1)
    assert slope(plain, 600) < -0.9
    assert abs(slope(plain, 15) - slope(held, 15)) < 0.1
    assert held[869] > 5 * plain[869]


def test_a_power_law_has_its_slope():
    assert slope(np.arange(1, 101) ** -1.5, 50) == pytest.approx(-1.5)


@pytest.mark.parametrize(
    ("broken", "stands_for", "passed"),
    [
        (None, None, [True, True, True, True]),
        ("elastic", gradient_descent, [False, True, True, False]),
        ("gradient_descent", elastic, [True, False, True, False]),
    ],
)
def test_the_study_tells_the_two_apart(tmp_path, monkeypatch, broken, stands_for, passed):
    if broken:
        monkeypatch.setattr(random_patterns, broken, stands_for)
    study = Study("ewc/random_patterns", "", "", True, 0, tmp_path)
    random_patterns.run(study)
    assert [check.passed for check in study.checks] == passed
