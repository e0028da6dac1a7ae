"""Latencies of finds by hand."""

import numpy as np

from tolman.launchers.studies.finds import Finds


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
