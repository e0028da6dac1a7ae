"""From scores to answers, with models whose preferences are written by hand."""

from types import SimpleNamespace

import numpy as np

from tolman.agents.llm_probe.content_effects.answers import ask
from tolman.agents.llm_probe.content_effects.items import Item
from tolman.agents.llm_probe.content_effects.syllogisms import syllogism_items

ITEM = Item("g", "consistent", "long question, then", "then", (" yes", " no", " so"), 1)


def table_model(table, asked=None):
    def score(prompts, continuations):
        pairs = list(zip(prompts, continuations, strict=True))
        if asked is not None:
            asked.extend(pairs)
        return SimpleNamespace(log_probability=np.array([table[pair] for pair in pairs]))

    return score


def test_answers_by_hand():
    said = {" yes": (-1.0, -0.5), " no": (-2.0, -4.0), " so": (-3.0, -2.5)}
    table = {(ITEM.prompt, option): pair[0] for option, pair in said.items()}
    table |= {(ITEM.baseline, option): pair[1] for option, pair in said.items()}
    raw = ask([ITEM], table_model(table), is_corrected=False)
    assert raw.choice == [0] and not raw.is_right[0] and raw.confidence == [1.0]
    corrected = ask([ITEM], table_model(table))
    np.testing.assert_allclose(corrected.preference[0], [-0.5, 2.0, -0.5])
    assert corrected.choice == [1] and corrected.is_right[0]
    assert corrected.confidence == [2.5]


def test_no_text_is_sent_twice():
    items, asked = syllogism_items(), []
    ask(items, table_model(dict.fromkeys(_pairs(items), -1.0), asked))
    assert len(asked) == len(set(asked)) == 2 * len(items) + 2


def _pairs(items):
    return [
        (text, option)
        for item in items
        for text in (item.prompt, item.baseline)
        for option in item.options
    ]


def test_the_correction_takes_away_what_is_likely_anyway():
    items, rng = syllogism_items(), np.random.default_rng(0)
    wanted = {item.prompt: rng.normal(size=2) for item in items}

    def model(prior):
        table = {}
        for item in items:
            for index, option in enumerate(item.options):
                table[item.baseline, option] = prior[index]
                table[item.prompt, option] = wanted[item.prompt][index] + prior[index]
        return table_model(table)

    plain, biased = (np.array([0.0, 0.0]), np.array([5.0, -3.0]))
    for prior in (plain, biased):
        found = np.array(ask(items, model(prior)).preference)
        np.testing.assert_allclose(
            found, [wanted[item.prompt] for item in items], atol=1e-6
        )
    raw = ask(items, model(biased), is_corrected=False)
    assert (raw.choice == 0).all()  # It calls everything valid.
