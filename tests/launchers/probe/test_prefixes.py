"""What texts share is read once: the fewest tokens, and the same scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tolman.launchers.probe import prefixes
from tolman.launchers.probe.llama2c import load_llama2c
from tolman.launchers.probe.model import Tally
from tolman.launchers.probe.prefixes import Group, groups_of, in_shared_batches


def num_read(texts, groups):
    sizes = [sum(len(texts[i]) - g.size for i in g.indices) + g.size for g in groups]
    return sum(sizes)


def test_groups_by_hand():
    head = list(range(20))
    texts = [[*head, 5], [9, 9], [*head, 6, 7], [*head[:18], 0, 0]]
    limits = [20, 1, 21, 19]
    # All three behind 18 tokens: 18 + 3 + 4 + 2 = 27; two behind 20: 20 + 1 + 2 + 20.
    assert sorted(groups_of(texts, limits)) == [Group([1], 0), Group([3, 0, 2], 18)]
    # Where the last may give only 15 away it stays alone.
    found = sorted(groups_of(texts, [20, 1, 21, 15]))
    assert found == [Group([0, 2], 20), Group([1], 0), Group([3], 0)]


def test_a_prefix_is_read_once_and_not_for_nothing():
    """All three behind 20 tokens save 2 * 20; two of them behind 38 save 38."""
    head, more = list(range(20)), list(range(50, 68))
    texts = [[*head, *more, 1], [*head, *more, 2], [*head, 99]]
    assert groups_of(texts, [38, 38, 20]) == [Group([0, 1, 2], 20)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 1), min_size=2, max_size=6), st.integers(1, 5)),
        min_size=1,
        max_size=5,
    )
)
def test_no_other_groups_read_fewer_tokens(drawn):
    """Against every way to cut the sorted texts into groups; tokens come in runs of 8."""
    texts = [[token for token in text for _ in range(8)] for text, _ in drawn]
    limits = [min(8 * limit, 8 * len(text) - 1) for text, limit in drawn]
    groups = groups_of(texts, limits)
    assert sorted(i for g in groups for i in g.indices) == list(range(len(texts)))
    for group in groups:
        heads = {tuple(texts[i][: group.size]) for i in group.indices}
        assert len(heads) == 1 and group.size <= min(limits[i] for i in group.indices)
    order = sorted(range(len(texts)), key=lambda i: texts[i])
    costs = []
    for cuts in range(2 ** (len(order) - 1)):
        parts, part = [], [order[0]]
        for place, index in enumerate(order[1:]):
            if cuts >> place & 1:
                parts.append(part)
                part = []
            part = [*part, index]
        parts.append(part)
        total = 0
        for part in parts:
            size = min(limits[i] for i in part)
            while any(texts[i][:size] != texts[part[0]][:size] for i in part):
                size -= 1
            size = size if len(part) > 1 and size >= prefixes.MIN_SHARED else 0
            total += num_read(texts, [Group(part, size)])
        costs.append(total)
    assert num_read(texts, groups) == min(costs)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(16, 150), st.lists(st.integers(1, 50), min_size=2)),
        max_size=8,
    ),
    st.integers(64, 2000),
)
def test_every_text_is_in_one_batch_that_holds_it(drawn, max_tokens):
    groups, lengths = [], []
    for size, rests in drawn:
        groups.append(Group([*range(len(lengths), len(lengths) + len(rests))], size))
        lengths += [size + rest for rest in rests]
    size_of = {index: group.size for group in groups for index in group.indices}
    batches = list(in_shared_batches(groups, lengths, max_tokens, max_length=200))
    assert sorted(i for b in batches for i in b.indices) == list(range(len(lengths)))
    for batch in batches:
        assert [size_of[i] for i in batch.indices] == batch.sizes
        assert max(batch.sizes) <= batch.prefix_length in (64, 128, 200)
        longest = max(lengths[i] - size_of[i] for i in batch.indices)
        assert longest <= batch.rest_length in (32, 128)
        assert len(batch.indices) <= batch.num_rows
        assert set(batch.which) == set(range(max(batch.which) + 1))
        assert max(batch.which) < batch.num_prefixes
        assert batch.num_rows == 1 or batch.num_rows * batch.rest_length <= max_tokens
        assert (
            batch.num_prefixes == 1
            or batch.num_prefixes * batch.prefix_length <= max_tokens
        )
        texts = {i: [size_of[i], *range(lengths[i])] for i in batch.indices}
        heads, rests = batch.split(texts)
        for index, which, rest in zip(batch.indices, batch.which, rests, strict=True):
            assert [*heads[which], *rest] == texts[index]


def test_scores_behind_a_prefix_are_those_of_each_text_alone(tiny_files):
    model = load_llama2c(tiny_files / "untied.bin", tiny_files / "tokenizer.bin")
    heads = ["b c a b c a b c a b", "a b c a b c a b c a b c"]  # Of unlike lengths.
    prompts = [head + rest for head in heads for rest in (" a", " c b", " b")]
    prompts.append("c")
    continuations = [" b", " c", " abc", " a", " c a", " b", " a"]
    found = model.score(prompts, continuations).log_probability
    lengths = [
        len(model.tokenizer.encode(prompt + continuation).tokens)
        for prompt, continuation in zip(prompts, continuations, strict=True)
    ]
    assert model.tally.num_asked == sum(lengths)
    assert model.tally.num_read < sum(lengths) / 1.5
    assert model._score_behind._cache_size() == 1
    alone = [
        model.score([prompt], [continuation]).log_probability[0]
        for prompt, continuation in zip(prompts, continuations, strict=True)
    ]
    assert np.abs(found - alone).max() < 1e-5
    assert model._score_behind._cache_size() == 1


def test_what_is_told_of_a_battery():
    tally = Tally()
    tally.add(200, 50, 100)
    tally.add(100, 100, 150)
    told = str(tally)
    assert told.startswith("300 tokens scored; 150 of them saved (50%) by prefixes")
    assert told.endswith("padding is 40% of what was read.")


@pytest.mark.parametrize("count", [1, 2, 4, 5, 16, 17])
def test_power_of_four(count):
    from tolman.launchers.probe.batches import power_of_four

    assert power_of_four(count) == {1: 1, 2: 4, 4: 4, 5: 16, 16: 16, 17: 64}[count]
