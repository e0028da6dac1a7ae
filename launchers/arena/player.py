"""Players of a match: the protocol, budgets of thought, and faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from tolman.envs.board.game import HostGame
from tolman.envs.registry import Registry


@runtime_checkable
class Player(Protocol):
    """Chooses moves. One that holds a process also has `start()` and `close()`."""

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


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Budget:
    """How much a player may think about one move.

    Attributes:
      nodes: positions to look at; None for no such limit.
      seconds: of thought, which may be without end; None for no such limit. With neither
        limit a player thinks as it is set to.
      is_stopped: asked repeatedly; once True, the best move so far is wanted.
    """

    nodes: int | None = None
    seconds: float | None = None
    is_stopped: Callable[[], bool] = _never


class Thought(NamedTuple):
    """The result of a search for a move.

    Attributes:
      action: to be played.
      nodes: positions looked at.
      value: of the position, in [-1, 1], to the player to move.
    """

    action: int
    nodes: int
    value: float


@runtime_checkable
class BoundedPlayer(Player, Protocol):
    """A player whose thought can be bounded from outside."""

    def think(self, game: HostGame, budget: Budget) -> Thought:
        """As `choose`, within a budget."""
        ...


class PlayerFault(RuntimeError):
    """A player did not move: it hung, crashed, or answered nonsense; in one line."""


class IllegalMove(PlayerFault):
    """A player chose an illegal move."""


class Resigned(Exception):
    """A player gives the game up."""


def answered(game: HostGame, text: str) -> int:
    """The action that an engine answered with.

    Raises:
      Resigned: if it gives up.
      IllegalMove: if that is no legal move.
    """
    if text == "resign":
        raise Resigned
    try:
        return game.text_to_action(text)
    except ValueError:
        raise IllegalMove(f"illegal move {text!r}") from None


def start_player(player: Player) -> None:
    """Starts the process that a player holds, if it does.

    Raises:
      ValueError: if it does not answer; the process is then ended.
    """
    start: Any = getattr(player, "start", None)
    if start is None:
        return
    try:
        start()
    except PlayerFault as fault:
        close_player(player)
        raise ValueError(
            f"player {player.name!r}: does not start: {fault}. Name a program that speaks "
            "that protocol."
        ) from fault


def close_player(player: Player) -> None:
    """Ends the process that a player holds, if it does."""
    close: Any = getattr(player, "close", None)
    if close is not None:
        close()


# Players by name. The factory is called with `(spec, rest)`: how the player was spelled,
# which is its name, and what stands behind the first colon, "" where there is none.
PLAYERS = Registry("player")
register_player = PLAYERS.register


def player_count(spec: str, rest: str) -> int:
    """The whole number that a player's name ends in.

    Raises:
      ValueError: if it ends in none.
    """
    if not (rest.isascii() and rest.isdigit() and len(rest) < 10):
        kind = spec.partition(":")[0]
        raise ValueError(
            f"player {spec!r}: must end in a whole number below 1e9, such as {kind}:4."
        )
    return int(rest)


def split_keys(spec: str, text: str) -> tuple[str, dict[str, str]]:
    """What stands before "?", and the keys after it."""
    before, _, query = text.partition("?")
    keys: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or key in keys:
            raise ValueError(f"player {spec!r}: {part!r} must be KEY=VALUE, each key once.")
        keys[key] = value
    return before, keys


def refuse_rest(spec: str, rest: str) -> None:
    """Raises ValueError where something follows the name of a player that stands alone."""
    if rest:
        kind = spec.partition(":")[0]
        raise ValueError(f"player {spec!r} is unknown: {kind} stands alone.")
