"""The memory tasks: rows and payments by hand, chance, and bsuite's own beside ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.memory import AssociativeRecall, MemoryLength, TMaze

NUM_COPIES = 4000
SIGMAS = 4.5  # A fair draw fails such a bound once in 150,000 seeds; the seeds are fixed.


def play(environment, policy, num_decisions, num_copies=NUM_COPIES, seed=0):
    """Observations `[T + 1, N, ...]`, rewards `[T, N]`, and the last states.

    `policy(state, observation, previous_action, key)` chooses for one copy.
    """

    def run(key):
        reset_key, key = jax.random.split(key)
        state, timestep = environment.reset(reset_key)

        def step(carry, key):
            state, seen, before = carry
            action = policy(state, seen, before, key)
            state, timestep = environment.step(state, action)
            return (state, timestep.observation, action), timestep

        carry = (state, timestep.observation, jnp.int32(0))
        keys = jax.random.split(key, num_decisions)
        (state, *_), timesteps = jax.lax.scan(step, carry, keys)
        first = timestep.observation
        rows = jnp.concatenate([first[None], timesteps.observation])
        return rows, timesteps.reward, timesteps.is_last(), state

    keys = jax.random.split(jax.random.PRNGKey(seed), num_copies)
    rows, reward, is_last, state = jax.jit(jax.vmap(run))(keys)
    assert np.asarray(is_last)[:, -1].all() and not np.asarray(is_last)[:, :-1].any()
    return np.asarray(rows), np.asarray(reward), jax.tree.map(np.asarray, state)


def random_policy(num_actions):
    return lambda state, seen, before, key: jax.random.randint(key, (), 0, num_actions)


def assert_mean(values, mean, deviation):
    assert abs(values.mean() - mean) < SIGMAS * deviation / np.sqrt(len(values))


def test_t_maze_by_hand():
    environment = TMaze(length=3)
    key = next(
        key
        for key in jax.random.split(jax.random.PRNGKey(0), 20)
        if environment.reset(key)[0].sign == 1
    )
    state, timestep = environment.reset(key)
    np.testing.assert_array_equal(timestep.observation, [0, 1, 0, 0])
    for seen in ([0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]):
        state, timestep = environment.step(state, jnp.int32(0))
        np.testing.assert_array_equal(timestep.observation, seen)
        assert (float(timestep.reward), bool(timestep.is_last())) == (0.0, False)
    for action, reward in ((1, 1.0), (0, -1.0)):
        _, timestep = environment.step(state, jnp.int32(action))
        assert (float(timestep.reward), bool(timestep.is_last())) == (reward, True)
        assert float(timestep.discount) == 0.0


def test_nothing_after_the_sign_tells_of_it():
    rows, _, state = play(TMaze(5), random_policy(2), 6)
    np.testing.assert_array_equal(rows[:, 0, 1], state.sign)
    np.testing.assert_array_equal(
        rows[:, 1:], np.broadcast_to(rows[0, 1:], rows[:, 1:].shape)
    )
    # Not the time either: all rows of the corridor are alike.
    assert (rows[0, 1:5] == rows[0, 1]).all() and (rows[0, 5] != rows[0, 1]).any()


@pytest.mark.parametrize("policy", [random_policy(2), lambda *_: jnp.int32(1)])
def test_chance_in_the_t_maze_is_0(policy):
    _, reward, _ = play(TMaze(4), policy, 5)
    assert (reward[:, :-1] == 0).all() and set(np.unique(reward[:, -1])) == {-1.0, 1.0}
    assert_mean(reward[:, -1], 0.0, 1.0)


def test_the_last_action_as_a_notepad_solves_the_t_maze():
    """Why an agent without memory must not be fed its last action there."""

    def repeat(state, seen, before, key):
        return jnp.where(seen[0] + seen[1] > 0, seen[1].astype(jnp.int32), before)

    _, reward, _ = play(TMaze(8), repeat, 9)
    assert (reward.sum(1) == 1.0).all()


def test_associative_recall_rows():
    environment = AssociativeRecall(
        num_pairs=2, num_distractors=3, num_keys=4, num_values=3
    )
    rows, _, state = play(environment, random_policy(3), 6)
    assert rows.shape[1:] == (7, 4 + 3 + 3)
    keys, values, kinds = rows[..., :4], rows[..., 4:7], rows[..., 7:]
    np.testing.assert_array_equal(kinds[:, :6].argmax(-1)[0], [0, 0, 1, 1, 1, 2])
    assert (kinds[:, :6].sum(-1) == 1).all() and (keys[:, :6].sum(-1) == 1).all()
    assert (values[:, :5].sum(-1) == 1).all()
    assert not values[:, 5].any() and not rows[:, 6].any()
    shown, asked = keys.argmax(-1), keys[:, 5].argmax(-1)
    assert (shown[:, 0] != shown[:, 1]).all()
    assert ((asked == shown[:, 0]) | (asked == shown[:, 1])).all()
    # The answer is the value that stood beside the key asked for.
    place = (shown[:, 1] == asked).astype(int)
    answer = np.take_along_axis(values.argmax(-1), place[:, None], 1)[:, 0]
    np.testing.assert_array_equal(state.values[:, -1], answer)
    assert_mean(place, 0.5, 0.5)
    for value in range(3):
        assert_mean(answer == value, 1 / 3, np.sqrt(2) / 3)
    for key in range(4):  # Distractors pay no heed to what was shown.
        assert_mean(shown[:, 3] == key, 1 / 4, np.sqrt(3) / 4)


def test_associative_recall_pays_the_answer_alone():
    environment = AssociativeRecall()
    _, reward, _ = play(environment, random_policy(3), 10)
    assert not reward[:, :-1].any() and set(np.unique(reward[:, -1])) == {0.0, 1.0}
    assert_mean(reward[:, -1], 1 / 3, np.sqrt(2) / 3)
    _, reward, _ = play(environment, lambda state, *_: state.values[-1], 10)
    assert (reward[:, -1] == 1.0).all()


def _bsuite(memory_length, num_bits):
    chain = pytest.importorskip("bsuite.environments.memory_chain")
    return chain.MemoryChain(memory_length, num_bits, seed=0)


@pytest.mark.parametrize(("memory_length", "num_bits"), [(1, 1), (2, 1), (7, 1), (5, 3)])
def test_memory_length_is_bsuites_row_for_row(memory_length, num_bits):
    """The same context, query and actions: the same rows."""
    theirs = _bsuite(memory_length, num_bits)
    ours = MemoryLength(memory_length, num_bits)
    step = jax.jit(ours.step)
    rng = np.random.default_rng(0)
    for _ in range(8):
        expected = theirs.reset()
        state, got = ours.reset(jax.random.PRNGKey(0))
        state = state._replace(
            context=jnp.asarray(theirs._context, jnp.int32),
            query=jnp.int32(theirs._query),
        )
        np.testing.assert_allclose(
            ours._observe(state), expected.observation, rtol=1e-6, atol=1e-7
        )
        num_decisions = 0
        while not expected.last():
            action = int(rng.integers(2))
            expected = theirs.step(action)
            state, got = step(state, jnp.int32(action))
            num_decisions += 1
            np.testing.assert_allclose(
                got.observation, expected.observation, rtol=1e-6, atol=1e-7
            )
            assert float(got.reward) == expected.reward
            assert bool(got.is_last()) == expected.last()
            assert float(got.discount) == expected.discount
        assert num_decisions == memory_length + 1
    assert ours.observation_spec().shape == theirs.observation_spec().shape
    assert ours.action_spec().num_values == theirs.action_spec().num_values


def test_memory_lengths_bits_and_query_are_fair():
    rows, reward, state = play(MemoryLength(4, 3), random_policy(2), 5)
    np.testing.assert_array_equal(rows[:, 0, 0, 2:], 2 * state.context - 1)
    np.testing.assert_array_equal(rows[:, 0], rows[:, 1])  # As in bsuite, seen twice.
    assert not rows[:, 2:, 0, 2:].any()
    np.testing.assert_array_equal(rows[:, 4, 0, 1], state.query)
    assert not rows[:, :4, 0, 1].any()
    for bit in range(3):
        assert_mean(state.context[:, bit], 0.5, 0.5)
        assert_mean(state.query == bit, 1 / 3, np.sqrt(2) / 3)
    assert_mean(reward.sum(1), 0.0, 1.0)
