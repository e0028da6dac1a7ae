"""A model in a folder and behind an endpoint: equal numbers, and no text sent twice."""

import dataclasses
import json
import os
import re
import signal
import string
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from loopback import Loopback, served

from tolman.agents.llm_probe.content_effects.nli import nli_items
from tolman.agents.llm_probe.content_effects.syllogisms import syllogism_items
from tolman.envs.data import data_set
from tolman.launchers.probe.characters import CharacterTokenizer
from tolman.launchers.probe.endpoint import PROBE_TEXT
from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.probe.opening import ModelConfig, open_model
from tolman.launchers.probe.own_folder import save_model
from tolman.launchers.studies.llm_probe.glasses import random_params
from tolman.launchers.studies.probing import ProbeConfig, run_probe
from tolman.networks.language import LanguageModelConfig

STUDY = "llm_probe/content_effects"
COMMAND = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


class Killing(Loopback):
    """Kills the process that asks, once, when it has sent so many texts."""

    def __init__(self, model, number, **told):
        super().__init__(model, **told)
        self.number, self.asks, self.last = number, None, None

    def answer(self, body):
        if self.last is None and len(self.asked) == self.number:
            self.last = body
            self.asks.send_signal(signal.SIGKILL)
        return super().answer(body)


def asked_until_killed(model, settings, folder, number, **told):
    """Answers a battery that is killed in the middle and goes on; gives what was sent."""
    loopback = Killing(model, number, **told)
    with served(loopback) as url:
        words = ["probe", url, "--out", str(folder / "out"),
                 "--answers", str(folder / "kept")]  # fmt: skip
        for name, value in settings.items():
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{name}", *map(str, values)]
        loopback.asks = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words], env=os.environ,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert loopback.asks.wait() == -signal.SIGKILL
        before = (folder / "out" / STUDY.replace("/", ".") / "trials.jsonl").read_bytes()
        config = ProbeConfig(url, out=folder / "out", answers=folder / "kept", **settings)
        assert run_probe(config) == 0
    after = (folder / "out" / STUDY.replace("/", ".") / "trials.jsonl").read_bytes()
    assert after.startswith(before) and len(before) < len(after)
    return loopback


def both_doors(path, settings, folder, number, **told):
    """Asks a model through its folder and through an endpoint, and compares all."""
    opened = open_model(ModelConfig(str(path)))
    config = ProbeConfig(
        str(path), out=folder / "own/out", answers=folder / "own/kept", **settings
    )
    assert run_probe(config) == 0
    loopback = asked_until_killed(opened.model, settings, folder / "other", number, **told)
    own, other = (found(folder / door / "out") for door in ("own", "other"))
    furthest = compare(own, other)
    # Each opening asks what the endpoint can do. The text that was on its way when the
    # process was killed got no answer; it is the only one that is sent again.
    sent = Counter(
        one["prompt"] for one in loopback.asked if not one["prompt"].startswith(PROBE_TEXT)
    )
    assert {text for text, count in sent.items() if count > 1} == {loopback.last["prompt"]}
    assert sent[loopback.last["prompt"]] == 2
    assert all(one["temperature"] == 0 for one in loopback.asked)
    return len(sent), own, furthest, loopback.reader


def found(folder):
    own = folder / STUDY.replace("/", ".")
    rows = [json.loads(line) for line in (own / "trials.jsonl").open()]
    return rows, json.loads((own / "result.json").read_text())["tables"]


def compare(own, other):
    """Gives the largest difference of two scores, in nats."""
    furthest = 0.0
    assert len(own[0]) == len(other[0])
    for one, same in zip(own[0], other[0], strict=True):
        assert one.keys() == same.keys()
        for key in one.keys() - {"left_out"}:
            if key in ("log_probability", "baseline"):
                furthest = max(furthest, np.abs(np.subtract(one[key], same[key])).max())
            else:
                assert one[key] == same[key]
    assert furthest < 1e-4
    for one, same in zip(own[1], other[1], strict=True):
        text, text_of_same = json.dumps(one), json.dumps(same)
        assert NUMBER.sub("", text) == NUMBER.sub("", text_of_same)
        numbers, same_numbers = (
            [float(number) for number in NUMBER.findall(told)]
            for told in (text, text_of_same)
        )
        np.testing.assert_allclose(numbers, same_numbers, rtol=1e-3, atol=2e-3)  # Rounded.
    return furthest


@pytest.fixture
def characters_model(tmp_path):
    """A small random model of characters in a folder of its own."""
    tokenizer = CharacterTokenizer(string.printable)
    settings = LanguageModelConfig(
        vocabulary_size=tokenizer.vocabulary_size, max_length=1024, hidden_size=8,
        num_layers=1, num_heads=2, num_key_value_heads=1, mlp_size=12,
    )  # fmt: skip
    save_model(
        tmp_path / "model", HaikuModel(settings, random_params(settings, 1), tokenizer)
    )
    return tmp_path / "model"


def test_part_of_content_effects_by_two_doors(characters_model, tmp_path):
    items, counts = [], Counter()
    seen = set()
    for item in (*nli_items(), *syllogism_items()):
        kind = item.condition, item.is_believable is None
        if counts[kind] < 4 and (item.condition, item.group) not in seen:
            counts[kind] += 1
            seen.add((item.condition, item.group))
            items.append(json.dumps(dataclasses.asdict(item)) + "\n")
    path = tmp_path / "items.jsonl"
    path.write_text("".join(items))
    # A server that keeps the last text alone, as one with a single slot.
    number, own, _, reader = both_doors(
        characters_model, {"items": path}, tmp_path, 60, num_kept=1
    )
    assert number > 120 and len(own[0]) == 2 * len(items)
    assert not any("left_out" in row for row in own[0])
    # Texts that begin alike were sent one after the other.
    assert reader.num_read < 0.25 * reader.num_asked


@pytest.mark.slow
@pytest.mark.skipif(data_set("stories260K") is None, reason="stories260K is not there")
def test_all_of_content_effects_by_two_doors(tmp_path):
    folder = data_set("stories260K")
    number, own, furthest, reader = both_doors(folder, {"study": (STUDY,)}, tmp_path, 2_000)
    left_out = sum("left_out" in row for row in own[0])
    print(f"{number} texts, {len(own[0])} trials, {left_out} of them left out")
    print(f"the server read {reader.num_read} of {reader.num_asked} tokens")
    print(f"largest difference of two scores: {furthest:.2g} nats")
    assert number > 4_000 and len(own[0]) == 3 * (234 + 144 + 216)
