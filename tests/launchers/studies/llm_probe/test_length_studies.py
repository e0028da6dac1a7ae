"""Counting and copying, asked of models whose answers are known."""

import re
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tolman.agents.llm_probe.glasses.tasks import CHARACTERS
from tolman.launchers.probe.model import Scores
from tolman.launchers.probe.opening import ModelConfig, open_model
from tolman.launchers.studies.llm_probe import copying, counting, lengths
from tolman.launchers.studies.llm_probe.glasses import random_model
from tolman.networks.language import LanguageModelConfig

SMALL = LanguageModelConfig(
    vocabulary_size=len(CHARACTERS) + 1, max_length=32, hidden_size=8, num_layers=2,
    num_heads=2, num_key_value_heads=2, mlp_size=12,
)  # fmt: skip


class Answering:
    """Gives the answer that a function of the prompt tells."""

    def __init__(self, answer, p_zero=None, digits_of_token=1):
        self.answer, self.p_zero, self.prompts = answer, p_zero, []
        self.digits_of_token = digits_of_token

    def num_tokens(self, text):
        """A token for the start, and one for so many characters behind the colon."""
        return text and 1 + -(-len(text.partition(":")[2]) // self.digits_of_token)

    def generate(self, prompts, max_new_tokens):
        self.prompts += prompts
        return [self.answer(prompt)[:max_new_tokens] for prompt in prompts]

    def score(self, prompts, continuations):
        self.prompts += prompts
        zero = np.array([self.p_zero(prompt) for prompt in prompts])
        is_zero = np.array([answer.strip() == "0" for answer in continuations])
        log_p = np.log(0.5 * np.where(is_zero, zero, 1 - zero))
        return Scores(log_p, np.ones(len(prompts), np.int64))


class Findings:
    def __init__(self):
        self.tables, self.notes = {}, []

    def table(self, title, columns, rows):
        self.tables[title] = columns, rows

    def note(self, text):
        self.notes.append(text)


def test_errors_of_a_count():
    exact = Answering(lambda prompt: f"{prompt.count('1'):03d}")
    assert counting.error_by_length(exact, (3, 30), False, 0).tolist() == [0, 0]
    assert all(re.fullmatch("[01]{3}=|[01]{30}=", prompt) for prompt in exact.prompts)
    share = sum(p.count("1") for p in exact.prompts) / sum(map(len, exact.prompts))
    assert share == pytest.approx(0.7, abs=0.07)
    two_more = Answering(lambda prompt: f"{prompt.count('1') + 2}")
    assert counting.error_by_length(two_more, (7, 9), True, 0).tolist() == [2, 2]
    assert re.fullmatch("[01]{3},[01]{3},[01]=", two_more.prompts[0])
    silent = Answering(lambda prompt: "=")  # No number counts as 0.
    ones = [prompt.count("1") for prompt in exact.prompts[:32]]
    assert counting.error_by_length(silent, (3,), False, 0) == np.mean(ones)


def test_distance_of_last_states():
    model = random_model(SMALL)
    gaps = counting.state_gaps(model, (6,), True)
    last, other = (model.hidden_states([t])[0][-1, -1] for t in ("111,111=", "111,11="))
    assert gaps[0] == pytest.approx(np.linalg.norm(last - other) / np.linalg.norm(last))
    bare = counting.state_gaps(model, (6,), False)[0]
    last, other = (model.hidden_states([t])[0][-1, -1] for t in ("111111=", "11111="))
    assert bare == pytest.approx(np.linalg.norm(last - other) / np.linalg.norm(last))


def test_the_same_parameters_in_a_narrower_dtype():
    model = random_model(SMALL)
    narrow = lengths.in_dtype(model, "bfloat16")
    wide, rounded = (m.hidden_states(["0110="])[0][-1] for m in (model, narrow))
    assert 0 < np.abs(wide - rounded).max() < 0.2


def test_the_digit_that_is_asked_is_the_only_zero():
    model = Answering(None, lambda prompt: 0.9 if prompt.startswith("0") else 0.2)
    for which, wanted in (("first", 0.9), ("last", 0.2)):
        share = copying.zero_by_length(model, np.array([1, 5]), False, which)
        assert share[1] == pytest.approx(wanted)
    assert model.prompts == ["0<"] * 2 + ["01111<"] * 2 + ["0>"] * 2 + ["11110>"] * 2
    copying.zero_by_length(model, np.array([5]), True, "last")
    assert model.prompts[-1] == "111,10>"


def test_a_given_model_is_asked_to_copy():
    def p_zero(prompt):
        sequence = prompt.split("Here is the sequence: ")[1].split()[0]
        has_zero_first = sequence.startswith("0")
        assert ("first" in prompt) == has_zero_first
        assert sequence.endswith("0") != has_zero_first
        return (
            0.25
            + 0.5 * has_zero_first
            + 0.125 * ("Hint" in prompt)
            - 0.1 * ("," in sequence)
        )

    rows = [
        row for block in copying._blocks() for row in block.ask(Answering(None, p_zero))
    ]
    assert len(rows) == 6 * len(copying.PROBE_LENGTHS)
    findings = Findings()
    copying._summarise(rows, findings)
    ((columns, cells),) = findings.tables.values()
    assert columns[1:] == ("first, plain", "first, hint", "first, commas", "last, plain",
                           "last, hint", "last, commas")  # fmt: skip
    assert cells[0] == (5, "0.750", "0.875", "0.650", "0.250", "0.375", "0.150")


def test_a_given_model_is_asked_to_count():
    model = Answering(lambda prompt: " 7 of them" if "car" in prompt else " none")
    rows = [row for block in counting._blocks() for row in block.ask(model)]
    findings = Findings()
    counting._summarise(rows, findings)
    ((_, cells),) = findings.tables.values()
    found = {cell[:2]: cell[2:] for cell in cells}
    assert found["sum", 10] == ("0/1", "-", "none")
    right = [row["right"] for row in rows if (row["task"], row["length"]) == ("words", 40)]
    error = np.mean([abs(7 - one) for one in right])
    assert len(right) == 5 and found["words", 40] == ("5/5", f"{error:.1f}", "7 of th")
    assert not findings.notes
    counting._summarise([{**row, "number": None} for row in rows], findings)
    assert findings.notes == [
        "The model gave no number at all: nothing can be said of counting."
    ]


@pytest.mark.parametrize(
    ("digits_of_token", "told"), [(1, None), (2, None), (3, "80 of them are 54 tokens")]
)
def test_a_tokenizer_that_merges_is_told_of_counting(digits_of_token, told):
    """Each number has a mark before it: two characters, so two in a token merge nothing."""
    rows = asked_of(counting, Answering(lambda prompt: "1", None, digits_of_token))
    findings = Findings()
    counting._summarise(rows, findings)
    notes = [note for note in findings.notes if "merges digits" in note]
    assert len(notes) == (told is not None)
    assert told is None or told in notes[0]


def test_a_tokenizer_that_merges_is_told_of_copying():
    def notes_of(model):
        findings = Findings()
        copying._summarise(asked_of(copying, model), findings)
        return findings.notes

    assert notes_of(Answering(None, lambda _: 0.5)) == []
    silent = Answering(None, lambda _: 0.5)
    silent.num_tokens = lambda text: None
    assert notes_of(silent) == []
    (told,) = notes_of(Answering(None, lambda _: 0.5, 2))
    assert "This tokenizer merges digits: 80 of them are 40 tokens." in told


def test_trained_models_are_kept_for_probing(tmp_path, monkeypatch):
    class Study(Findings):
        folder = tmp_path

        def fit(self, label, agent, source, num_updates, num_members):
            assert (num_updates, num_members) == (1_000, 1)
            params = random_model(agent.model).params
            return SimpleNamespace(params=jax.tree.map(lambda leaf: leaf[None], params))

    monkeypatch.setattr(lengths, "MODEL", SMALL)
    models = lengths.train(Study(), lengths.QUICK, "count")
    for arm, name in (("RoPE", "RoPE"), ("RoPE, commas", "RoPE_commas"),
                      ("no positions", "no_positions")):  # fmt: skip
        kept = open_model(ModelConfig(str(tmp_path / "models" / name))).model
        assert kept.config == models[arm].config
        assert kept.generate(["011="], 3) == models[arm].generate(["011="], 3)


def asked_of(study, model):
    return [row for block in study._blocks() for row in block.ask(model)]
