"""What lies in Reverb is what an unroll says, worked out by hand."""

import dm_env
import numpy as np
import pytest
import reverb

from tolman.agents.agent import DataSpec
from tolman.launchers.host.reverb.adder import TABLE, Client, UnrollAdder

ZERO, ONE = np.float32(0), np.float32(1)


@pytest.fixture
def server():
    server = reverb.Server([reverb.Table.queue(TABLE, 100)])
    yield server
    server.stop()


def write(server, unroll_length, period, num_decisions):
    """Rows of two environments: observation [t, 10 + t]; decision t; state 100 + t."""
    adder = UnrollAdder(
        Client(f"localhost:{server.port}"), DataSpec(unroll_length, 2, period=period)
    )
    row = lambda t: [np.array([t, 10 + t], np.float32)]  # noqa: E731
    adder.add_first(dm_env.restart(row(0)))
    states = 0
    for t in range(num_decisions):
        extras = {"logits": np.full((2, 3), t, np.float32), "version": np.int64(7 + t)}
        if adder.opens_item():
            extras["actor_state"] = [np.array([100.0 + t, 200.0 + t], np.float32)]
            states += 1
        action = np.array([t, -t], np.int32)
        adder.add(action, dm_env.transition(ZERO, row(t + 1), ONE), extras)
    adder.close()
    return states


def read(server):
    client = reverb.Client(f"localhost:{server.port}")
    number = client.server_info()[TABLE].current_size
    # Leaves in the order of their names: action, actor_state, logits, timestep, version.
    return [s.data for s in client.sample(TABLE, number, emit_timesteps=False)]


def test_items_that_do_not_overlap_share_their_border_row(server):
    states = write(server, unroll_length=3, period=3, num_decisions=8)
    items = read(server)
    assert len(items) == 2 and states == 3  # Of the third item only two decisions came.
    for number, (action, state, logits, rows, version) in enumerate(items):
        first = 3 * number
        times = np.arange(first, first + 4)
        np.testing.assert_array_equal(rows, np.stack([times, times + 10], -1))
        np.testing.assert_array_equal(action, np.stack([times[:3], -times[:3]], -1))
        np.testing.assert_array_equal(logits[:, 0, 0], times[:3])
        np.testing.assert_array_equal(state, [100 + first, 200 + first])
        assert version == 7 + first


def test_items_that_overlap_start_one_period_apart(server):
    states = write(server, unroll_length=3, period=2, num_decisions=8)
    items = read(server)
    assert states == 4
    assert [int(rows[0, 0]) for _, _, _, rows, _ in items] == [0, 2, 4]
    assert [float(state[0]) for _, state, *_ in items] == [100, 102, 104]
    assert [action[:, 0].tolist() for action, *_ in items] == [
        [0, 1, 2],
        [2, 3, 4],
        [4, 5, 6],
    ]


def test_an_end_of_an_episode_is_not_for_the_adder_to_see(server):
    adder = UnrollAdder(Client(f"localhost:{server.port}"), DataSpec(2, 2))
    row = [np.zeros(2, np.float32)]
    extras = {
        "logits": np.zeros((2, 3), np.float32),
        "version": np.int64(0),
        "actor_state": [np.zeros(2, np.float32)],
    }
    adder.add_first(dm_env.restart(row))
    with pytest.raises(ValueError, match="MID time steps only"):
        adder.add(np.zeros(2, np.int32), dm_env.termination(ZERO, row), extras)
    adder.close()
