"""Whole games in Reverb: one item a game, and a slip of paper for those who count.

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

from tolman.agents.agent import Array, DataSpec
from tolman.agents.alphazero import Positions
from tolman.agents.alphazero.self_play import Moves
from tolman.launchers.cluster.work import Insight
from tolman.launchers.host.reverb.adder import MILLISECONDS_A_WAIT, Client
from tolman.launchers.self_play.open_games import EndedGame, Row

GAMES, LEDGER = "games", "ledger"
LEDGER_SIZE = 1_000_000  # Games that nobody has counted yet.
NUM_TOTALS = 4  # Games, moves, points of the first player, draws.


class GameLayout:
    """How a game lies in the tables; see `tolman.launchers.host.reverb.replay.ItemLayout`.

    A game is drawn with its number of positions as its priority, and then one of its
    positions: so each position in the window is as likely as any other.

    Attributes:
      num_items: B, games in a batch.
      structure: of a position, whose leaves lie side by side.
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
        self._window_games = window_games
        self._observe = observe
        leaves, self.structure = jax.tree.flatten(example.position)
        whole_number = np.zeros(1, np.int32)
        self._example = {
            "position": leaves,
            "slots": example.slots,
            "weights": example.weights,
            "value": example.value,
            "outcome": np.zeros(1, np.int8),
            "version": whole_number,
        }

    def tables(self, data: DataSpec, share: int) -> list[reverb.Table]:
        """The window and the ledger of one of `share` servers."""
        del data
        fifo = reverb.selectors.Fifo
        window = reverb.Table(
            GAMES,
            sampler=reverb.selectors.Prioritized(1.0),
            remover=fifo(),
            max_size=max(self._window_games // share, 1),
            rate_limiter=reverb.rate_limiters.MinSize(1),
            signature=jax.tree.map(_of_any_length, self._example),
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
        length = tf.shape(sample.data["version"])[0]
        index = tf.random.uniform((), 0, length, tf.int32)
        data = tf.nest.map_structure(lambda leaf: leaf[index], sample.data)
        return sample._replace(data=data)

    def assemble(self, items: Any, probability: Array | None) -> Positions:
        """A batch of positions, `[B, ...]` leaves, as the agent has it; in a jit."""
        del probability
        position = jax.tree.unflatten(self.structure, items["position"])
        return Positions(
            self._observe(position),
            items["slots"],
            items["weights"].astype(np.float32),
            items["outcome"].astype(np.float32),
        )


def columns(rows: Row) -> dict[str, Any]:
    """The rows of a game as they are written, `[n, ...]`."""
    return {**rows._asdict(), "position": jax.tree.leaves(rows.position)}


class GameWriter:
    """Writes games that have ended into a server's tables."""

    def __init__(self, address: str, max_num_moves: int, is_over: threading.Event) -> None:
        """Connects.

        Args:
          address: of the server.
          max_num_moves: of a game.
          is_over: once set, nothing is waited for.
        """
        self._writer = Client(address).trajectory_writer(max_num_moves)
        self._is_over = is_over

    def write(self, game: EndedGame) -> None:
        """Returns when the game is in the tables. It is counted after it has come in."""
        kept = columns(game.rows)
        points = (1.0 + game.outcome) / 2.0
        slip = np.array([1, game.length, points, game.outcome == 0.0], np.float32)
        for number in range(game.length):
            row = jax.tree.map(lambda leaf, number=number: leaf[number], kept)
            self._writer.append({"row": row, "slip": slip})
        history = self._writer.history
        whole = jax.tree.map(lambda column: column[-game.length :], history["row"])
        self._writer.create_item(GAMES, float(game.length), whole)
        self._flush()
        self._writer.create_item(LEDGER, 1.0, history["slip"][-1])
        self._flush()
        self._writer.end_episode(True, MILLISECONDS_A_WAIT)

    def close(self) -> None:
        """Ends the connection."""
        self._writer.close()

    def _flush(self) -> None:
        while not self._is_over.is_set():
            try:
                return self._writer.flush(0, MILLISECONDS_A_WAIT)
            except reverb.DeadlineExceededError:
                continue


class GameCounter:
    """Counts the games that come into a server, each once, by what the ledger says."""

    def __init__(self, client: reverb.Client) -> None:
        """Starts at nothing: what the ledger still has was counted in the life before."""
        self._client = client
        self._totals = np.zeros(NUM_TOTALS)
        tables = client.server_info()
        self._read(tables[LEDGER].current_size)
        self._slips_before = _inserted(tables[LEDGER])
        self._num_read = 0
        self._sampled_before = _sampled(tables[GAMES])

    def look(self) -> Insight:
        """What came in since the start of this life."""
        tables = self._client.server_info()
        # More than are there would be waited for without end: a size may be out of date.
        num_new = _inserted(tables[LEDGER]) - self._slips_before - self._num_read
        self._totals += self._read(num_new)
        self._num_read += num_new
        return Insight(
            int(self._totals[1]),
            _sampled(tables[GAMES]) - self._sampled_before,
            tables[GAMES].current_size,
            tuple(self._totals.tolist()),
        )

    def _read(self, num_slips: int) -> np.ndarray:
        """Takes slips out of the ledger; returns their sum."""
        if not num_slips:
            return np.zeros(NUM_TOTALS)
        samples = self._client.sample(LEDGER, num_slips, emit_timesteps=False)
        return np.sum([sample.data[0] for sample in samples], axis=0)


def _inserted(table: Any) -> int:
    return table.rate_limiter_info.insert_stats.completed


def _sampled(table: Any) -> int:
    return table.rate_limiter_info.sample_stats.completed


def _of_any_length(leaf: np.ndarray) -> tf.TensorSpec:
    return tf.TensorSpec((None, *leaf.shape[1:]), leaf.dtype)
