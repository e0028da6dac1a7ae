"""Stories: what is read from text, and that a batch shows the right part of each."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.reasoning.stories import SPLITS, StoryTask, read_stories, words_of

TEXT = """1 Mia ran to the Barn.
2 Leo sat down.
3 Where is Mia? \tbarn\t1
4 Mia took the cup, bowl.
5 What does Mia hold?\tCup,Bowl\t4
1 The barn is red.
2 What is red?\tbarn\t1
"""


@dataclass(frozen=True)
class Told:
    """The same stories in every split, as one kind each."""

    texts: tuple[str, ...]

    @property
    def kinds(self):
        return tuple(f"kind {number}" for number in range(len(self.texts)))

    def read(self):
        stories = tuple(read_stories(text, "text") for text in self.texts)
        return dict.fromkeys(SPLITS, stories)


def take(task, *index):
    questions = task.take(task.load("test"), jnp.array(index))
    return jax.tree.map(np.asarray, questions)


def shown(task, questions, row):
    mask = questions.fact_mask[row]
    return [task.describe(fact) for fact in questions.facts[row][mask]]


def test_story_read_by_hand():
    first, second = read_stories(TEXT, "text")
    assert first.facts == (
        ("mia", "ran", "to", "the", "barn"),
        ("leo", "sat", "down"),
        ("mia", "took", "the", "cup", "bowl"),
    )
    assert first.questions == (
        (("where", "is", "mia"), "barn", 2),
        (("what", "does", "mia", "hold"), "cup,bowl", 3),
    )
    assert second.facts == (("the", "barn", "is", "red"),)
    assert second.questions == ((("what", "is", "red"), "barn", 1),)


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\n\n"),
        TEXT.replace("\n", "  \n"),
        TEXT.replace("\t4", ""),
        TEXT.replace("Cup,Bowl\t", "Cup,Bowl \t"),
        TEXT.rstrip("\n"),
        TEXT.upper(),
    ],
)
def test_odd_lines_change_nothing(text):
    assert read_stories(text, "text") == read_stories(TEXT, "text")


def test_words_of_a_sentence():
    assert words_of("Is it 5 o'clock?") == ("is", "it", "5", "o'clock")
    assert words_of("Then, he left . ") == ("then", "he", "left")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Mia ran.\n", "text, line 1: got 'Mia ran.', must be a number and a sentence"),
        ("1 Mia ran.\n2 .\n", "text, line 2: got '2 .', must be"),
        ("1 Where?\tbarn\t1\n", "text, line 1: a question has no fact before it"),
        ("1 Mia ran.\n\n2 Where?\t\t1\n", "text, line 3: a question has no answer"),
    ],
)
def test_broken_lines_are_named(text, error):
    with pytest.raises(ValueError) as caught:
        read_stories(text, "text")
    assert str(caught.value).startswith(error) and "\n" not in str(caught.value)


def test_batch_worked_out_by_hand():
    task = StoryTask(Told((TEXT,)), max_facts=4, max_words=6)
    assert task.vocabulary == tuple(
        "barn bowl cup does down hold is leo mia ran red sat the to took what where".split()
    )
    assert task.answers == ("barn", "cup,bowl") and task.num_classes == 2
    assert task.num_words == 18
    questions = take(task, 0, 1, 2)
    np.testing.assert_array_equal(questions.target, [[0], [1], [0]])
    np.testing.assert_array_equal(questions.fact_mask.sum(1), [2, 3, 1])
    np.testing.assert_array_equal(questions.query[0], [17, 7, 9, 0, 0, 0])
    np.testing.assert_array_equal(
        questions.facts[0],
        [[9, 10, 14, 13, 1, 0], [8, 12, 5, 0, 0, 0], [0] * 6, [0] * 6],
    )
    assert shown(task, questions, 1)[2] == "mia took the cup bowl"
    assert shown(task, questions, 2) == ["the barn is red"]


def test_newest_facts_of_a_long_story_are_kept():
    lines = [f"{number} fact{number}." for number in range(1, 8)]
    task = StoryTask(Told(("\n".join([*lines, "8 What?\tfact1"]),)), max_facts=3)
    assert shown(task, take(task, 0), 0) == ["fact5", "fact6", "fact7"]


def test_kinds_are_equally_likely_and_questions_within_them():
    short = "1 a.\n2 q?\tx\n"
    long = "1 b.\n" + "".join(f"{n} q?\ty{n}\n" for n in range(2, 5))
    task = StoryTask(Told((short, long)), max_facts=2)
    questions = jax.tree.map(
        np.asarray, task.sample(task.load("train"), jax.random.PRNGKey(0), 6000)
    )
    sigma = np.sqrt(6000 * 0.25)
    assert abs((questions.kind == 1).sum() - 3000) < 4.5 * sigma
    counts = np.bincount(questions.target[:, 0])
    assert (questions.target[questions.kind == 0] == 0).all()
    assert np.abs(counts[1:] - 1000).max() < 4.5 * np.sqrt(6000 * 5 / 36)


def test_settings_that_cannot_be():
    told = Told((TEXT,))
    with pytest.raises(ValueError, match=r"max_words=4: .* has 5. Set it to the longest"):
        StoryTask(told, max_words=4).load("train")
    with pytest.raises(ValueError, match="split='dev'"):
        StoryTask(told).load("dev")
    with pytest.raises(ValueError, match="kind 1 of 2 has no questions"):
        StoryTask(Told((TEXT, ""))).load("train")
