"""The positions of the last games, in the host's memory.

A position comes in when its game has ended, for only then is it known who won. Games leave
whole, the oldest first. A position is drawn as likely as any other, whatever the length
of its game.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.alphazero.self_play import Moves
from tolman.envs.places import summary
from tolman.launchers.runs.checkpoints import EMPTY_REPLAY, save_arrays
from tolman.launchers.self_play.open_games import OpenGames, Row

FIRST_CAPACITY = 4096  # Positions; doubled whenever it is full.


class Finished(NamedTuple):
    """What is told of the games that ended in some moves.

    Attributes:
      lengths: `[G]`, moves.
      outcomes: `[G]`, of player 0.
      value_errors: `[G]`, see `EndedGame`.
    """

    lengths: np.ndarray
    outcomes: np.ndarray
    value_errors: np.ndarray


class Replay:
    """A window over the last finished games, and the moves of those under way.

    Attributes:
      window_games: how many finished games it keeps.
      num_inserted: positions that ever came in; of one that was emptied, those that the
        updates before have used up and what came in since.
    """

    def __init__(self, window_games: int) -> None:
        self.window_games = window_games
        self.clear()

    def __len__(self) -> int:
        """Positions in the window."""
        return self._count

    @property
    def num_games(self) -> int:
        """Finished games in the window."""
        return len(self._lengths)

    def add(self, moves: Moves, version: int) -> Finished:
        """Takes `[T, B, ...]` moves in NumPy; those of games that ended can be drawn."""
        ended = self._open.add(moves, version)
        for game in ended:
            self._append(game.rows)
        return Finished(
            np.array([game.length for game in ended]),
            np.array([game.outcome for game in ended]),
            np.array([game.value_error for game in ended]),
        )

    def sample(self, rng: np.random.Generator, batch_size: int) -> Row:
        """Draws positions uniformly, with replacement."""
        chosen = self._start + rng.integers(self._count, size=batch_size)
        index = chosen % self._capacity
        return jax.tree.map(lambda leaf: leaf[index], self._rows)

    def open_actions(self) -> list[list[int]]:
        """The moves made so far in each of the games under way."""
        return self._open.actions()

    @property
    def _capacity(self) -> int:
        return 0 if self._rows is None else len(self._rows.outcome)

    def clear(self, num_open: int = 0) -> None:
        """Forgets all games; of `num_open` under way, the moves made so far."""
        self._open = OpenGames()
        self._open.pieces = [[] for _ in range(num_open)]
        self.num_inserted = 0
        self._lengths: deque[int] = deque()
        self._rows: Any = None  # A ring, `[capacity, ...]`.
        self._start = 0
        self._count = 0

    def _append(self, rows: Row) -> None:
        length = len(rows.version)
        while self._count + length > self._capacity:
            self._grow(rows)
        index = (self._start + self._count + np.arange(length)) % self._capacity

        def put(ring: np.ndarray, leaf: np.ndarray) -> None:
            ring[index] = leaf

        jax.tree.map(put, self._rows, rows)
        self._lengths.append(length)
        self._count += length
        self.num_inserted += length
        while len(self._lengths) > self.window_games:
            gone = self._lengths.popleft()
            self._start = (self._start + gone) % self._capacity
            self._count -= gone

    def _grow(self, like: Row) -> None:
        capacity = max(FIRST_CAPACITY, 2 * self._capacity)
        old = self._window() if self._capacity else None

        def larger(leaf: np.ndarray) -> np.ndarray:
            return np.zeros((capacity, *leaf.shape[1:]), leaf.dtype)

        self._rows = jax.tree.map(larger, like)
        if old is not None:

            def put(ring: np.ndarray, leaf: np.ndarray) -> None:
                ring[: len(leaf)] = leaf

            jax.tree.map(put, self._rows, old)
        self._start = 0

    def _window(self) -> Row:
        """All positions that can be drawn, the oldest first."""
        index = (self._start + np.arange(self._count)) % self._capacity
        return jax.tree.map(lambda leaf: leaf[index], self._rows)

    def save(self, path: Path) -> None:
        """Writes everything to one file, and that to the disk."""
        arrays: dict[str, Any] = {
            "lengths": np.array(self._lengths, np.int64),
            "num_inserted": np.int64(self.num_inserted),
            "num_open": np.int64(len(self._open.pieces)),
        }
        if self._count:
            arrays |= _named("window", self._window())
        for game, pieces in enumerate(self._open.pieces):
            if pieces:
                moves = jax.tree.map(lambda *p: np.concatenate(p), *[p for p, _ in pieces])
                arrays |= _named(f"open{game}", moves)
                arrays[f"open{game}_version"] = np.concatenate([v for _, v in pieces])
        with path.open("wb") as file:
            save_arrays(file, arrays)
            file.flush()
            os.fsync(file.fileno())

    def load(self, path: Path, like: Moves) -> None:
        """Reads back what `save` wrote.

        Args:
          path: the file.
          like: moves, of any number, of the same game.

        Raises:
          ValueError: if it is missing, broken or of another game.
        """
        if not path.is_file():
            raise ValueError(
                f"{path}: the replay of this checkpoint is missing; {EMPTY_REPLAY}"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            row = Row(
                like.position,
                like.slots,
                like.weights,
                like.value,
                like.player,
                like.action,
            )
            lengths = [int(length) for length in arrays["lengths"]]
            window = _unnamed("window", arrays, row) if lengths else None
            opened = []
            for game in range(int(arrays["num_open"])):
                pieces = []
                if f"open{game}_version" in arrays:
                    moves = _unnamed(f"open{game}", arrays, like)
                    pieces = [(moves, arrays[f"open{game}_version"])]
                opened.append(pieces)
        except Exception as error:  # A torn file can make its reader raise anything.
            reason = summary(error)
            raise ValueError(f"{path}: broken replay ({reason}); {EMPTY_REPLAY}") from error
        self.clear()
        first = 0
        for length in lengths:
            piece = slice(first, first + length)
            self._append(jax.tree.map(lambda leaf, piece=piece: leaf[piece], window))
            first += length
        self._open.pieces = opened
        self.num_inserted = int(arrays["num_inserted"])


def _named(prefix: str, tree: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree.leaves(tree)
    return {f"{prefix}_{number}": leaf for number, leaf in enumerate(leaves)}


def _unnamed(prefix: str, arrays: dict[str, np.ndarray], like: Any) -> Any:
    leaves, structure = jax.tree.flatten(like)
    found = [arrays[f"{prefix}_{number}"] for number in range(len(leaves))]
    return jax.tree.unflatten(structure, found)
