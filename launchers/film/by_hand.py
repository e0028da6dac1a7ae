"""A person plays an environment by the keys of a terminal, and is filmed."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import string
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import dm_env
import numpy as np
from dm_env import specs

from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.evaluation.episodes import check_num_episodes, check_seed
from tolman.launchers.film.camera import Camera, make_drawing
from tolman.launchers.film.writer import Film, check_film

STOP = "x"
SPARE_KEYS = string.digits + string.ascii_lowercase.replace(STOP, "")
HOME, CLEAR, PLAIN = "\x1b[H", "\x1b[2J", "\x1b[0m"
ABOVE, BELOW = "\x1b[38;2;{};{};{}m", "\x1b[48;2;{};{};{}m"  # Colours of a half block.


class PlayedByHand(NamedTuple):
    """What was played.

    Attributes:
      film: the mp4 file.
      returns: of the episodes that came to their end, in order; then of the one that was
        left.
      lengths: of the same, decisions.
    """

    film: Path
    returns: list[float]
    lengths: list[int]


def play_by_hand(
    env: str,
    num_episodes: int = 1,
    seed: int = 0,
    out: Path | None = None,
    fps: float | None = None,
    keyboard: TextIO | None = None,
    screen: TextIO | None = None,
    settings: Any = None,
) -> PlayedByHand:
    """Plays an environment by keys, one a decision, until the episodes or the keys end.

    Args:
      env: its name. It has actions with numbers, and a picture.
      num_episodes: at least 1.
      seed: of its chance.
      out: the mp4 file; None for one in the current folder with the environment's name.
      fps: pictures a second; None for the environment's own speed, or 15.
      keyboard: what is read, a character a key; None for standard input, whose keys are
        taken as they are pressed where it is a terminal.
      screen: where the picture is drawn if it is a terminal; None for standard output.
      settings: of the environment, of the type that it takes; None for its defaults.

    Raises:
      ValueError: for a number outside its range, a file that cannot be written, or an
        environment without numbered actions or a picture.
    """
    check_num_episodes(num_episodes, 1)
    check_seed(seed)
    path = out or Path(f"{env.replace('/', '_')}_s{seed}.mp4")
    check_film(path, fps)
    screen = screen or sys.stdout
    environment = make_drawing(find_environments(env, settings), seed)
    with contextlib.closing(Camera(env, environment, num_episodes)) as camera:
        keys = keys_of(environment)
        draw = _drawer(screen, keys) if screen.isatty() else lambda *_: None
        returns, lengths = [0.0], [0]
        with (
            Film(path, fps or camera.fps) as film,
            _pressed(keyboard or sys.stdin) as pressed,
        ):

            def show(timestep: dm_env.TimeStep) -> None:
                picture = camera.picture(timestep)
                film.add(picture)
                draw(picture, returns[-1])

            show(environment.reset())
            for key in itertools.takewhile(lambda key: key != STOP, pressed):
                if key not in keys:
                    continue
                timestep = environment.step(np.int32(keys[key]))
                returns[-1] += float(timestep.reward)
                lengths[-1] += 1
                show(timestep)
                if timestep.last():
                    if len(returns) == num_episodes:
                        break
                    returns.append(0.0)
                    lengths.append(0)
                    show(environment.reset())
    return PlayedByHand(path, returns, lengths)


def keys_of(environment: dm_env.Environment) -> Mapping[str, int]:
    """The key of each action: the environment's own `keys`, or digits and letters in turn.

    Raises:
      ValueError: if its actions are not numbered, or too many for keys.
    """
    spec = environment.action_spec()
    if not isinstance(spec, specs.DiscreteArray) or spec.num_values > len(SPARE_KEYS):
        raise ValueError(
            f"actions {spec!r}: only up to {len(SPARE_KEYS)} numbered ones can be played "
            "by keys. Choose another environment."
        )
    inner = getattr(environment, "environment", environment)  # Of an adapter.
    own = getattr(inner, "keys", None)
    return own or {SPARE_KEYS[action]: action for action in range(spec.num_values)}


def half_blocks(picture: np.ndarray, width: int, height: int) -> str:
    """The picture in characters, two pixels each, one above the other.

    Args:
      picture: `[H, W, 3]` uint8; made smaller where there is no room, by leaving out.
      width: characters of a line, at most.
      height: lines, at most.
    """
    step = max(-(-picture.shape[1] // width), -(-picture.shape[0] // (2 * height)), 1)
    small = picture[::step, ::step]
    if len(small) % 2:
        small = np.concatenate([small, np.zeros_like(small[:1])])
    lines = []
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        pairs = zip(upper, lower, strict=True)
        line = [ABOVE.format(*one) + BELOW.format(*two) + "▀" for one, two in pairs]
        lines.append("".join(line) + PLAIN)
    return "\n".join(lines)


def _drawer(screen: TextIO, keys: Mapping[str, int]) -> Callable[[np.ndarray, float], None]:
    print(CLEAR, end="", file=screen)
    told = f"keys: {' '.join(keys)}; {STOP} stops"

    def draw(picture: np.ndarray, earned: float) -> None:
        width, height = shutil.get_terminal_size()
        drawn = half_blocks(picture, width, max(height - 2, 1))
        line = f"return {earned:g}   {told}"[: width - 1]
        print(f"{HOME}{drawn}\n{line:<{width - 1}}", end="", file=screen, flush=True)

    return draw


@contextlib.contextmanager
def _pressed(keyboard: TextIO) -> Iterator[Iterator[str]]:
    """Keys one by one, as they are pressed; a terminal is left as it was."""

    def keys() -> Iterator[str]:
        while key := keyboard.read(1):
            yield key

    if not keyboard.isatty():
        yield keys()
        return
    import termios
    import tty

    before: Any = termios.tcgetattr(keyboard.fileno())
    tty.setcbreak(keyboard.fileno())
    try:
        yield keys()
    finally:
        termios.tcsetattr(keyboard.fileno(), termios.TCSADRAIN, before)
        print()
