"""Texts of mazes: what is read from them by hand, and what is refused."""

import numpy as np
import pytest
from oracles.mazes import segments

from tolman.envs.data import data_set
from tolman.envs.maze.layout import UNREACHABLE, from_blocks, make_layout
from tolman.envs.maze.layouts import draw, named_layouts

# Two rows of three cells: a wall right of the first cell, a block in the last.
SMALL = "\n".join(
    [
        "*******",
        "*G*A  *",
        "* * * *",
        "*P  ***",
        "*******",
    ]
)


def test_walls_by_hand():
    layout = make_layout(SMALL)
    assert (layout.height, layout.width) == (2, 3)
    arrays = layout.arrays
    # Lines x = 0 to 3; bit 0 is the upper row. The block closes x = 2 and 3 below.
    assert arrays.vertical.tolist() == [0b11, 0b01, 0b10, 0b11]
    # Lines y = 0 to 2; bit 0 is the left column. "* * * *": no wall in a cell's place.
    assert arrays.horizontal.tolist() == [0b111, 0b100, 0b111]
    assert arrays.is_open.tolist() == [True, True, True, True, True, False]
    west, east, north, south = (arrays.faces >> bit & 1 for bit in range(4))
    assert west.tolist() == [1, 1, 0, 1, 0, 1]
    assert east.tolist() == [1, 0, 1, 0, 1, 1]
    assert north.tolist() == [1, 1, 1, 0, 0, 1]
    assert south.tolist() == [0, 0, 1, 1, 1, 1]
    south_east = arrays.faces >> 7 & 1
    assert south_east.tolist() == [1, 1, 1, 1, 1, 1]
    assert layout.marked("G") == (0,) and layout.marked("A") == (1,)
    assert layout.starts == ((3, None),)


def test_a_start_looks_the_way_its_mark_points():
    maze = make_layout("*******\n*> v P*\n*     *\n*<   ^*\n*******")
    half = np.pi  # Of a turn, clockwise from the east.
    assert maze.starts == ((0, 0.0), (1, half / 2), (2, None), (3, half), (5, -half / 2))


def test_reach_is_counted_from_the_marks():
    maze = make_layout("*******\n* *G P*\n*******")  # Its first cell is shut in.
    assert maze.within_reach.tolist() == [False, True, True]


def test_a_line_of_the_grid_has_a_bit_for_each_of_32_cells():
    maze = make_layout("\n".join(["*" * 65, "*" + " " * 63 + "*", "*" * 65]))
    assert maze.arrays.horizontal.tolist() == [2**32 - 1] * 2


def test_distances_by_hand():
    distance = make_layout(SMALL).arrays.distance
    assert distance[0].tolist() == [0, 3, 4, 1, 2, UNREACHABLE]
    assert distance[3].tolist() == [1, 2, 3, 0, 1, UNREACHABLE]
    assert (distance == distance.T).all()


def test_bits_are_the_segments_of_the_text():
    for layout in named_layouts().values():
        arrays = layout.arrays
        found = {
            (x, j, x, j + 1)
            for x, bits in enumerate(arrays.vertical)
            for j in range(layout.height)
            if bits >> j & 1
        } | {
            (i, y, i + 1, y)
            for y, bits in enumerate(arrays.horizontal)
            for i in range(layout.width)
            if bits >> i & 1
        }
        assert found == {tuple(map(int, wall)) for wall in segments(layout.text)}


def test_blocks_are_cells():
    layout = make_layout(from_blocks("G *\n P "))
    assert (layout.height, layout.width) == (2, 3)
    assert layout.arrays.is_open.tolist() == [True, True, False, True, True, True]
    assert layout.arrays.distance[0].tolist() == [0, 1, UNREACHABLE, 1, 2, 3]


def test_named_mazes_are_sound_and_of_the_papers_sizes():
    named = named_layouts()
    for name, layout in named.items():
        assert make_layout(layout.text, name) == layout
    sizes = {name: (one.height, one.width) for name, one in named.items()}
    assert sizes["static_1"] == sizes["random_goal_1"] == (5, 10)
    assert sizes["static_2"] == sizes["random_goal_2"] == (9, 15)
    maze = named["i_maze"]
    assert maze.arrays.is_open.sum() == 19
    ((start, heading),) = maze.starts
    assert heading == pytest.approx(-np.pi / 2)
    # Six steps to every alcove: the shortest latency there can be.
    assert [maze.arrays.distance[start, goal] for goal in maze.marked("G")] == [6] * 4


@pytest.mark.parametrize("seed", range(5))
def test_generated_mazes_join_all_cells_and_repeat(seed):
    maze = draw(seed, 6, 7, openness=0.0, num_apples=3)
    assert maze == draw(seed, 6, 7, openness=0.0, num_apples=3)
    assert maze != draw(seed + 1, 6, 7, openness=0.0, num_apples=3)
    arrays = maze.arrays
    assert arrays.distance.max() < UNREACHABLE
    # A tree: one opening less than cells. 6 x 7 cells have 7 * 7 + 8 * 6 walls in all.
    walls = sum(int(bits).bit_count() for bits in (*arrays.vertical, *arrays.horizontal))
    assert 7 * 7 + 8 * 6 - walls == 6 * 7 - 1
    assert len(maze.marked("G")) == 1 and len(maze.marked("A")) == 3


def test_walls_are_opened_by_their_share():
    """The walk leaves 112 walls between 9 x 15 cells; 48 are around, and posts 10 x 16."""
    closed = [draw(seed, 9, 15).text.count("*") - 48 - 10 * 16 for seed in range(60)]
    assert 1 - np.mean(closed) / 112 == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is empty"),
        ("\n\n", "the text is empty"),
        ("***\n* *\n****", "line 3 has 4 characters and line 1 has 3, blanks included"),
        ("***\n* *\n***\n ", "line 4 has 1 characters"),
        ("****\n*  *\n****", "3 lines of 4 characters"),
        ("***\n***", "2 lines of 3 characters"),
        ("*", "1 lines of 1 characters"),
        ("***\n*  \n***", "the outer edge has [' ']. Close it with '*'"),
        ("***\n  *\n***", "the outer edge has [' ']"),
        ("* *\n* *\n***", "the outer edge has [' ']"),
        ("***\n* *\n* *", "the outer edge has [' ']"),
        ("###\n#G#\n###", "the outer edge has ['#']. Close it with '*'"),
        ("***\n***\n***", "no cell is open"),
        ("***\n*x*\n***", "marks ['x'] are unknown"),
        ("*****\n*GG *\n*****", "['G'] between cells"),
        ("*****\n*G*A*\n*****", "no way leads to the mark 'A' in row 0, column 1"),
        ("*****\n* * *\n*****", "in several parts"),
        ("\n".join(["*" * 67, "*" + " " * 65 + "*", "*" * 67]), "1 rows and 33 columns"),
    ],
)
def test_bad_texts_in_one_line(text, words):
    with pytest.raises(ValueError) as caught:
        make_layout(text, "mine")
    assert words in str(caught.value) and str(caught.value).startswith("maze 'mine'")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(data_set("dmlab_mazes") is None, reason="dmlab_mazes are not there")
@pytest.mark.parametrize(
    ("name", "height", "width", "num_apples"),
    [("nav_maze_static_01", 5, 10, 5), ("nav_maze_static_02", 9, 15, 13)],
)
def test_mazes_of_deepmind_lab_are_read_as_they_are(name, height, width, num_apples):
    maze = make_layout((data_set("dmlab_mazes") / f"{name}.txt").read_text(), name)
    assert (maze.height, maze.width) == (height, width)
    assert (len(maze.marked("A")), len(maze.marked("G"))) == (num_apples, 1)
    assert maze.arrays.distance.max() < height * width  # No cell is shut in.


def test_more_marks_than_cells_are_refused():
    with pytest.raises(ValueError, match="5 marks in 2 x 2 cells"):
        draw(0, 2, 2, num_apples=4)


@pytest.mark.parametrize(("height", "width"), [(0, 3), (3, 33)])
def test_sizes_that_no_maze_has_are_refused(height, width):
    """Also in Python, where no flag is read: masks of walls have 32 bits."""
    with pytest.raises(ValueError, match=rf"^height={height}, width={width}: must be in"):
        draw(0, height, width)


def test_distances_are_those_of_a_slow_search():
    maze = make_layout(from_blocks("G  *   \n*  * * \n P  A *\n***    \n  *S   "))
    arrays, width = maze.arrays, maze.width
    for start in range(len(arrays.is_open)):
        found = {start: 0} if arrays.is_open[start] else {}
        waiting = [*found]
        for cell in waiting:
            ways = zip((-1, 1, -width, width), (0, 1, 2, 3), strict=True)
            for shift, bit in ways:
                if not arrays.faces[cell] >> bit & 1 and cell + shift not in found:
                    found[cell + shift] = found[cell] + 1
                    waiting.append(cell + shift)
        expected = [found.get(cell, UNREACHABLE) for cell in range(len(arrays.is_open))]
        assert arrays.distance[start].tolist() == expected
