"""The texts of partial exposure, read as a person would read them."""

from collections import Counter

import jax
import numpy as np
import pytest

from tolman.envs.conformance import check_environment
from tolman.envs.language import PartialExposure, PartialExposureFacts
from tolman.envs.language.partial_exposure import FIRST_WORD, draw


def read(examples, query):
    """Which place decides, by looking; None if the examples are not of partial exposure."""
    counts = Counter(map(tuple, examples.tolist()))
    if sorted(counts.values()) != [2, 2, 4]:
        return None
    of_label = {
        label: [pair[:2] for pair in counts if pair[2] == label] for label in (1, 2)
    }
    several = max(of_label.values(), key=len)
    place = 0 if several[0][0] == several[1][0] else 1
    by_word = {pair[place]: pair[2] for pair in counts}
    return by_word[query[place]] - 1, tuple(query) not in [pair[:2] for pair in counts]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_texts(share):
    keys = jax.random.split(jax.random.PRNGKey(0), 400)
    asked = jax.device_get(jax.vmap(lambda key: draw(key, 9, share))(keys))
    answers, words = Counter(), set()
    for examples, query, answer, is_held_out in zip(*asked, strict=True):
        assert read(examples, query) == (answer, is_held_out)
        assert is_held_out == (share == 1)
        assert Counter(examples[:, 2].tolist()) == {1: 4, 2: 4}
        answers[int(answer)] += 1
        words |= set(examples[:, :2].ravel().tolist())
    assert min(answers.values()) > 150
    assert words == set(range(FIRST_WORD, FIRST_WORD + 9))


def test_either_place_decides():
    keys = jax.random.split(jax.random.PRNGKey(1), 100)
    asked = jax.device_get(jax.vmap(lambda key: draw(key, 9, 0.0))(keys))
    first = [
        all(len(set(rows[rows[:, 2] == label][:, 0])) == 1 for label in (1, 2))
        for rows in asked.examples
    ]
    assert 30 < sum(first) < 70


def test_the_environment_pays_once():
    environment = PartialExposure(held_out_share=0.5)
    checked = check_environment(environment, num_steps=60)
    assert not [line for line in checked if "note:" in line], checked
    state, first = environment.reset(jax.random.PRNGKey(0))
    text = np.asarray(first.observation)
    wanted, _ = read(text[:24].reshape(8, 3), text[24:])
    for action in (0, 1):
        ended, last = environment.step(state, action)
        assert float(last.reward) == (action == wanted)
        assert float(last.discount) == 0 and not np.any(last.observation)
    assert float(environment.step(ended, wanted)[1].reward) == 0
    assert environment.observation_spec().maximum == 18


def test_facts_are_the_same_texts():
    task = PartialExposureFacts(5)
    assert task.num_words == 8
    examples = task.sample(task.load("test"), jax.random.PRNGKey(0), 200)
    for facts, mask, query, target, kind in zip(*jax.device_get(examples), strict=True):
        assert mask.all() and read(facts, query) == (target[0], kind == 1)
    assert 70 < int(examples.kind.sum()) < 130
    train = task.sample(task.load("train"), jax.random.PRNGKey(0), 100)
    assert int(train.kind.sum()) == 0
