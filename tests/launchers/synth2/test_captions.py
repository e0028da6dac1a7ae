"""Captions of a model behind an endpoint on this machine, and of a folder."""

import socket

import numpy as np
import pytest
from loopback import Loopback, served

from tolman.agents.synth2.captions import CaptionPlan
from tolman.launchers.probe import endpoint
from tolman.launchers.probe.model import check_sampling
from tolman.launchers.probe.opening import ModelConfig, Opened, open_model
from tolman.launchers.synth2.captions import read_concepts, write_captions

CONCEPTS = ["dog", "red ring"]


class Parrot:
    """Says what it was asked for, but every fourth time something else."""

    abilities = frozenset({"generate"})
    questions_at_once = 4

    def __init__(self, fails_after=10**9):
        self.asked, self.fails_after = [], fails_after

    def generate(self, prompts, max_new_tokens, sampling=None):
        if sampling is None:
            return ["The sea"] * len(prompts)
        check_sampling(prompts, sampling)
        if len(self.asked) >= self.fails_after:
            raise ValueError("down")
        found = []
        for prompt, seed in zip(prompts, sampling.seeds, strict=True):
            self.asked.append((prompt, seed))
            concept = next((one for one in CONCEPTS if f": {one}." in prompt), "thing")
            about = "cat" if seed % 4 == 0 else concept
            found.append(f' "A {about} number {seed % 50} is here."\nSure')
        return found

    def hidden_states(self, prompts):
        raise AssertionError

    first_token = hidden_states


def opened(model):
    return Opened(model, {"parrot": 1})


def test_captions_are_cleaned_filtered_and_told_with_their_concepts(tmp_path):
    model = Parrot()
    plan = CaptionPlan(num_captions=200)
    found = write_captions(opened(model), plan, CONCEPTS, tmp_path)
    assert found.num_sent == len(set(model.asked)) == 200
    is_cat = np.mean([seed % 4 == 0 for _, seed in model.asked])
    assert found.share_named == pytest.approx(1 - is_cat)
    assert found.removed["concept missing"] == round(200 * is_cat)
    assert len(found.captions) + sum(found.removed.values()) == 200
    assert len(set(found.captions)) == len(found.captions) == len(found.concepts)
    for caption, concept in zip(found.captions, found.concepts, strict=True):
        assert caption.startswith(f"A {CONCEPTS[concept]} number")
        assert caption.endswith("is here.")


def test_no_prompt_is_sent_twice_and_a_broken_plan_goes_on(tmp_path):
    plan = CaptionPlan(num_captions=20)
    dying = Parrot(fails_after=8)
    with pytest.raises(ValueError, match="down"):
        write_captions(opened(dying), plan, CONCEPTS, tmp_path)
    model = Parrot()
    found = write_captions(opened(model), plan, CONCEPTS, tmp_path)
    assert len(dying.asked) == 8 and found.num_sent == len(model.asked) == 12
    assert not set(dying.asked) & set(model.asked)
    again = write_captions(opened(model), plan, CONCEPTS, tmp_path)
    assert again.num_sent == 0 and again.captions == found.captions
    whole = write_captions(opened(Parrot()), plan, CONCEPTS, tmp_path / "other")
    assert whole.captions == found.captions


def test_seeds_and_plans_draw_other_captions(tmp_path):
    plan = CaptionPlan(num_captions=30)
    first = write_captions(opened(Parrot()), plan, CONCEPTS, tmp_path)
    second = write_captions(opened(Parrot()), plan, CONCEPTS, tmp_path, seed=1)
    assert second.num_sent == 30 and first.captions != second.captions
    plan = CaptionPlan("unprompted", 30)
    found = write_captions(opened(Parrot()), plan, [], tmp_path)
    assert set(found.concepts.tolist()) == {-1} and found.share_named == 1.0


def test_an_endpoint_is_asked_for_captions(tmp_path):
    loopback = Loopback(Parrot(), has_echo=False, has_logprobs=False)
    plan = CaptionPlan(num_captions=5)
    with served(loopback) as url:
        config = ModelConfig(url)
        found = write_captions(open_model(config), plan, CONCEPTS, tmp_path)
        assert found.num_sent == 5
        assert all("number" in caption for caption in found.captions) and found.captions
        seeds = [body["seed"] for body in loopback.asked if "seed" in body]
        assert len(set(seeds)) == 5
        assert write_captions(open_model(config), plan, CONCEPTS, tmp_path).num_sent == 0
        assert len([body for body in loopback.asked if "seed" in body]) == 5


@pytest.fixture
def is_quick(monkeypatch):
    monkeypatch.setattr(endpoint, "FIRST_WAIT_S", 0.001)


class Silent(Parrot):
    def generate(self, prompts, max_new_tokens, sampling=None):
        return [" \n"] * len(prompts)


def test_an_endpoint_that_answers_nothing_is_told(tmp_path):
    silent = Loopback(Silent(), has_echo=False, has_logprobs=False)
    told = pytest.raises(ValueError, match="5 of 5 captions are empty: the model answers")
    with served(silent) as url, told:
        write_captions(
            open_model(ModelConfig(url)), CaptionPlan(num_captions=5), CONCEPTS, tmp_path
        )


def test_an_endpoint_that_refuses_is_told(tmp_path, is_quick):
    loopback = Loopback(Parrot(), has_echo=False, has_logprobs=False)
    loopback.faults = [(401, {"error": {"message": "no key"}})]
    with served(loopback) as url, pytest.raises(ValueError, match="401 no key") as caught:
        write_captions(open_model(ModelConfig(url)), CaptionPlan(), CONCEPTS, tmp_path)
    assert "\n" not in str(caught.value)


def test_an_endpoint_that_is_down_is_told(tmp_path, is_quick):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ValueError, match=r"refused.*6 times"):
        model = open_model(ModelConfig(f"http://127.0.0.1:{port}/v1"))
        write_captions(model, CaptionPlan(), CONCEPTS, tmp_path)


def test_names_of_concepts_are_read(tmp_path):
    path = tmp_path / "concepts.txt"
    path.write_text("dog\n\n goldfish, Carassius auratus \n")
    assert read_concepts(path) == ["dog", "goldfish, Carassius auratus"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"\n \n", "has no names"), (b"\xff\xfe", "no text in UTF-8")],
)
def test_files_without_concepts_are_told(tmp_path, content, message):
    path = tmp_path / "concepts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_concepts(path)
