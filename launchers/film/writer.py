"""Writes pictures to an mp4 file."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from types import TracebackType

import numpy as np

DEFAULT_FPS = 15.0
MIN_HEIGHT = 320  # Smaller pictures are enlarged by a whole factor, pixel by pixel.


class Film:
    """An mp4 file in the making; nothing stands under its name before it is whole.

    A context manager: leaving it finishes the file, by Ctrl-C too, and leaving it by any
    other exception drops it.

    Attributes:
      path: of the file.
      fps: pictures a second; None until the first one for `DEFAULT_FPS`.
    """

    def __init__(self, path: Path, fps: float | None = None) -> None:
        """Writes nothing yet.

        Args:
          path: ends in `.mp4`; a file that is there is replaced.
          fps: pictures a second, in (0, 1000], or None.

        Raises:
          ValueError: for a rate outside that, or a path that cannot be written.
        """
        check_film(path, fps)
        self.path, self.fps = path, fps
        self._unfinished = path.with_name(f"{path.name}.unfinished")
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, picture: np.ndarray) -> None:
        """Adds one picture, `[H, W, 3]` uint8; all have the size of the first.

        If the file cannot be written any more, nobody hears of it before its end: what
        is filmed is not to blame.
        """
        if self._process is None:
            self._process = self._start(picture)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # The process is gone; how it ended says why.
            self._process.stdin.write(np.ascontiguousarray(picture).data)

    def __enter__(self) -> Film:
        """The film itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finishes the file, or drops it after an exception other than Ctrl-C.

        Raises:
          ValueError: if the file could not be written whole.
          KeyboardInterrupt: in place of the one that it was left by, to say what is kept.
        """
        if self._process is None:
            return
        is_stopped = isinstance(error, KeyboardInterrupt)
        if kind is not None and not is_stopped:
            self._process.kill()
        _, told = self._process.communicate()
        if (kind is None or is_stopped) and self._process.returncode == 0:
            self._unfinished.replace(self.path)
            if is_stopped:
                raise KeyboardInterrupt(f"{self.path} holds what was filmed.") from None
            return
        with contextlib.suppress(OSError):
            self._unfinished.unlink()
        if kind is None:
            reason = (told.decode(errors="replace").splitlines() or ["no reason"])[-1]
            raise ValueError(f"{self.path}: could not be written ({reason.strip()}).")

    def _start(self, picture: np.ndarray) -> subprocess.Popen[bytes]:
        import imageio_ffmpeg

        self.fps = self.fps or DEFAULT_FPS
        height, width, _ = picture.shape
        factor = -(-MIN_HEIGHT // height)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        words = [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}"),
            *("-framerate", f"{self.fps}", "-i", "-", "-vf"),
            # Players want an even number of pixels both ways.
            f"scale={factor}*iw:{factor}*ih:flags=neighbor,pad=ceil(iw/2)*2:ceil(ih/2)*2",
            *("-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p"),
            *("-f", "mp4", str(self._unfinished)),
        ]
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us to pass on.
        )


def check_film(path: Path, fps: float | None) -> None:
    """Raises ValueError unless `Film(path, fps)` can be made; writes nothing."""
    if fps is not None and not 0 < fps <= 1000:
        raise ValueError(f"fps={fps}: must lie in (0, 1000]. Set --fps.")
    if path.suffix != ".mp4" or path.is_dir():
        raise ValueError(f"{path}: must be a file that ends in .mp4. Set --out.")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ValueError(f"{path}: {nearest} cannot be written to. Set another --out.")
