"""What takes part in a match."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from tolman.envs.board.game import HostGame


@runtime_checkable
class Player(Protocol):
    """Chooses moves. One that holds a process also has `close()`."""

    name: str

    def reset(self, seed: int) -> None:
        """A new game begins; all chance in it comes from `seed`."""
        ...

    def choose(self, game: HostGame) -> int:
        """A legal action of a game that is not over, which is left as it is.

        Raises:
          PlayerFault: if it fails; the game is then lost.
        """
        ...


class PlayerFault(RuntimeError):
    """A player did not move: it hung, crashed, or answered nonsense; in one line."""


class IllegalMove(PlayerFault):
    """A player wants to do what the rules forbid."""


class Resigned(Exception):
    """A player gives the game up."""


def close_player(player: Player) -> None:
    """Ends the process that a player holds, if it does."""
    close: Any = getattr(player, "close", None)
    if close is not None:
        close()
