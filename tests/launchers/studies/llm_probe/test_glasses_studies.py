"""The bound on a real network, and what the studies of collapse are made of."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from tolman.agents.llm_probe.glasses.paths import path_sums
from tolman.launchers.probe.characters import CharacterTokenizer
from tolman.launchers.studies.llm_probe import collapse, over_squashing
from tolman.launchers.studies.llm_probe.glasses import draw_params, random_model
from tolman.networks.language import LanguageModelConfig

SMALL = LanguageModelConfig(
    vocabulary_size=15, max_length=16, hidden_size=8, num_layers=2, num_heads=4,
    num_key_value_heads=2, mlp_size=12, positions="none",
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return random_model(SMALL, 3)


def test_the_bound_holds_and_attention_is_held_constant(model):
    reach = over_squashing.measure(model, "0110100")
    assert (reach.frozen <= reach.bound).all()
    assert (reach.frozen > reach.bound / 1000).all()
    np.testing.assert_array_equal(reach.paths, path_sums(model.attention(["0110100"])[0]))
    assert np.abs(reach.whole / reach.frozen - 1).max() > 1e-3


def test_with_attention_constant_values_alone_carry_a_change(model):
    """Values through equal weights: one layer, whose attention does not depend on x."""
    config = replace(SMALL, num_layers=1)
    params = jax.tree.map(np.array, random_model(config, 1).params)
    params["language_model/~/layer_0"]["query"][:] = 0.0
    flat = random_model(config, 1)
    flat.params = params
    frozen = over_squashing.frozen_jacobian(flat, "0110")
    np.testing.assert_allclose(frozen, flat.jacobian(["0110"])[0], rtol=1e-4, atol=1e-6)


def test_other_parameters_in_the_same_model(model):
    other = random_model(SMALL, 3)
    before = collapse.state_pair(other, 4, False)
    draw_params([other], 9)
    assert np.abs(collapse.state_pair(other, 4, False) - before).max() > 0.01
    draw_params([other], 3)
    np.testing.assert_array_equal(collapse.state_pair(other, 4, False), before)


def test_a_pair_differs_by_one_digit(model):
    pair = collapse.state_pair(model, 4, True)
    for state, text in zip(pair, ("111,0", "111,10"), strict=True):
        np.testing.assert_array_equal(state, model.hidden_states([text])[0][-1, -1])
    assert collapse.distance(np.array([[1.0, 2.0], [0.0, 4.0]])) == 3.0


def test_first_identical():
    digits = np.array([4, 7, 13])
    assert collapse.first_identical(digits, np.array([0.1, 0.0, 0.0])) == 7
    assert collapse.first_identical(digits, np.array([0.0, 0.1, 0.0])) == 13
    assert collapse.first_identical(digits, np.array([0.0, 0.0, 0.1])) == np.inf
    assert collapse.first_identical(digits, np.zeros(3)) == 4


def test_every_product_of_a_probed_network_is_taken_in_float32(model):
    tokens = np.ones((1, 4), np.int32)
    text = str(jax.make_jaxpr(model._hidden_states)(model.params, tokens))
    products = text.count("dot_general[")
    assert products and products == text.count("precision=Precision.HIGHEST") + text.count(
        "precision=(Precision.HIGHEST, Precision.HIGHEST)"
    )


def test_characters():
    tokenizer = CharacterTokenizer("01,")
    assert tokenizer.encode("1,0") == ([2, 3, 1], [1, 2, 3])
    assert tokenizer.decode([2, 0, 3], is_start=True) == "1,"
    with pytest.raises(ValueError, match="'x' has no token: must be one of '01,'"):
        tokenizer.encode("0x")
