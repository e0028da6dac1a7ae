"""Stories in the style of six bAbI tasks, written by a generator: not bAbI.

People, places, animals and sentences are ours, and so is every distribution. It stands in
where bAbI's files are missing; results on it are never results on bAbI.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Len

from tolman.envs.reasoning.stories import SPLITS, Story, StoryTask, read_stories
from tolman.envs.reasoning.task import register_source

PEOPLE = ("Ada", "Boris", "Chidi", "Dana")
PLACES = ("attic", "cellar", "library", "orchard", "stable", "workshop")
THINGS = ("lamp", "rope", "violin")
MOVES = ("walked into", "hurried to", "strolled to", "climbed to")
TAKES = ("picked up", "seized", "fetched")
DROPS = ("put down", "let go of", "laid aside")
PETS = ("Pip", "Tam", "Rue", "Bo", "Kit", "Lux")
SPECIES = ("heron", "newt", "badger", "lizard")
COLOURS = ("grey", "brown", "black", "golden")
# A step to the first, or back to the second, of two neighbouring places.
WAYS = (("north", "south", (0, 1)), ("east", "west", (1, 0)))

NAMES = {
    1: "one supporting fact",
    2: "two supporting facts",
    3: "three supporting facts",
    15: "deduction",
    16: "induction",
    19: "path finding",
}
MAX_LINES = 40  # Of a story of things that are carried about.


@dataclass(frozen=True)
class BabiStyle:
    """Generated stories; none of one split is in another.

    Attributes:
      tasks: 1 where is a person, 2 where is a thing that people carry, 3 where was it
        before, 15 what does an animal fear, 16 what colour is an animal, 19 which way
        leads from one place to another; numbered as their models in bAbI.
      num_train_questions: of a task, at least.
      num_test_questions: of a task, at least; validation has as many.
      seed: of the generator.
    """

    tasks: Annotated[tuple[int, ...], Len(1)] = tuple(NAMES)
    num_train_questions: Annotated[int, Ge(1)] = 10_000
    num_test_questions: Annotated[int, Ge(1)] = 1_000
    seed: Annotated[int, Ge(0)] = 0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if not set(self.tasks) <= set(NAMES) or len(set(self.tasks)) < len(self.tasks):
            yield "tasks", f"some of {', '.join(map(str, NAMES))}, each once"

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(f"{task}: {NAMES[task]} (bAbI-style)" for task in self.tasks)

    def read(self) -> dict[str, tuple[list[Story], ...]]:
        written = [self._write(task) for task in self.tasks]
        return {split: tuple(task[split] for task in written) for split in SPLITS}

    def _write(self, task: int) -> dict[str, list[Story]]:
        """Tells stories until every split has enough; each is told once."""
        chance = random.Random(f"{self.seed} {task}")
        told: set[Story] = set()
        splits: dict[str, list[Story]] = {}
        for split in SPLITS:
            wanted = (
                self.num_train_questions if split == "train" else self.num_test_questions
            )
            stories: list[Story] = []
            num_questions = 0
            while num_questions < wanted:
                (story,) = read_stories(story_text(task, chance), f"task {task}")
                if story not in told:
                    told.add(story)
                    stories.append(story)
                    num_questions += len(story.questions)
            splits[split] = stories
        return splits


def story_text(task: int, chance: random.Random) -> str:
    """One story in bAbI's format, with the numbers of its lines."""
    lines = _WRITERS[task](chance)
    return "\n".join(f"{number} {line}" for number, line in enumerate(lines, 1))


class _World:
    """Where everybody and everything is, and has been."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.lines: list[str] = []
        self.place: dict[str, str] = {}
        self.holder: dict[str, str] = {}
        self.dropped_in: dict[str, str] = {}
        self.history: dict[
            str, list[str]
        ] = {}  # Of a thing: places, no two alike in a row.

    def thing_place(self, thing: str) -> str:
        holder = self.holder.get(thing)
        return self.place[holder] if holder else self.dropped_in[thing]

    def move(self) -> None:
        person = self._chance.choice(PEOPLE)
        elsewhere = [place for place in PLACES if place != self.place.get(person)]
        self.place[person] = self._chance.choice(elsewhere)
        self.lines.append(
            f"{person} {self._chance.choice(MOVES)} the {self.place[person]}."
        )
        self._remember()

    def handle(self) -> bool:
        """Lets somebody take or drop a thing; False where nobody can."""
        person = self._chance.choice(sorted(self.place) or [""])
        thing = self._chance.choice(THINGS)
        if self.holder.get(thing) == person:
            del self.holder[thing]
            self.dropped_in[thing] = self.place[person]
            verb = self._chance.choice(DROPS)
        elif person and self._lies_here(thing, person):
            self.holder[thing] = person
            verb = self._chance.choice(TAKES)
        else:
            return False
        self.lines.append(f"{person} {verb} the {thing}.")
        self._remember()
        return True

    def _lies_here(self, thing: str, person: str) -> bool:
        if thing in self.holder:
            return False
        # A thing never seen may lie anywhere.
        return self.dropped_in.get(thing, self.place[person]) == self.place[person]

    def _remember(self) -> None:
        for thing in self.holder:
            places = self.history.setdefault(thing, [])
            if places[-1:] != [self.thing_place(thing)]:
                places.append(self.thing_place(thing))


def _one_fact(chance: random.Random) -> list[str]:
    world = _World(chance)
    for _ in range(5):
        world.move()
        world.move()
        person = chance.choice(sorted(world.place))
        world.lines.append(f"Which place is {person} in?\t{world.place[person]}\t")
    return world.lines


def _two_facts(chance: random.Random) -> list[str]:
    def ask(world: _World) -> str | None:
        known = sorted(world.history)
        if not known:
            return None
        thing = chance.choice(known)
        return f"Which place is the {thing} in?\t{world.thing_place(thing)}\t"

    return _carried_about(chance, ask)


def _three_facts(chance: random.Random) -> list[str]:
    def ask(world: _World) -> str | None:
        known = [
            (thing, before, after)
            for thing, places in sorted(world.history.items())
            for before, after in itertools.pairwise(places)
            if places.count(after) == 1  # Else "before it" could mean two times.
        ]
        if not known:
            return None
        thing, before, after = chance.choice(known)
        return f"Which place was the {thing} in before the {after}?\t{before}\t"

    return _carried_about(chance, ask)


def _carried_about(chance: random.Random, ask: Callable[[_World], str | None]) -> list[str]:
    """Up to five questions in a story of people who move and carry things."""
    world = _World(chance)
    num_asked = 0
    while num_asked < 5 and (len(world.lines) < MAX_LINES or not num_asked):
        for _ in range(chance.randint(2, 4)):
            if chance.random() < 0.5 or not world.handle():
                world.move()
        question = ask(world)
        if question is not None:
            world.lines.append(question)
            num_asked += 1
    return world.lines


def _deduction(chance: random.Random) -> list[str]:
    feared = {
        species: chance.choice([other for other in SPECIES if other != species])
        for species in SPECIES
    }
    pets = {pet: chance.choice(SPECIES) for pet in chance.sample(PETS, 4)}
    lines = [f"All {species}s fear {other}s." for species, other in feared.items()]
    lines += [f"{pet} is a {species}." for pet, species in pets.items()]
    chance.shuffle(lines)
    lines += [
        f"What does {pet} fear?\t{feared[species]}\t" for pet, species in pets.items()
    ]
    return lines


def _induction(chance: random.Random) -> list[str]:
    colour = dict(zip(SPECIES, chance.sample(COLOURS, len(SPECIES)), strict=True))
    *shown, asked = chance.sample(PETS, 5)
    species = {pet: chance.choice(SPECIES) for pet in shown}
    species[asked] = species[chance.choice(shown)]
    lines = [f"{pet} is {colour[species[pet]]}." for pet in shown]
    lines += [f"{pet} is a {kind}." for pet, kind in species.items()]
    chance.shuffle(lines)
    return [*lines, f"What colour is {asked}?\t{colour[species[asked]]}\t"]


def _path_finding(chance: random.Random) -> list[str]:
    """A tree of places on a grid; the question spans two of its edges."""
    places = chance.sample(PLACES, len(PLACES))
    cell = {places[0]: (0, 0)}
    neighbours: dict[str, dict[str, str]] = {place: {} for place in places}
    lines = []
    while len(cell) < len(places):
        old, new = chance.choice(places[: len(cell)]), places[len(cell)]
        forth, back, (right, up) = chance.choice(WAYS)
        if chance.random() < 0.5:
            forth, back, right, up = back, forth, -right, -up
        there = (cell[old][0] + right, cell[old][1] + up)
        if there in cell.values():
            continue
        cell[new] = there
        neighbours[old][new], neighbours[new][old] = forth, back
        sentences = (
            f"The {new} is {forth} of the {old}.",
            f"The {old} is {back} of the {new}.",
        )
        lines.append(chance.choice(sentences))
    chance.shuffle(lines)
    middle = chance.choice([place for place in places if len(neighbours[place]) > 1])
    start, goal = chance.sample(sorted(neighbours[middle]), 2)
    way = f"{neighbours[start][middle]},{neighbours[middle][goal]}"
    return [*lines, f"How does one walk from the {start} to the {goal}?\t{way}\t"]


_WRITERS: dict[int, Callable[[random.Random], list[str]]] = {
    1: _one_fact,
    2: _two_facts,
    3: _three_facts,
    15: _deduction,
    16: _induction,
    19: _path_finding,
}


@register_source("babi_style")
def make_babi_style(
    source: BabiStyle = BabiStyle(),
    max_facts: Annotated[int, Ge(1)] = StoryTask.max_facts,
    max_words: Annotated[int, Ge(1)] = StoryTask.max_words,
) -> StoryTask:
    """Generated stories in the style of six bAbI tasks; see `BabiStyle`, `StoryTask`."""
    return StoryTask(source, max_facts, max_words)
