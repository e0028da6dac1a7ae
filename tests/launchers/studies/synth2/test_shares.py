"""The share of human pairs that is enough, stages that are kept, and a study killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny_synth2 import TINY

from tolman.agents.synth2.pairs import MixedPairs, make_pairs
from tolman.agents.synth2.tokenizer import Tokenizer, TokenizerConfig
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2.arms import Scores
from tolman.launchers.studies.synth2.captions import _check_enough
from tolman.launchers.studies.synth2.diversity import ordered
from tolman.launchers.studies.synth2.diversity import report as report_order
from tolman.launchers.studies.synth2.human_share import (
    equal_share,
    first_of,
    report,
    run_setting,
    share_that_equals,
)
from tolman.launchers.studies.synth2.setting import ShareOptions
from tolman.launchers.studies.synth2.stored import settings_of, trained

SHARES = (0.1, 0.5, 1.0)
TESTS = str(Path(__file__).resolve().parents[3])


@pytest.fixture
def study(tmp_path):
    return Study("synth2/toy", "toy", "-", True, 0, Path(tmp_path))


@pytest.mark.parametrize(
    ("scores", "wanted", "share"),
    [
        ((1.0, 2.0, 3.0), 1.5, 0.3),  # Half the way from 0.1 to 0.5.
        ((1.0, 2.0, 3.0), 2.25, 0.625),
        ((1.0, 2.0, 3.0), 0.5, 0.1),
        ((1.0, 2.0, 3.0), 3.0, 1.0),
        ((1.0, 2.0, 3.0), 3.1, float("inf")),
        ((1.0, 3.0, 2.0), 2.0, 0.3),  # The first crossing.
    ],
)
def test_the_share_that_is_enough(scores, wanted, share):
    assert share_that_equals(SHARES, scores, wanted) == pytest.approx(share)


def test_the_interval_of_a_share_knows_none():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, (4, 3, 200))
    both = [level + one for level, one in zip((1.0, 2.0, 3.0), noise, strict=False)]
    found = equal_share(SHARES, both, 1.5 + noise[3])
    assert found.value == pytest.approx(0.3, abs=0.01)
    assert 0.29 < found.low < found.value < found.high < 0.31
    never = equal_share(SHARES, both, 4.0 + noise[3])
    assert never == (float("inf"),) * 3
    close = equal_share(SHARES, both, 3.0 + noise[3])
    assert close.low < 1.0 and close.high == float("inf")


def test_smaller_shares_lie_in_larger_ones():
    pairs = make_pairs(np.arange(40)[:, None], np.arange(40)[:, None])
    assert first_of(pairs, 0.05).tokens.ravel().tolist() == [0, 1]
    assert len(first_of(pairs, 1.0).captions) == 40 and len(first_of(pairs, 1e-3)[0]) == 1


def scores_of(level, is_held_out):
    cider = np.full((2, 6), level) * (1.0 - 0.5 * is_held_out)
    return Scores(cider > 1, cider, np.ones(2), [], is_held_out, 0.0)


def test_the_report_of_shares_says_where_the_curves_meet(study):
    held_out = np.arange(6) > 3
    levels = {("human", s): s for s in SHARES}
    levels |= {("human + synthetic", s): s + 0.2 for s in SHARES}
    scores = {key: scores_of(level, held_out) for key, level in levels.items()}
    report(study, SHARES, scores, [0.3, 0.4, 0.5])
    # 1.2 at a share of 1 and 0.7 at 0.5: 1.0 is reached at 0.8.
    assert "at 80% of the human pairs (95 %: 80% to 80%)" in study.notes[0]
    assert study.checks[0].measured == pytest.approx(0.8) and study.checks[0].passed
    row = study.tables[0]["rows"][0]
    assert row[0] == "10%" and row[3].startswith("3.00") and row[-1] == "0.300"
    assert (study.folder / "figures" / "shares.png").exists()


def test_the_order_is_told_whatever_it_is(study):
    held_out = np.arange(6) > 3
    levels = {"human": 1.0, "class-prompted": 2.0, "unprompted": 2.5, "narrow": 1.5}
    entropies = {"class-prompted": 0.9, "unprompted": 0.8, "narrow": 0.1}
    report_order(study, {n: scores_of(v, held_out) for n, v in levels.items()}, entropies)
    assert study.notes == [
        "By entropy: class-prompted, unprompted, narrow. "
        "By CIDEr-D: unprompted, class-prompted, narrow."
    ]
    steps = study.tables[1]["rows"]
    assert [row[:2] for row in steps] == [
        ["unprompted", "class-prompted"], ["class-prompted", "narrow"]
    ]  # fmt: skip
    assert steps[0][2].startswith("1.25") and study.checks[0].passed
    assert ordered(["a", "b"], {"a": 1.0, "b": 2.0}) == ["b", "a"]


@pytest.mark.parametrize(("kept", "read"), [(0, 50), (5, 19)])
def test_a_writer_that_writes_nothing_is_told(kept, read):
    with pytest.raises(ValueError, match="Train the caption writer for longer") as caught:
        _check_enough("narrow", kept, read, 60)
    assert f"narrow captions: of 60 {read} can be read and {kept} name" in str(caught.value)
    _check_enough("narrow", 1, 20, 60)


class Asked:
    """Stands for a study: writes down what it is asked to train."""

    seed = 0

    def __init__(self):
        self.labels = []

    def fit(self, label, *rest):
        self.labels.append(label)


def test_a_stage_is_named_by_what_goes_into_it():
    asked, rows = Asked(), np.arange(6)[:, None]
    pairs = make_pairs(rows, rows)
    agent, other = (Tokenizer(TokenizerConfig(num_codes=k)) for k in (4, 8))
    assert settings_of(agent) == settings_of(Tokenizer(TokenizerConfig(num_codes=4)))
    assert " at 0x" not in settings_of(agent)
    coded = Tokenizer(TokenizerConfig(num_codes=4))
    coded.codebook = np.ones(3)
    for one, source, updates in (
        (agent, MixedPairs(pairs), 5), (agent, MixedPairs(pairs), 5),
        (other, MixedPairs(pairs), 5), (agent, MixedPairs(pairs), 6),
        (agent, MixedPairs(make_pairs(rows[::-1], rows)), 5), (coded, MixedPairs(pairs), 5),
    ):  # fmt: skip
        trained(asked, "one", one, source, updates, 1)
    asked.seed = 1
    trained(asked, "one", agent, MixedPairs(pairs), 5, 1)
    assert asked.labels[0] == asked.labels[1] and len(set(asked.labels)) == 6
    assert asked.labels[0].startswith("one-")


def test_stages_lie_where_studies_share_them(study, tmp_path):
    assert study.kept == study.folder
    study.stages = tmp_path / "shared"
    assert study.kept == tmp_path / "shared"


def run_tiny(folder: Path, stages: Path) -> Study:
    """A study of the tiny setting, in a folder of its own."""
    study = Study("synth2/human_share", "toy", "-", True, 0, folder)
    options = ShareOptions("single", num_human=40, stages=str(stages))
    run_setting(study, options, TINY, (0.5, 1.0))
    study.write()
    return study


@pytest.mark.slow
def test_a_study_killed_anywhere_ends_as_an_unbroken_one(tmp_path):
    whole = run_tiny(tmp_path / "whole", tmp_path / "stages")
    folders = tmp_path / "broken", tmp_path / "other"
    code = (
        "import runpy, sys; from pathlib import Path; "
        f"sys.path.insert(0, {TESTS!r}); "
        f"run = runpy.run_path({__file__!r})['run_tiny']; "
        f"run(Path({str(folders[0])!r}), Path({str(folders[1])!r}))"
    )
    made: set[str] = set()
    for _ in range(20):
        run = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.DEVNULL, text=True,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        # Killed as soon as there is anything that was not there before.
        while run.poll() is None and not (now_made := _made(folders[1])) - made:
            time.sleep(0.02)
        if run.poll() is not None:
            break
        run.send_signal(signal.SIGKILL)
        run.wait()
        made |= now_made
    assert run.returncode == 0, run.communicate()[1]
    assert len(made) > 5
    again = run_tiny(*folders)
    assert again.checks == whole.checks and again.tables == whole.tables
    assert jax.tree.all(
        jax.tree.map(
            np.array_equal, _arrays(tmp_path / "stages"), _arrays(tmp_path / "other")
        )
    )


def _made(folder: Path) -> set[str]:
    """Stages and arrays that are begun."""
    return {path.name for part in ("training", "made") for path in folder.glob(f"{part}/*")}


def _arrays(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    return {
        path.name: dict(np.load(path)) for path in sorted((folder / "made").glob("*.npz"))
    }
