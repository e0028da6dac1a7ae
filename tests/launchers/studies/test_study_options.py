"""The words that a study's options are told in are the ones that give them again."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from tolman.launchers.studies import options as study_options
from tolman.launchers.studies.options import option_words, parse_study


@dataclass(frozen=True)
class Options:
    rates: tuple[float, ...] = ()
    names: tuple[str, ...] = ("a",)
    controls: bool = True
    shuffled: bool = False
    cores: str = ""
    num_seeds: int = 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(), []),
        (Options(rates=(0.1, 3e-4)), ["--rates", "0.1", "0.0003"]),
        (Options(names=("b", "c d")), ["--names", "b", "c d"]),
        (
            Options(controls=False, shuffled=True, num_seeds=1),
            ["--no-controls", "--shuffled", "--num-seeds", "1"],
        ),
        (Options(cores="gru,lstm"), ["--cores", "gru,lstm"]),
    ],
)
def test_options_as_words_and_back(monkeypatch, options, words):
    assert option_words(options) == words
    module = SimpleNamespace(TITLE="", PAPER="", run=None, Options=Options)
    monkeypatch.setattr(study_options, "find_study", lambda name: module)
    assert parse_study(["mine:study", *words])[1] == options


def test_what_selects_parts_is_left_out():
    assert option_words(Options(cores="gru", num_seeds=1), ["cores"]) == [
        "--num-seeds",
        "1",
    ]
    assert option_words(None) == []
