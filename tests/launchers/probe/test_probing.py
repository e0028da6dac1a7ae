"""The command `tolman probe`: blocks, resume, what is left out, what is refused."""

import json
import signal

import numpy as np
import pytest

from tolman.launchers import cli
from tolman.launchers.probe.battery import Block, ProbeStudy
from tolman.launchers.probe.model import TextTooLongError
from tolman.launchers.runs.stopping import RunStopped
from tolman.launchers.studies import probing
from tolman.launchers.studies.probing import ProbeConfig, run_probe


def ask_two(name, model):
    first, second = model.score(["abc", "abc"], [" a", f" {name}"]).log_probability
    return [{"name": name, "value": first}, {"name": name, "value": second}]


def summarise(rows, findings):
    findings.table("All", ("name", "value"), [[r["name"], r["value"]] for r in rows])
    findings.check("there are rows", len(rows), "none", above=5)


def study_of(blocks, needs=frozenset({"score"})):
    return ProbeStudy("Title", "Paper", needs, lambda: blocks, summarise)


@pytest.fixture
def tiny(tiny_files, tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "model.bin").write_bytes((tiny_files / "untied.bin").read_bytes())
    (folder / "tok.bin").write_bytes((tiny_files / "tokenizer.bin").read_bytes())
    return folder


@pytest.fixture
def given(tiny, tmp_path, monkeypatch):
    """A way to run one battery of given blocks, and what the blocks were asked."""
    asked = []

    def block(name, fails=False):
        def ask(model):
            asked.append(name)
            if fails:
                raise KeyboardInterrupt
            return ask_two(name, model)

        return Block(name, ask)

    def run(*blocks, needs=frozenset({"score"}), out="out", **settings):
        monkeypatch.setattr(probing, "_find", lambda name: study_of(blocks, needs))
        own = {"study": ("s/one",), "model": str(tiny), "answers": tmp_path / "answers"}
        return run_probe(ProbeConfig(out=tmp_path / out, **{**own, **settings}))

    return run, block, asked


def result_of(tmp_path):
    return json.loads((tmp_path / "out/s.one/result.json").read_text())


def test_a_battery_goes_on_where_it_was_broken_off(given, tmp_path, capsys):
    run, block, asked = given
    with pytest.raises(RunStopped, match=r"so far is on disk\. Go on .* --out .*/out$"):
        run(block("a"), block("b", fails=True), block("c"))
    trials = tmp_path / "out/s.one/trials.jsonl"
    lines = trials.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["block"] for line in lines] == ["a", "a"]
    trials.write_bytes(lines[0] + lines[1][:-9])  # A block of which one row is missing.
    assert run(block("a"), block("b"), block("c")) == 0
    assert asked == ["a", "b", "a", "b", "c"]
    names = [row[0] for row in result_of(tmp_path)["tables"][0]["rows"]]
    assert names == ["a", "a", "b", "b", "c", "c"]
    told = capsys.readouterr().out
    assert "2 questions sent" in told and " tokens scored; 0 of them saved (0%)" in told
    assert run(block("a"), block("b"), block("c")) == 0
    assert asked == ["a", "b", "a", "b", "c"]
    assert "0 questions sent" in capsys.readouterr().out
    assert "Title" in (tmp_path / "out/report.html").read_text()


def test_the_mark_of_a_battery_that_is_broken_is_told(given, tmp_path):
    run, block, asked = given
    run(block("a"))
    marker = tmp_path / "out" / probing.MARKER
    content = marker.read_text()
    marker.write_text(content[:-9])
    with pytest.raises(ValueError, match=r"its probe.json is broken.* is kept in --answer"):
        run(block("a"))
    # A process that is killed before the mark has its name leaves no battery.
    for path in sorted((tmp_path / "out").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "out" / f"{probing.MARKER}.unfinished").write_text(content[:-9])
    run(block("a"))
    assert marker.read_text() == content and asked == ["a", "a"]


def test_a_study_of_texts_that_are_too_long_is_left_out(given, capsys, monkeypatch):
    run, block, _ = given

    def too_long(model):
        raise TextTooLongError("has 60 tokens: must have at most 40")

    with pytest.raises(TextTooLongError):
        run(block("a"), Block("b", too_long))
    monkeypatch.setattr(probing, "registered", lambda group: ["s/one"])
    with pytest.raises(ValueError, match="no study is possible on this model"):
        run(block("a"), Block("b", too_long), study=())
    assert "Left out: s/one: has 60 tokens" in capsys.readouterr().out


def test_another_battery_on_the_same_model_asks_nothing_again(given, capsys):
    run, block, asked = given
    run(block("a"))
    assert "1 questions sent" in capsys.readouterr().out
    run(block("a"), out="other")
    assert asked == ["a", "a"] and "0 questions sent" in capsys.readouterr().out


def test_the_exit_code_tells_of_a_check_that_failed(given):
    run, block, _ = given
    assert run(block("a")) == 1


def test_what_a_model_cannot_be_asked_is_refused_or_left_out(given, monkeypatch, capsys):
    run, block, _ = given
    monkeypatch.setattr(
        "tolman.launchers.probe.haiku_model.HaikuModel.abilities", frozenset({"generate"})
    )
    with pytest.raises(ValueError, match=r"--study s/one: needs score; this model"):
        run(block("a"))
    with pytest.raises(ValueError, match="no study is possible on this model"):
        run(block("a"), study=())
    assert "Left out: llm_probe/content_effects: needs score" in capsys.readouterr().out


def test_another_model_or_something_else_in_the_folder_is_refused(given, tmp_path):
    run, block, _ = given
    run(block("a"))
    with pytest.raises(ValueError, match="holds a battery on another model"):
        run(block("a"), dtype="bfloat16")
    (tmp_path / "else").mkdir()
    (tmp_path / "else/x").touch()
    with pytest.raises(ValueError, match="exists and holds no battery"):
        run(block("a"), out="else")
    with pytest.raises(ValueError, match=r"--out .*x: is a file: must be a folder"):
        run(block("a"), out="else/x")
    with pytest.raises(
        ValueError, match=r"cannot be made .Not a direc.*Choose another --answers"
    ):
        run(block("a"), out="new", answers=tmp_path / "else/x")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_battery_with_one_line(
    tiny, tmp_path, monkeypatch, capsys, number, code
):
    def ask(model):
        signal.raise_signal(number)

    monkeypatch.setattr(probing, "_find", lambda name: study_of([Block("a", ask)]))
    words = [str(tiny), "--study", "s/one", "--out", str(tmp_path / "out")]
    assert cli.main(["probe", *words, "--answers", str(tmp_path / "answers")]) == code
    assert capsys.readouterr().err.splitlines()[-1] == (
        "tolman: error: interrupted, every answer so far is on disk. Go on with the same "
        f"command and --out {tmp_path / 'out'}"
    )
    # While the model is opened there is no folder yet.
    monkeypatch.setattr(probing, "open_model", ask)
    assert cli.main(["probe", *words]) == code
    assert capsys.readouterr().err == "tolman: error: interrupted.\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "no such file or folder"),
        (["{folder}"], "must hold one checkpoint of llama2.c"),
        (["{folder}/items.jsonl"], "is a .jsonl file: must be a model. Give a folder or"),
        (["{folder}/broken.bin"], "has 3 bytes, no header of llama2.c"),
        (["{folder}", "--study", "llm_probe/content_effect"], "did you mean"),
        (["{folder}", "--dtype", "int8"], "dtype"),
        ([], "MODEL"),
    ],
)
def test_mistakes_are_told_in_one_line(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/tok.bin").touch()
    (tmp_path / "folder/items.jsonl").touch()
    (tmp_path / "folder/broken.bin").write_bytes(b"abc")
    if words == ["{folder}"]:
        (tmp_path / "folder/second.bin").touch()
    words = [word.format(folder=tmp_path / "folder") for word in words]
    assert cli.main(["probe", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told.lower() in line.lower()


def test_content_effects_end_to_end(tiny, tmp_path, monkeypatch):
    """A tiny context: most is left out, and said so; the rest is in the report."""
    from tolman.launchers.studies.llm_probe import content_effects

    monkeypatch.setattr(content_effects, "NUM_DRAWS", 20)
    found = {
        "abilities": frozenset({"score", "first token"}),
        "questions_at_once": 1000,
        "tally": None,
    }

    class Logical:
        """Says what is right of syllogisms; of the rest the first answer."""

        def score(self, prompts, continuations):
            from tolman.launchers.probe.model import Scores, TextTooLongError

            if max(map(len, prompts)) > 1500:
                raise TextTooLongError("too long")
            right = {
                item.prompt: item.options[item.right]
                for item in content_effects.syllogism_items()
            }
            pairs = zip(prompts, continuations, strict=True)
            value = [float(right.get(p) == c) for p, c in pairs]
            return Scores(np.array(value), np.ones(len(value), np.int64))

    model = type("Model", (Logical,), found)()
    opened = probing.Opened(model, {"model": "logical"})
    monkeypatch.setattr(probing, "open_model", lambda config: opened)
    config = ProbeConfig(
        "logical",
        study=("llm_probe/content_effects",),
        out=tmp_path / "out",
        answers=tmp_path / "answers",
    )
    assert run_probe(config) == 0
    folder = tmp_path / "out/llm_probe.content_effects"
    result = json.loads((folder / "result.json").read_text())
    shares = {tuple(row[:4]): row[5] for row in result["tables"][0]["rows"]}
    for condition in ("consistent", "violate", "nonsense"):
        assert shares["syllogisms", 0, "corrected", condition] == 1.0
    assert shares["Wason's cards", 0, "raw", "arbitrary"] == pytest.approx(1 / 6, abs=0.1)
    effects = {tuple(row[:3]): row[3:] for row in result["tables"][1]["rows"]}
    assert effects[0, "raw", "validity"][0] > 4
    assert abs(effects[0, "raw", "belief"][0]) < 0.01
    assert effects[0, "raw", "validity"][2] == "share +1.000 to +1.000"
    assert any("Wason's cards, 5 examples: 216 of 216" in note for note in result["notes"])
    assert {path.name for path in (folder / "figures").glob("*.png")} == {
        "accuracy.png", "called_valid.png"
    }  # fmt: skip
    rows = [json.loads(line) for line in (folder / "trials.jsonl").open()]
    assert len(rows) == 3 * (234 + 144 + 216)
