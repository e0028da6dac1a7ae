"""One running ViZDoom: a body that acts in a maze, and what it sees.

The engine looks 116 degrees wide, of which the middle is cut out: 90 degrees wide and high,
as the ray-caster looks.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tolman.envs.doom.level import PUT_BODY, PUT_ITEM, ROOM, UNITS, map_name
from tolman.envs.maze import render
from tolman.envs.maze.motion import COMMANDS, TURN
from tolman.envs.maze.render import FARTHEST

WIDE = 1.6  # Slope at the left and right edge of the engine's picture; 1 at the others.
FIELD_OF_VIEW = 116  # Degrees: twice the angle of that slope.
# Width to the names of the engine's resolutions; pictures are 4 : 3.
RESOLUTIONS = {160: "RES_160X120", 320: "RES_320X240", 640: "RES_640X480"}
# Depth of walls and items in the engine's buffer: units a level, measured, and where in a
# level they lie in the mean. The last level is what is that far, or further.
DEPTH_UNITS, DEPTH_OFFSET = 4.49, 0.75
GAMES = ("Doom", "Heretic", "Hexen", "Strife", "Chex")  # That the engine can be.
STARTER = """#!/bin/sh
setpriv --pdeathsig KILL true && exec setpriv --pdeathsig KILL {engine} "$@"
exec {engine} "$@"
"""
NUM_IDLE_TICS = 10  # At the start of a map the engine ignores actions for some.
FIXED = 65_536  # The engine's numbers have 16 bits behind the point.


class Sight(NamedTuple):
    """What the engine tells of one moment.

    Attributes:
      rgb: `[S, S, 3]` uint8.
      depth: `[S, S]` float32, planar, in cells; as near as the engine's levels. Or None.
      position: `[2]` float32, in cells.
      heading: `[]` radians, clockwise.
      velocity: `[2]` float32, cells a tic.
    """

    rgb: np.ndarray
    depth: np.ndarray | None
    position: np.ndarray
    heading: np.float32
    velocity: np.ndarray


class Engine:
    """ViZDoom in a maze; all that is done there is said here."""

    def __init__(self, wad: Path, height: int, image_size: int, has_depth: bool) -> None:
        """Starts the engine in the first maze.

        Args:
          wad: the file of the mazes.
          height: rows of cells, of every maze.
          image_size: S.
          has_depth: depth is told.
        """
        import vizdoom

        self._height = height
        width = next((one for one in RESOLUTIONS if one >= WIDE * image_size), 640)
        view = render.full_view(image_size, image_size)
        columns = ((view.columns / WIDE + 1) / 2 * width).astype(int)
        rows = ((1 - view.rows) / 2 * (width * 3 // 4)).astype(int)
        self._pixels = np.ix_(rows, columns)
        self._ground = np.broadcast_to(
            (render.EYE / np.abs(view.rows))[:, None], (image_size, image_size)
        )
        self._folder = tempfile.TemporaryDirectory(prefix="tolman-doom-")
        self._game: Any = vizdoom.DoomGame()
        config = Path(self._folder.name, "engine.ini")
        config.write_text(_config(config.with_name("autoexec.cfg")))
        self._game.set_doom_config_path(str(config))
        self._game.set_doom_scenario_path(str(wad))
        if starter := _starter(Path(vizdoom.__file__).with_name("vizdoom"), config.parent):
            self._game.set_vizdoom_path(str(starter))
        _configure(self._game, vizdoom, RESOLUTIONS[width])
        self._game.set_depth_buffer_enabled(has_depth)
        self._maze = 0
        self._game.set_doom_map(map_name(self._maze))
        self._game.init()
        self._begin_map()

    def enter(self, maze: int) -> None:
        """Changes to the maze of a number, unless it is there already."""
        if maze == self._maze:
            return
        self._maze = maze
        self._game.set_doom_map(map_name(maze))
        self._begin_map()

    def act(self, action: int | None, num_tics: int) -> None:
        """Does one of the mazes' actions, or nothing, for so many tics."""
        turn, forward, right = (0, 0, 0) if action is None else COMMANDS[action]
        buttons = [forward > 0, forward < 0, right < 0, right > 0]
        self._game.make_action([*map(float, buttons), math.degrees(TURN) * turn], num_tics)

    def put_body(self, position: np.ndarray, heading: float) -> None:
        """Puts the body somewhere, at rest; done in the next tic."""
        angle = round(-heading / (2 * math.pi) * FIXED) % FIXED
        x, y = self._units(position)
        self._game.send_game_command(f"puke -{PUT_BODY} {x} {y} {angle}")

    def put_items(self, places: Mapping[int, np.ndarray | None]) -> None:
        """Puts items somewhere, None for away; done in the next tic.

        Args:
          places: by number of the item.
        """
        away = [round(FIXED * value) for value in ROOM]
        for item, place in places.items():
            x, y = away if place is None else self._units(place)
            self._game.send_game_command(f"puke -{PUT_ITEM} {item + 1} {x} {y}")

    def look(self) -> Sight:
        """What is seen now."""
        state = self._game.get_state()
        levels = state.depth_buffer
        x, y, angle, along_x, along_y = state.game_variables
        rgb = state.screen_buffer[self._pixels]
        heading = (math.pi - math.radians(angle)) % (2 * math.pi) - math.pi
        return Sight(
            rgb,
            None if levels is None else self._depth(rgb, levels[self._pixels]),
            np.array([x / UNITS, self._height - y / UNITS], np.float32),
            np.float32(heading),
            np.array([along_x, -along_y], np.float32) / UNITS,
        )

    def close(self) -> None:
        """Ends the engine."""
        self._game.close()
        self._folder.cleanup()

    def _begin_map(self) -> None:
        self._game.send_game_command(f"fov {FIELD_OF_VIEW}")
        for _ in range(NUM_IDLE_TICS):
            self.act(None, 1)

    def _units(self, position: np.ndarray) -> tuple[int, int]:
        x, y = UNITS * float(position[0]), UNITS * (self._height - float(position[1]))
        return round(FIXED * x), round(FIXED * y)

    def _depth(self, rgb: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """In cells. Of floor and ceiling, which their colours tell, by the row alone."""
        near = (levels + np.float32(DEPTH_OFFSET)) * np.float32(DEPTH_UNITS / UNITS)
        near = np.minimum(near, self._ground)
        packed = rgb.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
        is_ground = packed == render.CEILING_COLOUR
        for colour in render.FLOOR_COLOURS:
            is_ground |= packed == colour
        depth = np.where(is_ground, self._ground, near)
        return np.minimum(depth, FARTHEST).astype(np.float32)


def _config(autoexec: Path) -> str:
    """The engine's file of settings: without these it makes a folder where it is run."""
    return "".join(f"[{game}.AutoExec]\nPath={autoexec}\n" for game in GAMES)


def _starter(engine: Path, folder: Path) -> Path | None:
    """Starts the engine so that it ends with this process, also where that is killed.

    None where the system cannot: without setpriv, or where nothing in the folder may run.
    """
    starter = folder / "engine.sh"
    if shutil.which("setpriv") is None or not engine.exists():
        return None
    starter.write_text(STARTER.format(engine=shlex.quote(str(engine))))
    starter.chmod(0o700)
    return starter if os.access(starter, os.X_OK) else None


def _configure(game: Any, vizdoom: Any, resolution: str) -> None:
    game.set_screen_resolution(getattr(vizdoom.ScreenResolution, resolution))
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    for what in ("hud", "weapon", "crosshair", "messages", "decals", "particles"):
        getattr(game, f"set_render_{what}")(False)
    button, variable = vizdoom.Button, vizdoom.GameVariable
    game.set_available_buttons(
        [
            button.MOVE_FORWARD, button.MOVE_BACKWARD, button.MOVE_LEFT, button.MOVE_RIGHT,
            button.TURN_LEFT_RIGHT_DELTA,
        ]
    )  # fmt: skip
    game.set_available_game_variables(
        [
            variable.POSITION_X, variable.POSITION_Y, variable.ANGLE,
            variable.VELOCITY_X, variable.VELOCITY_Y,
        ]
    )  # fmt: skip
    game.set_episode_timeout(0)
    game.add_game_args("+movebob 0 +r_fakecontrast 0")
