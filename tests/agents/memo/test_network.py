"""MEMO's network against a slow NumPy one, and the traps of its paper one by one."""

import functools
from types import SimpleNamespace

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.reasoning import hop_by_hop

from tolman.agents.memo import MemoConfig, Reasoner, TrainingConfig
from tolman.agents.memo.loss import answer_loss, halting_loss, is_right
from tolman.agents.memo.reading import side_by_side
from tolman.envs.reasoning.associative_inference import AssociativeInference
from tolman.envs.reasoning.task import Examples
from tolman.networks import memo

TASK = AssociativeInference(
    num_sequences=4, min_sequences=4, num_classes=14, item_size=5, num_exemplars=10
)
SMALL = dict(item_size=4, num_heads=2, head_size=3, max_hops=3, hidden_size=6,
             halting_size=5)  # fmt: skip
KEY = jax.random.PRNGKey(0)


@functools.cache
def _case(mode="greedy", seed=0, **settings):
    """An agent of its own settings, jittered parameters and one batch of questions."""
    agent = Reasoner(
        TrainingConfig(batch_size=6), MemoConfig(**{**SMALL, **settings}), TASK
    )
    sample = jax.jit(TASK.sample, static_argnums=2)
    examples = sample(TASK.load("train"), jax.random.PRNGKey(seed), 6)
    params = jax.device_get(jax.jit(agent.init)(KEY, examples).params)
    rng = np.random.default_rng(seed)  # Biases start at zero, which would hide them.
    params = jax.tree.map(
        lambda leaf: (leaf + 0.3 * rng.normal(size=leaf.shape)).astype(np.float32), params
    )
    read = jax.jit(agent.read, static_argnames="mode")
    return agent, params, examples, functools.partial(read, mode=mode)


def _of_halting(name):
    return "halt" in name


def _with_continue_bias(params, bias):
    """Parameters that stop at once, or never."""
    last = params["model/halting/continue"]
    last = {"w": jnp.zeros_like(last["w"]), "b": jnp.full_like(last["b"], bias)}
    return {**params, "model/halting/continue": last}


# Items of 5 numbers: embedded, or multiplied into the weights of the heads.
@pytest.mark.parametrize("item_size", [4, 6])
def test_network_equals_a_slow_numpy_one(item_size):
    _, params, examples, read = _case(halting="learned", item_size=item_size)
    # So that some questions stop after the first hop, and others go on.
    middle = jnp.median(read(params, examples, KEY).halting.continue_logits[0])
    last = params["model/halting/continue"]
    params = {**params, "model/halting/continue": {**last, "b": last["b"] - middle}}
    reading = read(params, examples, KEY)
    own = {
        name.removeprefix("model/"): jax.tree.map(np.asarray, leaves)
        for name, leaves in params.items()
    }
    for number in range(6):
        facts, query = examples.facts[number], examples.query[number]
        answers, attentions, go_on = hop_by_hop(own, np.array(facts), np.array(query), 3)
        hops = next((n for n, logit in enumerate(go_on, 1) if logit <= 0.0), 3)
        assert int(reading.hops[number]) == hops
        np.testing.assert_allclose(reading.logits[number, 0], answers[hops - 1], atol=2e-4)
        np.testing.assert_allclose(reading.attention[:, number], attentions, atol=1e-5)
        np.testing.assert_allclose(
            reading.halting.continue_logits[:, number], go_on, atol=2e-4
        )
    assert len(set(np.asarray(reading.hops))) > 1  # Or the test says little.


@pytest.mark.parametrize("item_size", [4, 6])  # Of 5 words.
def test_words_are_rows_of_a_table_and_padding_is_zeros(item_size):
    task = SimpleNamespace(num_words=5, num_answers=1, num_classes=3, kinds=("one",))
    config = MemoConfig(**{**SMALL, "item_size": item_size})
    agent = Reasoner(TrainingConfig(), config, task)
    rng = np.random.default_rng(0)
    facts, query = rng.integers(0, 5, (2, 4, 3)), rng.integers(0, 5, (2, 2))
    examples = Examples(facts, np.ones((2, 4), bool), query, np.zeros((2, 1)), np.zeros(2))
    params = jax.jit(agent.init)(KEY, examples).params
    logits = jax.jit(agent.read, static_argnums=3)(params, examples, KEY, "greedy").logits
    own = {
        name.removeprefix("model/"): jax.tree.map(np.asarray, leaves)
        for name, leaves in params.items()
    }
    table = own["embedding"]["words"] * np.array([[0.0], [1.0], [1.0], [1.0], [1.0]])
    own["embedding/item"] = {"w": table}
    one_hot = np.eye(5)
    for number in range(2):
        answers, _, _ = hop_by_hop(own, one_hot[facts[number]], one_hot[query[number]], 3)
        np.testing.assert_allclose(logits[number, 0], answers[2], atol=2e-4)


def test_items_of_a_fact_stay_apart():
    """Summed, a pair and its reverse would be one and the same fact."""
    rows = side_by_side(jnp.array([[[1.0, 2.0], [3.0, 4.0]], [[3.0, 4.0], [1.0, 2.0]]]))
    np.testing.assert_array_equal(rows, [[1, 2, 3, 4], [3, 4, 1, 2]])
    _, params, examples, read = _case()
    turned = examples._replace(facts=examples.facts[:, :, ::-1])
    difference = read(params, turned, KEY).logits - read(params, examples, KEY).logits
    assert np.abs(difference).max() > 1e-2


@pytest.mark.parametrize("halting", ["fixed", "learned"])
def test_order_of_facts_and_padding_make_no_difference(halting):
    _, params, examples, read = _case(halting=halting)
    order = np.random.default_rng(0).permutation(8)
    mask = np.ones((6, 8), bool)
    mask[:, 5:] = False
    masked = examples._replace(fact_mask=jnp.array(mask))
    shuffled = masked._replace(
        facts=jnp.where(mask[..., None, None], examples.facts, 7.0)[:, order],
        fact_mask=masked.fact_mask[:, order],
    )
    first, second = read(params, masked, KEY), read(params, shuffled, KEY)
    np.testing.assert_allclose(first.logits, second.logits, atol=1e-4)
    np.testing.assert_allclose(first.attention[..., order], second.attention, atol=1e-5)
    assert np.abs(read(params, examples, KEY).logits - first.logits).max() > 1e-3


def test_told_the_order_it_counts_from_the_last_fact():
    _, params, examples, read = _case(use_fact_order=True)
    turned = examples._replace(facts=examples.facts[:, ::-1])
    before = read(params, examples, KEY).logits
    assert np.abs(read(params, turned, KEY).logits - before).max() > 1e-3
    # Facts before the first, which are none, change nothing.
    pad = ((0, 0), (2, 0))
    short = examples._replace(
        facts=examples.facts[:, 2:], fact_mask=examples.fact_mask[:, 2:]
    )
    padded = short._replace(
        facts=jnp.pad(short.facts, (*pad, (0, 0), (0, 0)), constant_values=7.0),
        fact_mask=jnp.pad(short.fact_mask, pad),
    )
    behind = short._replace(
        facts=jnp.pad(short.facts, ((0, 0), (0, 2), (0, 0), (0, 0)), constant_values=7.0),
        fact_mask=jnp.pad(short.fact_mask, ((0, 0), (0, 2))),
    )
    np.testing.assert_allclose(
        read(params, padded, KEY).logits, read(params, behind, KEY).logits, atol=1e-4
    )


def test_halting_teaches_the_rest_nothing_and_answers_teach_halting_nothing():
    """Exactly: the two share a forward pass and no gradient."""
    _, params, examples, _ = _case("train", halting="learned")
    learner = _case("train", halting="learned")[0]

    def answers(params):
        reading = learner.read(params, examples, KEY, "train")
        return answer_loss(reading.logits, examples.target).mean()

    def halting(params):
        reading = learner.read(params, examples, KEY, "train")
        reward = is_right(reading.logits, examples.target).astype(jnp.float32)
        parts = halting_loss(*reading.halting, reading.hops, reward, 0.9)
        return sum(parts) + reading.hop_cost.mean()

    for loss, is_its_own in (
        (answers, lambda name: not _of_halting(name)),
        (halting, _of_halting),
    ):
        for name, leaves in jax.jit(jax.grad(loss))(params).items():
            largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(leaves))
            assert (largest > 0.0) == is_its_own(name), name


def test_before_its_start_halting_is_not_learned_and_no_hop_costs():
    _, params, examples, _ = _case("train", halting="learned")
    learner = Reasoner(
        TrainingConfig(batch_size=6, halting_start=0.5, hop_cost=10.0),
        MemoConfig(**SMALL, halting="learned"),
        TASK,
    )
    gradient = jax.jit(jax.grad(lambda *a: learner.loss(*a)[0]))
    early, late = (gradient(params, examples, KEY, progress) for progress in (0.49, 0.5))
    for name in params:
        leaves = jax.tree.leaves(early[name])
        if _of_halting(name):
            assert not any(np.any(leaf) for leaf in leaves), name
    assert np.abs(late["model/halting/continue"]["b"]).max() > 0.1


def test_the_answer_is_that_of_the_hop_at_which_it_stopped():
    """And of no other: no hop's answer is taught but that one's."""
    _, params, examples, read = _case("train", halting="learned")
    one = _case("train", max_hops=1)[3]
    own = {name: leaves for name, leaves in params.items() if not _of_halting(name)}
    stops = read(_with_continue_bias(params, -50.0), examples, KEY)
    halting = {n: v for n, v in _case("train", max_hops=1)[1].items() if _of_halting(n)}
    np.testing.assert_array_equal(stops.hops, 1.0)
    np.testing.assert_allclose(
        stops.logits, one({**own, **halting}, examples, KEY).logits, atol=1e-5
    )
    never = read(_with_continue_bias(params, 50.0), examples, KEY)
    fixed = _case("train")[3](params, examples, KEY)
    np.testing.assert_array_equal(never.hops, 3.0)
    np.testing.assert_allclose(never.logits, fixed.logits, atol=1e-5)
    assert np.abs(never.logits - stops.logits).max() > 1e-2


def test_greedy_halting_draws_nothing_and_sampled_halting_draws_what_it_says():
    _, params, examples, greedy = _case(halting="learned")
    keys = jax.random.split(KEY, 3000)
    same = [greedy(params, examples, key).hops for key in keys[:3]]
    np.testing.assert_array_equal(same[0], same[1])
    np.testing.assert_array_equal(same[0], same[2])
    agent = _case(halting="learned")[0]
    sampled = jax.jit(jax.vmap(lambda key: agent.read(params, examples, key, "sampled")))(
        keys
    )
    mean, cost = sampled.hops.mean(0), sampled.hop_cost[0]
    np.testing.assert_allclose(mean, cost, atol=0.06)  # The cost is the expected number.
    assert np.ptp(np.asarray(sampled.hops)) > 0.0


def test_dropout_is_off_when_it_is_judged():
    """On, it would make the halting network see noise."""
    settings = dict(halting="learned", attention_dropout=0.5, answer_dropout=0.5)
    _, params, examples, greedy = _case(**settings)
    plain = _case(halting="learned")[3]
    keys = jax.random.split(KEY, 4)
    for key in keys:
        np.testing.assert_allclose(
            greedy(params, examples, key).logits, plain(params, examples, key).logits,
            atol=1e-5,
        )  # fmt: skip
    train = _case("train", **settings)[3]
    first, second = (train(params, examples, key) for key in keys[:2])
    assert np.abs(first.logits - second.logits).max() > 1e-2
    # The first attention is made before anything was dropped, and so is its distance.
    np.testing.assert_array_equal(first.attention[0], second.attention[0])
    np.testing.assert_array_equal(
        first.halting.continue_logits[0], second.halting.continue_logits[0]
    )


def test_the_first_distance_is_to_even_attention():
    class Noted:
        """In place of the halting network: its features are the distances."""

        def initial_state(self, num_queries, batch_size):
            return jnp.zeros((num_queries, batch_size))

        def __call__(self, distances, hop, state):
            return state, distances, state

    rng = np.random.default_rng(0)
    facts = jnp.asarray(rng.normal(size=(1, 4, 3)), jnp.float32)
    query = jnp.asarray(rng.normal(size=(1, 1, 6)), jnp.float32)
    mask = jnp.array([[[True, True, True, False]]])

    def run(query):
        return memo.take_hops(memo.Retrieval(2, 3), Noted(), query, facts, mask, 2)

    transformed = hk.without_apply_rng(hk.transform(run))
    params = jax.jit(transformed.init)(KEY, query)
    hops = jax.jit(transformed.apply)(params, query)
    attention = np.asarray(hops.attention)[:, 0, :, 0]  # [N, heads, S]
    for before, now, told in zip(
        [np.array([1, 1, 1, 0]) / 3, attention[0]], attention, hops.features, strict=True
    ):
        expected = -np.log(np.sqrt(before * now).sum(-1))
        assert (expected > 1e-3).all()
        np.testing.assert_allclose(told[0, 0], expected, atol=1e-5)
