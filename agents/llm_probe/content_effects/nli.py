"""Inferences from one comparison: 78 that agree with belief, 78 that do not, 78 without.

    If seas are bigger than puddles, then puddles are ... (smaller, bigger) than seas.

Source: Dasgupta, Lampinen et al. 2022 (the design: consistent, violate, nonsense).
  Departure: the items are written anew; the paper's own were not to be had.
"""

from __future__ import annotations

from collections.abc import Iterator

from tolman.agents.llm_probe.content_effects.items import Condition, Item, nonsense_words
from tolman.agents.llm_probe.content_effects.logic import Comparison, comparison_follows

# What is more and less of a quality, then six pairs of things of which the first is more.
COMPARISONS: dict[tuple[str, str], str] = {
    ("bigger", "smaller"): "seas puddles, elephants mice, mountains pebbles, "
    "planets marbles, whales shrimps, cities villages",
    ("heavier", "lighter"): "trucks bicycles, anvils feathers, bricks sponges, "
    "pianos flutes, horses kittens, boulders leaves",
    ("hotter", "colder"): "fires icicles, ovens freezers, stars glaciers, "
    "deserts tundras, volcanoes snowfields, saunas igloos",
    ("faster", "slower"): "jets tractors, cheetahs snails, rockets balloons, "
    "falcons worms, motorcycles wheelbarrows, trains donkeys",
    ("older", "younger"): "grandmothers toddlers, pensioners schoolchildren, "
    "grandfathers babies, ancestors descendants, professors pupils, veterans recruits",
    ("taller", "shorter"): "giraffes hedgehogs, skyscrapers cottages, oaks daisies, "
    "cathedrals sheds, lighthouses fences, adults infants",
    ("louder", "quieter"): "thunderclaps whispers, sirens murmurs, explosions sighs, "
    "trumpets lullabies, lions butterflies, jackhammers clocks",
    ("harder", "softer"): "diamonds pillows, stones cushions, hammers marshmallows, "
    "helmets scarves, swords blankets, nails petals",
    ("deeper", "shallower"): "oceans ponds, canyons ditches, wells bowls, "
    "lakes bathtubs, mines footprints, trenches scratches",
    ("brighter", "dimmer"): "suns candles, spotlights embers, lasers fireflies, "
    "headlights matches, floodlights lanterns, beacons nightlights",
    ("longer", "shorter"): "highways driveways, rivers streams, novels poems, "
    "centuries minutes, marathons sprints, pythons caterpillars",
    ("stronger", "weaker"): "gorillas hamsters, bears rabbits, cables threads, "
    "bulls lambs, hurricanes breezes, weightlifters children",
    ("wider", "narrower"): "motorways footpaths, stadiums corridors, doors keyholes, "
    "valleys cracks, plains alleys, runways ladders",
}


def nli_items() -> list[Item]:
    """234 items, those of one pair of things and its nonsense twin one after another."""
    words, found = nonsense_words(), []
    for number, (more, less, great, small) in enumerate(_pairs()):
        # Half of the premises say which is more, half which is less.
        is_greater = number % 2 == 0
        first, second = (great, small) if is_greater else (small, great)
        unknown = [f"{word}s" for word in (words[number], words[-1 - number])]
        asked: tuple[tuple[Condition, str, str], ...] = (
            ("consistent", first, second),
            ("violate", second, first),
            ("nonsense", unknown[0], unknown[1]),
        )
        for condition, subject, other in asked:
            found.append(
                _item(f"nli/{number}", condition, subject, other, (more, less), is_greater)
            )
    return found


def _pairs() -> Iterator[tuple[str, str, str, str]]:
    """For each pair of things: what is more and less of a quality, then the two."""
    for (more, less), things in COMPARISONS.items():
        for pair in things.split(", "):
            great, small = pair.split(" ")
            yield more, less, great, small


def _item(
    group: str,
    condition: Condition,
    subject: str,
    other: str,
    words: tuple[str, str],
    is_greater: bool,
) -> Item:
    premise = Comparison(0, is_greater, 1)
    right = [
        comparison_follows(premise, Comparison(1, says_greater, 0))
        for says_greater in (True, False)
    ].index(True)
    said = words[0] if is_greater else words[1]
    stem = f"then {other} are"
    return Item(
        group=group,
        condition=condition,
        prompt=f"If {subject} are {said} than {other}, {stem}",
        baseline=stem,
        options=tuple(f" {word} than {subject}" for word in words),
        right=right,
    )
