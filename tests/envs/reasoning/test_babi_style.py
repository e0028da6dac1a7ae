"""Generated stories: a reader who follows each sentence comes to the same answers."""

import random

import numpy as np
import pytest

from tolman.envs.reasoning import BabiStyle, StoryTask
from tolman.envs.reasoning.babi_style import (
    DROPS,
    MOVES,
    NAMES,
    TAKES,
    story_text,
)
from tolman.envs.reasoning.stories import read_stories

NUM_STORIES = 200
MOVE, TAKE, DROP = (
    {" ".join(words.split()) for words in verbs} for verbs in (MOVES, TAKES, DROPS)
)


def stories(task):
    chance = random.Random(0)
    for _ in range(NUM_STORIES):
        (story,) = read_stories(story_text(task, chance), "story")
        yield story


def verb_of(fact):
    text = " ".join(fact)
    return next(v for v in MOVE | TAKE | DROP if f" {v} the " in text)


def follow(facts):
    """Places of people, and of each thing its places, by reading word by word."""
    place, holder, lies, history = {}, {}, {}, {}
    for fact in facts:
        person, thing, verb = fact[0], fact[-1], verb_of(fact)
        if verb in MOVE:
            place[person] = thing
        elif verb in TAKE:
            assert thing not in holder and lies.get(thing, place[person]) == place[person]
            holder[thing] = person
        else:
            assert holder.pop(thing) == person
            lies[thing] = place[person]
        for thing, person in holder.items():
            if history.setdefault(thing, [None])[-1] != place[person]:
                history[thing].append(place[person])
    return place, history


@pytest.mark.parametrize("task", [1, 2, 3])
def test_places_follow_from_the_story(task):
    for story in stories(task):
        for question in story.questions:
            place, history = follow(story.facts[: question.num_facts])
            if task == 1:
                assert question.answer == place[question.words[3]]
            elif task == 2:
                assert question.answer == history[question.words[4]][-1]
            else:
                places = history[question.words[4]]
                assert places.count(question.words[-1]) == 1
                assert question.answer == places[places.index(question.words[-1]) - 1]


def test_deduction_takes_two_facts():
    for story in stories(15):
        feared = {f[1]: f[3] for f in story.facts if f[0] == "all"}
        species = {f[0]: f[3] for f in story.facts if f[0] != "all"}
        for question in story.questions:
            assert question.answer + "s" == feared[species[question.words[2]] + "s"]


def test_induction_has_one_colour_a_species():
    for story in stories(16):
        species = {f[0]: f[3] for f in story.facts if len(f) == 4}
        colour = {f[0]: f[2] for f in story.facts if len(f) == 3}
        (question,) = story.questions
        asked = question.words[3]
        assert asked not in colour
        alike = {colour[pet] for pet in colour if species[pet] == species[asked]}
        assert alike == {question.answer}


def test_path_leads_from_start_to_goal():
    step = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}
    for story in stories(19):
        offset = {}
        for fact in story.facts:
            new, way, old = fact[1], fact[3], fact[6]
            offset[new, old] = np.array(step[way])
            offset[old, new] = -np.array(step[way])
        (question,) = story.questions
        start, goal = question.words[6], question.words[9]
        first, second = question.answer.split(",")
        middle = {
            b for a, b in offset if a == start and (b, goal) in offset
            and (offset[b, a] == step[first]).all()
            and (offset[goal, b] == step[second]).all()
        }  # fmt: skip
        assert len(middle) == 1


def test_splits_share_no_story_and_a_seed_repeats():
    source = BabiStyle((1, 15), num_train_questions=300, num_test_questions=50)
    splits = source.read()
    for kind in range(2):
        told = [set(splits[split][kind]) for split in ("train", "validation", "test")]
        assert not told[0] & told[1] and not told[1] & told[2] and not told[0] & told[2]
        assert sum(len(story.questions) for story in told[0]) >= 300
    assert source.read() == splits
    other = BabiStyle((1, 15), num_train_questions=300, num_test_questions=50, seed=1)
    assert other.read() != splits


def test_it_is_never_called_babi():
    task = StoryTask(BabiStyle((1,), 50, 10))
    assert task.kinds == ("1: one supporting fact (bAbI-style)",)
    assert task.num_classes == 6


def test_no_answer_is_given_by_its_frequency():
    for task in NAMES:
        answers = [q.answer for story in stories(task) for q in story.questions]
        _, counts = np.unique(answers, return_counts=True)
        assert counts.max() < 0.32 * len(answers)
