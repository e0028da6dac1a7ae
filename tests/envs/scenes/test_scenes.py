"""Scenes of coloured shapes: what is drawn, said, read and judged."""

import dataclasses
import itertools

import numpy as np
import pytest

from tolman.envs.scenes import World, grammar, pictures, zipf_weights
from tolman.envs.scenes.facts import (
    ABOVE,
    ABSENT,
    FACTS,
    LAYOUTS,
    LEFT_OF,
    NO_RELATION,
    NUM_CONCEPTS,
    no_facts,
)

DIFFICULTIES = ("single", "groups", "pairs", "crowds")
RED, GREEN, BLUE, CYAN = 0, 1, 2, 5
CIRCLE, SQUARE, RING = 0, 1, 5
SMALL, LARGE = 0, 1


def facts(*sorts, relation=NO_RELATION):
    """Of sorts (number, size, colour, shape)."""
    found = no_facts(1)
    found["relation"] = relation
    for i, sort in enumerate(sorts):
        for field, value in zip(("number", "size", "colour", "shape"), sort, strict=True):
            found[field][0, i] = value
    return found


def sampled(difficulty, num=500, seed=0, **settings):
    world = World(difficulty, **settings)
    rng = np.random.default_rng(seed)
    return world, world.sample(rng, num), rng


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_judge_reads_all_of_2000_true_pictures(difficulty):
    world, scenes, _ = sampled(difficulty, 2000)
    images = world.render(scenes)
    assert images.shape == (2000, 32, 32, 3) and images.dtype == np.uint8
    judged = world.judge(images)
    assert (judged == world.facts(scenes)).all()
    assert world.agree(judged, world.facts(scenes)).all()
    assert (world.drawn_objects(images) == world.named_objects(judged)).all()


def test_the_judge_reads_pictures_with_noise():
    world, scenes, rng = sampled("crowds")
    images = world.render(scenes) + rng.normal(0, 15, (500, 32, 32, 3))
    assert world.agree(world.judge(images), world.facts(scenes)).mean() > 0.97


def test_the_smaller_picture_is_judged_too():
    world, scenes, _ = sampled("crowds", 2000, cell_pixels=12)
    images = world.render(scenes)
    assert images.shape == (2000, 24, 24, 3) and world.image_size == 24
    assert (world.judge(images) == world.facts(scenes)).all()


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_exact_captions_say_what_is_true(difficulty):
    world, scenes, rng = sampled(difficulty)
    captions = world.caption(scenes, rng, is_exact=True)
    assert (world.parse(captions) == world.facts(scenes)).all()


def test_people_leave_out_sizes_and_take_colours_for_others():
    world, scenes, rng = sampled("single", 20000)
    said, true = world.parse(world.caption(scenes, rng)), world.facts(scenes)
    assert world.is_read(said).all()
    first = {field: said[field][:, 0] for field in ("size", "colour", "shape")}
    left_out = first["size"] == ABSENT
    assert left_out.mean() == pytest.approx(0.15, abs=0.01)
    assert (first["size"] == true["size"][:, 0])[~left_out].all()
    is_wrong = first["colour"] != true["colour"][:, 0]
    assert is_wrong.mean() == pytest.approx(0.03, abs=0.005)
    assert (world.agree(said, true) == ~is_wrong).all()
    silent = dataclasses.replace(world, leave_out_size=1.0, wrong_colour=1.0)
    said = silent.parse(silent.caption(scenes, rng))
    assert (said["size"] == ABSENT).all() and (said["colour"] != true["colour"])[:, 0].all()


def test_captions_are_of_the_vocabulary_and_as_short_as_stated():
    world, scenes, rng = sampled("crowds", 5000)
    split = [caption.split() for caption in world.caption(scenes, rng)]
    assert {word for words in split for word in words} == set(world.vocabulary)
    assert max(map(len, split)) == world.max_words == 19


@pytest.mark.parametrize(
    ("caption", "meant"),
    [
        ("a small red circle", facts((1, SMALL, RED, CIRCLE))),
        ("I see one tiny red disc.", facts((1, SMALL, RED, CIRCLE))),
        ("a pair of  turquoise boxes", facts((2, ABSENT, CYAN, SQUARE))),
        ("this shows three big green hoops", facts((3, LARGE, GREEN, RING))),
        (
            "a red circle right of a large blue ring",
            facts((1, LARGE, BLUE, RING), (1, ABSENT, RED, CIRCLE), relation=LEFT_OF),
        ),
        (
            "a picture of two red circles under a blue ring",
            facts((1, ABSENT, BLUE, RING), (2, ABSENT, RED, CIRCLE), relation=ABOVE),
        ),
        (
            "a red circle over two blue rings",
            facts((1, ABSENT, RED, CIRCLE), (2, ABSENT, BLUE, RING), relation=ABOVE),
        ),
    ],
)
def test_captions_are_read(caption, meant):
    assert World().parse([caption])[0] == meant[0]


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a red",
        "red circle",
        "a red circles",
        "two red circle",
        "a red small circle",
        "a red circle above",
        "a red circle above three blue rings",
        "a red circle a blue ring",
        "a red circle above a blue ring above a blue ring",
        "a dog",
        "a red circle on a table",
        "a picture of",
    ],
)
def test_what_is_not_of_the_grammar_is_not_read(caption):
    world = World()
    said = world.parse([caption])
    assert said[0] == no_facts(1)[0] and not world.is_read(said)[0]
    assert not world.agree(said, said)[0]


def test_one_scene_said_in_two_ways_is_one():
    world = World("pairs")
    ways = ["a red circle above a blue ring", "a blue ring below a red circle"]
    first, second = world.parse(ways)
    assert first == second


def _changed(field, value, place=0):
    found = facts((1, LARGE, BLUE, RING), (1, SMALL, RED, CIRCLE), relation=LEFT_OF)
    if field == "relation":
        found[field] = value
    else:
        found[field][0, place] = value
    return found


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("field", "value", "is_right"),
    [
        ("size", ABSENT, True),
        ("colour", GREEN, False),
        ("shape", SQUARE, False),
        ("number", 2, False),
        ("relation", ABOVE, False),
    ],
)
def test_what_agrees(field, value, is_right, place):
    true = facts((1, LARGE, BLUE, RING), (1, SMALL, RED, CIRCLE), relation=LEFT_OF)
    assert World().agree(true, true)[0]
    assert World().agree(_changed(field, value, place), true)[0] == is_right
    assert not World().agree(_changed("size", 1 - true["size"][0, place], place), true)[0]
    assert not World().agree(true, _changed("size", ABSENT, place))[0]


def test_layouts_by_hand():
    assert LAYOUTS[1, 1, LEFT_OF].tolist() == [[-1, -1, 0, 1], [0, 1, -1, -1]]
    assert LAYOUTS[1, 1, ABOVE].tolist() == [[-1, 0, -1, 1], [0, -1, 1, -1]]
    assert LAYOUTS[2, 2, LEFT_OF].tolist() == [[0, 1, 0, 1]]
    assert LAYOUTS[2, 2, ABOVE].tolist() == [[0, 0, 1, 1]]
    assert LAYOUTS[1, 2, LEFT_OF].tolist() == [[-1, 1, 0, 1], [0, 1, -1, 1]]
    assert LAYOUTS[2, 1, ABOVE].tolist() == [[0, 0, -1, 1], [0, 0, 1, -1]]
    assert [len(LAYOUTS[n, 0, NO_RELATION]) for n in (1, 2, 3, 4)] == [4, 6, 4, 1]


def _read_by_a_loop(cells):
    """Facts of four cells, each None or a kind, from the definitions of the relations."""
    places = {
        kind: [i for i in range(4) if cells[i] == kind] for kind in set(cells) - {None}
    }
    if len(places) == 1:
        ((kind, own),) = places.items()
        return [(len(own), kind)], NO_RELATION
    if len(places) != 2:
        return None
    for first, second in itertools.permutations(places):
        one, two = places[first], places[second]
        pairs = list(itertools.product(one, two))
        if max(len(one), len(two)) > 2:
            continue
        sorts = [(len(one), first), (len(two), second)]
        same_row = all(i // 2 == j // 2 for i, j in pairs) or len(pairs) > 1
        same_column = all(i % 2 == j % 2 for i, j in pairs) or len(pairs) > 1
        if all(i % 2 < j % 2 for i, j in pairs) and same_row:
            return sorts, LEFT_OF
        if all(i // 2 < j // 2 for i, j in pairs) and same_column:
            return sorts, ABOVE
    return None


def test_every_picture_of_three_kinds_is_read_as_the_loop_reads_it():
    kinds = [None, (RED, RING, SMALL), (RED, RING, LARGE), (CYAN, CIRCLE, SMALL)]
    boards = list(itertools.product(kinds, repeat=4))
    seen = np.array([[kind or (ABSENT,) * 3 for kind in board] for board in boards])
    found = pictures.facts_of(seen)
    for board, row in zip(boards, found, strict=True):
        told = _read_by_a_loop(board) if any(board) else None
        if told is None:
            assert row == no_facts(1)[0], board
            continue
        sorts = [(n, size, colour, shape) for n, (colour, shape, size) in told[0]]
        assert row == facts(*sorts, relation=told[1])[0], board


def test_a_picture_of_nothing_and_of_three_kinds_are_no_scenes_but_have_objects():
    world = World()
    empty = np.full((1, 32, 32, 3), pictures.BACKGROUND, np.uint8)
    assert not world.is_read(world.judge(empty))[0]
    assert not world.drawn_objects(empty).any()
    looks = np.array(
        [[(RED, RING, SMALL), (CYAN, CIRCLE, LARGE), (CYAN, RING, 0), (-1,) * 3]]
    )
    image = pictures.draw(looks, np.zeros((1, 4, 2), int), 16)
    assert not world.is_read(world.judge(image))[0]
    objects = {world.concepts[i] for i in np.flatnonzero(world.drawn_objects(image)[0])}
    assert objects == {"red ring", "cyan circle", "cyan ring"}


def test_a_small_square_stands_where_its_place_says():
    looks = np.full((1, 4, 3), ABSENT)
    looks[0, 3] = RED, SQUARE, SMALL
    place = np.zeros((1, 4, 2), int)
    place[0, 3] = 2, 1
    red = (pictures.draw(looks, place, 16)[0] == pictures.RGB[RED]).all(-1)
    expected = np.zeros((32, 32), bool)
    expected[16 + 8 : 16 + 16, 16 + 4 : 16 + 12] = True
    assert (red == expected).all()


def test_shapes_differ_and_are_symmetric():
    for side in pictures.SIDES:
        masks = [pictures.mask(shape, side) for shape in range(6)]
        for one, other in itertools.combinations(masks, 2):
            assert (one != other).sum() >= side
        for one in masks:
            assert (one == one[:, ::-1]).all()


def test_a_picture_has_few_patches():
    world, scenes, _ = sampled("crowds", 1000)
    patches = world.render(scenes).reshape(-1, 8, 4, 8, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    assert 200 < len({patch.tobytes() for patch in patches.reshape(-1, 48)}) <= 305


def test_held_out_concepts_leave_no_colour_and_no_shape_out():
    seen_patterns = set()
    for seed in range(8):
        held_out = World(held_out_seed=seed).held_out.reshape(8, 6)
        assert held_out.sum(0).tolist() == [2] * 6
        assert set(held_out.sum(1).tolist()) == {1, 2}
        seen_patterns.add(held_out.tobytes())
    assert len(seen_patterns) > 4


def test_weights_keep_held_out_concepts_away():
    world = World("crowds")
    rng = np.random.default_rng(0)
    scenes = world.sample(rng, 2000, weights=~world.held_out)
    assert not world.is_held_out(scenes).any()
    assert not world.named_objects(world.facts(scenes))[:, world.held_out].any()
    scenes = world.sample(rng, 2000, weights=world.held_out)
    assert world.is_held_out(scenes).all()
    single, scenes, _ = sampled("single", 4000)
    assert single.is_held_out(scenes).mean() == pytest.approx(0.25, abs=0.03)


def test_concepts_are_drawn_by_their_weights_and_the_two_of_a_scene_differ():
    world = World("pairs")
    weights = np.zeros(NUM_CONCEPTS)
    weights[[3, 17]] = 3.0, 1.0
    scenes = world.sample(np.random.default_rng(0), 6000, weights)
    counts = world.named_objects(world.facts(scenes)) > 0
    is_pair = world.facts(scenes)["relation"] != NO_RELATION
    assert (counts[is_pair].sum(1) == 2).all() and (counts[~is_pair].sum(1) == 1).all()
    assert counts[~is_pair, 3].mean() == pytest.approx(0.75, abs=0.03)
    assert is_pair.mean() == pytest.approx(1 / 3, abs=0.03)


def test_zipf_weights():
    weights = zipf_weights(np.random.default_rng(0), 4)
    assert sorted(weights) == pytest.approx([1 / 4, 1 / 3, 1 / 2, 1])


def test_named_objects_by_hand():
    world = World()
    said = world.parse(["two red rings over a blue circle", "three cyan rings", "nothing"])
    counts = world.named_objects(said)
    named = [{world.concepts[i]: row[i] for i in np.flatnonzero(row)} for row in counts]
    assert named == [{"red ring": 2, "blue circle": 1}, {"cyan ring": 3}, {}]


def test_every_layout_and_every_place_is_drawn():
    _, scenes, _ = sampled("pairs", 4000)
    facts = scenes["facts"]
    for (first, second, relation), cells in LAYOUTS.items():
        rows = (facts["number"] == (first, second)).all(1) & (facts["relation"] == relation)
        if rows.any():
            drawn = {tuple(row) for row in (scenes["sort"][rows] >= 0).tolist()}
            assert drawn == {tuple(row) for row in (cells >= 0).tolist()}
    places = {}
    for size, num_places in ((SMALL, 3), (LARGE, 2)):
        rows = (facts["size"][:, 0] == size) & (scenes["sort"][:, 0] == 0)
        places = scenes["place"][rows, 0]
        assert {tuple(place) for place in places.tolist()} == set(
            np.ndindex(num_places, num_places)
        )


def test_a_seed_draws_the_same_again():
    one, other = (sampled("crowds", 50, seed=3) for _ in range(2))
    assert (one[1] == other[1]).all()
    assert one[0].caption(one[1], one[2]) == other[0].caption(other[1], other[2])


def test_facts_have_the_fields_of_the_grammar():
    world, scenes, _ = sampled("pairs", 3)
    assert (
        world.facts(scenes).dtype == FACTS
        and world.judge(world.render(scenes)).dtype == FACTS
    )
    assert len(world.concepts) == NUM_CONCEPTS == 48 and len(grammar.VOCABULARY) == 55


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"difficulty": "hard"}, {}, "difficulty='hard': must be one of crowds, groups"),
        ({}, {"weights": np.ones(3)}, r"weights of shape \(3,\): must be \[48\]"),
        ({}, {"weights": -np.ones(48)}, "weights from -1.0 to -1.0: must be finite"),
        ({}, {"weights": np.eye(48)[0]}, "weights from 0.0 to 1.0: must be finite"),
        ({}, {"weights": np.full(48, np.nan)}, "weights from nan to nan: must be finite"),
    ],
)
def test_what_cannot_be_drawn_is_refused(settings, arguments, message):
    with pytest.raises(ValueError, match=message):
        World(**settings).sample(np.random.default_rng(0), 4, **arguments)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"must be \[N, 32, 32, 3\]. Scale them."):
        World().judge(np.zeros((1, 24, 24, 3)))


def test_scenes_of_what_captions_say():
    world = World("crowds")
    rng = np.random.default_rng(0)
    captions = world.caption(world.sample(rng, 500), rng)
    said = world.parse(captions)
    scenes = world.arrange(said, rng)
    assert world.agree(said, world.facts(scenes)).all()
    assert world.agree(world.judge(world.render(scenes)), world.facts(scenes)).all()
    # A size that is not said is small as often as large.
    is_open = (said["size"] == -1) & (said["number"] > 0)
    assert abs(world.facts(scenes)["size"][is_open].mean() - 0.5) < 0.15
    with pytest.raises(ValueError, match="1 of 2 are of no scene"):
        world.arrange(world.parse([captions[0], "a fog"]), rng)
