"""Models of lm-evaluation-harness against our own on the same weights."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from hugging_face import save_as_llama

from tolman.launchers import cli
from tolman.launchers.probe import lm_eval_model
from tolman.launchers.probe.llama2c import load_llama2c
from tolman.launchers.probe.lm_eval_model import load_lm_eval

# A prompt's own tokens are a prefix of those of the pair in all of these.
PROMPTS = ["abc cab", "a b c", "b ", "c"]
CONTINUATIONS = [" abc", " b", "ca", " é!"]


@pytest.fixture(scope="module")
def ours(tiny_files):
    return load_llama2c(tiny_files / "untied.bin", tiny_files / "tokenizer.bin")


@pytest.fixture(scope="module")
def theirs(ours, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    save_as_llama(ours, folder)
    return load_lm_eval(f"hf,pretrained={folder},device=cpu,dtype=float32,batch_size=2")


def test_scores_agree(ours, theirs):
    own, found = (one.score(PROMPTS, CONTINUATIONS) for one in (ours, theirs))
    assert np.abs(own.log_probability - found.log_probability).max() < 1e-4
    np.testing.assert_array_equal(own.num_tokens, found.num_tokens)
    # The token for the start is the harness's choice.
    assert ours.num_tokens("abc cab") - theirs.num_tokens("abc cab") in (0, 1)


def test_texts_agree(ours, theirs):
    assert theirs.generate(PROMPTS[:2], 1) == ours.generate(PROMPTS[:2], 1)


def test_what_it_lacks_is_told(theirs):
    with pytest.raises(ValueError, match="has no hidden states, but score, generate"):
        theirs.hidden_states(["a"])


@pytest.mark.parametrize("words", ["nothing,pretrained=x", "hf,pretrained=/no/where"])
def test_mistakes_are_told_in_one_line(words, tmp_path, capsys):
    given = ["probe", f"lm-eval:{words}", "--answers", str(tmp_path)]
    assert cli.main(given) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f"tolman: error: lm-eval:{words}: ")


def test_a_package_that_is_missing_is_told():
    error = lm_eval_model._told("hf,x=1", ModuleNotFoundError("No module named 'torch'"))
    assert str(error).startswith("lm-eval:hf,x=1: No module named 'torch'. Install it, or")
