"""Collapse, paths and prompts, against numbers worked out by hand and slow sums."""

import jax
import numpy as np
import pytest

from tolman.agents.llm_probe.glasses import layer, paths, prompts
from tolman.agents.llm_probe.glasses.tasks import CHARACTERS, Sequences


def test_a_last_state_by_hand():
    query, key, value = np.zeros((2, 2)), np.zeros((2, 2)), np.array([[0, 3], [1, 1.0]])
    # Equal weights: (1, 1) + (0.5, 2) = (1.5, 3), of root mean square sqrt(11.25 / 2).
    state = layer.last_state(query, key, value, "none")
    np.testing.assert_allclose(state, np.array([1.5, 3]) / np.sqrt(5.625), rtol=1e-6)
    # ALiBi: weights e^-0.5 and 1 before they are divided by their sum.
    weight = np.exp(-0.5) / (1 + np.exp(-0.5))
    wanted = value[1] + weight * value[0] + (1 - weight) * value[1]
    state = layer.last_state(query, key, value, "alibi")
    np.testing.assert_allclose(state, wanted / np.sqrt((wanted**2).mean()), rtol=1e-6)


@pytest.mark.parametrize("positions", ["sinusoidal", "rope"])
def test_positions_move_the_last_state(positions):
    random = np.random.default_rng(0).normal(size=(3, 5, 64)).astype(np.float32)
    plain = layer.last_state(*random, "none")
    assert np.abs(plain - layer.last_state(*random, positions)).max() > 0.01


def test_products_of_a_layer_are_taken_in_float32():
    random = np.ones((3, 4, 64), np.float32)
    text = str(jax.make_jaxpr(lambda x: layer.last_state(*x, "none"))(random))
    assert text.count("dot_general") == text.count("Precision.HIGHEST, Precision.HIGHEST")
    assert "dot_general" in text


def test_a_repeat_is_of_the_last_token():
    short, long = layer.repeat_gap(jax.random.PRNGKey(0), 6, "none")
    random = jax.random.normal(jax.random.PRNGKey(0), (3, 6, 64))
    np.testing.assert_allclose(short, layer.last_state(*random, "none"), rtol=1e-5)
    repeated = np.concatenate([random, random[:, 5:]], 1)
    np.testing.assert_allclose(long, layer.last_state(*repeated, "none"), rtol=1e-5)


def test_slope_of_a_power():
    lengths = np.array([1, 2, 8])
    assert layer.slope(lengths, 5 * lengths**-1.3) == pytest.approx(-1.3)


def test_variation_by_hand():
    # Weights 1/2, 1/2 become 2/3, 1/3.
    found = layer.softmax_variation(np.zeros(2), np.array([np.log(2)]))
    assert found == pytest.approx(1 / 6)
    logits = np.arange(3.0)
    assert layer.softmax_variation(logits, np.zeros(2)) == 0
    np.testing.assert_array_equal(logits, np.arange(3.0))


def test_path_sums_are_sums_over_paths():
    rng = np.random.default_rng(0)
    attention = np.tril(rng.random((3, 2, 4, 4)))
    wanted = np.zeros(4)
    for first in range(4):
        for one in range(4):
            for two in range(4):
                steps = [(one, first), (two, one), (3, two)]
                weights = [
                    attention[at, :, to, of].sum() + (to == of)
                    for at, (to, of) in enumerate(steps)
                ]
                wanted[first] += np.prod(weights)
    np.testing.assert_allclose(paths.path_sums(attention), wanted)


def test_ranks_share_their_mean():
    assert paths.spearman(np.array([1, 5, 3]), np.array([2, 9, 4])) == pytest.approx(1)
    assert paths.spearman(np.array([1, 2, 3]), np.array([3, 2, 1])) == pytest.approx(-1)
    # Ranks 1.5, 1.5, 3 against 1, 2, 3: covariance 1.5, variances 1.5 and 2.
    found = paths.spearman(np.array([0, 0, 7]), np.array([1, 2, 3]))
    assert found == pytest.approx(1.5 / np.sqrt(3))


def test_prompts():
    assert prompts.ones_and_zero(3) == "1110" and prompts.zero_and_ones(2) == "011"
    assert prompts.separated("1111110") == "111,111,0"
    assert prompts.separated("111111") == "111,111"
    hinted = prompts.copying("10", "last", has_hint=True)
    assert "last digit" in hinted and "Hint" in hinted and hinted.endswith("sequence: 10")
    assert "Hint" not in prompts.copying("10", "first")
    assert prompts.number_in("about 12, or 13") == 12
    assert prompts.number_in("none") is None


def test_counting_questions_and_their_answers():
    rng = np.random.default_rng(1)
    assert prompts.counting("sum", 3, rng) == ("What is 1+1+1? The answer is", 3)
    assert prompts.counting("ones", 4, rng)[1] == 4
    for task, thing in (("bits", "1"), ("words", "car")):
        text, right = prompts.counting(task, 50, rng)
        asked = text.split(": ")[1]
        assert asked.count(thing) == right and 25 < right < 45
    with pytest.raises(ValueError, match="task='bit': must be"):
        prompts.counting("bit", 3, rng)


@pytest.mark.parametrize("has_commas", [False, True])
@pytest.mark.parametrize("question", ["count", "copy"])
def test_rows_to_learn_from(question, has_commas):
    source = Sequences(question, 7, has_commas)
    examples = source.sample((), jax.random.PRNGKey(0), 300)
    assert examples.tokens.shape == (300, source.num_tokens)
    lengths, zeros = set(), 0
    for tokens, is_asked in zip(*map(np.asarray, examples), strict=True):
        text = "".join(CHARACTERS[token - 1] for token in tokens if token)
        mark = "=" if question == "count" else "<" if "<" in text else ">"
        digits, answer = text.split(mark)
        plain = digits.replace(",", "")
        assert digits == (prompts.separated(plain) if has_commas else plain)
        if question == "count":
            assert int(answer) == plain.count("1") and len(answer) == 3
        else:
            assert answer == (plain[0] if mark == "<" else plain[-1])
            assert plain.count("0") <= 1
        assert is_asked.sum() == len(answer)
        assert is_asked[len(digits) + 1 : len(text)].all()
        lengths.add(len(plain))
        zeros += plain.count("0")
    assert lengths == set(range(1, 8)) and zeros > 50


def layer_of(mlp, heads):
    """One layer of two features: MLP matrices `[2, 2]` and one head's value map."""
    return paths.LayerWeights(
        np.ones(2), heads[None], np.eye(2)[None], np.array([1.5, 0.5]), *mlp
    )


def test_the_constant_of_a_layer_that_does_nothing_is_that_of_the_normalisation():
    nothing = np.zeros((3, 2, 2))
    layer, state = layer_of(nothing, np.zeros((2, 2))), np.array([[[3.0, 4.0]]])
    constant = paths.path_constant(
        [layer], np.array([2.0, 0.5]), np.ones((1, 1, 1, 1)), state
    )
    assert constant == pytest.approx(2.0 / np.sqrt(12.5 + 1e-5))


def test_the_map_of_an_mlp_is_its_derivative():
    rng = np.random.default_rng(0)
    layer, token = layer_of(rng.normal(size=(3, 2, 2)), np.eye(2)), np.array([0.3, -0.8])

    def after(x):
        return x + paths._mlp(layer, x[None])[0]

    moves = 1e-5 * np.eye(2)
    slow = np.stack([(after(token + m) - after(token - m)) / 2e-5 for m in moves], axis=1)
    np.testing.assert_allclose(paths._mlp_map(layer, token), slow, atol=1e-7)


def test_equal_numbers_share_their_mean_rank():
    found = paths.spearman(np.array([1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5.0))  # Ranks 1.5, 1.5, 3, 4.


def test_logits_are_divided_by_the_root_of_the_number_of_features():
    query, key = np.zeros((2, 4)), np.zeros((2, 4))
    query[1, 0], key[0, 0] = 2.0, 1.0  # Logits 2 / 2 and 0.
    value = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    found = np.asarray(layer.last_state(query, key, value, "none"))
    share = np.e / (np.e + 1)
    assert found[0] / found[1] == pytest.approx(share / (2 - share), rel=1e-5)
