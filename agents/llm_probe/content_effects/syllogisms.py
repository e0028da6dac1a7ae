"""Syllogisms in which validity and belief are crossed: 48 agree, 48 do not, 48 without.

Each of 24 triples of terms, a special kind, a general kind and a middle term, makes a valid
and an invalid argument for a conclusion that is believed and for one that is not, of the
same words. Whether an argument is valid is not written down but proved.

Source: Evans et al. 1983 (the crossing); Dasgupta, Lampinen et al. 2022 (nonsense, counts).
  Departure: the items are written anew; the paper's own were not to be had.
"""

from __future__ import annotations

import functools
from itertools import product
from typing import NamedTuple

from tolman.agents.llm_probe.content_effects.items import Condition, Item, nonsense_words
from tolman.agents.llm_probe.content_effects.logic import Quantifier, Statement, follows

ANSWERS = (" valid", " invalid")
QUESTION = (
    "Say whether the conclusion follows from the premises by logic alone. The argument is "
    "{} or {}.\n\nPremises: {} {}\nConclusion: {}\nAnswer:"
)
BASELINE = "\nAnswer:"
PHRASES: dict[Quantifier, str] = {
    "all": "All {} are {}.",
    "no": "No {} are {}.",
    "some": "Some {} are {}.",
    "some_not": "Some {} are not {}.",
}


class Schema(NamedTuple):
    """How arguments are built for a conclusion about X and Y, with the middle term M.

    Attributes:
      quantifier: of the conclusion "X ... Y".
      believed_subject: which of the special and the general kind X is where the
        conclusion is believed; it is the other one where it is not.
      valid: quantifier and terms of the two premises of a valid argument.
      invalid: of an invalid one.
      terms: eight triples of special, general and middle term.
    """

    quantifier: Quantifier
    believed_subject: str
    valid: tuple[tuple[Quantifier, str], tuple[Quantifier, str]]
    invalid: tuple[tuple[Quantifier, str], tuple[Quantifier, str]]
    terms: tuple[tuple[str, str, str], ...]


SCHEMATA = (
    Schema(
        "some_not",
        "general",
        (("no", "YM"), ("some", "XM")),
        (("no", "XM"), ("some", "YM")),
        (
            ("roses", "flowers", "blue things"),
            ("eagles", "birds", "night animals"),
            ("novels", "books", "free things"),
            ("violins", "instruments", "loud things"),
            ("taxis", "vehicles", "silent things"),
            ("cottages", "buildings", "tall things"),
            ("judges", "people", "climbers"),
            ("lemons", "fruits", "sweet things"),
        ),
    ),
    Schema(
        "some_not",
        "general",
        (("all", "YM"), ("some_not", "XM")),
        (("all", "XM"), ("some_not", "YM")),
        (
            ("ants", "insects", "tiny things"),
            ("sharks", "fish", "dangerous things"),
            ("cacti", "plants", "desert things"),
            ("lullabies", "songs", "gentle things"),
            ("limousines", "cars", "expensive things"),
            ("castles", "houses", "old things"),
            ("surgeons", "workers", "trained people"),
            ("oranges", "foods", "juicy things"),
        ),
    ),
    Schema(
        "all",
        "special",
        (("all", "XM"), ("all", "MY")),
        (("all", "XM"), ("all", "YM")),
        (
            ("tulips", "blossoms", "garden things"),
            ("trout", "animals", "swimming things"),
            ("spoons", "tools", "kitchen things"),
            ("sonnets", "texts", "rhyming things"),
            ("pines", "trees", "evergreen things"),
            ("sedans", "machines", "things with wheels"),
            ("dimes", "coins", "round things"),
            ("kites", "toys", "flying things"),
        ),
    ),
)


def syllogism_items() -> list[Item]:
    """144 items, those of one triple of terms and its nonsense twin one after another."""
    words, found = nonsense_words(), []
    triples = [(schema, terms) for schema in SCHEMATA for terms in schema.terms]
    for number, (schema, terms) in enumerate(triples):
        group = f"syllogism/{number}"
        special, general, middle = terms
        believed = (
            (general, special)
            if schema.believed_subject == "general"
            else (special, general)
        )
        for is_valid, is_believable in product((True, False), repeat=2):
            x, y = believed if is_believable else believed[::-1]
            condition: Condition = "consistent" if is_valid == is_believable else "violate"
            found.append(
                _item(group, condition, schema, (x, y, middle), is_valid, is_believable)
            )
        x, y, m = (f"{words[number + 52 * term]}s" for term in range(3))
        for is_valid in (True, False):
            found.append(_item(group, "nonsense", schema, (x, y, m), is_valid, None))
    return found


def argument(schema: Schema, is_valid: bool) -> tuple[list[Statement], Statement]:
    """Premises and conclusion about the terms X = 0, Y = 1 and M = 2."""
    forms = schema.valid if is_valid else schema.invalid
    premises = [
        Statement(quantifier, "XYM".index(terms[0]), "XYM".index(terms[1]))
        for quantifier, terms in forms
    ]
    return premises, Statement(schema.quantifier, 0, 1)


@functools.cache
def _is_proved(schema: Schema, is_valid: bool) -> bool:
    """Whether the argument of a schema that is meant to be valid, or not to be, is so."""
    return follows(*argument(schema, is_valid), has_existential_import=False)


def _item(
    group: str,
    condition: Condition,
    schema: Schema,
    terms: tuple[str, str, str],
    is_valid: bool,
    is_believable: bool | None,
) -> Item:
    premises, conclusion = argument(schema, is_valid)
    said = [
        PHRASES[one.quantifier].format(terms[one.subject], terms[one.predicate])
        for one in (*premises, conclusion)
    ]
    # Half of the questions name "invalid" first.
    number = int(group.rpartition("/")[2])
    named = [answer.strip() for answer in (ANSWERS if number % 2 == 0 else ANSWERS[::-1])]
    proved = _is_proved(schema, is_valid)
    return Item(
        group=group,
        condition=condition,
        prompt=QUESTION.format(*named, *said),
        baseline=BASELINE,
        options=ANSWERS,
        right=0 if proved else 1,
        is_valid=proved,
        is_believable=is_believable,
    )
