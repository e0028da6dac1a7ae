"""A user's own questions: read, refused with the line's number, put to a model."""

import json
from collections import Counter

import numpy as np
import pytest

from tolman.launchers import cli
from tolman.launchers.probe.item_file import read_items
from tolman.launchers.probe.model import Scores, TextTooLongError
from tolman.launchers.studies import probing
from tolman.launchers.studies.probing import ProbeConfig, run_probe

ROW = {
    "prompt": "Is a puddle larger than a sea?\nAnswer:",
    "options": [" yes", " no"],
    "right": 1,
    "condition": "consistent",
    "group": "puddles",
}


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_file_by_hand(tmp_path):
    other = {
        **ROW,
        "prompt": "Q:",
        "baseline": ":",
        "is_valid": True,
        "is_believable": False,
    }
    first, second = read_items(write(tmp_path / "own.jsonl", ROW, "", other))
    assert (first.prompt, first.baseline) == (ROW["prompt"], "\nAnswer:")
    assert (first.options, first.right, first.group) == ((" yes", " no"), 1, "puddles")
    assert (first.is_valid, first.is_believable) == (None, None)
    assert (second.baseline, second.is_valid, second.is_believable) == (":", True, False)
    line = {**ROW, "prompt": "One line:"}
    assert read_items(write(tmp_path / "own.jsonl", line))[0].baseline == "One line:"
    line = {**ROW, "prompt": "Q\nAnswer:\n"}  # Its last line is the one with words.
    assert read_items(write(tmp_path / "own.jsonl", line))[0].baseline == "\nAnswer:\n"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{", "is not JSON"),
        ("[1]", r"is '\[1\]': must be an object"),
        ({**ROW, "promt": "a"}, r"key 'promt' is unknown \(did you mean 'prompt'\?\)"),
        ({k: v for k, v in ROW.items() if k != "right"}, "'right' is missing"),
        ({**ROW, "prompt": " "}, "prompt is '\" \"': must be text"),
        ({**ROW, "options": [" yes"]}, "options is .*: must be two or more different"),
        ({**ROW, "options": [" yes", " yes"]}, "must be two or more different texts"),
        ({**ROW, "options": " yes"}, "must be two or more different texts"),
        ({**ROW, "right": 2}, "right is '2': must be a whole number from 0 to 1"),
        ({**ROW, "right": True}, "must be a whole number from 0 to 1"),
        ({**ROW, "condition": "other"}, "must be one of consistent, violate, nonsense"),
        ({**ROW, "is_valid": 1}, "is_valid is '1': must be true or false"),
        ({**ROW, "is_believable": True}, "is_valid is 'null': must be given with"),
        ({**ROW, "is_valid": True, "options": ["a", "b", "c"]}, "must be two, as is_valid"),
        ({**ROW, "baseline": "Answer"}, "must be text, the end of the prompt"),
        ({**ROW, "group": 3}, "group is '3': must be text"),
        (ROW, "is the question of line 1 again"),
        (json.dumps(ROW)[:-1] + ', "right": 0}', "is not JSON .key 'right' is there twice"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_mistakes_are_told_with_their_line(row, told, tmp_path):
    path = write(tmp_path / "own.jsonl", ROW, row)
    with pytest.raises(ValueError, match=rf"own.jsonl, line 2: .*{told}"):
        read_items(path)


def test_a_mark_of_the_byte_order_and_other_ends_of_lines_are_read(tmp_path):
    row = {**ROW, "prompt": "One\u2028line\x85?\nAnswer:"}
    path = tmp_path / "own.jsonl"
    text = "\ufeff" + json.dumps(row, ensure_ascii=False) + "\r\n"
    path.write_bytes(text.encode())
    assert read_items(path)[0].prompt == row["prompt"]


def test_files_that_hold_nothing(tmp_path):
    path = tmp_path / "own.jsonl"
    with pytest.raises(ValueError, match=r"cannot be read \(No such file"):
        read_items(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_items(path)
    with pytest.raises(ValueError, match="has no question"):
        read_items(write(path, ""))


class First:
    """Likes the first option of all."""

    abilities = frozenset({"score", "first token"})
    questions_at_once, tally = 1000, None

    def __init__(self):
        self.prompts = []

    def score(self, prompts, continuations):
        self.prompts += prompts
        value = [0.0 if one.endswith(" yes") else -1.0 for one in continuations]
        return Scores(np.array(value), np.ones(len(value), np.int64))


def test_a_model_is_asked_them(tmp_path, monkeypatch):
    rows = [
        {**ROW, "prompt": f"Is {kind} {n} right?\nAnswer:", "group": f"{n}",
         "condition": condition, "right": n % 2}
        for n in range(4)
        for kind, condition in (("this", "consistent"), ("that", "violate"))
    ]  # fmt: skip
    path = write(tmp_path / "own.jsonl", *rows)
    model = First()
    opened = probing.Opened(model, {"model": "first"})
    monkeypatch.setattr(probing, "open_model", lambda config: opened)
    at = {"out": tmp_path / "out", "answers": tmp_path / "answers"}
    assert run_probe(ProbeConfig("first", items=path, **at)) == 0
    # Four groups leave two for examples, and none for five.
    examples = {prompt.count("\n\n") for prompt in model.prompts}
    assert examples == {0, 2}
    result = json.loads(
        (tmp_path / "out/llm_probe.content_effects/result.json").read_text()
    )
    shares = {tuple(row[:4]): row[4:6] for row in result["tables"][0]["rows"]}
    assert shares["own.jsonl", 0, "raw", "violate"] == [4, 0.5]
    assert {row[0] for row in result["tables"][0]["rows"]} == {"own.jsonl"}
    (sure,) = [table for table in result["tables"] if "confidence goes" in table["title"]]
    assert [row[2] for row in sure["rows"][:3]] == ["intercept", "right", "against belief"]
    # Another content of the file is other questions, in the same folder.
    write(path, {**ROW, "prompt": "Other?"}, *rows[1:])
    model.prompts.clear()
    assert run_probe(ProbeConfig("first", items=path, **at)) == 0
    assert "Other?" in model.prompts


def test_what_is_too_long_is_left_out_alone(tmp_path, monkeypatch):
    """The others of its block are answered, and no text that was read is read again."""
    rows = [{**ROW, "prompt": f"{'long ' * 9 * (n == 2)}Is {n} so?\nAnswer:",
             "group": f"{n}"} for n in range(4)]  # fmt: skip

    class Short(First):
        def score(self, prompts, continuations):
            if max(map(len, prompts)) > 40:
                raise TextTooLongError("has 60 tokens: must have at most 40")
            return super().score(prompts, continuations)

    model = Short()
    model.questions_at_once = 1
    opened = probing.Opened(model, {"model": "short"})
    monkeypatch.setattr(probing, "open_model", lambda config: opened)
    path = write(tmp_path / "own.jsonl", *rows)
    at = {"out": tmp_path / "out", "answers": tmp_path / "answers"}
    assert run_probe(ProbeConfig("short", items=path, **at)) == 0
    trials = tmp_path / "out/llm_probe.content_effects/trials.jsonl"
    left_out = [row.get("left_out") for row in map(json.loads, trials.open())]
    too_long = "has 60 tokens: must have at most 40"
    assert left_out[:4] == [None, None, too_long, None]
    assert max(Counter(model.prompts).values()) == 2  # Two options each.


def test_a_study_without_items_refuses_them(tmp_path, capsys):
    path = write(tmp_path / "own.jsonl", ROW)
    words = ["probe", "x", "--items", str(path), "--study", "llm_probe/counting"]
    assert cli.main(words) == 2
    assert "llm_probe/counting takes no items of yours" in capsys.readouterr().err
