"""Films, read back."""

import re
import subprocess
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np


class Film(NamedTuple):
    fps: float
    frames: np.ndarray  # [N, H, W, 3] uint8


def read(path):
    """All of a film. Not by `imageio_ffmpeg.read_frames`, which forks beside jax."""
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"]
    ran = subprocess.run([*words, *raw], capture_output=True, check=True)
    told = re.search(rb"Video: h264.*?, (\d+)x(\d+).*? ([\d.]+) fps", ran.stderr)
    width, height = int(told[1]), int(told[2])
    frames = np.frombuffer(ran.stdout, np.uint8).reshape(-1, height, width, 3)
    return Film(float(told[3]), frames)


def shades(frames):
    """The mean brightness of each frame, [N]."""
    return frames.mean(axis=(1, 2, 3))
