"""The small learners: their losses against NumPy, and the rate of their steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax
from toys import compiled

from tolman.agents.llm_probe.learner import TokenExamples, TokenLearner, TokenLearnerConfig
from tolman.agents.llm_probe.rule_exemplar import (
    InContext,
    RuleExemplarConfig,
    RuleExemplarLearner,
)
from tolman.networks.language import LanguageModelConfig

KEY = jax.random.PRNGKey(0)
TOKENS = jnp.array([[1, 2, 3, 4], [2, 2, 0, 0], [4, 1, 1, 3]])
IS_ASKED = jnp.array([[0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 1]], bool)


@pytest.fixture(scope="module")
def token_learner():
    model = LanguageModelConfig(
        vocabulary_size=5, hidden_size=8, num_layers=1, num_heads=2, num_key_value_heads=2,
        mlp_size=16,
    )  # fmt: skip
    return TokenLearner(TokenLearnerConfig(3, 0.01), model)


def test_tokens_that_are_asked_make_the_loss(token_learner):
    examples = TokenExamples(TOKENS, IS_ASKED)
    params = compiled(token_learner.init)(KEY, examples).params
    logits = np.asarray(compiled(token_learner.answer)(params, examples, KEY).logits)
    asked = [(0, 2), (0, 3), (1, 1), (2, 3)]
    log_p = log_softmax(logits, axis=-1)
    expected = -np.mean([log_p[row, at - 1, TOKENS[row, at]] for row, at in asked])
    found = compiled(token_learner.loss)(params, examples)
    np.testing.assert_allclose(found.total, expected, rtol=1e-5)


def test_a_row_is_right_where_all_that_was_asked_is(token_learner):
    examples = TokenExamples(TOKENS, IS_ASKED)
    params = compiled(token_learner.init)(KEY, examples).params
    said = compiled(token_learner.answer)(params, examples, KEY).logits.argmax(-1)
    tokens = TOKENS.at[1, 1].set(said[1, 0]).at[2, 3].set(said[2, 2])
    tokens = tokens.at[0, 3].set(said[0, 2]).at[0, 2].set((said[0, 1] + 1) % 5)
    found = compiled(token_learner.loss)(params, TokenExamples(tokens, IS_ASKED))
    np.testing.assert_allclose(found.metrics["train/accuracy"], 2 / 3, rtol=1e-6)


def test_the_label_that_is_asked_makes_the_loss():
    config = RuleExemplarConfig(hidden_size=8, num_layers=1, num_heads=2)
    learner, source = RuleExemplarLearner(config, 2), InContext(size=3)
    examples = compiled(source.sample, 2)(source.load("test"), KEY, 6)
    params = compiled(learner.init)(KEY, examples).params
    log_p = log_softmax(
        np.asarray(compiled(learner.answer)(params, examples, KEY).logits), axis=-1
    )
    found = compiled(learner.loss)(params, examples)
    expected = -np.mean(log_p[np.arange(6), np.asarray(examples.target)])
    np.testing.assert_allclose(found.total, expected, rtol=1e-5)


def test_every_label_of_a_context_is_read():
    config = RuleExemplarConfig(hidden_size=8, num_layers=1, num_heads=2)
    learner, source = RuleExemplarLearner(config, 2), InContext(size=3)
    examples = compiled(source.sample, 2)(source.load("test"), KEY, 4)
    params = compiled(learner.init)(KEY, examples).params
    logits = compiled(learner.answer)(params, examples, KEY).logits
    for place in range(8):
        labels = examples.labels.at[:, place].set(1 - examples.labels[:, place])
        other = compiled(learner.answer)(
            params, examples._replace(labels=labels), KEY
        ).logits
        assert (abs(other - logits).max(-1) > 1e-5).all()


@pytest.mark.parametrize(("progress", "share"), [(0.025, 0.5), (0.05, 1.0), (1.0, 0.1)])
def test_the_rate_rises_and_falls(token_learner, progress, share):
    """Adam's first step is the rate in every number, but for its epsilon."""
    examples = TokenExamples(TOKENS, IS_ASKED)
    state = compiled(token_learner.init)(KEY, examples)
    stepped = compiled(token_learner.update)(state, examples, KEY, jnp.float32(progress))
    moved = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max()), stepped.learner_state.params, state.params
    )
    assert max(jax.tree.leaves(moved)) == pytest.approx(0.01 * share, rel=0.01)
