"""Answers on disk: no question is put twice, whatever is killed or broken."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tolman.launchers.probe.answers import AnsweredModel, Journal
from tolman.launchers.probe.model import Sampling, Scores, TextTooLongError


class Counted:
    """Scores by length, and keeps what it was asked."""

    abilities = frozenset({"score", "generate", "first token"})
    questions_at_once = 2

    def __init__(self, fails_at=None):
        self.asked, self.calls, self.fails_at = [], 0, fails_at

    def _put(self, asked):
        self.calls += 1
        if self.calls == self.fails_at:
            raise ValueError("down")
        self.asked += asked

    def score(self, prompts, continuations):
        self._put(list(zip(prompts, continuations, strict=True)))
        lengths = [
            len(p) + len(c) / 10 for p, c in zip(prompts, continuations, strict=True)
        ]
        return Scores(-np.array(lengths), np.array([len(c) for c in continuations]))

    def generate(self, prompts, max_new_tokens, sampling=None):
        self._put(list(prompts))
        if sampling is None:
            return [prompt[:max_new_tokens] for prompt in prompts]
        pairs = zip(prompts, sampling.seeds, strict=True)
        return [f"{prompt} {sampling.temperature} {seed}" for prompt, seed in pairs]

    def first_token(self, prompts):
        self._put(list(prompts))
        return [{prompt[0]: -0.5} for prompt in prompts]


PROMPTS, CONTINUATIONS = ["long one", "b", "b", "long one"], [" x", " y", " zz", " x"]


def test_a_question_is_put_once_and_answers_come_in_order(tmp_path):
    model = Counted()
    answered = AnsweredModel(model, Journal(tmp_path / "a.jsonl"))
    for _ in range(2):
        found = answered.score(PROMPTS, CONTINUATIONS)
        np.testing.assert_allclose(found.log_probability, [-8.2, -1.2, -1.3, -8.2])
        assert found.num_tokens.tolist() == [2, 2, 3, 2]
    # Like lengths together, two at once.
    assert model.asked == [("b", " y"), ("b", " zz"), ("long one", " x")]
    assert model.calls == 2 and answered.num_sent == 3
    again = AnsweredModel(Counted(), Journal(tmp_path / "a.jsonl"))
    np.testing.assert_array_equal(
        again.score(PROMPTS, CONTINUATIONS).log_probability, found.log_probability
    )
    assert again.num_sent == 0


def test_what_is_put_one_by_one_follows_what_begins_alike(tmp_path):
    model = Counted()
    model.questions_at_once = 1
    answered = AnsweredModel(model, Journal(tmp_path / "a.jsonl"))
    prompts = ["few shots: b", "a", "few shots: a longer", "few shots: a", "b"]
    answered.generate(prompts, 20)
    assert model.asked == sorted(prompts) and model.calls == 5


def test_a_text_that_was_refused_as_too_long_is_not_put_again(tmp_path):
    class Short(Counted):
        questions_at_once = 1

        def generate(self, prompts, max_new_tokens):
            found = super().generate(prompts, max_new_tokens)
            if len(prompts[0]) > 3:
                raise TextTooLongError(f"{prompts[0]}: too long")
            return found

    model = Short()
    answered = AnsweredModel(model, Journal(tmp_path / "a.jsonl"))
    for _ in range(2):
        with pytest.raises(TextTooLongError, match=r"^bbbb: too long$"):
            answered.generate(["a", "bbbb", "c"], 2)
    assert model.asked == ["a", "bbbb"]
    assert answered.generate(["a", "c"], 2) == ["a", "c"] and answered.num_sent == 2
    again = Short()
    answered = AnsweredModel(again, Journal(tmp_path / "a.jsonl"))
    with pytest.raises(TextTooLongError):
        answered.generate(["a", "bbbb", "c"], 2)
    assert again.asked == ["bbbb"]  # By then the context may be another.


def test_who_is_refused_beside_a_text_that_is_too_long_is_put_again(tmp_path):
    class Short(Counted):
        def generate(self, prompts, max_new_tokens):
            if "bbbb" in prompts:
                raise TextTooLongError("bbbb: too long")
            return super().generate(prompts, max_new_tokens)

    answered = AnsweredModel(Short(), Journal(tmp_path / "a.jsonl"))
    with pytest.raises(TextTooLongError):
        answered.generate(["a", "bbbb"], 2)  # In one part, of which "a" is the first.
    assert answered.generate(["a"], 2) == ["a"]


def test_kinds_of_questions_are_told_apart(tmp_path):
    answered = AnsweredModel(Counted(), Journal(tmp_path / "a.jsonl"))
    assert answered.generate(["abc"], 1) == ["a"]
    assert answered.generate(["abc"], 2) == ["ab"]
    assert answered.first_token(["abc"]) == [{"a": -0.5}]
    assert answered.num_sent == 3
    again = AnsweredModel(Counted(), Journal(tmp_path / "a.jsonl"))
    assert again.generate(["abc"], 2) == ["ab"] and again.num_sent == 0


def test_a_prompt_is_put_once_with_each_seed(tmp_path):
    model = Counted()
    answered = AnsweredModel(model, Journal(tmp_path / "a.jsonl"))
    prompts = ["abc", "b", "abc", "abc"]
    found = answered.generate(prompts, 3, Sampling(0.5, [1, 2, 3, 1]))
    assert found == ["abc 0.5 1", "b 0.5 2", "abc 0.5 3", "abc 0.5 1"]
    assert answered.num_sent == 3 and sorted(model.asked) == ["abc", "abc", "b"]
    assert answered.generate(["abc"], 3) == ["abc"]
    assert answered.generate(["abc"], 3, Sampling(0.7, [1])) == ["abc 0.7 1"]
    again = AnsweredModel(Counted(), Journal(tmp_path / "a.jsonl"))
    assert again.generate(prompts, 3, Sampling(0.5, [1, 2, 3, 1])) == found
    assert again.num_sent == 0
    with pytest.raises(ValueError, match="1 seeds for 2 prompts: must be one for each"):
        again.generate(["a", "b"], 3, Sampling(0.5, [1]))


def test_what_was_answered_before_an_error_is_kept(tmp_path):
    answered = AnsweredModel(Counted(fails_at=2), Journal(tmp_path / "a.jsonl"))
    with pytest.raises(ValueError, match="down"):
        answered.score(PROMPTS, CONTINUATIONS)
    model = Counted()
    AnsweredModel(model, Journal(tmp_path / "a.jsonl")).score(PROMPTS, CONTINUATIONS)
    assert model.asked == [("long one", " x")]


def test_a_disk_that_takes_a_part_of_a_row_is_told(tmp_path):
    """As one does that fills up: it takes 150 bytes, without an error, then nothing."""
    code = """
        import resource, signal, sys
        from pathlib import Path
        from tolman.launchers.probe.answers import Journal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = Journal(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))
        journal.append([{"n": "x" * 90}])
        try:
            journal.append([{"n": "y" * 90}])
        except OSError:
            assert len(journal.rows) == 1
            print("told")
    """
    path = tmp_path / "a.jsonl"
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.stdout == "told\n", ran.stderr
    assert Journal(path).rows == [{"n": "x" * 90}]


@pytest.mark.parametrize("torn", [b'{"asked": ["gen', b"\x00\x00\n", b'{"asked"\n'])
def test_a_broken_line_is_dropped_and_the_next_is_whole(tmp_path, torn):
    path = tmp_path / "a.jsonl"
    first = Journal(path)
    first.append([{"n": 1}, {"n": 2}])
    with path.open("ab") as file:
        file.write(torn)
    second = Journal(path)
    assert second.rows == [{"n": 1}, {"n": 2}]
    second.append([{"n": 3}])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"n": 1}, {"n": 2}, {"n": 3}
    ]  # fmt: skip


def test_lines_of_something_else_are_dropped(tmp_path):
    path = tmp_path / "a.jsonl"
    asked = ["generate", "a", 2]
    rows = [{}, [1, 2], 17, {"asked": asked}, {"asked": asked, "answer": "kept"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    journal = Journal(path, ("asked", "answer"))
    assert journal.rows == rows[-1:]
    assert path.read_text() == json.dumps(rows[-1]) + "\n"
    assert AnsweredModel(Counted(), journal).generate(["a"], 2) == ["kept"]


def test_a_last_line_without_its_end_is_kept_if_it_is_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": 2}')
    journal = Journal(path)
    journal.append([{"n": 3}])
    assert Journal(path).rows == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_killed_process_loses_nothing_that_was_answered(tmp_path):
    code = """
        import os, signal, sys
        from pathlib import Path
        from tolman.launchers.probe.answers import AnsweredModel, Journal

        class Dying:
            abilities, questions_at_once, calls = frozenset(), 1, 0
            def generate(self, prompts, max_new_tokens):
                Dying.calls += 1
                if Dying.calls == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                return list(prompts)

        journal = Journal(Path(sys.argv[1]))
        AnsweredModel(Dying(), journal).generate(["a", "bb", "ccc", "dddd"], 4)
    """
    path = tmp_path / "a.jsonl"
    words = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    assert subprocess.run(words, env=os.environ).returncode == -signal.SIGKILL
    model = Counted()
    AnsweredModel(model, Journal(path)).generate(["a", "bb", "ccc", "dddd"], 4)
    assert model.asked == ["ccc", "dddd"]
