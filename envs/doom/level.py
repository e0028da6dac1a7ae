"""Mazes as levels of Doom: the same walls, pictures and items as the ray-caster draws.

The engine measures in units, 64 to a cell, with y to the north. A wall has no thickness:
each of its faces is a line of its own, with nothing behind. Items wait in a room apart.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, PngImagePlugin

from tolman.envs.doom import wad
from tolman.envs.maze import render
from tolman.envs.maze.layout import EAST, NORTH, SOUTH, WEST, Layout
from tolman.envs.maze.motion import RADIUS

UNITS = 64  # A cell.
PUT_BODY, PUT_ITEM = 1, 2  # Scripts.
THING_STOP = 19  # A special of ZDoom.
# Where items wait, and the body before its first start: the middle of a room in the south.
ROOM = (UNITS / 2, -4.5 * UNITS)
ITEM_NAMES = ("GOAL", "APPL", "STRA")  # By kind, see `tolman.envs.maze.task`.
FIRST_TYPE = 20_001  # Of the items' things; the kinds follow one another.
# Each tic a walking player adds 25 / 32 of this to his speed ahead, 24 / 32 aside, and then
# keeps 0.90625 of it: at last 3.41 units a tic, the top speed of the mazes.
FORWARD_MOVE, SIDE_MOVE = 0.4096, 0.4267
# Pixels of the items' pictures: a unit each, as the depth of a sprite counts its pixels.
SPRITE_PIXELS = np.round(2 * UNITS * render.ITEM_RADIUS).astype(int)

ACTORS = """
ACTOR TolmanPlayer : PlayerPawn
{{
  Radius {radius}
  Height 40
  Player.DisplayName "Tolman"
  Player.ViewHeight 32
  Player.ForwardMove {forward}, {forward}
  Player.SideMove {side}, {side}
  +NOSKIN
  States
  {{
  Spawn:
    TNT1 A -1
    Stop
  See:
    TNT1 A -1
    Loop
  }}
}}
"""
ITEM_ACTOR = """
ACTOR Tolman{name} {type}
{{
  Radius 1
  Height 1
  Scale {scale}
  +NOINTERACTION
  States
  {{
  Spawn:
    {name} A -1 Bright
    Stop
  }}
}}
"""
MAP_INFO = 'map {name} "Maze" {{ evenlighting nojump nocrouch }}\n'
GAME_INFO = 'gameinfo { playerclasses = "TolmanPlayer" }\n'


def map_name(number: int) -> str:
    """Of the maze of that number, from 0; a lump's name has eight letters at most."""
    return f"MAZE{number:04}"


def level_wad(layouts: Sequence[Layout], kinds: np.ndarray) -> bytes:
    """The WAD of some mazes, a map each; the same bytes for the same mazes.

    Args:
      layouts: of the mazes, at most 10,000.
      kinds: `[K]` of the items of every one; item k has the identifier `k + 1`.
    """
    colours = palette()
    return wad.pack_wad(
        [
            ("PLAYPAL", colours.tobytes()),
            ("COLORMAP", bytes(range(256)) * 34),  # What is far is no darker.
            ("DECORATE", _actors().encode()),
            ("ZMAPINFO", _map_info(len(layouts)).encode()),
            ("TX_START", b""),
            *((name, _png(image)) for name, image in _walls()),
            ("TX_END", b""),
            ("F_START", b""),
            ("FLOOR", _indices(_floor(), colours)),
            ("CEILING", _indices(np.broadcast_to(_rgb(render.CEILING_COLOUR), (64, 64, 3)),
                                 colours)),
            ("F_END", b""),
            ("S_START", b""),
            *((f"{name}A0", _sprite(kind)) for kind, name in enumerate(ITEM_NAMES)),
            ("S_END", b""),
            *(
                lump
                for number, layout in enumerate(layouts)
                for lump in _map(number, layout, kinds)
            ),
        ]
    )  # fmt: skip


def faces(layout: Layout) -> Iterator[tuple[tuple[int, int], tuple[int, int], str]]:
    """The walls as they are seen from open cells: from, to, texture.

    Places are corners of cells, x to the east and y to the south; who looks at a face has
    its beginning to the left.
    """
    arrays = layout.arrays
    for cell in np.flatnonzero(arrays.is_open):
        row, column = divmod(int(cell), layout.width)
        bits = int(arrays.faces[cell])
        north_west, north_east = (column, row), (column + 1, row)
        south_west, south_east = (column, row + 1), (column + 1, row + 1)
        if bits >> WEST & 1:
            yield south_west, north_west, texture_name(column, row, True, True)
        if bits >> EAST & 1:
            yield north_east, south_east, texture_name(column + 1, row, True, False)
        if bits >> NORTH & 1:
            yield north_west, north_east, texture_name(row, column, False, False)
        if bits >> SOUTH & 1:
            yield south_east, south_west, texture_name(row + 1, column, False, True)


def texture_name(line: int, cell: int, is_vertical: bool, is_mirrored: bool) -> str:
    """Of the wall on a line of the grid, at a cell along it; as `render.look` has it."""
    texture = (line * 3 + cell * 5 + is_vertical * 2) % render.NUM_TEXTURES
    return f"WALL{texture}{'V' if is_vertical else 'H'}{'M' if is_mirrored else 'N'}"


def text_map(layout: Layout, kinds: np.ndarray) -> str:
    """The level in UDMF, Doom's universal map format."""
    vertices: dict[tuple[float, float], int] = {}
    blocks = ['namespace = "zdoom";']
    lines: list[str] = []
    sides: list[str] = []

    def corner(x: float, y: float) -> int:
        return vertices.setdefault((x, y), len(vertices))

    def wall(start: tuple[float, float], end: tuple[float, float], look: str) -> None:
        sector = int(start[1] < 0)
        lines.append(
            f"linedef {{ v1 = {corner(*start)}; v2 = {corner(*end)}; "
            f"sidefront = {len(sides)}; blocking = true; }}"
        )
        sides.append(f'sidedef {{ sector = {sector}; texturemiddle = "{look}"; }}')

    for first, last, look in faces(layout):
        wall(_units(first, layout.height), _units(last, layout.height), look)
    x, y = ROOM
    half = UNITS / 2
    around = [(x - half, y - half), (x - half, y + half), (x + half, y + half),
              (x + half, y - half)]  # fmt: skip
    for start, end in zip(around, around[1:] + around[:1], strict=True):
        wall(start, end, texture_name(0, 0, False, False))
    blocks += [f"vertex {{ x = {x:.1f}; y = {y:.1f}; }}" for x, y in vertices]
    blocks += [
        'sector { heightfloor = 0; heightceiling = 64; texturefloor = "FLOOR"; '
        'textureceiling = "CEILING"; lightlevel = 255; }'
    ] * 2
    blocks += [*lines, *sides, _thing(1)]
    blocks += [_thing(FIRST_TYPE + int(kind), item + 1) for item, kind in enumerate(kinds)]
    return "\n".join(blocks) + "\n"


def palette() -> np.ndarray:
    """`[256, 3]` bytes: black, then every colour of the ray-caster."""
    packed = np.concatenate(
        [render.WALL_COLOURS.ravel(), render.FLOOR_COLOURS, render.ITEM_COLOURS]
    )
    used = np.vstack([_rgb(packed), _rgb(render.CEILING_COLOUR)])
    colours = np.zeros((256, 3), np.uint8)
    colours[1 : len(used) + 1] = used
    return colours


def _units(place: tuple[int, int], height: int) -> tuple[float, float]:
    return float(UNITS * place[0]), float(UNITS * (height - place[1]))


def _thing(kind: int, identifier: int = 0) -> str:
    x, y = ROOM
    return (
        f"thing {{ id = {identifier}; x = {x:.1f}; y = {y:.1f}; type = {kind}; "
        "skill1 = true; skill2 = true; skill3 = true; skill4 = true; skill5 = true; "
        "single = true; }"
    )


def _map(number: int, layout: Layout, kinds: np.ndarray) -> list[wad.Lump]:
    return [
        (map_name(number), b""),
        ("TEXTMAP", text_map(layout, kinds).encode()),
        ("BEHAVIOR", _scripts()),
        ("ENDMAP", b""),
    ]


def _map_info(num_maps: int) -> str:
    maps = [MAP_INFO.format(name=map_name(number)) for number in range(num_maps)]
    return "".join([*maps, GAME_INFO])


def _scripts() -> bytes:
    """One that puts the body to x, y and an angle, at rest; one that puts an item to x, y.

    Coordinates are in units / 65,536, angles in turns / 65,536.
    """

    def put(thing: tuple[int, int], first: int) -> list[int]:
        x, y = (wad.PUSH_ARGUMENT, first), (wad.PUSH_ARGUMENT, first + 1)
        zeros = (wad.PUSH_NUMBER, 0) * 2  # Height, and no fog.
        return [*thing, *x, *y, *zeros, wad.SET_POSITION, wad.DROP]

    body = (wad.PUSH_NUMBER, 0)  # Who runs the script.
    turn = [*body, wad.PUSH_ARGUMENT, 2, wad.SET_ANGLE]
    stop = [wad.CALL_1, THING_STOP, 0]
    item = (wad.PUSH_ARGUMENT, 0)
    return wad.pack_scripts(
        {
            PUT_BODY: (3, [*put(body, 0), *turn, *stop, wad.TERMINATE]),
            PUT_ITEM: (3, [*put(item, 1), wad.TERMINATE]),
        }
    )


def _actors() -> str:
    player = ACTORS.format(radius=RADIUS * UNITS, forward=FORWARD_MOVE, side=SIDE_MOVE)
    items = [
        ITEM_ACTOR.format(
            name=name,
            type=FIRST_TYPE + kind,
            scale=2 * UNITS * render.ITEM_RADIUS[kind] / SPRITE_PIXELS[kind],
        )
        for kind, name in enumerate(ITEM_NAMES)
    ]
    return player + "".join(items)


def _walls() -> Iterator[tuple[str, np.ndarray]]:
    """Name and picture `[64, 64, 3]` of each texture, of eight by eight bits."""
    for texture, pattern in enumerate(render.PATTERNS):
        bits = (pattern[None] >> np.arange(7, -1, -1)[:, None]) & 1  # [8, 8], top first.
        for is_vertical in (False, True):
            pair = _rgb(render.WALL_COLOURS[int(is_vertical), texture])  # [2, 3]
            image = pair[bits].repeat(8, axis=0).repeat(8, axis=1)
            direction = "V" if is_vertical else "H"
            yield f"WALL{texture}{direction}N", image
            yield f"WALL{texture}{direction}M", image[:, ::-1]


def _floor() -> np.ndarray:
    """`[64, 64, 3]`, the four tiles of a cell."""
    tiles = _rgb(render.FLOOR_COLOURS)[np.array([[0, 1], [1, 0]])]
    return tiles.repeat(32, axis=0).repeat(32, axis=1)


def _sprite(kind: int) -> bytes:
    """A disc that stands as high as the ray-caster's."""
    size = int(SPRITE_PIXELS[kind])
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    is_inside = rows**2 + columns**2 <= (size / 2) ** 2
    image = np.zeros((size, size, 4), np.uint8)
    image[is_inside, :3] = _rgb(render.ITEM_COLOURS[kind])
    image[is_inside, 3] = 255
    radius, height = render.ITEM_RADIUS[kind], render.ITEM_HEIGHT[kind]
    top = round(float(size * (height + radius) / (2 * radius)))
    return _png(image, struct.pack(">ii", size // 2, top))


def _png(image: np.ndarray, offsets: bytes = b"") -> bytes:
    """A PNG, with ZDoom's chunk of offsets where there are some."""
    written, chunks = io.BytesIO(), PngImagePlugin.PngInfo()
    if offsets:
        chunks.add(b"grAb", offsets)
    Image.fromarray(np.ascontiguousarray(image)).save(written, "PNG", pnginfo=chunks)
    return written.getvalue()


def _indices(image: np.ndarray, colours: np.ndarray) -> bytes:
    """A flat: the number of each pixel's colour."""
    matches = (image[:, :, None] == colours).all(-1)
    return bytes(matches.argmax(-1).astype(np.uint8))


def _rgb(packed: np.ndarray) -> np.ndarray:
    """`[..., 3]` bytes of the ray-caster's packed colours."""
    shifted = np.asarray(packed)[..., None] >> np.array([0, 8, 16], np.uint32)
    return (shifted & 255).astype(np.uint8)
