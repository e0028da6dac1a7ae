"""What ViZDoom is given, byte for byte; nothing here needs the engine."""

import dataclasses
import io
import itertools
import re
import struct
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from tolman.envs.doom import DoomSettings, check_doom_id, level, wad
from tolman.envs.maze import render, task
from tolman.envs.maze.environment import find_layouts
from tolman.envs.maze.layout import make_layout
from tolman.envs.maze.layouts import HELD_OUT, draw, named_layouts
from tolman.launchers.catalog.environments import find_environments

SMALL = make_layout(
    """
*****
*G *A
* * *
*   *
*****
""".replace("*G *A", "*G*A*"),
    "small",
)


def read_wad(content):
    """Lumps by a reader of its own."""
    kind, count, place = struct.unpack_from("<4sii", content)
    assert kind == b"PWAD" and place + 16 * count == len(content)
    lumps = []
    for index in range(count):
        start, size, name = struct.unpack_from("<ii8s", content, place + 16 * index)
        lumps.append((name.rstrip(b"\0").decode(), content[start : start + size]))
    return lumps


def run_script(behavior, number, arguments):
    """A stack machine of the six instructions; what it calls, with numbers."""
    (directory,) = struct.unpack_from("<i", behavior, 4)
    (count,) = struct.unpack_from("<i", behavior, directory)
    entries = [
        struct.unpack_from("<3i", behavior, directory + 4 + 12 * n) for n in range(count)
    ]
    ((_, place, num_arguments),) = [entry for entry in entries if entry[0] == number]
    assert num_arguments == len(arguments)
    words = iter(struct.unpack_from(f"<{(directory - place) // 4}i", behavior, place))
    stack, calls = [], []
    for word in words:
        if word == 1:
            assert not stack
            return calls
        if word == 3:
            stack.append(next(words))
        elif word == 28:
            stack.append(arguments[next(words)])
        elif word == 54:
            stack.pop()
        elif word == 9:
            calls.append(("special", next(words), next(words)))
        elif word == 276:
            calls.append(("angle", *stack[-2:]))
            del stack[-2:]
        elif word == 283:
            calls.append(("position", *stack[-5:]))
            stack[-5:] = [1]
        else:
            raise AssertionError(word)


def test_a_wad_by_hand():
    packed = wad.pack_wad([("A", b"xy"), ("MARK", b""), ("LONGNAME", b"z")])
    assert packed == (
        b"PWAD\3\0\0\0\x0f\0\0\0" + b"xyz"
        b"\x0c\0\0\0\2\0\0\0A\0\0\0\0\0\0\0"
        b"\x0e\0\0\0\0\0\0\0MARK\0\0\0\0"
        b"\x0e\0\0\0\1\0\0\0LONGNAME"
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"lump 'NINELETTE': 9 letters. May have 8"):
        wad.pack_wad([("NINELETTE", b"")])


def test_scripts_put_the_body_and_items():
    behavior = dict(read_wad(level.level_wad([SMALL], np.array([1, 0]))))["BEHAVIOR"]
    assert behavior.startswith(b"ACS\0")
    assert run_script(behavior, level.PUT_BODY, [7, 8, 9]) == [
        ("position", 0, 7, 8, 0, 0), ("angle", 0, 9), ("special", 19, 0),
    ]  # fmt: skip
    assert run_script(behavior, level.PUT_ITEM, [5, 7, 8]) == [("position", 5, 7, 8, 0, 0)]


def test_every_wall_is_seen_from_its_open_sides():
    # Clockwise around the outside, from within; then both sides of the wall in the middle.
    corners = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1), (0, 0)]
    wanted = {*itertools.pairwise(corners), ((1, 0), (1, 1)), ((1, 1), (1, 0))}
    assert {(start, end) for start, end, _ in level.faces(SMALL)} == wanted


def test_blocks_have_nothing_inside():
    maze = make_layout("*******\n*     *\n* *** *\n* *** *\n* *** *\n*     *\n*******")
    faces = {(start, end) for start, end, _ in level.faces(maze)}
    outside = {
        place for place in itertools.product(range(4), repeat=2) if {0, 3} & {*place}
    }
    # Twelve around, and the block's four, each seen from without.
    assert len(faces) == 16
    block = [(1, 1), (1, 2), (2, 2), (2, 1), (1, 1)]  # Counterclockwise.
    assert {face for face in faces if face[0] not in outside} == {
        *itertools.pairwise(block)
    }


def test_textures_are_the_ray_casters():
    names = {look for _, _, look in level.faces(SMALL)}
    lumps = dict(read_wad(level.level_wad([SMALL], np.array([1, 0]))))
    assert names <= set(lumps)
    # Line 1, cell 0, upright: 3 + 2 = texture 5; the wall's lowest eighth is the last row.
    assert level.texture_name(1, 0, True, False) == "WALL5VN"
    image = np.asarray(Image.open(io.BytesIO(lumps["WALL5VN"])))
    mirrored = np.asarray(Image.open(io.BytesIO(lumps["WALL5VM"])))
    np.testing.assert_array_equal(image[:, ::-1], mirrored)
    for column in range(8):
        for eighth in range(8):
            bit = int(render.PATTERNS[5, column]) >> eighth & 1
            colour = int(render.WALL_COLOURS[1, 5, bit])
            wanted = [colour & 255, colour >> 8 & 255, colour >> 16 & 255]
            assert image[63 - 8 * eighth, 8 * column].tolist() == wanted


def test_the_ray_caster_sees_the_pictures_of_the_level():
    """From the middle of a cell, half a cell away, a wall fills 8 x 8 pixels."""
    lumps = dict(read_wad(level.level_wad([SMALL], np.array([1, 0]))))
    view, seen = render.full_view(8, 8), set()
    nothing = render.Items(np.zeros((1, 2)), np.zeros(1, int), np.zeros(1, bool))

    @jax.jit
    def paint(pose):
        return render.colours(render.look(SMALL.arrays, pose, nothing, view), pose, view)

    for start, end, name in level.faces(SMALL):
        right = np.subtract(end, start)  # To the right of who looks at it.
        ahead = np.array([right[1], -right[0]])
        place = (np.add(start, end) - ahead) / 2
        heading = np.arctan2(ahead[1], ahead[0])
        image = paint(task.Pose(np.float32(place), np.float32(heading)))
        picture = np.asarray(Image.open(io.BytesIO(lumps[name])))
        np.testing.assert_array_equal(image, picture[4::8, 4::8], name)
        seen.add(name)
    assert len(seen) > 5 and {name[-2:] for name in seen} == {"VN", "VM", "HN", "HM"}


def test_ground_has_colours_of_its_own():
    # Depth tells floor and ceiling by them.
    ground = {int(render.CEILING_COLOUR), *map(int, render.FLOOR_COLOURS)}
    others = {*map(int, render.WALL_COLOURS.ravel()), *map(int, render.ITEM_COLOURS)}
    assert len(ground) == 3 and not ground & others


def test_the_map_has_its_things():
    kinds = np.array([task.APPLE_ITEM, task.STRAWBERRY_ITEM, task.GOAL_ITEM])
    text = level.text_map(SMALL, kinds)
    assert text.count("linedef {") == text.count("sidedef {") == 10 + 4
    assert text.count("sector {") == 2 and text.count("thing {") == 4
    for item, kind in enumerate(kinds):
        line = next(one for one in text.split("\n") if f"id = {item + 1};" in one)
        assert f"type = {20_001 + kind};" in line
    assert level.level_wad([SMALL], kinds) == level.level_wad([SMALL], kinds)


def test_walls_stand_in_units_with_the_north_above():
    text = level.text_map(SMALL, np.array([task.GOAL_ITEM]))
    places = re.findall(r"vertex { x = (\S+); y = (\S+); }", text)
    looks = re.findall(r'texturemiddle = "(\w+)"', text)
    lines = re.findall(r"linedef { v1 = (\d+); v2 = (\d+); sidefront = (\d+);", text)
    walls = {
        (*(tuple(map(float, places[int(end)])) for end in ends), looks[int(side)])
        for *ends, side in lines
    }
    for start, end, look in level.faces(SMALL):
        (x, y), (to_x, to_y) = start, end
        walls.remove(((64 * x, 128 - 64 * y), (64 * to_x, 128 - 64 * to_y), look))
    # What is left is the room of the items, within which the middle is.
    assert len(walls) == 4
    x, y = level.ROOM
    sides = [0.5 * np.add(*ends) - [x, y] for *ends, _ in walls]
    assert sorted(map(tuple, sides)) == [(-32, 0), (0, -32), (0, 32), (32, 0)]


def test_every_maze_has_a_map_of_its_own():
    other, kinds = named_layouts()["tiny"], np.array([task.GOAL_ITEM])
    lumps = read_wad(level.level_wad([SMALL, other], kinds))
    names = [name for name, _ in lumps]
    for number, layout in enumerate((SMALL, other)):
        place = names.index(f"MAZE{number:04}")
        parts = ["TEXTMAP", "BEHAVIOR", "ENDMAP"]
        assert names[place + 1 : place + 4] == parts
        assert lumps[place + 1][1].decode() == level.text_map(layout, kinds)
    told = dict(lumps)["ZMAPINFO"].decode()
    assert told.count("map MAZE0000 ") == told.count("map MAZE0001 ") == 1
    assert len(level.map_name(9_999)) == 8


def test_bad_input_in_one_line(monkeypatch):
    with pytest.raises(ValueError, match=r"mean 'doom/.*Use one of doom/stat"):
        check_doom_id("doom/static_9")
    with pytest.raises(ValueError, match=r"^split='held_out': is no setting of doom/tiny"):
        DoomSettings(split="held_out").maze("doom/tiny")
    with pytest.raises(ValueError, match=r"Use doom/layout, or leave --env.layout out"):
        DoomSettings(layout="tiny").maze("doom/generated")
    with pytest.raises(ValueError, match=r"Use doom/generated, or leave --env.num-mazes"):
        DoomSettings(num_mazes=3).maze("doom/tiny")
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(ValueError, match=r"uv sync --extra doom.* Or use maze/s"):
        find_environments("doom/static_1")


def test_the_task_is_that_of_the_maze_of_the_same_name():
    settings = DoomSettings(num_frames=40, reward_scale=0.5, fields=("rgb", "loop_closure"))
    maze = settings.maze("doom/random_goal_2")
    assert (maze.fruit_density, maze.min_start_distance) == (0.1, 5)
    assert (maze.num_decisions, maze.reward_scale) == (10, 0.5)
    some = DoomSettings(num_mazes=2, split="held_out", height=3, width=4)
    found = find_layouts(some.maze("doom/generated"))
    assert found == [draw(HELD_OUT, 3, 4), draw(HELD_OUT + 1, 3, 4)]
    own = dataclasses.replace(some, layout="generated", split="train").maze("doom/layout")
    assert find_layouts(own) == [draw(0, 3, 4), draw(1, 3, 4)]
    assert (
        dataclasses.replace(settings, num_frames=0).maze("doom/static_2").num_frames
        == 10_800
    )
