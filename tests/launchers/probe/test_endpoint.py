"""An endpoint on this machine: equal numbers, what it tells, what goes wrong."""

import socket
import time

import numpy as np
import pytest
from loopback import Loopback, served

from tolman.launchers import cli
from tolman.launchers.probe import endpoint
from tolman.launchers.probe.answers import AnsweredModel, Journal
from tolman.launchers.probe.endpoint import RequestLimit, open_endpoint
from tolman.launchers.probe.llama2c import load_llama2c
from tolman.launchers.probe.model import Sampling, TextTooLongError

PROMPTS = ["abc cab", "b ", "a b c", "abc"]
CONTINUATIONS = [" abc", "ca", " b", "c cab"]


@pytest.fixture(scope="module")
def model(tiny_files):
    return load_llama2c(tiny_files / "untied.bin", tiny_files / "tokenizer.bin")


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Seconds that are waited for, in place of waiting."""
    found = []
    monkeypatch.setattr(endpoint.Connection.__init__, "__defaults__", (found.append,))
    return found


def opened(url, name=None, timeout_s=20.0):
    return open_endpoint(url, name, timeout_s, None)


def test_an_endpoint_gives_the_numbers_of_the_model_behind_it(model):
    loopback = Loopback(model)
    with served(loopback) as url:
        found = opened(url)
        assert found.abilities == {"score", "first token", "generate"}
        assert found.name == "tiny"
        own, told = model.score(PROMPTS, CONTINUATIONS), found.score(PROMPTS, CONTINUATIONS)
        assert np.abs(own.log_probability - told.log_probability).max() < 1e-4
        np.testing.assert_array_equal(own.num_tokens, told.num_tokens)
        assert found.generate(PROMPTS, 3) == model.generate(PROMPTS, 3)
        for one, other in zip(
            found.first_token(PROMPTS), model.first_token(PROMPTS), strict=True
        ):
            assert one == pytest.approx(other, abs=1e-6)
    assert loopback.asked[-1]["temperature"] == 0


@pytest.mark.parametrize(
    ("told", "abilities"),
    [
        ({"has_echo": False}, {"first token", "generate"}),
        ({"has_logprobs": False}, {"generate"}),
    ],
)
def test_what_an_endpoint_tells_is_found_out(model, told, abilities):
    with served(Loopback(model, **told)) as url:
        found = opened(url)
        assert found.abilities == abilities
        with pytest.raises(ValueError, match=r"has no score, but .*generate"):
            found.score(["a"], ["b"])
        with pytest.raises(ValueError, match="has no hidden states"):
            found.hidden_states(["a"])


def test_temperature_and_seed_are_sent(model):
    loopback = Loopback(model)
    with served(loopback) as url:
        found = opened(url)
        found.generate(["abc", "b"], 2, Sampling(0.5, [7, 8]))
        sent = [
            (one["prompt"], one["temperature"], one["seed"]) for one in loopback.asked[-2:]
        ]
        assert sent == [("abc", 0.5, 7), ("b", 0.5, 8)]
        found.generate(["abc"], 2)
        assert loopback.asked[-1]["temperature"] == 0 and "seed" not in loopback.asked[-1]


def test_several_models_need_a_name_and_one_that_is_not_there_is_told(model):
    loopback = Loopback(model)
    loopback.names = ["one", "two"]
    with served(loopback) as url:
        with pytest.raises(ValueError, match=r"has the models one, two. Set --endpoint-mo"):
            opened(url)
        assert opened(url, "two").name == "two"
        loopback.faults = [(404, {"error": {"message": "no model 'three'."}})]
        with pytest.raises(ValueError, match=r"404 no model 'three'. Set --endpoint-model"):
            opened(url, "three")


def test_faults_that_pass_are_waited_out(model, waits):
    loopback = Loopback(model)
    with served(loopback) as url:
        found = opened(url)
        loopback.faults = [
            (429, {"error": {"message": "slow down"}}, {"Retry-After": "7"}),
            (503, b"busy"),
            (429, b"", {"Retry-After": "4000"}),
        ]
        before = len(loopback.asked)
        assert found.generate(["abc"], 2) == model.generate(["abc"], 2)
        assert len(loopback.asked) == before + 4
    assert waits == [7.0, 2.0, 60.0]


def test_a_fault_that_stays_is_told_in_one_line_and_nothing_is_lost(model, tmp_path):
    loopback = Loopback(model)
    with served(loopback) as url:
        found = opened(url)
        answered = AnsweredModel(found, Journal(tmp_path / "a.jsonl"))
        answered.generate(["a"], 2)
        loopback.faults = [(429, {"error": "quota"})] * endpoint.NUM_ATTEMPTS
        with pytest.raises(
            ValueError, match=r"429 quota, 6 times\. What was answered is k"
        ):
            answered.generate(["a", "b"], 2)
        before = len(loopback.asked)
        again = AnsweredModel(found, Journal(tmp_path / "a.jsonl"))
        assert again.generate(["a", "b"], 2) == model.generate(["a", "b"], 2)
        assert [body["prompt"] for body in loopback.asked[before:]] == ["b"]


def test_a_text_beyond_the_context_is_told(model):
    with served(Loopback(model)) as url, pytest.raises(TextTooLongError, match="maximum"):
        opened(url).score(["abc cab " * 30], ["a"])


def test_a_probability_that_is_no_number_is_told(model, monkeypatch):
    loopback = Loopback(model)
    with served(loopback) as url:
        found = opened(url)
        told = {"text_offset": [0, 0, 1, 2], "token_logprobs": [None, float("nan"), -1, -1]}
        answer = {"choices": [{"text": "abx", "logprobs": told}]}
        monkeypatch.setattr(loopback, "answer", lambda body: answer)
        assert found.score(["a"], ["b"]).log_probability.tolist() == [-1.0]
        told["token_logprobs"][2] = float("nan")
        with pytest.raises(ValueError, match=r"of 'b' after 'a' is nan: must be finite"):
            found.score(["a"], ["b"])


@pytest.mark.parametrize(
    "choice",
    [
        {"text": "abx", "logprobs": None},
        {"text": "abx", "logprobs": {"text_offset": [0, 1, 2], "token_logprobs": [None]}},
        {"text": None, "logprobs": {"text_offset": [0, 1, 2],
                                    "token_logprobs": [None, -1, -1]}},
        {"text": "abx", "logprobs": {"text_offset": [0, 1, 2],
                                     "token_logprobs": [None, "likely", -1]}},
        {"text": "abx", "logprobs": {"text_offset": [0, "one", 2],
                                     "token_logprobs": [None, -1, -1]}},
        {"text": "abx", "logprobs": {"text_offset": [1, 0, 2],
                                     "token_logprobs": [None, -1, -1]}},
    ],
)  # fmt: skip
def test_probabilities_that_are_not_what_they_must_be_are_told(model, monkeypatch, choice):
    loopback = Loopback(model)
    with served(loopback) as url:
        found = opened(url)
        monkeypatch.setattr(loopback, "answer", lambda body: {"choices": [choice]})
        with pytest.raises(ValueError, match="does not tell how probable the tokens of 'a"):
            found.score(["a"], ["b"])


def test_an_endpoint_that_is_down_is_told_on_the_command_line(capsys, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        words = ["probe", url, "--answers", str(tmp_path), "--out", str(tmp_path / "out")]
        assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "Connection refused, 6 times" in line and "start the endpoint" in line


def test_a_slow_endpoint_is_told(monkeypatch):
    monkeypatch.setattr(endpoint, "NUM_ATTEMPTS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(ValueError, match=r"no answer in 0.2 s, 2 times"):
            opened(url, "x", timeout_s=0.2)


def test_what_is_no_endpoint_is_told(model):
    loopback = Loopback(model)
    with served(loopback) as url:
        loopback.faults = [(200, b"<html>")]
        with pytest.raises(ValueError, match=r"the answer is not JSON. Give the address"):
            opened(url)
        loopback.faults = [(200, {"hello": 1})]
        with pytest.raises(ValueError, match="has no choices with text"):
            opened(url)


def test_a_text_that_is_none_is_no_answer(model, monkeypatch):
    loopback = Loopback(model)
    with served(loopback) as url:
        found = opened(url)
        monkeypatch.setattr(loopback, "answer", lambda body: {"choices": [{"text": None}]})
        with pytest.raises(ValueError, match="has no choices with text"):
            found.generate(["a"], 1)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (float("nan"), "of ' yes' after 'a' is nan: must be finite"),
        ("likely", "tells no likeliest tokens"),
        (None, "tells no likeliest tokens"),
    ],
)
def test_a_first_token_whose_probability_is_no_number_is_told(
    model, monkeypatch, told, words
):
    loopback = Loopback(model)
    with served(loopback) as url:
        found = opened(url)
        logprobs = {"top_logprobs": [{" no": -1.0, " yes": told}]}
        answer = {"choices": [{"text": " no", "logprobs": logprobs}]}
        monkeypatch.setattr(loopback, "answer", lambda body: answer)
        with pytest.raises(ValueError, match=words):
            found.first_token(["a"])


def test_a_key_that_is_not_taken_is_told_with_its_variable(model):
    loopback = Loopback(model)
    with served(loopback) as url:
        loopback.faults = [(401, {"error": {"message": "bad key"}})]
        with pytest.raises(ValueError, match=r"401 bad key\. Set TOLMAN_ENDPOINT_KEY"):
            opened(url)


def test_requests_are_spread_over_a_minute():
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    limit = RequestLimit(30, lambda: now[0], sleep)
    limit.wait()
    now[0] += 0.5
    limit.wait()
    limit.wait()
    now[0] += 10.0
    limit.wait()
    assert slept == [1.5, 2.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 3.0), ("5", 5.0), ("-1", 0.0), ("1e9", 60.0), ("soon", 3.0), ("nan", 3.0)],
)
def test_how_long_an_endpoint_asks_to_wait(header, seconds):
    assert endpoint._asked_wait(header, 3.0) == seconds


def test_a_date_to_wait_for():
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert 27 < endpoint._asked_wait(date, 3.0) <= 30
