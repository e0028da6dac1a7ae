"""MEMO's baselines: their parts by hand, and what every model must keep to."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.memo import MODELS, MemoConfig, Reasoner, TrainingConfig
from tolman.agents.memo.baselines.config import (
    DNCReaderConfig,
    MemoryNetworkConfig,
    UniversalTransformerConfig,
)
from tolman.agents.memo.baselines.memory_network import position_encoding
from tolman.agents.memo.baselines.universal_transformer import adaptive_computation
from tolman.agents.memo.models import make_model
from tolman.envs.reasoning.associative_inference import AssociativeInference
from tolman.envs.reasoning.task import Examples

TASK = AssociativeInference(
    num_sequences=3, min_sequences=3, num_classes=10, item_size=4, num_exemplars=10
)
SMALL = {
    "memo": MemoConfig(item_size=4, num_heads=2, head_size=3, max_hops=2, hidden_size=5),
    "emn": MemoryNetworkConfig(size=6, num_hops=2, hidden_size=5),
    "dnc": DNCReaderConfig(item_size=4, hidden_size=6, num_slots=8, slot_size=4,
                           num_read_heads=2, num_thinking_steps=1),
    "ut": UniversalTransformerConfig(item_size=4, num_heads=2, head_size=4,
                                     transition_size=8, max_steps=3, hidden_size=5),
}  # fmt: skip
KEY = jax.random.PRNGKey(0)


@functools.cache
def _case(name):
    agent = Reasoner(TrainingConfig(batch_size=4, halting_start=0.0), SMALL[name], TASK)
    examples = jax.jit(TASK.sample, static_argnums=2)(TASK.load("train"), KEY, 4)
    state = jax.jit(agent.init)(KEY, examples)
    return agent, state, examples, jax.jit(agent.answer)


def test_position_encoding_by_hand():
    np.testing.assert_allclose(position_encoding(2, 2), [[0.5, 0.5], [0.5, 1.0]])


def test_adaptive_computation_by_hand():
    halting = jnp.array([[0.3, 0.1, 0.995], [0.8, 0.1, 0.5], [0.5, 0.1, 0.5]])
    halted = adaptive_computation(halting, 0.99)
    np.testing.assert_allclose(
        halted.weights, [[0.3, 0.1, 1.0], [0.7, 0.1, 0.0], [0.0, 0.8, 0.0]], atol=1e-6
    )
    np.testing.assert_array_equal(halted.steps, [2.0, 3.0, 1.0])
    np.testing.assert_allclose(halted.cost, [2.7, 3.8, 2.0], atol=1e-6)
    # Halting sooner costs less: the remainder falls with every probability before it.
    slope = jax.grad(lambda p: adaptive_computation(p, 0.99).cost.sum())(halting)
    expected = [[-1.0, -1.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 0.0]]
    np.testing.assert_allclose(slope, expected, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_one_update_changes_every_parameter_but_a_fixed_halting_network(name):
    agent, state, examples, _ = _case(name)
    learned = jax.jit(agent.update)(state, examples, KEY, jnp.float32(0.5))
    old, new = jax.device_get((state.params, learned.learner_state.params))
    for module, leaves in new.items():
        before = old[module]
        for leaf, value in leaves.items():
            assert np.isfinite(value).all()
            idle = name == "memo" and "halt" in module
            moved = bool(np.any(value != before[leaf]))
            assert moved != idle, f"{module}/{leaf}"
    assert np.isfinite(float(learned.metrics["loss/total"]))


@pytest.mark.parametrize("name", MODELS)
def test_questions_of_a_batch_do_not_meet(name):
    _, state, examples, answer = _case(name)
    before = answer(state.params, examples, KEY).logits
    other = examples._replace(
        facts=examples.facts.at[0].add(1.0), query=examples.query.at[0].add(1.0)
    )
    after = answer(state.params, other, KEY).logits
    np.testing.assert_allclose(after[1:], before[1:], atol=1e-6)
    assert np.abs(after[0] - before[0]).max() > 1e-4


@pytest.mark.parametrize("name", ["emn", "ut"])
def test_sets_of_facts_have_no_order_and_padding_is_not_read(name):
    _, state, examples, answer = _case(name)
    mask = np.ones((4, 6), bool)
    mask[:, 4:] = False
    masked = examples._replace(fact_mask=jnp.array(mask))
    order = np.array([5, 2, 0, 4, 3, 1])
    other = masked._replace(
        facts=jnp.where(mask[..., None, None], examples.facts, 7.0)[:, order],
        fact_mask=masked.fact_mask[:, order],
    )
    np.testing.assert_allclose(
        answer(state.params, other, KEY).logits,
        answer(state.params, masked, KEY).logits,
        atol=1e-5,
    )


def test_dnc_reads_in_order_and_padding_says_nothing():
    _, state, examples, answer = _case("dnc")
    mask = jnp.ones((4, 6), bool).at[:, 4:].set(False)
    masked = examples._replace(fact_mask=mask)
    loud = masked._replace(facts=jnp.where(mask[..., None, None], examples.facts, 7.0))
    before = answer(state.params, masked, KEY)
    np.testing.assert_allclose(answer(state.params, loud, KEY).logits, before.logits)
    turned = examples._replace(facts=examples.facts[:, ::-1])
    after = answer(state.params, turned, KEY).logits
    assert np.abs(after - answer(state.params, examples, KEY).logits).max() > 1e-6
    assert before.diagnostics["hops"].tolist() == [6 + 1 + 1] * 4


@dataclass(frozen=True)
class Words:
    """The sizes of a task of words with two answers to a question."""

    num_classes: int = 3
    num_answers: int = 2
    num_words: int = 7
    kinds: tuple = ("a",)


@pytest.mark.parametrize("name", MODELS)
def test_words_are_embedded_and_padding_is_nothing(name):
    facts = jnp.array([[[1, 2, 0], [3, 4, 5], [0, 0, 0]]])
    examples = Examples(
        facts,
        jnp.array([[True, True, False]]),
        jnp.array([[1, 6]]),
        jnp.array([[0, 2]]),
        jnp.array([0]),
    )
    agent = Reasoner(TrainingConfig(batch_size=1), SMALL[name], Words())
    params = jax.jit(agent.init)(KEY, examples).params
    answer = jax.jit(agent.answer)
    logits = answer(params, examples, KEY).logits
    assert logits.shape == (1, 2, 3)

    def changed(word):
        return {
            module: {
                leaf: value.at[word].set(9.0) if leaf == "words" else value
                for leaf, value in leaves.items()
            }
            for module, leaves in params.items()
        }

    np.testing.assert_array_equal(answer(changed(0), examples, KEY).logits, logits)
    assert np.abs(answer(changed(2), examples, KEY).logits - logits).max() > 1e-4


def test_target_and_kind_are_not_read_when_answering():
    for name in MODELS:
        _, state, examples, answer = _case(name)
        blind = examples._replace(target=examples.target * 0, kind=examples.kind * 0)
        np.testing.assert_array_equal(
            answer(state.params, blind, KEY).logits,
            answer(state.params, examples, KEY).logits,
        )


def test_accuracy_is_told_by_kind():
    """The mean over all questions hides that one kind is guessed."""
    agent, state, examples, _ = _case("memo")
    read = jax.jit(agent.read, static_argnames="mode")
    logits = read(state.params, examples, KEY, mode="train").logits
    target = jnp.where(jnp.arange(4)[:, None] < 2, logits.argmax(-1), examples.target + 1)
    asked = examples._replace(
        target=target % TASK.num_classes, kind=jnp.array([0, 0, 2, 2])
    )
    right = np.asarray(logits.argmax(-1) == asked.target)[:, 0]
    assert right.tolist() == [True, True, False, False]
    metrics = jax.jit(agent.loss)(state.params, asked, KEY, 0.0)[1]
    assert float(metrics["train/accuracy"]) == 0.5
    assert float(metrics["accuracy/A-B"]) == 1.0 and float(metrics["accuracy/A-C"]) == 0.0
    assert np.isnan(float(metrics["accuracy/B-C"]))  # Nothing of that kind was asked.


def test_learning_rate_rises_and_falls():
    training = TrainingConfig(
        learning_rate=1e-2, warmup_share=0.1, final_learning_rate_scale=0.2
    )
    agent = Reasoner(training, SMALL["memo"], TASK)
    assert float(agent.learning_rate(0.0)) == 0.0
    assert float(agent.learning_rate(1.0)) == pytest.approx(2e-3)
    assert float(agent.learning_rate(0.5)) == pytest.approx(6e-3)
    plain = Reasoner(TrainingConfig(learning_rate=1e-2), SMALL["memo"], TASK)
    assert float(plain.learning_rate(0.0)) == pytest.approx(1e-2)


def test_a_config_of_no_model_is_refused():
    with pytest.raises(ValueError, match="must be one of MemoConfig, MemoryNetworkConfig"):
        make_model(TrainingConfig(), TASK)
