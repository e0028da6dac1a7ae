"""A model that is asked by text: what it generates, how it computes, what it refuses."""

import dataclasses

import haiku as hk
import jax
import numpy as np
import pytest
from oracles import language as oracle

from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.probe.llama2c import Llama2CTokenizer, load_llama2c
from tolman.launchers.probe.model import Sampling
from tolman.networks.language import LanguageModel


@pytest.fixture(scope="module")
def model(tiny_files):
    return load_llama2c(tiny_files / "untied.bin", tiny_files / "tokenizer.bin")


def greedy(model, prompt, count):
    tokens = list(model.tokenizer.encode(prompt).tokens)
    for _ in range(count):
        tokens.append(int(oracle.model_logits(model, tokens)[0][-1].argmax()))
    return tokens[-count:]


def text(model, tokens, prompt):
    return model.tokenizer.decode(tokens, is_start=not prompt)


def test_generates_what_loops_do_in_a_batch_of_unlike_lengths(model):
    prompts = ["abc cab", "", "b"]
    expected = [greedy(model, prompt, 5) for prompt in prompts]
    assert not {1, 2} & {token for tokens in expected for token in tokens}
    found = model.generate(prompts, 5)
    assert found == [text(model, *pair) for pair in zip(expected, prompts, strict=True)]


def test_drawn_tokens_come_as_often_as_they_are_probable(model):
    temperature, num = 2.0, 3000
    tokens = model.tokenizer.encode("abc").tokens
    logits = oracle.model_logits(model, list(tokens))[0][-1].astype(float) / temperature
    expected = np.exp(logits - logits.max())
    expected /= expected.sum()
    told = [model.tokenizer.decode([i], is_start=False) for i in range(len(expected))]
    drawn = model.generate(["abc"] * num, 1, Sampling(temperature, range(num)))
    for likely in np.argsort(-expected)[:4]:
        same_text = sum(expected[i] for i, one in enumerate(told) if one == told[likely])
        assert drawn.count(told[likely]) / num == pytest.approx(same_text, abs=0.04)


def test_a_seed_draws_one_text_whatever_stands_beside_it(model):
    prompts, seeds = ["abc", "b a", "abc", "abc"], [5, 6, 7, 5]
    found = model.generate(prompts, 6, Sampling(1.5, seeds))
    assert found[0] == found[3] != found[2]
    assert model.generate(["abc"], 6, Sampling(1.5, [5])) == [found[0]]
    cold = model.generate(prompts, 6, Sampling(1e-4, seeds))
    assert cold == model.generate(prompts, 6)


def test_a_row_ends_before_a_stop_and_others_go_on(model):
    first, second = greedy(model, "abc cab", 4), greedy(model, "b", 4)
    stop = next(token for token in first[1:] if token not in (first[0], *second))

    class Stopping(Llama2CTokenizer):
        stops = (2, stop)

    tokenizer = Stopping(model.tokenizer._pieces, model.tokenizer._scores)
    stopping = HaikuModel(model.config, model.params, tokenizer)
    found = stopping.generate(["abc cab", "b"], 4)
    cut = first[: first.index(stop)]
    assert found == [text(model, cut, "abc cab"), text(model, second, "b")]


def test_generation_ends_where_the_context_is_full(model):
    prompt = "b" + " c b" * 9  # 39 tokens with the start and the first space.
    assert len(model.tokenizer.encode(prompt).tokens) == 39
    expected = greedy(model, prompt, 2)  # The second is chosen from 40 tokens.
    assert model.generate([prompt], 20) == [text(model, expected, prompt)]


def test_new_texts_of_known_shapes_compile_nothing(model):
    fresh = HaikuModel(model.config, model.params, model.tokenizer)
    fresh.score(["a", "b b", "c c c"], [" b", " c", " a"])
    assert fresh._score._cache_size() == 1
    fresh.score(["b a c", "c", "a b c a", "b"], [" c", " b", " b", " c"])
    assert fresh._score._cache_size() == 1


def test_products_of_float32_are_taken_in_float32(model):
    tokens = np.zeros((1, 16), np.int32)
    one, yes = np.ones((1, 1), np.int64), np.ones((1, 1), bool)
    for function, args in (
        (model._score, (tokens, one, yes)),
        (model._hidden_states, (tokens,)),
    ):
        found = str(jax.make_jaxpr(function)(model.params, *args))
        assert found.count("= dot_general[") > 10
        assert found.count("= dot_general[") == found.count("(Precision.HIGHEST, ")


def test_hidden_states_are_those_of_each_text_alone(model):
    prompts = ["abc cab", "b"]
    together = model.hidden_states(prompts)
    assert [states.shape for states in together] == [(3, 6, 8), (3, 3, 8)]
    (alone,) = model.hidden_states(prompts[1:])
    np.testing.assert_allclose(together[1], alone, atol=1e-6)
    narrow_config = dataclasses.replace(model.config, dtype="bfloat16")
    narrow = HaikuModel(narrow_config, model.params, model.tokenizer)
    (states,) = narrow.hidden_states(["b"])
    rounded = np.asarray(jax.numpy.bfloat16(states), np.float32)
    np.testing.assert_array_equal(states, rounded)
    np.testing.assert_allclose(states, alone, rtol=0.2, atol=0.2)


def test_what_cannot_be_answered_is_refused_in_one_line(model):
    long = "b " * 30
    for ask, message in (
        (lambda: model.score(["a"], []), "1 prompts and 0 continuations"),
        (lambda: model.score([long], ["a"]), "must have at most 40, the model's context"),
        (lambda: model.generate([long], 3), "has 62 tokens: must have at most 40"),
        (lambda: model.generate(["a"], 1, Sampling(0.0, [1])), "temperature=0.0: must be"),
        (lambda: model.generate(["a"], 1, Sampling(1.0, [])), "0 seeds for 1 prompts"),
        (lambda: model.generate(["a"], 0), "max_new_tokens=0: must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)
    broken = jax.tree.map(lambda x: x * np.nan, model.params)
    with pytest.raises(ValueError, match="of 'b' after 'a' is nan: must be finite"):
        HaikuModel(model.config, broken, model.tokenizer).score(["a"], ["b"])
    small = dataclasses.replace(model.config, vocabulary_size=266)
    with pytest.raises(ValueError, match="the tokenizer has 267 tokens: the model knows"):
        HaikuModel(small, model.params, model.tokenizer)


def test_first_tokens_are_the_likeliest_by_their_text(model):
    prompts = ["abc cab", "b"]
    for prompt, found in zip(prompts, model.first_token(prompts), strict=True):
        tokens = model.tokenizer.encode(prompt).tokens
        logits = oracle.model_logits(model, tokens)[0][-1]
        log_p = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        expected = {}
        for token in np.argsort(-log_p)[:20]:
            piece = model.tokenizer.decode([int(token)], is_start=False)
            expected[piece] = expected.get(piece, 0) + np.exp(log_p[token])
        assert found.keys() == expected.keys()
        for piece, p in expected.items():
            assert found[piece] == pytest.approx(np.log(p), abs=1e-5)


def test_the_jacobian_is_what_small_moves_of_embeddings_do(model):
    prompt = "abc b"
    tokens = np.array([model.tokenizer.encode(prompt).tokens])
    (found,) = model.jacobian([prompt])
    assert found.shape == (tokens.shape[1], *[model.config.hidden_size] * 2)

    def final(embedded):
        with jax.default_matmul_precision("highest"):
            return LanguageModel(model.config).read(embedded).hidden[-1][0, -1]

    apply = hk.without_apply_rng(hk.transform(final)).apply
    embed = hk.without_apply_rng(
        hk.transform(lambda x: LanguageModel(model.config).embed(x, np.zeros(1, np.int32)))
    ).apply
    start = np.asarray(embed(model.params, tokens))
    for token, feature in ((0, 0), (1, 3), (tokens.shape[1] - 1, 2)):
        step = np.zeros_like(start)
        step[0, token, feature] = 1e-2
        up, down = apply(model.params, start + step), apply(model.params, start - step)
        slope = (np.asarray(up) - np.asarray(down)) / 2e-2
        np.testing.assert_allclose(found[token, :, feature], slope, atol=2e-2, rtol=2e-2)
