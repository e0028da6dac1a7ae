"""Says what is true of scenes in English, as careless people would, and reads it again.

Shapes: N captions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from tolman.envs.scenes.facts import (
    ABOVE,
    ABSENT,
    COLOURS,
    LEFT_OF,
    NO_RELATION,
    no_facts,
)

OPENINGS = ("", "a picture of", "this shows", "i see")
NUMBERS = (("a", "one"), ("two", "a pair of"), ("three",), ("four",))
SIZE_WORDS = (("small", "little", "tiny"), ("large", "big"))
COLOUR_WORDS = tuple(
    {"purple": ("purple", "violet"), "cyan": ("cyan", "turquoise")}.get(one, (one,))
    for one in COLOURS
)
# Each with its plural.
SHAPE_WORDS = (
    (("circle", "circles"), ("disc", "discs")),
    (("square", "squares"), ("box", "boxes")),
    (("triangle", "triangles"),),
    (("cross", "crosses"), ("plus", "pluses")),
    (("diamond", "diamonds"),),
    (("ring", "rings"), ("hoop", "hoops")),
)
# Of LEFT_OF and ABOVE: as the first sort is said first, and as it is said last.
RELATION_WORDS = {
    LEFT_OF: (("to the left of", "left of"), ("to the right of", "right of")),
    ABOVE: (("above", "over"), ("below", "under")),
}


def _all_phrases() -> Iterator[str]:
    yield from OPENINGS
    for words in (*NUMBERS, *SIZE_WORDS, *COLOUR_WORDS):
        yield from words
    for sorts in SHAPE_WORDS:
        for words in sorts:
            yield from words
    for ways in RELATION_WORDS.values():
        for words in ways:
            yield from words


VOCABULARY = tuple(sorted({word for phrase in _all_phrases() for word in phrase.split()}))


def _longest(phrases: Sequence[str]) -> int:
    return max(len(phrase.split()) for phrase in phrases)


_SORT_WORDS = _longest([word for words in NUMBERS for word in words]) + 3
MAX_WORDS = (
    _longest(OPENINGS)
    + 2 * _SORT_WORDS
    + _longest([word for ways in RELATION_WORDS.values() for w in ways for word in w])
)


def say(
    facts: np.ndarray,
    rng: np.random.Generator,
    leave_out_size: float,
    wrong_colour: float,
) -> list[str]:
    """One caption of each.

    Args:
      facts: `[N]` of FACTS.
      rng: of all choices.
      leave_out_size: how often the size of a sort is not said.
      wrong_colour: how often the colour of a sort is said wrongly.
    """
    num = len(facts)
    is_wrong = rng.random((num, 2)) < wrong_colour
    other = rng.integers(1, len(COLOURS), (num, 2))
    colour = np.where(is_wrong, (facts["colour"] + other) % len(COLOURS), facts["colour"])
    is_left_out = (rng.random((num, 2)) < leave_out_size) | (facts["size"] == ABSENT)
    size = np.where(is_left_out, ABSENT, facts["size"])
    choices = rng.random((num, 2, 4))  # Of number, size, colour and shape.
    openings = rng.integers(len(OPENINGS), size=num)
    is_turned = rng.random(num) < 0.5
    ways = rng.random(num)
    captions = []
    for row in range(num):
        sorts = [
            _say_sort(
                int(facts["number"][row, i]),
                int(size[row, i]),
                int(colour[row, i]),
                int(facts["shape"][row, i]),
                choices[row, i],
            )
            for i in (0, 1)
            if facts["number"][row, i]
        ]
        relation = int(facts["relation"][row])
        if relation != NO_RELATION:
            turned = bool(is_turned[row])
            between = _pick(RELATION_WORDS[relation][turned], ways[row])
            sorts = sorts[::-1] if turned else sorts
            sorts.insert(1, between)
        captions.append(" ".join([OPENINGS[openings[row]], *sorts]).strip())
    return captions


def _say_sort(number: int, size: int, colour: int, shape: int, choices: np.ndarray) -> str:
    words = [_pick(NUMBERS[number - 1], choices[0])]
    if size != ABSENT:
        words.append(_pick(SIZE_WORDS[size], choices[1]))
    words.append(_pick(COLOUR_WORDS[colour], choices[2]))
    words.append(_pick(SHAPE_WORDS[shape], choices[3])[number > 1])
    return " ".join(words)


def _pick(options: Sequence, share: float) -> str:
    """One of the options, by a number in [0, 1)."""
    return options[int(share * len(options))]


def _meanings(sorts: Sequence[Sequence[str]]) -> dict[str, int]:
    return {word: number for number, words in enumerate(sorts) for word in words}


_NUMBER = {word: i + 1 for word, i in _meanings(NUMBERS).items()}
_SIZE, _COLOUR = _meanings(SIZE_WORDS), _meanings(COLOUR_WORDS)
_SHAPE = {
    word: (number, bool(is_plural))
    for number, sorts in enumerate(SHAPE_WORDS)
    for forms in sorts
    for is_plural, word in enumerate(forms)
}
_RELATION = {
    word: (relation, bool(is_turned))
    for relation, ways in RELATION_WORDS.items()
    for is_turned, words in enumerate(ways)
    for word in words
}


def _any_of(words: Sequence[str] | dict) -> str:
    """A pattern of any of these; none is the beginning of another and a space."""
    return "|".join(re.escape(word) for word in words)


_LOOKS = rf"(?:({_any_of(_SIZE)}) )?({_any_of(_COLOUR)}) ({_any_of(_SHAPE)})"
_ONE = rf"({_any_of(_NUMBER)}) {_LOOKS}"
_OPENING = _any_of([one for one in OPENINGS if one])
_CAPTION = re.compile(rf"(?:(?:{_OPENING}) )?{_ONE}(?: ({_any_of(_RELATION)}) {_ONE})?")


def read(captions: Sequence[str]) -> np.ndarray:
    """`[N]` of FACTS; number 0 of a caption that is not of the grammar.

    Capitals, full stops and spaces more than one are passed over.
    """
    facts = no_facts(len(captions))
    for row, caption in enumerate(captions):
        found = _CAPTION.fullmatch(" ".join(caption.lower().replace(".", " ").split()))
        if found is None:
            continue
        first, between, second = found.groups()[:4], found.group(5), found.groups()[5:]
        sorts = [first] if between is None else [first, second]
        relation, is_turned = _RELATION.get(between, (NO_RELATION, False))
        if any(_SHAPE[one[3]][1] != (_NUMBER[one[0]] > 1) for one in sorts):
            continue  # "two circle"
        if len(sorts) == 2 and max(_NUMBER[one[0]] for one in sorts) > 2:
            continue  # No picture has room for it.
        facts["relation"][row] = relation
        sorts = sorts[::-1] if is_turned else sorts
        for i, (number, size, colour, shape) in enumerate(sorts):
            facts["number"][row, i] = _NUMBER[number]
            facts["size"][row, i] = _SIZE.get(size, ABSENT)
            facts["colour"][row, i] = _COLOUR[colour]
            facts["shape"][row, i] = _SHAPE[shape][0]
    return facts
