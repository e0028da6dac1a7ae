"""bAbI's files: where they are found, how they are split, and what they hold."""

import tarfile

import numpy as np
import pytest

from tolman.envs.data import data_set
from tolman.envs.reasoning import Babi, StoryTask
from tolman.envs.reasoning.babi import _split
from tolman.envs.reasoning.stories import read_stories

needs_data = pytest.mark.skipif(data_set("babi") is None, reason="bAbI is not there")
NAME = "qa1_single-supporting-fact"


def write_story(number):
    return f"1 Mia ran to room{number}.\n2 Where is Mia?\troom{number}\t1\n"


def make_folder(folder, num_large=20, num_small=0):
    (folder / "en-10k").mkdir()
    large = "".join(write_story(number) for number in range(num_large))
    (folder / "en-10k" / f"{NAME}_train.txt").write_text(large)
    (folder / "en-10k" / f"{NAME}_test.txt").write_text(write_story(3))
    if num_small:
        (folder / "en").mkdir()
        # Its first story is one of the large version too.
        rooms = [0, *range(100, 100 + num_small - 1)]
        small = "".join(map(write_story, rooms))
        (folder / "en" / f"{NAME}_train.txt").write_text(small)
    return Babi(str(folder), tasks=(1,))


def answers(stories):
    return [question.answer for story in stories for question in story.questions]


def test_last_tenth_is_held_out(tmp_path):
    splits = make_folder(tmp_path).read()
    assert answers(splits["train"][0]) == [f"room{number}" for number in range(18)]
    assert answers(splits["validation"][0]) == ["room18", "room19"]
    assert answers(splits["test"][0]) == ["room3"]


def test_copies_of_a_story_stay_on_one_side():
    stories = [
        story for n in (0, 1, 2, 9, 3, 4, 5, 6, 7, 8, 9, 9)
        for story in read_stories(write_story(n), "text")
    ]  # fmt: skip
    # Ten different ones; in the order of their first telling, room 8 is the last.
    train, held_out = _split(stories)
    assert answers(held_out) == ["room8"] and len(train) == 11
    train, held_out = _split([*stories[:3], *stories[4:]])
    assert answers(held_out) == ["room9", "room9"]
    assert not set(train) & set(held_out)


def test_small_version_fills_up_a_short_task_without_copies(tmp_path):
    splits = make_folder(tmp_path, num_large=15, num_small=6).read()
    rooms = answers(splits["train"][0]) + answers(splits["validation"][0])
    expected = [f"room{number}" for number in (*range(15), *range(100, 105))]
    assert rooms == expected


def test_archive_reads_like_the_folder(tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "packed").mkdir()
    plain = make_folder(tmp_path / "plain")
    # What a Mac adds to its archives is no text.
    (tmp_path / "plain" / "en-10k" / f"._{NAME}_test.txt").write_bytes(b"\xff\xb0")
    path = tmp_path / "packed" / "en-10k.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "plain" / "en-10k", "en-10k")
    packed = Babi(str(tmp_path / "packed"), tasks=(1,))
    assert packed.read() == plain.read()
    whole = path.read_bytes()
    for torn in (b"", b"no archive", whole[:-60], whole[:200] + b"x" * 50 + whole[250:]):
        path.write_bytes(torn)
        with pytest.raises(ValueError, match=r"must be a whole archive\. Download") as told:
            packed.read()
        assert "\n" not in str(told.value)


def test_what_is_missing_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"holds no en-10k/ .* Set TOLMAN_DATA") as caught:
        StoryTask(Babi()).load("train")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="folder='/no/such'"):
        StoryTask(Babi("/no/such")).num_words  # noqa: B018
    task = make_folder(tmp_path)
    with pytest.raises(ValueError, match=r"no file qa2_\*_train.txt .* leave the task out"):
        Babi(task.folder, tasks=(1, 2)).read()


def test_data_folder_is_found_by_its_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    (tmp_path / "babi").mkdir()
    make_folder(tmp_path / "babi")
    assert len(Babi(tasks=(1,)).read()["train"][0]) == 18


@needs_data
def test_the_data_are_what_the_paper_reads():
    task = StoryTask(Babi())
    train, test = task.load("train"), task.load("test")
    assert train.sentences.shape[1] == 11 and len(task.answers) == 60
    assert "n,w" in task.answers and not any("," in word for word in task.vocabulary)
    np.testing.assert_array_equal(test.kind_count, [1000] * 20)
    assert int(max(train.num_facts.max(), test.num_facts.max())) <= 320
    assert train.kind_count.min() > 1000 and train.kind_count.sum() > 150_000
    # Padded stories of every question would take 2.5 GB.
    assert sum(array.nbytes for array in train) < 10e6


@needs_data
def test_no_story_is_in_training_and_validation():
    splits = Babi(tasks=(1, 4, 15, 17, 20)).read()
    for train, held_out in zip(splits["train"], splits["validation"], strict=True):
        assert train and held_out and not set(train) & set(held_out)


@needs_data
def test_first_question_of_the_first_task():
    task = StoryTask(Babi(tasks=(1,)), max_facts=10)
    data = task.load("test")
    questions = task.take(data, np.array([0, 1]))
    facts = [task.describe(fact) for fact in np.asarray(questions.facts[0])]
    assert facts[:2] == ["john travelled to the hallway", "mary journeyed to the bathroom"]
    assert facts[2:] == [""] * 8
    assert task.describe(np.asarray(questions.query[0])) == "where is john"
    assert task.answers[int(questions.target[0, 0])] == "hallway"
    assert int(questions.fact_mask[1].sum()) == 4
