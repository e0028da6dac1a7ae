"""Short memories read apart from long ones say what they say together."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.memo import MemoConfig, Reasoner, TrainingConfig
from tolman.envs.reasoning.task import Examples

WORDS = SimpleNamespace(num_words=6, num_answers=1, num_classes=3, kinds=("one",))
KEY = jax.random.PRNGKey(0)
NUM_FACTS = np.array([3, 1, 6, 2, 3, 5, 1, 2])  # Of 8 questions, the third and sixth long.


def _examples(num_facts):
    rng = np.random.default_rng(0)
    mask = np.arange(6) < num_facts[:, None]
    facts = rng.integers(1, 6, (8, 6, 2)) * mask[..., None]
    query = rng.integers(1, 6, (8, 2))
    return Examples(facts, mask, query, np.zeros((8, 1), int), np.zeros(8, int))


def _read(examples, short_facts, mode="train", **settings):
    sizes = dict(item_size=4, num_heads=2, head_size=3, max_hops=2, hidden_size=6,
                 halting_size=3, halting="learned", short_facts=short_facts)  # fmt: skip
    config = MemoConfig(**{**sizes, **settings})
    agent = Reasoner(TrainingConfig(), config, WORDS)
    params = jax.jit(agent.init)(KEY, examples).params
    return jax.jit(agent.read, static_argnums=3)(params, examples, KEY, mode)


# Places among the facts; words that are multiplied into the heads' weights.
@pytest.mark.parametrize("settings", [{"use_fact_order": True}, {"item_size": 6}])
def test_it_makes_no_difference_where_only_a_quarter_is_long(settings):
    examples = _examples(NUM_FACTS)
    together, apart = (_read(examples, short, **settings) for short in (0, 3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), together, apart)
    assert np.ptp(np.asarray(together.logits), axis=0).max() > 1e-3


def test_the_newest_facts_of_a_short_memory_are_kept():
    examples = _examples(NUM_FACTS)
    apart = _read(examples, 2, use_fact_order=True).logits
    newest = examples.facts.copy()
    for row in (0, 4):  # Of 3 facts, and not among the longest two.
        newest[row, :3] = [*newest[row, 1:3], [0, 0]]
    num_facts = np.where(NUM_FACTS == 3, 2, NUM_FACTS)
    cut = examples._replace(facts=newest, fact_mask=np.arange(6) < num_facts[:, None])
    expected = _read(cut, 0, use_fact_order=True).logits
    np.testing.assert_allclose(apart, expected, atol=1e-5)
    whole = _read(examples, 0, use_fact_order=True).logits
    differs = jnp.abs(apart - whole).max((1, 2)) > 1e-4
    np.testing.assert_array_equal(differs, NUM_FACTS == 3)


def test_nothing_is_cut_when_it_is_judged():
    examples = _examples(NUM_FACTS)
    whole = _read(examples, 0, "greedy", use_fact_order=True)
    np.testing.assert_array_equal(
        _read(examples, 1, "greedy", use_fact_order=True).logits, whole.logits
    )
