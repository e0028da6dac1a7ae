"""What the protocols have in common: a player in the making, and the game it is at."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import (
    BoundedPlayer,
    Budget,
    Player,
    Thought,
    close_player,
    start_player,
)
from tolman.launchers.arena.recorded import RecordedGame

MOVES_TO_GO = 30  # Among so many moves a clock is shared out.
SECONDS_LOST = 0.05  # Between a clock's start and ours, and on the way back.


class Seat:
    """A player at a board.

    It is made in a thread, so that a protocol's greeting need not wait for a network.

    Attributes:
      name: of the player.
      position: the game under way.
    """

    def __init__(
        self, game: HostGame, make_player: Callable[[], Player], name: str
    ) -> None:
        """Begins to make the player."""
        self.name = name
        self._game = game
        self._seeds = itertools.count()
        self.position = RecordedGame(game.new())
        self._worker = ThreadPoolExecutor(1)
        self._made: Future[Player] = self._worker.submit(self._make, make_player)

    def player(self) -> Player:
        """The player, once it is there.

        Raises:
          Exception: whatever kept it from being made.
        """
        return self._made.result()

    def think(self, position: RecordedGame, budget: Budget) -> Thought:
        """What the player does there; 0 nodes where it does not say how many."""
        player = self.player()
        if isinstance(player, BoundedPlayer):
            return player.think(position, budget)
        return Thought(player.choose(position), 0, 0.0)

    def start_game(self, game: HostGame | None = None) -> None:
        """Sets the board up; by other rules from now on, where a game is given."""
        self._game = self._game if game is None else game
        self.position = self.start()
        self.player().reset(next(self._seeds))

    def start(self) -> RecordedGame:
        """A game at its start."""
        return RecordedGame(self._game.new())

    def replay(self, texts: tuple[str, ...]) -> RecordedGame:
        """A game after these moves.

        Raises:
          ValueError: for the first that is illegal.
        """
        position = self.start()
        for text in texts:
            position.step(position.text_to_action(text))
        return position

    def close(self) -> None:
        """Ends the player's process, if it has one; of a player in the making, later."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._made.add_done_callback(_close_made)

    def _make(self, make_player: Callable[[], Player]) -> Player:
        player = make_player()
        start_player(player)
        player.reset(next(self._seeds))
        if isinstance(player, BoundedPlayer):
            player.think(self.start(), Budget(nodes=1))  # Compiles.
        return player


def _close_made(made: Future[Player]) -> None:
    """Ends the process of a player, unless it could not be made."""
    if not made.cancelled() and not made.exception():
        close_player(made.result())


def share_of_clock(
    left: float, increment: float = 0.0, moves_to_go: int = 0, extra: float = 0.0
) -> float:
    """Seconds to think about one move.

    Args:
      left: seconds on the clock.
      increment: seconds that come after each move.
      moves_to_go: until more time comes; 0 if not known.
      extra: seconds that each move has beside the clock (byo-yomi).
    """
    wanted = left / (moves_to_go or MOVES_TO_GO) + increment + extra
    return within(min(wanted, left + extra))


def within(seconds: float) -> float:
    """What is left of so many seconds once the way here and back is taken off."""
    if math.isinf(seconds):
        return seconds
    return max(seconds - SECONDS_LOST, seconds / 2.0, 0.0)
