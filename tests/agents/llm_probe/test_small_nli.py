"""What the small models of comparisons learn from: true inferences, none that is asked."""

import jax
import numpy as np
import pytest

from tolman.agents.llm_probe.content_effects.nli import COMPARISONS, nli_items
from tolman.agents.llm_probe.content_effects.small_nli import (
    NUM_WORDS,
    SmallNLI,
    encode,
    rows_of,
    vocabulary,
)

WORDS = vocabulary()
OPPOSITE = {one: {b for a, b in COMPARISONS if a == one} for one, _ in COMPARISONS}
OPPOSITE |= {one: {a for a, b in COMPARISONS if b == one} for _, one in COMPARISONS}


def sentences(source, number=600):
    draw = jax.jit(source.sample, static_argnums=2)
    rows = jax.device_get(draw(source.load("train"), jax.random.PRNGKey(0), number))
    said = [" ".join(WORDS[token] for token in row if token) for row in rows.tokens]
    asked = [
        " ".join(WORDS[token] for token in row[is_asked])
        for row, is_asked in zip(rows.tokens, rows.is_asked, strict=True)
    ]
    return said, asked


def test_every_item_has_its_options_as_rows():
    items = nli_items()
    rows = rows_of(items)
    assert rows.tokens.shape == (468, NUM_WORDS) and (rows.tokens > 0).all()
    assert (rows.is_asked == (np.arange(NUM_WORDS) >= 9)).all()
    text = "If seas are bigger than puddles, then puddles are smaller than seas"
    assert rows.tokens[1].tolist() == encode(text)
    assert len(set(WORDS)) == len(WORDS)
    with pytest.raises(KeyError):
        encode("If cats are bigger")


def test_inferences_are_right_and_none_is_asked():
    asked_of = set()
    for item in nli_items():
        first, second = item.prompt.split()[1], item.prompt.split()[5].rstrip(",")
        asked_of |= {(first, second), (second, first)}
    said, asked = sentences(SmallNLI(share_of_facts=0.0))
    learned, num_unknown = set(), 0
    for text, end in zip(said, asked, strict=True):
        head, first, _, degree, _, second, then, *rest = text.split()
        assert (head, then) == ("if", "then")
        assert rest[:2] == [second, "are"] and rest[3:] == ["than", first]
        assert rest[2] in OPPOSITE[degree] and end == f"{rest[2]} than {first}"
        assert (first, second) not in asked_of and first != second
        learned |= {first, second}
        num_unknown += not any(first in things for things in COMPARISONS.values())
    assert 240 < num_unknown < 360
    assert len(learned) > 0.95 * (len(WORDS) - len({*OPPOSITE}) - 5)


def test_facts_agree_with_belief():
    said, asked = sentences(SmallNLI(share_of_facts=0.5))
    facts = [text for text in said if not text.startswith("if")]
    assert 240 < len(facts) < 360
    for text in facts:
        first, _, degree, _, second = text.split()
        things = [
            (f"{first} {second}" if degree == more else f"{second} {first}", pairs)
            for (more, less), pairs in COMPARISONS.items()
            if degree in (more, less)
        ]
        assert any(pair in pairs.split(", ") for pair, pairs in things)
    ends = [end for text, end in zip(said, asked, strict=True) if text in set(facts)]
    assert all(end.split()[0] == "are" and len(end.split()) == 4 for end in ends)
