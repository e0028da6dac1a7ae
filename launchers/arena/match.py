"""Games between two sides, one or many at once; faults included."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import numpy as np

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import IllegalMove, Player, PlayerFault, Resigned
from tolman.launchers.arena.recorded import RecordedGame

Answer = int | PlayerFault | Resigned  # An action, or how a player failed to move.


@dataclass(frozen=True)
class GameRecord:
    """A finished game.

    Attributes:
      game: name of the game.
      players: names, of player 0 and player 1.
      moves: as the players write them, the opening's first.
      num_opening_moves: how many of them are the opening's.
      outcome: 1, 0 or -1 for each player.
      ending: "rules", "resigned", "illegal move" or "fault"; all but the first lose the
        game for the player to move.
      detail: what went wrong; empty where nothing did.
      seconds: that each player thought.
      seed: of the players.
    """

    game: str
    players: tuple[str, str]
    moves: tuple[str, ...]
    num_opening_moves: int
    outcome: tuple[float, float]
    ending: str
    detail: str
    seconds: tuple[float, float]
    seed: int

    @property
    def score(self) -> float:
        """Of player 0: 1, 0.5 or 0."""
        return (1.0 + self.outcome[0]) / 2.0

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def record_from_dict(values: dict[str, object]) -> GameRecord:
    """The inverse of `as_dict`, after a way through JSON."""
    return GameRecord(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }  # type: ignore[arg-type]
    )


class Side(Protocol):
    """Whoever makes one side's moves in N games at once."""

    @property
    def name(self) -> str:
        """In records."""
        ...

    def start(self, num_games: int, seed: int) -> None:
        """N games begin; all chance in them comes from `seed`."""
        ...

    def choose(self, games: Sequence[RecordedGame], which: np.ndarray) -> Sequence[Answer]:
        """What it does in those of the games whose indices are `which`, in that order."""
        ...

    def follow(self, action: np.ndarray) -> None:
        """Hears what was played, `[N]`; in finished games it is of no account."""
        ...


@dataclass(frozen=True)
class PlayerSide:
    """A player that is asked about one game after another.

    Any exception but its failures is a bug in it, and is raised.
    """

    player: Player

    @property
    def name(self) -> str:
        return self.player.name

    def start(self, num_games: int, seed: int) -> None:
        del num_games
        self.player.reset(seed)

    def choose(self, games: Sequence[RecordedGame], which: np.ndarray) -> list[Answer]:
        return [self._answer(games[index]) for index in which]

    def follow(self, action: np.ndarray) -> None:
        """Does nothing: the games are looked at anew each time."""

    def _answer(self, game: RecordedGame) -> Answer:
        try:
            return self.player.choose(game)
        except (PlayerFault, Resigned) as failure:
            return failure


def play_game(
    game: HostGame,
    players: tuple[Player, Player],
    opening: Sequence[str] = (),
    seed: int = 0,
) -> GameRecord:
    """Plays one game; see `play_games`.

    Args:
      game: its rules; is not changed.
      players: the first moves first.
      opening: the first moves, as texts.
      seed: of both players.
    """
    sides = PlayerSide(players[0]), PlayerSide(players[1])
    (record,) = play_games(game, sides, [opening], [0], (2 * seed, 2 * seed + 1))
    return replace(record, seed=seed)


def play_games(
    game: HostGame,
    sides: tuple[Side, Side],
    openings: Sequence[Sequence[str]],
    first: Sequence[int],
    seeds: tuple[int, int],
) -> list[GameRecord]:
    """Plays N games of two sides at once, each to its end.

    A side that hangs, crashes, resigns or makes an illegal move loses that game.

    Args:
      game: the rules; is not changed.
      sides: who play.
      openings: the first moves of each game, as texts.
      first: of each game, the index of the side that is player 0.
      seeds: of the sides.
    """
    tables = [_Table(game, opening) for opening in openings]
    of_side = np.array([(one, 1 - one) for one in first])  # [N, 2]: of each player.
    for side, seed in zip(sides, seeds, strict=True):
        side.start(len(tables), seed)
    games = [table.game for table in tables]
    while any(table.is_going_on() for table in tables):
        action = np.zeros(len(tables), np.int32)
        movers = np.full(len(tables), -1)  # The side to move; -1 where none is asked.
        for index, table in enumerate(tables):
            if table.is_going_on() and not table.is_in_opening():
                movers[index] = of_side[index, table.game.to_play()]
        for number, side in enumerate(sides):
            which = np.flatnonzero(movers == number)
            if not len(which):
                continue
            began = time.perf_counter()
            answers = side.choose(games, which)
            seconds = (time.perf_counter() - began) / len(which)
            for index, answer in zip(which, answers, strict=True):
                tables[index].hear(answer, seconds)
        for index, table in enumerate(tables):
            action[index] = table.move()
        for side in sides:
            side.follow(action)
    names = [side.name for side in sides]
    return [
        table.record((names[one], names[1 - one]), seeds[0])
        for table, one in zip(tables, first, strict=True)
    ]


class _Table:
    """One game under way."""

    def __init__(self, game: HostGame, opening: Sequence[str]) -> None:
        self.game = RecordedGame(game.new())
        self._opening = opening
        self._answer: int | None = None  # To be played.
        self._seconds = [0.0, 0.0]
        self._ending, self._detail = "rules", ""

    def is_going_on(self) -> bool:
        return self._ending == "rules" and not self.game.is_over()

    def is_in_opening(self) -> bool:
        return len(self.game.texts) < len(self._opening)

    def hear(self, answer: Answer, seconds: float) -> None:
        """What the player to move does, after so much thought."""
        self._seconds[self.game.to_play()] += seconds
        if isinstance(answer, Resigned):
            self._ending = "resigned"
        elif isinstance(answer, PlayerFault):
            is_illegal = isinstance(answer, IllegalMove)
            self._ending = "illegal move" if is_illegal else "fault"
            self._detail = str(answer)
        elif answer not in self.game.legal_actions():
            self._ending, self._detail = "illegal move", f"illegal move: action {answer!r}"
        else:
            self._answer = int(answer)

    def move(self) -> int:
        """Makes the move that is due, and returns it; 0 where the game has ended."""
        if not self.is_going_on():
            return 0
        action = self._answer
        if self.is_in_opening():
            action = self.game.text_to_action(self._opening[len(self.game.texts)])
        assert action is not None
        self.game.step(action)
        self._answer = None
        return action

    def record(self, players: tuple[str, str], seed: int) -> GameRecord:
        outcome = self.game.outcome()
        if self._ending != "rules":
            outcome = (-1.0, 1.0) if self.game.to_play() == 0 else (1.0, -1.0)
        return GameRecord(
            game=self.game.info.name,
            players=players,
            moves=self.game.texts,
            num_opening_moves=len(self._opening),
            outcome=(float(outcome[0]), float(outcome[1])),
            ending=self._ending,
            detail=self._detail,
            seconds=(round(self._seconds[0], 3), round(self._seconds[1], 3)),
            seed=seed,
        )
