"""One game between two players, faults included."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import IllegalMove, Player, PlayerFault, Resigned
from tolman.launchers.arena.recorded import RecordedGame


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


def play_game(
    game: HostGame,
    players: tuple[Player, Player],
    opening: Sequence[str] = (),
    seed: int = 0,
) -> GameRecord:
    """Plays one game to its end.

    A player that hangs, crashes, resigns or makes an illegal move loses that game.
    Any other exception of a player is a bug in it, and is raised.

    Args:
      game: its rules; is not changed.
      players: the first moves first.
      opening: the first moves, as texts.
      seed: of both players.
    """
    current = RecordedGame(game.new())
    for text in opening:
        current.step(current.text_to_action(text))
    for index, player in enumerate(players):
        player.reset(2 * seed + index)
    seconds = [0.0, 0.0]
    ending, detail = "rules", ""
    while not current.is_over():
        mover = current.to_play()
        began = time.perf_counter()
        try:
            action = players[mover].choose(current)
            if action not in current.legal_actions():
                raise IllegalMove(f"illegal move: action {action!r}")
        except Resigned:
            ending = "resigned"
        except IllegalMove as error:
            ending, detail = "illegal move", str(error)
        except PlayerFault as error:
            ending, detail = "fault", str(error)
        seconds[mover] += time.perf_counter() - began
        if ending != "rules":
            break
        current.step(action)
    outcome = current.outcome()
    if ending != "rules":
        outcome = (-1.0, 1.0) if mover == 0 else (1.0, -1.0)
    return GameRecord(
        game=game.info.name,
        players=(players[0].name, players[1].name),
        moves=current.texts,
        num_opening_moves=len(opening),
        outcome=(float(outcome[0]), float(outcome[1])),
        ending=ending,
        detail=detail,
        seconds=(round(seconds[0], 3), round(seconds[1], 3)),
        seed=seed,
    )
