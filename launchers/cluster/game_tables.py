"""Whole games in Reverb: one item a game, and one ledger entry by which it is counted.

Shapes: n positions of a game, B positions of a batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import reverb
import tensorflow as tf

from tolman.agents.agent import Array
from tolman.agents.alphazero import Positions
from tolman.agents.alphazero.self_play import Moves
from tolman.launchers.cluster.work import TableStatistics
from tolman.launchers.host.packing import Packing
from tolman.launchers.host.reverb.writer import RowWriter
from tolman.launchers.self_play.open_games import EndedGame, Row

GAMES, LEDGER = "games", "ledger"
LEDGER_SIZE = 1_000_000  # Games that are not counted yet.
NUM_TOTALS = 5  # Games, moves, points of the first player, draws, value errors.


class GameLayout:
    """How a game lies in the tables; see `tolman.launchers.host.layout.ItemLayout`.

    A game is drawn with its number of positions as its priority, and then one of its
    positions: so each position in the window is as likely as any other.

    Attributes:
      num_items: B, games in a batch.
      row: packs a position, a `Row` without its leading axis.
    """

    table = GAMES

    def __init__(
        self,
        example: Moves,
        window_games: int,
        batch_size: int,
        observe: Callable[[Any], Array],
    ) -> None:
        """Prepares tables.

        Args:
          example: of the game, `[1, ...]`.
          window_games: how many games are kept, by all servers together.
          batch_size: B.
          observe: planes `[B, H, W, C]` of positions in `Moves`.
        """
        self.num_items = batch_size
        self.row = pack_rows(example)
        self._window_games = window_games
        self._observe = observe

    def tables(self, share: int) -> list[reverb.Table]:
        """The window and the ledger of one of `share` servers."""
        fifo = reverb.selectors.Fifo
        window = reverb.Table(
            GAMES,
            sampler=reverb.selectors.Prioritized(1.0),
            remover=fifo(),
            max_size=max(self._window_games // share, 1),
            rate_limiter=reverb.rate_limiters.MinSize(1),
            signature=tf.TensorSpec((None, self.row.num_bytes), tf.uint8),
        )
        ledger = reverb.Table(
            LEDGER,
            sampler=fifo(),
            remover=fifo(),
            max_size=LEDGER_SIZE,
            max_times_sampled=1,
            rate_limiter=reverb.rate_limiters.MinSize(1),
            signature=tf.TensorSpec((NUM_TOTALS,), tf.float32),
        )
        return [window, ledger]

    def pick(self, sample: Any) -> Any:
        """One position of a game; in TensorFlow."""
        index = tf.random.uniform((), 0, tf.shape(sample.data)[0], tf.int32)
        return sample._replace(data=sample.data[index])

    def versions(self, items: np.ndarray) -> np.ndarray:
        """`[B]`, of the networks that played; on the host."""
        row: Row = self.row.read(items)
        return row.version

    def assemble(self, items: Array, probability: Array | None) -> Positions:
        """A batch of packed positions, `[B, N]`, as the agent has it; in a jit."""
        del probability
        row: Row = self.row.unpack(items)
        return Positions(
            self._observe(row.position),
            row.slots,
            row.weights.astype(np.float32),
            row.outcome.astype(np.float32),
        )


def pack_rows(example: Moves) -> Packing:
    """The layout of one `Row` of a game whose moves are like `example`, `[1, ...]`."""
    row = Row(
        example.position,
        example.slots,
        example.weights,
        example.value,
        np.zeros(1, np.int8),
        np.zeros(1, np.int32),
    )
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), row)
    return Packing(one)


class GameWriter:
    """Writes games that have ended into a server's tables."""

    def __init__(
        self, address: str, row: Packing, max_num_moves: int, is_over: threading.Event
    ) -> None:
        """Connects.

        Args:
          address: of the server.
          row: see `pack_rows`.
          max_num_moves: of a game.
          is_over: once set, no game waits for room in its table.
        """
        self._writer = RowWriter(address, max_num_moves, is_over)
        self._row = row

    def write(self, game: EndedGame) -> None:
        """Returns when the game is in the tables; its ledger entry comes after it."""
        length, writer = game.length, self._writer
        points = (1.0 + game.outcome) / 2.0
        is_draw = game.outcome == 0.0
        entry = np.array([1, length, points, is_draw, game.value_error], np.float32)
        for row in self._row.pack(game.rows, length):
            writer.append({"row": row, "entry": entry})
        writer.write(GAMES, float(length), writer.history["row"][-length:])
        writer.write(LEDGER, 1.0, writer.history["entry"][-1])
        writer.end_sequence()

    def close(self) -> None:
        """Ends the connection."""
        self._writer.close()


class GameCounter:
    """Counts the games that are inserted, each once, by the entries of the ledger."""

    def __init__(self, client: reverb.Client) -> None:
        """Starts at 0: entries that are there belong to the incarnation before."""
        self._client = client
        self._totals = np.zeros(NUM_TOTALS)
        tables = client.server_info()
        self._read(tables[LEDGER].current_size)
        self._inserted_before = _inserted(tables[LEDGER])
        self._num_read = 0
        self._sampled_before = _sampled(tables[GAMES])

    def statistics(self) -> TableStatistics:
        """What was inserted and sampled since the start of this incarnation."""
        tables = self._client.server_info()
        # More than are there would be waited for without end: a size may be out of date.
        num_new = _inserted(tables[LEDGER]) - self._inserted_before - self._num_read
        self._totals += self._read(num_new)
        self._num_read += num_new
        return TableStatistics(
            (int(self._totals[1]),),
            _sampled(tables[GAMES]) - self._sampled_before,
            tables[GAMES].current_size,
            tuple(self._totals.tolist()),
        )

    def _read(self, num_entries: int) -> np.ndarray:
        """Takes entries out of the ledger; returns their sum."""
        if not num_entries:
            return np.zeros(NUM_TOTALS)
        samples = self._client.sample(LEDGER, num_entries, emit_timesteps=False)
        return np.sum([sample.data[0] for sample in samples], axis=0)


def _inserted(table: Any) -> int:
    return table.rate_limiter_info.insert_stats.completed


def _sampled(table: Any) -> int:
    return table.rate_limiter_info.sample_stats.completed
