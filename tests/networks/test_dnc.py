"""The DNC's addressing by hand, and the whole core against a slow NumPy one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import bind, inputs, sigmoid, softmax

from tolman.networks import dnc
from tolman.networks.cores import DNC, DNCConfig

allocation_weights = jax.jit(dnc.allocation_weights)
access = jax.jit(dnc.access)
SMALL = dict(hidden_size=6, num_slots=5, slot_size=3, num_read_heads=2)


def _core():
    return DNC(DNCConfig(**SMALL), name="core")


def test_allocation_by_hand():
    # Free list: slots 1, 2, 0. 1 - 0.2; then 0.2 (1 - 0.5); then 0.2 * 0.5 * (1 - 1).
    weights = allocation_weights(np.array([1.0, 0.2, 0.5]))
    np.testing.assert_allclose(weights, [0.0, 0.8, 0.1], atol=1e-6)
    np.testing.assert_allclose(allocation_weights(np.ones(3)), 0.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4))
def test_allocation_takes_no_more_than_there_is(usage):
    weights = np.asarray(allocation_weights(np.array(usage, np.float32)))
    assert (weights >= 0.0).all()
    # What stays unallocated is the product of all usages.
    assert weights.sum() == pytest.approx(1.0 - np.prod(usage), abs=1e-5)


def test_rounding_does_not_decide_where_to_write():
    usage = np.array([0.3, 0.3, 0.3], np.float32)
    nudged = usage + np.array([1e-6, 0.0, -1e-6], np.float32)
    np.testing.assert_allclose(
        allocation_weights(usage), allocation_weights(nudged), atol=1e-5
    )


def test_usage_by_hand():
    memory = dnc.empty_memory(2, 3, 2)._replace(
        usage=jnp.array([0.5, 0.0]),
        write_weights=jnp.array([0.5, 1.0]),
        read_weights=jnp.array([[1.0, 0.0], [0.5, 0.5]]),
    )
    # Written: 0.5 + 0.5 - 0.25 and 1. Head 0 frees half of slot 0, head 1 nothing.
    usage = jax.jit(dnc.next_usage)(memory, jnp.array([0.5, 0.0]))
    np.testing.assert_allclose(usage, [0.375, 1.0])


def test_content_weights_by_hand():
    slots = jnp.array([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    weights = jax.jit(dnc.content_weights)(slots, jnp.array([5.0, 0.0]), jnp.log(4.0))
    # Cosines 1, 0 and, of an empty slot, 0: 4 : 1 : 1.
    np.testing.assert_allclose(weights, [4 / 6, 1 / 6, 1 / 6], atol=1e-5)


def _command(write, read_mode):
    """Write `write` to the freest slot; read in one way only, 0 back, 1 content, 2 on."""
    return dnc.Interface(
        read_keys=jnp.array([write]),
        read_strengths=jnp.array([50.0]),
        write_key=jnp.zeros(2),
        write_strength=jnp.float32(1.0),
        erase=jnp.zeros(2),
        write=jnp.array(write),
        free_gates=jnp.zeros(1),
        allocation_gate=jnp.float32(1.0),
        write_gate=jnp.float32(write != (0.0, 0.0)),
        read_modes=jax.nn.one_hot(jnp.array([read_mode]), 3),
    )


def test_links_replay_what_was_written_in_order():
    words = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)]
    memory = dnc.empty_memory(4, 2, 1)
    for word in words:
        _, memory = access(memory, _command(word, 1))
    np.testing.assert_allclose(memory.slots[:3], words, atol=1e-5)
    # Slot 1 follows 0, slot 2 follows 1.
    links = np.zeros((4, 4))
    links[1, 0] = links[2, 1] = 1.0
    np.testing.assert_allclose(memory.link, links, atol=1e-5)
    read = []
    for mode in (0, 0, 2, 2):  # From the last word two back, then two on.
        reads, memory = access(memory, _command((0.0, 0.0), mode))
        read.append(reads[0])
    np.testing.assert_allclose(read, [words[1], words[0], words[1], words[2]], atol=1e-4)


def _slow(params, x, reset, config):
    """The equations of Graves et al. 2016, Methods, with loops over slots and heads."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    n, w, r, size = (
        config.num_slots, config.slot_size, config.num_read_heads, config.hidden_size,
    )  # fmt: skip
    gates = params["core/~/controller/~_project/input_gates"]
    recurrent = params["core/~/controller"]["recurrent_gates"]

    def oneplus(z):
        return 1 + np.log1p(np.exp(z))

    def cosine(a, b):
        return a @ b / np.sqrt(a @ a + 1e-6) / np.sqrt(b @ b + 1e-6)

    def content(memory, key, strength):
        return softmax(np.array([strength * cosine(key, memory[i]) for i in range(n)]))

    outputs = np.zeros((*reset.shape, size))
    for b in range(reset.shape[1]):
        for t in range(len(x)):
            if t == 0 or reset[t, b]:
                hidden, cell, reads = np.zeros(size), np.zeros(size), np.zeros((r, w))
                memory, usage, link = np.zeros((n, w)), np.zeros(n), np.zeros((n, n))
                precedence, written, looked = np.zeros(n), np.zeros(n), np.zeros((r, n))
            z = np.concatenate([x[t, b], reads.ravel()]) @ gates["w"] + gates["b"]
            i, g, f, o = np.split(z + hidden @ recurrent, 4)
            cell = sigmoid(f + 1) * cell + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(cell)
            said = hidden @ params["core/interface"]["w"] + params["core/interface"]["b"]
            rest = iter(said)
            read_keys = np.array([[next(rest) for _ in range(w)] for _ in range(r)])
            read_strengths = [oneplus(next(rest)) for _ in range(r)]
            write_key = np.array([next(rest) for _ in range(w)])
            write_strength = oneplus(next(rest))
            erase = sigmoid(np.array([next(rest) for _ in range(w)]))
            word = np.array([next(rest) for _ in range(w)])
            free = [sigmoid(next(rest)) for _ in range(r)]
            allocate, gate = sigmoid(next(rest)), sigmoid(next(rest))
            modes = softmax(np.array(list(rest)).reshape(r, 3))
            for k in range(n):
                usage[k] = usage[k] + written[k] - usage[k] * written[k]
                for h in range(r):
                    usage[k] *= 1 - free[h] * looked[h, k]
            allocation, so_far = np.zeros(n), 1.0
            for k in np.argsort(usage, kind="stable"):
                allocation[k], so_far = (1 - usage[k]) * so_far, so_far * usage[k]
            similar = content(memory, write_key, write_strength)
            written = gate * (allocate * allocation + (1 - allocate) * similar)
            link_before, link = link, np.zeros((n, n))
            for k in range(n):
                memory[k] = memory[k] * (1 - written[k] * erase) + written[k] * word
                for m in range(n):
                    if k != m:
                        link[k, m] = (1 - written[k] - written[m]) * link_before[k, m]
                        link[k, m] += written[k] * precedence[m]
            precedence = (1 - written.sum()) * precedence + written
            for h in range(r):
                looked[h] = (
                    modes[h, 0] * (link.T @ looked[h])
                    + modes[h, 1] * content(memory, read_keys[h], read_strengths[h])
                    + modes[h, 2] * (link @ looked[h])
                )
            reads = looked @ memory
            joined = np.concatenate([hidden, reads.ravel()])
            outputs[t, b] = joined @ params["core/output"]["w"] + params["core/output"]["b"]
    return outputs


def test_core_equals_a_slow_numpy_one():
    params, initial_state, unroll, _ = bind(_core, 3, scale=3.0)
    x, reset = inputs(10, 2, 3, reset_rate=0.1)
    assert reset.any()
    outputs, state = unroll(params, x, reset, initial_state(2))
    np.testing.assert_allclose(
        outputs, _slow(params, x, reset, DNCConfig(**SMALL)), atol=2e-5
    )
    assert float(state.memory.usage.max()) > 0.3  # The memory was used.


def test_weightings_stay_weightings():
    params, initial_state, unroll, _ = bind(_core, 3, scale=3.0)
    _, state = unroll(params, *inputs(40, 2, 3, reset_rate=0.0), initial_state(2))
    memory = state.memory
    for weights in (memory.write_weights, memory.read_weights, memory.precedence):
        assert (np.asarray(weights) >= 0).all() and (weights.sum(-1) <= 1 + 1e-5).all()
    assert (np.asarray(memory.usage) >= 0).all() and (memory.usage <= 1).all()
    assert (memory.link.sum(-1) <= 1 + 1e-5).all()
    assert (memory.link.sum(-2) <= 1 + 1e-5).all()
    np.testing.assert_array_equal(jnp.diagonal(memory.link, axis1=1, axis2=2), 0.0)


def test_gradients_are_finite_from_an_empty_memory():
    params, initial_state, unroll, _ = bind(_core, 3)
    x, reset = inputs(8, 2, 3)

    def loss(params):
        return jnp.square(unroll(params, x, reset, initial_state(2))[0]).sum()

    gradients = jax.jit(jax.grad(loss))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert np.abs(gradients["core/interface"]["w"]).max() > 1e-6
