"""The benchmark of scoring: what it compares, and what it needs."""

import sys

import numpy as np
import pytest

from tolman.launchers.benches import bench, probe
from tolman.launchers.measuring import turns


def test_what_is_missing_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"bench probe: needs transformers and torch\."):
        bench.run_bench("probe", as_json=False)


def test_texts_share_no_beginning_or_all_of_their_examples():
    alone = [prompt for prompt, _ in probe.random_pairs()]
    assert len({prompt[:12] for prompt in alone}) == len(alone) == probe.NUM_TEXTS
    assert min(map(len, alone)) < 100 < 300 < max(map(len, alone))
    shared = probe.few_shot_pairs()
    assert len(shared) == probe.NUM_TEXTS
    assert len({prompt for prompt, _ in shared}) == probe.NUM_TEXTS // 2
    assert {option for _, option in shared} == {" valid", " invalid"}
    assert all(prompt.count("Answer:") == 3 for prompt, _ in shared)


def test_both_score_the_same_and_what_is_shared_is_saved(monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.setattr(turns, "SECONDS_PER_SAMPLE", 0.0)
    for name, value in (("HIDDEN_SIZE", 8), ("NUM_LAYERS", 1), ("NUM_HEADS", 2),
                        ("NUM_TEXTS", 6), ("NUM_ROUNDS", 1)):  # fmt: skip
        monkeypatch.setattr(probe, name, value)
    rows = probe.run()
    assert [(row["model"], row["texts"]) for row in rows] == [
        (kind, texts) for kind in ("gpt2", "llama")
        for texts in ("random words", "behind two examples")
    ]  # fmt: skip
    size = sum(len(prompt + rest) for prompt, rest in probe.random_pairs())
    for row in rows:
        assert row["ratio"] == pytest.approx(row["seconds"] / row["bare seconds"], abs=0.6)
        assert 0 <= row["padding"] < 0.6
        if row["texts"] == "random words":  # A token is a byte.
            assert (row["tokens"], row["tokens saved"]) == (size, 0)
        else:
            assert row["tokens saved"] > row["tokens"] / 2


def test_scores_that_differ_are_told(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    for name, value in (("HIDDEN_SIZE", 8), ("NUM_LAYERS", 1), ("NUM_HEADS", 2)):
        monkeypatch.setattr(probe, name, value)
    monkeypatch.setattr(probe.Bare, "score", lambda self, pairs: np.zeros(len(pairs)))
    with pytest.raises(ValueError, match=r"scores of gpt2 are .* nats apart"):
        probe.measure("gpt2", tmp_path / "gpt2", "random", probe.random_pairs()[:2])
