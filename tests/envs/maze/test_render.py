"""Rays, depth and colours against a slow tracer over all walls, and against numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.mazes import image_depth, planar_depth, segments

from tolman.envs.maze import render
from tolman.envs.maze.depth_target import (
    BANDS,
    EDGES,
    POWER,
    Z_NEAR,
    depth_classes,
    target_view,
)
from tolman.envs.maze.layout import make_layout
from tolman.envs.maze.layouts import named_layouts
from tolman.envs.maze.render import Items, View, colours, depth, full_view, look
from tolman.envs.maze.task import Pose

MAZES = ("static_1", "static_2", "i_maze")
# Two corridors of four cells, one above the other, joined in their second cells.
CORRIDORS = make_layout(
    "\n".join(["*********", "*       *", "*** *****", "*       *", "*********"])
)
see = jax.jit(look)  # One program, not one an operation.
paint = jax.jit(colours)
measure = jax.jit(depth)
NOTHING = Items(jnp.full((1, 2), 1e4), np.int32([0]), jnp.zeros(1, bool))


def pose_of(x, y, heading):
    return Pose(jnp.float32([x, y]), jnp.float32(heading))


def places(layout, rng, number):
    """Poses in open cells, some within 1e-3 of a grid line or a corner."""
    cells = rng.choice(np.flatnonzero(layout.arrays.is_open), number)
    within = rng.uniform(0.05, 0.95, (number, 2))
    near = rng.random((number, 2)) < 0.3
    within = np.where(near, rng.choice([1e-3, 1 - 1e-3], (number, 2)), within)
    x, y = cells % layout.width + within[:, 0], cells // layout.width + within[:, 1]
    return np.stack([x, y, rng.uniform(-np.pi, np.pi, number)], 1).astype(np.float32)


@pytest.mark.parametrize("name", MAZES)
def test_rays_end_where_the_slow_tracer_ends_them(name):
    layout, rng = named_layouts()[name], np.random.default_rng(0)
    walls, view = segments(layout.text), full_view(2, 12)

    for pose in places(layout, rng, 60):
        columns = see(layout.arrays, Pose(pose[:2], pose[2]), NOTHING, view)
        found = np.asarray(columns.wall, np.float64)
        x, y, heading = map(float, pose)
        slow = [planar_depth(walls, x, y, heading, float(slope)) for slope in view.columns]
        np.testing.assert_allclose(found, slow, rtol=1e-4)


def test_no_ray_slips_out_where_two_walls_meet():
    room = make_layout("\n".join(["*****", "*   *", "*   *", "*   *", "*****"]))
    ahead = View(np.float32([0.1]), np.float32([0.0]))
    rng = np.random.default_rng(0)
    look_at = jax.jit(jax.vmap(lambda pose: look(room.arrays, pose, NOTHING, ahead).wall))
    place = rng.uniform(0.2, 1.8, (2000, 2)).astype(np.float32)
    corner = rng.choice([0.0, 2.0], (2000, 2))
    to_corner = corner - place
    heading = np.arctan2(to_corner[:, 1], to_corner[:, 0])
    found = look_at(Pose(jnp.asarray(place), jnp.float32(heading)))[:, 0]
    np.testing.assert_allclose(found, np.hypot(*to_corner.T), rtol=1e-4)


def test_a_whole_depth_map_is_the_slow_one():
    layout = named_layouts()["static_1"]
    view = full_view(16, 16)
    for pose in places(layout, np.random.default_rng(1), 4):
        columns = see(layout.arrays, Pose(pose[:2], pose[2]), NOTHING, view)
        slow = image_depth(segments(layout.text), map(float, pose), 16)
        np.testing.assert_allclose(measure(columns, view), slow, rtol=1e-4)


def test_an_odd_height_has_no_row_at_the_horizon():
    view = full_view(21, 21)
    assert view.rows[10] == pytest.approx(0.25 / 21)
    columns = see(named_layouts()["tiny"].arrays, pose_of(0.5, 0.5, 0.3), NOTHING, view)
    found = measure(columns, view)
    assert np.isfinite(found).all() and (np.asarray(found) < 6).all()


@pytest.mark.parametrize(
    ("kind", "colour", "radius", "height"),
    [
        (0, [40, 230, 60], 0.24, 0.3),
        (1, [230, 30, 30], 0.12, 0.25),
        (2, [250, 80, 200], 0.12, 0.25),
    ],
)
@pytest.mark.parametrize("right", [0.0, 0.2])
def test_an_item_is_where_it_must_be(kind, colour, radius, height, right):
    # The eye at x = 0.5, the item 2 cells ahead, and so far to the right.
    layout = CORRIDORS
    items = Items(jnp.float32([[2.5, 0.5 + right]]), np.int32([kind]), jnp.ones(1, bool))
    pose, view = pose_of(0.5, 0.5, 0.0), full_view(200, 200)
    columns = see(layout.arrays, pose, items, view)
    image = np.asarray(paint(columns, pose, view)).astype(int)
    is_item = (image == colour).all(-1)
    rows, cols = np.nonzero(is_item)
    # At depth 2 slopes are halves of lengths; the eye is at a height of 0.5.
    half, side, up = radius / 2, right / 2, (height - 0.5) / 2
    assert view.columns[cols.min()] == pytest.approx(side - half, abs=0.011)
    assert view.columns[cols.max()] == pytest.approx(side + half, abs=0.011)
    assert view.rows[rows.min()] == pytest.approx(up + half, abs=0.011)
    assert view.rows[rows.max()] == pytest.approx(up - half, abs=0.011)
    assert is_item.sum() == pytest.approx(np.pi * half**2 * 100**2, rel=0.05)
    np.testing.assert_allclose(np.asarray(measure(columns, view))[is_item], 2.0, rtol=1e-5)
    gone = items._replace(is_there=jnp.zeros(1, bool))
    columns = see(layout.arrays, pose, gone, view)
    assert not (np.asarray(paint(columns, pose, view)) == colour).all(-1).any()


def test_an_item_behind_a_wall_or_the_eye_is_not_seen():
    view = full_view(40, 40)
    for place, is_seen in (([3.5, 1.5], False), ([0.5, 0.5], False), ([3.5, 0.5], True)):
        items = Items(jnp.float32([place]), np.int32([0]), jnp.ones(1, bool))
        columns = see(CORRIDORS.arrays, pose_of(1.5, 0.5, 0.0), items, view)
        assert (np.asarray(columns.item_half) > 0).any() == is_seen


def test_the_nearer_of_two_items_is_drawn():
    layout = CORRIDORS
    items = Items(
        jnp.float32([[3.5, 0.5], [1.5, 0.5]]), np.int32([0, 2]), jnp.ones(2, bool)
    )
    columns = see(layout.arrays, pose_of(0.5, 0.5, 0.0), items, full_view(9, 9))
    assert float(columns.item[4]) == pytest.approx(1.0)
    assert int(columns.item_colour[4]) == render.ITEM_COLOURS[2]


def test_floor_and_ceiling_are_where_walls_are_not():
    layout, view = CORRIDORS, full_view(84, 84)
    pose = pose_of(0.5, 0.5, 0.0)
    columns = see(layout.arrays, pose, NOTHING, view)
    image = np.asarray(paint(columns, pose, view))
    # Ahead, 3.5 cells off, a wall of height 1 is seen between slopes -1 / 7 and 1 / 7.
    assert (image[0, 42] == [60, 80, 130]).all()
    assert image[-1, 42].tolist() in ([96] * 3, [128] * 3)
    is_wall = np.asarray(measure(columns, view))[:, 42] == np.float32(columns.wall[42])
    assert is_wall.sum() == pytest.approx(84 / 7, abs=1)


@pytest.mark.parametrize("heading", [0.0, np.pi / 2])
def test_walls_have_eight_courses_and_the_floor_tiles_of_half_a_cell(heading):
    layout, view = CORRIDORS, full_view(84, 84)
    pose = pose_of(1.6, 0.7, heading)
    columns = see(layout.arrays, pose, NOTHING, view)
    image = np.asarray(paint(columns, pose, view)).astype(int)
    column, wall = 42, float(columns.wall[42])
    bits = int(columns.pattern[column])
    pair = np.asarray(columns.colours)[:, column]
    along, right = np.array([np.cos(heading), np.sin(heading)]), view.columns[column]
    ray = along + right * np.array([-along[1], along[0]])
    found = {"wall": 0, "floor": 0}
    for row, slope in enumerate(view.rows):
        height = 0.5 + slope * wall
        if 0.001 < height < 0.999:
            packed = int(pair[bits >> int(8 * height) & 1])
            expected = [packed >> shift & 255 for shift in (0, 8, 16)]
            found["wall"] += 1
        elif height < 0.0:
            x, y = np.array([1.6, 0.7]) + 0.5 / -slope * ray
            is_odd = (int(np.floor(2 * x)) + int(np.floor(2 * y))) % 2
            expected = [128 if is_odd else 96] * 3
            found["floor"] += 1
        else:
            continue
        assert image[row, column].tolist() == expected, (row, height)
    assert min(found.values()) > 8


def test_depth_classes_by_hand():
    # The bands of the buffer of DeepMind Lab, as depths in cells.
    np.testing.assert_allclose(
        EDGES, [0.155, 0.25, 0.352, 0.487, 0.69, 1.039, 1.812], atol=2e-3
    )
    found = depth_classes(jnp.float32([0.0, 0.154, 0.156, 0.5, 1.0, 1.8, 1.9, 60.0]))
    assert found.tolist() == [0, 0, 1, 4, 5, 6, 7, 7] and found.dtype == np.uint8
    assert depth_classes(jnp.asarray(EDGES)).tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_near_first_is_the_order_of_the_power():
    """The power of the buffer tells near from far; that of what it lacks of 1 nothing."""
    depth = np.geomspace(0.15, 4.0, 200, dtype=np.float32)  # As within a maze.
    assert set(np.asarray(depth_classes(depth)).tolist()) == set(range(8))
    reverse = np.digitize((Z_NEAR / depth) ** POWER, BANDS[1:-1])
    assert set(reverse.tolist()) == {0}


def test_the_coarse_view_is_a_part_of_the_full_one():
    view = full_view(84, 84)
    coarse = target_view(view)
    assert coarse.rows.shape == (4,) and coarse.columns.shape == (16,)
    assert set(coarse.rows) <= set(view.rows) and set(coarse.columns) <= set(view.columns)
    np.testing.assert_allclose(coarse.rows, [0.37, 0.13, -0.12, -0.37], atol=0.02)
    np.testing.assert_allclose(np.diff(coarse.columns), 0.125, atol=0.02)
