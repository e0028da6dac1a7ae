"""Models of Hugging Face against our own on the same weights."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from hugging_face import save_as_llama

from tolman.envs.data import data_set
from tolman.launchers import cli
from tolman.launchers.probe.llama2c import load_llama2c
from tolman.launchers.probe.model import Sampling, Tally, TextTooLongError
from tolman.launchers.probe.transformers_model import TransformersModel, load_transformers

PROMPTS = ["abc cab", "b ", "a b c", "abc", "c"]
CONTINUATIONS = [" abc", "ca", " b", "c cab", " é!"]


@pytest.fixture(scope="module")
def ours(tiny_files):
    return load_llama2c(tiny_files / "untied.bin", tiny_files / "tokenizer.bin")


@pytest.fixture(scope="module")
def folder(ours, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    save_as_llama(ours, folder)
    return folder


@pytest.fixture(scope="module")
def theirs(folder):
    return load_transformers(folder, "float32", "cpu", False)


def test_drawn_tokens_come_as_often_as_they_are_probable(theirs):
    (told,) = theirs.first_token(["abc"])
    drawn = theirs.generate(["abc"] * 400, 1, Sampling(1.0, range(400)))
    # Bytes of no character are all one text, and not all of them are told.
    likely = max((one for one in told if one.isalnum()), key=told.get)
    assert drawn.count(likely) / 400 == pytest.approx(np.exp(told[likely]), abs=0.06)
    assert (
        theirs.generate(["abc"], 6, Sampling(1.0, [3]))
        == theirs.generate(["abc", "abc"], 6, Sampling(1.0, [3, 4]))[:1]
    )
    assert theirs.generate(["abc"], 6, Sampling(1e-4, [3])) == theirs.generate(["abc"], 6)


def test_tokens_are_the_same(ours, theirs):
    for text in (*PROMPTS, *CONTINUATIONS, "abc cab\n\nabc"):
        own = ours.tokenizer.encode(text).tokens
        assert theirs._tokenizer.encode(text).tokens == own, text
        assert theirs.num_tokens(text) == ours.num_tokens(text) == len(own)


def test_scores_are_the_same(ours, theirs):
    own, found = (one.score(PROMPTS, CONTINUATIONS) for one in (ours, theirs))
    assert np.abs(own.log_probability - found.log_probability).max() < 1e-4
    np.testing.assert_array_equal(own.num_tokens, found.num_tokens)


def test_texts_and_first_tokens_are_the_same(ours, theirs):
    assert theirs.generate(PROMPTS, 1) == ours.generate(PROMPTS, 1)
    pairs = zip(ours.first_token(PROMPTS), theirs.first_token(PROMPTS), strict=True)
    for own, found in pairs:
        assert found == pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize("what", ["hidden_states", "attention", "jacobian"])
def test_what_is_inside_is_the_same(ours, theirs, what):
    pairs = zip(getattr(ours, what)(PROMPTS), getattr(theirs, what)(PROMPTS), strict=True)
    for own, found in pairs:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, own, atol=1e-3, rtol=1e-3)


def test_what_is_read_is_counted(folder):
    model = load_transformers(folder, "float32", "cpu", False)
    pairs = (("c", " b"), ("abc abc", " a"))
    lengths = [len(model._tokenizer.encode("".join(pair)).tokens) for pair in pairs]
    model.score(*zip(*pairs, strict=True))
    assert model.tally == Tally(sum(lengths), sum(lengths), abs(lengths[0] - lengths[1]))


def test_what_texts_share_is_read_once(folder, ours):
    model = load_transformers(folder, "float32", "cpu", False)
    heads = ["b c a b c a b c a b", "a b c a b c a b c a b c"]  # Of unlike lengths.
    prompts = [head + rest for head in heads for rest in (" a", " c b", " b")]
    prompts.append("c")
    continuations = [" b", " c", " abc", " a", " c a", " b", " a"]
    found = model.score(prompts, continuations).log_probability
    assert model.tally.num_read < model.tally.num_asked / 1.5
    alone = [
        model.score([prompt], [continuation]).log_probability[0]
        for prompt, continuation in zip(prompts, continuations, strict=True)
    ]
    assert np.abs(found - alone).max() < 1e-5
    own = ours.score(prompts, continuations).log_probability
    assert np.abs(found - own).max() < 1e-4


@pytest.mark.parametrize("kind", ["gpt2", "sliding", "mamba"])
def test_prefixes_are_kept_where_all_of_them_can_be(folder, kind):
    """Other kinds of models: their scores are those of each text alone."""
    model = random_model(folder, kind)
    assert model._keeps_prefixes == (kind == "gpt2")
    prompts = ["b c a b c a b c a b" + rest for rest in (" a", " c b", "")]
    found = model.score(prompts, [" b c", " a", " c"]).log_probability
    alone = [
        model.score([prompt], [rest]).log_probability[0]
        for prompt, rest in zip(prompts, [" b c", " a", " c"], strict=True)
    ]
    assert np.abs(found - alone).max() < 1e-5


def random_model(folder, kind):
    import torch
    import transformers

    size = {"vocab_size": 267, "hidden_size": 8, "num_hidden_layers": 2}
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=267, n_embd=8, n_layer=2, n_head=2, n_positions=40
        )
    elif kind == "sliding":
        config = transformers.MistralConfig(
            **size, num_attention_heads=2, num_key_value_heads=2, intermediate_size=8,
            sliding_window=4,
        )  # fmt: skip
    else:
        config = transformers.MambaConfig(**size, state_size=4)
    torch.manual_seed(0)
    network = transformers.AutoModelForCausalLM.from_config(
        config, **({} if kind == "mamba" else {"attn_implementation": "eager"})
    ).eval()
    for parameter in network.parameters():  # Wide apart, so that no two tokens tie.
        parameter.data *= 20 if parameter.ndim > 1 else 1
    tokenizer = load_transformers(folder, "float32", "cpu", False)._tokenizer
    return TransformersModel(network, tokenizer, 40)


@pytest.mark.parametrize("kind", ["gpt2", "sliding", "mamba"])
@pytest.mark.parametrize("sampling", [None, Sampling(1.0, [5, 6, 7, 8])])
def test_texts_are_those_of_reading_all_anew(folder, kind, sampling):
    import torch

    model = random_model(folder, kind)
    prompts = ["b c a b c a b c a b", "a", "c c a b", "b" * 33]  # The last fills up.
    wanted, firsts = [], []
    for index, prompt in enumerate(prompts):
        tokens = model._tokenizer.encode(prompt).tokens
        noise = np.random.default_rng(sampling.seeds[index]) if sampling else None
        new = []
        while len(new) < 9 and len(tokens) <= 40:
            with torch.inference_mode():
                logits = model._model(input_ids=torch.tensor([tokens])).logits[0, -1]
            logits = logits.double().numpy()
            logits += 0 if noise is None else noise.gumbel(size=len(logits))
            tokens, new = [*tokens, int(logits.argmax())], [*new, int(logits.argmax())]
        wanted.append(new)
        firsts.append(new[2])
    read = []
    model._base.register_forward_pre_hook(
        lambda _, words, named: read.append(tuple(named["input_ids"].shape)),
        with_kwargs=True,
    )
    model._tokenizer.stops = tuple(firsts[:1])  # The first text ends where this comes.
    whole, wanted = wanted, [until(new, firsts[0]) for new in wanted]
    found = model.generate(prompts, 9, sampling)
    decode = model._tokenizer.decode
    assert found == [decode(new, is_start=False) for new in wanted]
    if kind == "gpt2":  # Batches of three lengths; then one token of each that goes on.
        behind = [shape for shape in read[1:] if shape[1] > 1]
        assert sorted(rows for rows, _ in behind) == [1, 1, 2]
        again = [rows for rows, tokens in read[1:] if tokens == 1]
        num_ended = sum(own != new for own, new in zip(whole, wanted, strict=True))
        assert sum(again) == sum(map(len, wanted)) - len(prompts) + num_ended
    if kind == "sliding":
        assert sum(tokens for _, tokens in read) < 4 * 40 + 9 * 4


def until(tokens, stop):
    return tokens[: tokens.index(stop)] if stop in tokens else tokens


def test_lower_precision_is_another_number_but_a_near_one(folder, theirs):
    low = load_transformers(folder, "bfloat16", "cpu", False)
    own = theirs.score(PROMPTS, CONTINUATIONS).log_probability
    found = low.score(PROMPTS, CONTINUATIONS).log_probability
    assert 0 < np.abs(own - found).max() < 1.0


def test_a_chat_template_is_used_where_it_is_asked_for(folder, ours):
    path = folder / "tokenizer_config.json"
    before = path.read_text()
    with pytest.raises(
        ValueError, match=r"has no chat template. Leave --chat-template out"
    ):
        load_transformers(folder, "float32", "cpu", True)
    template = "{{ bos_token }}a {{ messages[0].content }} c"
    path.write_text(json.dumps({**json.loads(before), "chat_template": template}))
    try:
        chat = load_transformers(folder, "float32", "cpu", True)
    finally:
        path.write_text(before)
    turn = chat._tokenizer.as_turn("bc")
    assert turn == "<s>a bc c"
    assert chat._tokenizer.encode(turn).tokens.count(1) == 1


@pytest.mark.parametrize("device", ["cdua", "cuda:99"])
def test_a_device_that_is_not_there_is_told_in_one_line(folder, device):
    with pytest.raises(ValueError, match=f"^device='{device}': PyTorch cannot") as error:
        load_transformers(folder, "float32", device, False)
    assert len(str(error.value).splitlines()) == 1


def test_texts_that_do_not_fit_are_refused(theirs):
    with pytest.raises(TextTooLongError, match="must have at most 40, the model's context"):
        theirs.score(["abc cab " * 30], ["a"])
    with pytest.raises(ValueError, match="is empty: must be text"):
        theirs.score(["a"], [""])


def test_weights_that_are_no_numbers_are_told(folder):
    broken = load_transformers(folder, "float32", "cpu", False)
    next(broken._model.parameters()).data[:] = float("nan")
    with pytest.raises(ValueError, match=r"is nan: must be finite. The model's parameters"):
        broken.score(["a"], ["b"])


@pytest.mark.parametrize("fault", ["nothing", "weights", "half", "missing", "tokenizer"])
def test_broken_folders_are_told_in_one_line(folder, tmp_path, capsys, fault):
    import shutil

    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    if fault != "nothing":
        shutil.copytree(folder, copy)
    weights = copy / "model.safetensors"
    if fault == "weights":
        weights.unlink()
    if fault == "half":
        weights.write_bytes(weights.read_bytes()[:-100])
    if fault == "missing":
        state = load_file(weights)
        del state["model.norm.weight"]
        save_file(state, weights, {"format": "pt"})
    if fault == "tokenizer":
        (copy / "tokenizer.json").unlink()
    words = [
        "probe",
        f"hf:{copy}",
        "--answers",
        str(tmp_path),
        "--out",
        str(tmp_path / "o"),
    ]
    assert cli.main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith(f"tolman: error: hf:{copy}: ")
    told = {
        "nothing": "no such folder",
        "missing": "1 weights are missing, such as model.norm.weight",
        "tokenizer": "its tokenizer cannot be loaded",
    }.get(fault, "its model cannot be loaded")
    assert told in lines[-1]


def test_stories_score_the_same(tmp_path):
    data = data_set("stories260K")
    if data is None:
        pytest.skip("stories260K is not there.")
    ours = load_llama2c(data / "stories260K.bin", data / "tok512.bin")
    save_as_llama(ours, tmp_path)
    theirs = load_transformers(tmp_path, "float32", "cpu", False)
    prompts = ["Once upon a time, there was a little", "The cat sat on the", "Lily said"]
    continuations = [" girl named Lily.", " mat and looked up.", ', "I am happy!"']
    own, found = (one.score(prompts, continuations) for one in (ours, theirs))
    assert np.abs(own.log_probability - found.log_probability).max() < 1e-4
    assert theirs.generate(prompts[:1], 20) == ours.generate(prompts[:1], 20)
