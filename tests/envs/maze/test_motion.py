"""Bodies: speeds by hand, and walls that are never crossed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from oracles.mazes import clearance, segments

from tolman.envs.maze import motion
from tolman.envs.maze.layouts import named_layouts
from tolman.envs.maze.motion import ACTIONS, INERTIA, RADIUS, SPEED, TURN, at_rest, move
from tolman.envs.maze.task import Pose

NAMES = list(ACTIONS)


def body_at(x, y, heading=0.0):
    return at_rest(Pose(jnp.float32([x, y]), jnp.float32(heading)))


def test_speeds_by_hand():
    layout = named_layouts()["static_1"]
    faces, width = layout.arrays.faces, layout.width
    body, x = body_at(0.5, 0.5), 0.5
    velocity = 0.0
    for _ in range(4):
        body = move(body, jnp.int32(NAMES.index("forward")), faces, width)
        velocity = SPEED + INERTIA * (velocity - SPEED)
        x += velocity
    np.testing.assert_allclose(body.pose.position, [x, 0.5], rtol=1e-5)
    assert pytest.approx(3.2) == SPEED * 60
    body = body_at(0.5, 0.5)
    for _ in range(4):
        body = move(body, jnp.int32(NAMES.index("turn right")), faces, width)
    assert float(body.pose.heading) == pytest.approx(np.radians(8.4), rel=1e-5)
    assert TURN > 0


@pytest.mark.parametrize(("action", "sign"), [("turn right", 1), ("turn left", -1)])
def test_a_heading_goes_round_at_half_a_turn(action, sign):
    body = body_at(1.5, 1.5, sign * (np.pi - TURN / 4))
    moved = move(body, jnp.int32(NAMES.index(action)), np.zeros(9, np.uint8), 3)
    # Three quarters of a turn beyond pi is as much after -pi.
    heading = -sign * (np.pi - 3 * TURN / 4)
    assert float(moved.pose.heading) == pytest.approx(heading, abs=1e-5)


@pytest.mark.parametrize(
    ("action", "direction"),
    [("forward", (1, 0)), ("backward", (-1, 0)), ("left", (0, -1)), ("right", (0, 1))],
)
@pytest.mark.parametrize("quarter", range(4))
def test_directions_turn_with_the_heading(action, direction, quarter):
    faces = np.zeros(9, np.uint8)  # Nine cells without walls.
    body = body_at(1.5, 1.5, quarter * np.pi / 2)
    body = move(body, jnp.int32(NAMES.index(action)), faces, 3)
    ahead, right = direction
    for _ in range(quarter):
        ahead, right = -right, ahead
    moved = np.asarray(body.pose.position) - 1.5
    np.testing.assert_allclose(
        moved, (1 - INERTIA) * SPEED * np.array([ahead, right]), atol=1e-6
    )


def test_a_corner_without_a_wall_is_in_nobodys_way():
    faces = np.zeros(9, np.uint8)
    body = body_at(0.95, 0.98)
    moved = move(body, jnp.int32(NAMES.index("forward")), faces, 3)
    np.testing.assert_allclose(
        moved.pose.position, [0.95 + (1 - INERTIA) * SPEED, 0.98], atol=1e-6
    )


def test_a_wall_stops_a_body_and_takes_its_speed():
    layout = named_layouts()["static_1"]
    body = body_at(0.5, 0.5, -np.pi / 2)  # Towards the outer wall.
    for _ in range(40):
        body = move(body, jnp.int32(NAMES.index("forward")), layout.arrays.faces, 10)
    np.testing.assert_allclose(body.pose.position, [0.5, RADIUS], atol=1e-4)
    assert float(jnp.abs(body.velocity).max()) < 1e-3


@pytest.mark.parametrize("action", ["forward", "backward", "left", "right"])
def test_rounding_brings_no_body_nearer_far_from_the_origin(action):
    faces = np.full(32 * 32, 255, np.uint8)  # Every cell is walled in.
    body = body_at(31.5, 31.5)
    step = jax.jit(lambda body: move(body, jnp.int32(NAMES.index(action)), faces, 32))
    for _ in range(20):
        body = step(body)
    place = np.asarray(body.pose.position, np.float64)
    apart = np.minimum(place - 31, 32 - place).min()
    assert RADIUS <= apart < RADIUS + 2e-5


@pytest.mark.parametrize("name", ["static_1", "static_2", "i_maze"])
def test_no_wall_or_end_of_a_wall_is_ever_nearer_than_the_radius(name):
    """A million random frames in the three mazes; actions last, so that walls are met."""
    layout = named_layouts()[name]
    bodies, frames = 500, 700
    cells = np.random.default_rng(0).choice(np.flatnonzero(layout.arrays.is_open), bodies)
    position = np.stack([cells % layout.width, cells // layout.width], 1) + 0.5
    start = motion.Body(
        Pose(jnp.float32(position), jnp.zeros(bodies)), jnp.zeros((bodies, 2))
    )

    def frame(body, key):
        lasting = jax.random.fold_in(jax.random.PRNGKey(1), key // 20)
        actions = jax.random.randint(lasting, (bodies,), 0, len(ACTIONS))
        step = jax.vmap(
            lambda one, action: move(one, action, layout.arrays.faces, layout.width)
        )
        moved = step(body, actions)
        return moved, moved.pose.position

    _, path = jax.jit(lambda body: lax.scan(frame, body, jnp.arange(frames)))(start)
    path = np.asarray(path, np.float64)  # [T, N, 2]
    assert clearance(segments(layout.text), path.reshape(-1, 2)).min() > RADIUS - 1e-6
    steps = np.abs(np.diff(path, axis=0)).max()
    assert steps < 2 * SPEED  # Nobody is thrown about.
    # And no middle goes through a wall: between open cells that touch, a wall is met.
    before, after = np.floor(path[:-1]).astype(int), np.floor(path[1:]).astype(int)
    moved = (before != after).any(-1)
    a = before[moved] @ [1, layout.width]
    b = after[moved] @ [1, layout.width]
    assert moved.sum() > 1000
    assert (layout.arrays.distance[a, b] <= 2).all()  # 2: over an open corner.
