"""The last rows of all streams, each of them once, however many items it is in.

Shapes: R rows kept, N bytes a row.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


class RowRing:
    """Rows numbered as they come; number n lies in place n % R.

    Attributes:
      size: R.
      end: the number of the next row.
    """

    def __init__(self, size: int, num_bytes: int) -> None:
        """Takes the memory; the system gives it when it is first written to."""
        self.size, self.end = size, 0
        self._rows = np.empty((size, num_bytes), np.uint8)

    @property
    def first(self) -> int:
        """The number of the oldest row that is still there."""
        return max(self.end - self.size, 0)

    def append(self, rows: np.ndarray) -> int:
        """Adds up to R rows, `[S, N]`, over the oldest; returns the number of the first."""
        number, place = self.end, self.end % self.size
        before = min(len(rows), self.size - place)
        self._rows[place : place + before] = rows[:before]
        self._rows[: len(rows) - before] = rows[before:]
        self.end += len(rows)
        return number

    def read(self, places: np.ndarray) -> np.ndarray:
        """Copies of the rows in these places, `[..., N]`."""
        return self._rows.take(places, axis=0)

    def save(self, path: Path, first: int) -> None:
        """Writes the rows from number `first` on to a `.npy` file."""
        shape = (self.end - first, self._rows.shape[1])
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for piece in self._pieces(first):
                file.write(piece.data)

    def load(self, path: Path) -> int:
        """Takes a file's last R rows into an empty ring; returns how many came before."""
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            (number, num_bytes), _, _ = np.lib.format.read_array_header_1_0(file)
            first = max(number - self.size, 0)
            file.seek(first * num_bytes, 1)
            self.end = number - first
            file.readinto(self._rows[: self.end].data)
        return first

    def _pieces(self, first: int) -> list[np.ndarray]:
        """The rows from number `first` on, as one or two parts of the ring."""
        if first == self.end:
            return []
        start, stop = first % self.size, (self.end - 1) % self.size + 1
        if start < stop:
            return [self._rows[start:stop]]
        return [self._rows[start:], self._rows[:stop]]
