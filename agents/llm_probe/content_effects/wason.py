"""Wason's selection task: 72 questions each of realistic, arbitrary and nonsense rules.

Four cards show p, not p, q and not q of a rule "if p then q"; two of them can break it.
Each of 12 rules is asked with six orders of its cards, and all 24 orders come up three
times. An answer is one of the six pairs of cards, so chance is 1/6.

Source: Wason 1968; Dasgupta, Lampinen et al. 2022 (the three kinds of rules).
  Departure: the rules are written anew; the paper's own were not to be had.
"""

from __future__ import annotations

from itertools import combinations, permutations
from typing import NamedTuple

from tolman.agents.llm_probe.content_effects.items import Condition, Item, nonsense_words
from tolman.agents.llm_probe.content_effects.logic import cards_to_turn

QUESTION = (
    "Each card has one fact on either side. Say which two cards must be turned over to see "
    "whether the rule is broken.\n\nRule: {}\nCards: {}.\nAnswer: the cards"
)
BASELINE = "\nAnswer: the cards"


class Rule(NamedTuple):
    """Attributes:
    text: "If p then q".
    cards: what is written on the cards of p, not p, q and not q.
    """

    text: str
    cards: tuple[str, str, str, str]


REALISTIC = (
    Rule(
        "If guests are drinking wine, then they must be adults.",
        ("wine", "juice", "adult", "child"),
    ),
    Rule(
        "If clients are skydiving, then they must have a parachute.",
        ("skydiving", "golfing", "parachute", "no parachute"),
    ),
    Rule(
        "If workers use the saw, then they must wear goggles.",
        ("saw", "broom", "goggles", "bare eyes"),
    ),
    Rule(
        "If a letter is sealed, then it must have a large stamp.",
        ("sealed", "open", "large stamp", "small stamp"),
    ),
    Rule(
        "If visitors enter the mosque, then they must take off their shoes.",
        ("mosque", "garden", "barefoot", "shoes on"),
    ),
    Rule(
        "If passengers fly abroad, then they must carry a passport.",
        ("abroad", "at home", "passport", "no passport"),
    ),
    Rule(
        "If swimmers are in the deep pool, then they must have passed the test.",
        ("deep pool", "shallow pool", "test passed", "test failed"),
    ),
    Rule(
        "If nurses treat the infected, then they must wear a mask.",
        ("infected", "healthy", "mask", "no mask"),
    ),
    Rule(
        "If people drive on the road, then they must have a licence.",
        ("driving", "walking", "licence", "no licence"),
    ),
    Rule(
        "If pupils borrow a microscope, then they must have signed the list.",
        ("microscope", "pencil", "signed", "not signed"),
    ),
    Rule(
        "If riders are on a motorcycle, then they must wear a helmet.",
        ("motorcycle", "bus", "helmet", "bareheaded"),
    ),
    Rule(
        "If food contains nuts, then it must have a warning.",
        ("nuts", "rice", "warning", "no warning"),
    ),
)
ARBITRARY = (
    Rule(
        "If the word is a plural, then the number must be even.",
        ("cats", "dog", "four", "seven"),
    ),
    Rule(
        "If the letter is a vowel, then the colour must be red.",
        ("letter E", "letter K", "red", "green"),
    ),
    Rule(
        "If the shape is round, then the month must be in summer.",
        ("circle", "square", "July", "January"),
    ),
    Rule(
        "If the animal has feathers, then the metal must be precious.",
        ("owl", "cow", "gold", "iron"),
    ),
    Rule(
        "If the fruit is yellow, then the name must be short.",
        ("banana", "plum", "Ann", "Alexander"),
    ),
    Rule(
        "If the tool is sharp, then the day must be on the weekend.",
        ("knife", "spoon", "Sunday", "Tuesday"),
    ),
    Rule(
        "If the city is in Italy, then the weather must be wet.",
        ("Rome", "Oslo", "rain", "sunshine"),
    ),
    Rule(
        "If the drink is hot, then the direction must be upwards.",
        ("hot tea", "cold milk", "up", "down"),
    ),
    Rule(
        "If the instrument has strings, then the flower must be white.",
        ("cello", "drum", "lily", "poppy"),
    ),
    Rule(
        "If the coin shows heads, then the tree must be bare.",
        ("heads", "tails", "bare tree", "leafy tree"),
    ),
    Rule(
        "If the planet has rings, then the book must be thick.",
        ("Saturn", "Mars", "thick book", "thin book"),
    ),
    Rule(
        "If the answer is yes, then the door must be locked.",
        ("yes", "no", "locked", "unlocked"),
    ),
)


def nonsense_rules() -> tuple[Rule, ...]:
    """Twelve rules of words without meaning."""
    words = nonsense_words()
    return tuple(
        Rule(f"If they are {p}, then they must be {q}.", (p, f"not {p}", q, f"not {q}"))
        for p, q in zip(words[:12], words[65:77], strict=True)
    )


def wason_items() -> list[Item]:
    """216 items, the six orders of one rule one after another."""
    orders, found = list(permutations(range(4))), []
    sets: tuple[tuple[Condition, tuple[Rule, ...]], ...] = (
        ("realistic", REALISTIC),
        ("arbitrary", ARBITRARY),
        ("nonsense", nonsense_rules()),
    )
    for condition, rules in sets:
        for number, rule in enumerate(rules):
            group = f"wason/{condition}/{number}"
            # Every fourth order, so that each kind of card comes first in some.
            for order in orders[number % 4 :: 4]:
                found.append(_item(group, condition, rule, order))
    return found


def _item(group: str, condition: Condition, rule: Rule, order: tuple[int, ...]) -> Item:
    shown = [f'"{rule.cards[card]}"' for card in order]
    pairs = list(combinations(range(4), 2))
    must_turn = set(cards_to_turn())
    return Item(
        group=group,
        condition=condition,
        prompt=QUESTION.format(rule.text, ", ".join(shown)),
        baseline=BASELINE,
        options=tuple(f" {shown[one]} and {shown[two]}" for one, two in pairs),
        right=[{order[one], order[two]} for one, two in pairs].index(must_turn),
    )
