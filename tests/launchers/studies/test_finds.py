"""Latencies of finds by hand."""

from types import SimpleNamespace

import numpy as np

from tolman.launchers.studies.finds import Finds, read_finds


def finds_of(*episodes):
    """From strings, one an episode: a dot for a step, x for a step that finds."""
    found = np.array([[letter == "x" for letter in episode] for episode in episodes])
    return Finds(found.T[:, None])  # [T, 1, E]


def test_latencies_by_hand():
    finds = finds_of("...x.x.xx", ".......x.")  # The second has one find: too few.
    np.testing.assert_array_equal(finds.latencies(), [[4, 2, 2]])
    assert finds.latency() == (4.0, 2.0)
    assert finds.ratio == 2.0 and finds.share_found == 1.0
    both = finds_of("...x.x.xx", "xxxx.....")
    assert both.latency() == ((4 + 1) / 2, (2 + 2 + 1 + 1) / 4)


def test_episodes_without_finds_have_no_latency():
    finds = finds_of("..x.....", "........")
    assert np.isnan(finds.ratio) and finds.share_found == 0.5


def test_who_goes_to_one_alcove_alone_does_not_remember():
    """Where the goal is there it is found in every walk, elsewhere never: ratio 1."""
    assert finds_of(".....x" * 4, "." * 24, "." * 24).ratio == 1.0


def test_finds_are_read_from_rewards_by_hand():
    """Row 0 has no reward of its own, and rows past the last end are of other episodes."""
    rewards = np.zeros((6, 2, 3))  # Four decisions; [T + 1, P, E].
    rewards[1, 1, 2], rewards[4, 1, 2] = 1.0, 0.9
    rewards[3, 1, 0] = 0.89  # Fruit.
    rewards[0, 1], rewards[5, 1], rewards[2, 0] = 1.0, 1.0, 1.0
    rewards[2, 1, 1] = 1.0
    played = SimpleNamespace(
        timestep=SimpleNamespace(reward=rewards), episode_length=np.full((2, 3), 4)
    )
    finds = read_finds(played, np.array([1]), np.array([2, 0]), 0.9)
    assert finds.found.shape == (4, 1, 2)
    assert finds.found[:, 0, 0].tolist() == [True, False, False, True]
    assert not finds.found[:, 0, 1].any()
