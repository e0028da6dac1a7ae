"""MEMO's parts by hand, and the core against a slow NumPy one."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from running import bind, inputs, normalise, sigmoid, softmax

from tolman.networks import memo
from tolman.networks.conformance import check_core
from tolman.networks.core import run_core
from tolman.networks.cores import LSTM, LSTMConfig, Memo, MemoConfig

SMALL = dict(
    hidden_size=5, capacity=4, item_size=3, num_heads=2, head_size=3, max_hops=3,
    halting_size=4,
)  # fmt: skip


def _core(**settings):
    config = MemoConfig(**{**SMALL, **settings})
    return lambda: Memo(config, name="core")


def test_bhattacharyya_distance_by_hand():
    p, q = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.5, 0.0, 0.5])
    assert float(memo.bhattacharyya_distance(p, q)) == pytest.approx(np.log(2.0))
    uniform, sure = jnp.full(4, 0.25), jnp.array([1.0, 0.0, 0.0, 0.0])
    # Overlap: the root of a quarter.
    assert float(memo.bhattacharyya_distance(uniform, sure)) == pytest.approx(np.log(2.0))
    assert float(memo.bhattacharyya_distance(uniform, uniform)) == 0.0


def test_bhattacharyya_distance_is_symmetric_and_finite():
    disjoint = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
    assert float(memo.bhattacharyya_distance(*disjoint)) == pytest.approx(-np.log(1e-6))
    gradients = jax.jit(jax.grad(memo.bhattacharyya_distance, argnums=(0, 1)))(*disjoint)
    assert np.isfinite(gradients).all()
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), (2, 5))
    there, back = memo.bhattacharyya_distance(p, q), memo.bhattacharyya_distance(q, p)
    np.testing.assert_array_equal(there, back)
    np.testing.assert_allclose(there, -np.log(np.sqrt(p * q).sum(-1)), rtol=1e-5)


def test_halting_distribution_by_hand():
    logit = np.log(3.0)  # Goes on with probability 3/4.
    halting = memo.halting_distribution(jnp.array([logit, 0.0, 50.0]))
    np.testing.assert_allclose(halting, [1 / 4, 3 / 8, 3 / 8], rtol=1e-6)
    assert float(memo.expected_hops(halting)) == pytest.approx(17 / 8)


def test_expected_hops_equal_the_mean_of_sampled_ones():
    rng = np.random.default_rng(0)
    logits = np.array([1.0, 0.3, -0.5, 0.0])
    go_on = rng.random((200_000, 3)) < sigmoid(logits[:3])
    hops = 1 + np.cumprod(go_on, axis=1).sum(1)
    expected = memo.expected_hops(memo.halting_distribution(jnp.array(logits)))
    assert float(expected) == pytest.approx(hops.mean(), abs=0.01)


def _hops(facts, mask, query, seed=0):
    def run(query, facts, mask):
        retrieval, halting = memo.Retrieval(2, 3), memo.Halting(4)
        return memo.take_hops(retrieval, halting, query, facts, mask, num_hops=3)

    transformed = hk.without_apply_rng(hk.transform(run))
    params = jax.jit(transformed.init)(jax.random.PRNGKey(seed), query, facts, mask)
    return params, jax.jit(lambda p, f: transformed.apply(p, query, f, mask))


def test_order_and_hidden_facts_make_no_difference():
    rng = np.random.default_rng(0)
    facts = rng.normal(size=(1, 6, 4)).astype(np.float32)
    query = rng.normal(size=(2, 1, 6)).astype(np.float32)
    mask = np.ones((1, 2, 6), bool)
    mask[..., 5] = False
    params, apply = _hops(facts, mask, query)
    hops = apply(params, facts)
    assert hops.queries.shape == (3, 2, 1, 6) and hops.continue_logits.shape == (3, 2, 1)
    assert hops.attention.shape == (3, 1, 2, 2, 6)
    order = np.array([3, 1, 4, 0, 2, 5])
    shuffled = facts[:, order]
    shuffled[:, 5] = 1e6
    again = apply(params, shuffled)
    hops = hops._replace(attention=hops.attention[..., order])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), hops, again)
    visible = facts.copy()
    visible[:, 0] += 1.0
    assert np.abs(apply(params, visible).queries - hops.queries).max() > 1e-3


def test_number_of_hops_teaches_the_retrieval_nothing():
    """The gradient of the ponder cost stops at the halting network, exactly."""
    rng = np.random.default_rng(0)
    facts = rng.normal(size=(2, 5, 4)).astype(np.float32)
    query = rng.normal(size=(3, 2, 6)).astype(np.float32)
    params, apply = _hops(facts, np.ones((2, 3, 5), bool), query)

    def ponder_cost(params):
        halting = memo.halting_distribution(apply(params, facts).continue_logits)
        return memo.expected_hops(halting).mean()

    gradients = jax.jit(jax.grad(ponder_cost))(params)
    for name, leaves in gradients.items():
        largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(leaves))
        assert (largest == 0.0) == name.startswith("retrieval"), name


def _slow(params, x, reset, config):
    """One row at a time, one list of facts, one hop after another."""
    params = jax.tree.map(np.asarray, params)

    def linear(name, z):
        return z @ params[name]["w"] + params[name].get("b", 0.0)

    own, gru = params["core/~/retrieval"], params["core/~/halting/gru"]
    outputs, expected_hops = np.zeros((*reset.shape, config.hidden_size)), reset * 0.0
    for b in range(reset.shape[1]):
        facts, items = [], []
        for t in range(len(x)):
            if reset[t, b]:
                facts, items = [], []
            items.append(linear("core/~_new_facts/item", x[t, b]))
            padded = [np.zeros(config.item_size)] * config.items_per_fact + items
            facts.append(np.concatenate(padded[-config.items_per_fact :]))
            facts = facts[-config.capacity - 1 :]
            rows = np.array(facts)
            query = linear("core/~diagnose/query", x[t, b])
            before = np.full((config.num_heads, len(rows)), 1 / len(rows))
            state, reached = np.zeros(config.halting_size), 1.0
            for hop in range(config.max_hops):
                by_head = query.reshape(config.num_heads, -1)
                keys = np.einsum("hkf,sf->hsk", own["key_weights"], rows)
                values = np.einsum("hkf,sf->hsk", own["value_weights"], rows)
                logits = np.einsum("hsk,hk->hs", keys, by_head)
                weights = softmax(logits / np.sqrt(config.head_size))
                read = np.einsum("hs,hsk->hk", weights, values).ravel()
                query = normalise(linear("core/~/retrieval/refine", read) + query)
                query = query + params["core/~/retrieval/norm"]["offset"]
                distances = -np.log(np.sqrt(before * weights).sum(-1))
                seen = np.concatenate([distances, np.eye(config.max_hops)[hop]])
                from_input = seen @ gru["w_i"] + gru["b"]
                z, r, a = np.split(from_input, 3)
                w_z, w_r, w_a = np.split(gru["w_h"], 3, axis=1)
                z, r = sigmoid(z + state @ w_z), sigmoid(r + state @ w_r)
                state = (1 - z) * state + z * np.tanh(a + (r * state) @ w_a)
                features = np.maximum(linear("core/~/halting/features", state), 0)
                go_on = sigmoid(linear("core/~/halting/continue", features)[0])
                stop = 1.0 if hop == config.max_hops - 1 else 1.0 - go_on
                answer = np.maximum(linear("core/~diagnose/answer", query), 0)
                outputs[t, b] += reached * stop * answer
                expected_hops[t, b] += reached * stop * (hop + 1)
                reached, before = reached * go_on, weights
    return outputs, expected_hops


@pytest.mark.parametrize("items_per_fact", [1, 2, 3])
def test_core_equals_a_slow_numpy_one(items_per_fact):
    settings = {**SMALL, "items_per_fact": items_per_fact}
    make_core = _core(**settings)
    params, initial_state, unroll, _ = bind(make_core, 3)
    rng = np.random.default_rng(0)  # Biases start at zero, which would hide them.
    params = jax.tree.map(
        lambda leaf: (leaf + 0.3 * rng.normal(size=leaf.shape)).astype(np.float32), params
    )
    x, reset = inputs(12, 2, 3, reset_rate=0.1)
    assert reset.any() and len(x) > 2 * SMALL["capacity"]

    def diagnose(x, reset):
        core = make_core()
        return run_core(core, x, reset, core.initial_state(2))

    diagnosed = jax.jit(hk.without_apply_rng(hk.transform(diagnose)).apply)(
        params, x, reset
    )
    expected, hops = _slow(params, x, reset, MemoConfig(**settings))
    outputs, _ = unroll(params, x, reset, initial_state(2))
    np.testing.assert_allclose(outputs, expected, atol=2e-5)
    np.testing.assert_allclose(diagnosed[2]["expected_hops"], hops, atol=2e-5)
    np.testing.assert_allclose(diagnosed[0], outputs, atol=2e-6)
    halting = diagnosed[2]["halting"]
    assert halting.shape == (12, 2, 3)
    np.testing.assert_allclose(halting.sum(-1), 1.0, atol=1e-6)


def test_contract_with_a_store_smaller_than_the_unroll():
    check_core(_core(capacity=2, max_hops=2))


def test_one_hop_is_a_plain_lookup():
    params, initial_state, unroll, _ = bind(_core(max_hops=1), 3)
    x, reset = inputs(6, 2, 3)

    def loss(params):
        return jnp.square(unroll(params, x, reset, initial_state(2))[0]).sum()

    gradients = jax.jit(jax.grad(loss))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert np.abs(gradients["core/~/retrieval"]["key_weights"]).max() > 1e-6
    np.testing.assert_array_equal(gradients["core/~/halting/continue"]["b"], 0.0)


def test_gradients_are_finite_and_reach_every_part():
    params, initial_state, unroll, _ = bind(_core(), 3)
    x, reset = inputs(8, 2, 3)

    def loss(params):
        return jnp.square(unroll(params, x, reset, initial_state(2))[0]).sum()

    for name, leaves in jax.jit(jax.grad(loss))(params).items():
        for leaf in jax.tree.leaves(leaves):
            assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0.0, name


def test_diagnostics_of_a_step_are_those_of_the_unroll():
    def run(x, reset):
        core = _core(max_hops=2)()
        _, _, unrolled = run_core(core, x, reset, core.initial_state(2))
        state, steps = core.initial_state(2), []
        for t in range(len(x)):
            _, state, diagnostics = run_core(core, x[t], reset[t], state)
            steps.append(diagnostics["expected_hops"])
        return unrolled["expected_hops"], jnp.stack(steps)

    transformed = hk.without_apply_rng(hk.transform(run))
    x, reset = inputs(3, 2, 3)
    params = jax.jit(transformed.init)(jax.random.PRNGKey(0), x, reset)
    unrolled, steps = jax.jit(transformed.apply)(params, x, reset)
    np.testing.assert_allclose(unrolled, steps, atol=1e-5)
    assert steps.shape == (3, 2)


def test_most_cores_have_no_diagnostics():
    def run(x, reset):
        core = LSTM(LSTMConfig(4))
        return run_core(core, x, reset, core.initial_state(2))

    x, reset = inputs(3, 2, 3)
    transformed = hk.without_apply_rng(hk.transform(run))
    params = jax.jit(transformed.init)(jax.random.PRNGKey(0), x, reset)
    outputs, _, diagnostics = jax.jit(transformed.apply)(params, x, reset)
    assert outputs.shape == (3, 2, 4) and diagnostics == {}
