"""The Go Text Protocol, version 2. Other games than Go are played by it too: player 0 is
black, a move is written as the game writes it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import TextIO

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import Budget, Resigned
from tolman.launchers.arena.recorded import RecordedGame, innermost
from tolman.launchers.arena.serving.go_score import score_text, with_komi
from tolman.launchers.arena.serving.seat import Seat, share_of_clock, within

PASS = "pass"
COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}


class _Refusal(Exception):
    """What is answered after "?"."""


def serve_gtp(game: HostGame, seat: Seat, commands: TextIO, answers: TextIO) -> None:
    """See `serving.serve`."""
    server = _Server(game, seat)
    for line in commands:
        words = line.partition("#")[0].split()
        number = words.pop(0) if words and words[0].isdecimal() else ""
        if not words:
            continue
        try:
            answer = f"={number} {server.obey(words)}".rstrip()
        except _Refusal as refusal:
            answer = f"?{number} {refusal}"
        with contextlib.suppress(BrokenPipeError):  # The commands end then, too.
            answers.write(f"{answer}\n\n")
            answers.flush()
        if words[0] == "quit":
            break
    else:  # Nobody was there, perhaps, to hear that there is no such player.
        seat.player()


class _Server:
    def __init__(self, game: HostGame, seat: Seat) -> None:
        self._game, self._seat = game, seat
        self._clock: tuple[float, float, int] | None = None  # Main, period, its moves.
        self._left: dict[int, tuple[float, int]] = {}  # Seconds, moves; by colour.
        self._turns: list[int] = []  # Moves of the game that each turn took, to undo it.
        self._commands: dict[str, Callable[[list[str]], str]] = {
            "protocol_version": lambda _: "2",
            "name": lambda _: f"Tolman {seat.name}",
            "version": lambda _: "1",
            "known_command": lambda words: str(words[0] in self._commands).lower(),
            "list_commands": lambda _: "\n".join(self._commands),
            "quit": lambda _: "",
            "boardsize": self._board_size,
            "clear_board": self._clear_board,
            "komi": self._komi,
            "play": self._play,
            "genmove": self._generate_move,
            "reg_genmove": self._suggest_move,
            "undo": self._undo,
            "showboard": lambda _: "\n" + seat.position.render(),
            "time_settings": self._time_settings,
            "time_left": self._time_left,
            "final_score": self._final_score,
        }

    def obey(self, words: list[str]) -> str:
        if words[0] not in self._commands:
            raise _Refusal("unknown command")
        try:
            return self._commands[words[0]](words[1:])
        except IndexError:
            raise _Refusal("syntax error") from None

    def _board_size(self, words: list[str]) -> str:
        if not words[0].isdecimal():
            raise _Refusal("syntax error")
        if words[0] != str(self._game.info.board[0]):
            raise _Refusal("unacceptable size")
        return self._clear_board(words)

    def _clear_board(self, words: list[str]) -> str:
        self._left = {}
        self._turns = []
        self._seat.start_game(self._game)
        return ""

    def _komi(self, words: list[str]) -> str:
        komi = _number(words[0])
        game = with_komi(self._game, komi)
        if game is not None:
            texts = self._seat.position.texts
            self._game = game
            self._seat.start_game(game)
            self._seat.position = self._seat.replay(texts)
        return ""

    def _play(self, words: list[str]) -> str:
        before = self._seat.position
        is_out_of_turn = before.is_over() or _colour(words[0]) != before.to_play()
        if is_out_of_turn and words[1].lower() == PASS and _has_score(before):
            self._turns.append(0)  # It changes nothing.
            return ""
        position = self._with_turn(words[0])
        try:
            position.step(position.text_to_action(words[1]))
        except ValueError:
            raise _Refusal("illegal move") from None
        self._move_to(position)
        return ""

    def _generate_move(self, words: list[str]) -> str:
        began = time.monotonic()
        move = self._suggest_move(words)
        self._spend(_colour(words[0]), time.monotonic() - began)
        if move == "resign":
            return move
        if self._seat.position.is_over():
            self._turns.append(0)
            return move
        position = self._with_turn(words[0])
        position.step(position.text_to_action(move))
        self._move_to(position)
        return move

    def _move_to(self, position: RecordedGame) -> None:
        self._turns.append(len(position.texts) - len(self._seat.position.texts))
        self._seat.position = position

    def _suggest_move(self, words: list[str]) -> str:
        colour = _colour(words[0])
        if self._seat.position.is_over():
            if _has_score(self._seat.position):
                return PASS
            raise _Refusal("the game is over")
        position = self._with_turn(words[0])
        player = self._seat.player()  # If it cannot be made, this process ends here.
        budget = Budget(seconds=self._seconds(colour))
        try:
            thought = self._seat.think(position, budget)
        except Resigned:
            return "resign"
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise _Refusal(f"{player.name} failed: {reason}") from error
        return position.action_to_text(thought.action)

    def _with_turn(self, colour: str) -> RecordedGame:
        """A copy of the position with that colour to move: the other one passes."""
        position = self._seat.position.copy()
        if _colour(colour) == position.to_play():
            return position
        try:
            position.step(position.text_to_action(PASS))
        except ValueError:
            raise _Refusal("moves must alternate") from None
        if position.is_over():
            raise _Refusal("moves must alternate, after a pass")
        return position

    def _undo(self, words: list[str]) -> str:
        if not self._turns:
            raise _Refusal("cannot undo")
        num_moves, texts = self._turns.pop(), self._seat.position.texts
        if num_moves:
            self._seat.position = self._seat.replay(texts[:-num_moves])
        return ""

    def _time_settings(self, words: list[str]) -> str:
        main, period, moves = (_number(word) for word in (words[0], words[1], words[2]))
        # A period of no moves says that there is no clock.
        self._clock = None if period > 0 and not moves else (main, period, int(moves))
        self._left = {}
        return ""

    def _time_left(self, words: list[str]) -> str:
        moves = int(_number(words[2]))
        self._left[_colour(words[0])] = (_number(words[1]), moves)
        return ""

    def _seconds(self, colour: int) -> float | None:
        """To think, by the clock; None where there is none."""
        if self._clock is None and colour not in self._left:
            return None
        _, period, moves = self._clock or (0.0, 0.0, 0)
        left, moves_left = self._left_of(colour)
        if moves_left:
            return within(left / moves_left)
        if left <= 0 and moves:
            return within(period / moves)
        return share_of_clock(left)

    def _left_of(self, colour: int) -> tuple[float, int]:
        """Seconds and moves on a clock, as last told or worked out."""
        main = self._clock[0] if self._clock else 0.0
        return self._left.get(colour, (main, 0))

    def _spend(self, colour: int, seconds: float) -> None:
        """Runs a clock down; whoever has a clock of its own tells it by time_left."""
        if self._clock is None and colour not in self._left:
            return
        _, period, moves = self._clock or (0.0, 0.0, 0)
        left, moves_left = self._left_of(colour)
        left, moves_left = left - seconds, max(moves_left - 1, 0)
        if moves and not moves_left and (left <= 0 or self._left_of(colour)[1]):
            left, moves_left = period, moves  # The next period begins.
        self._left[colour] = max(left, 0.0), moves_left

    def _final_score(self, words: list[str]) -> str:
        position = self._seat.position
        if _has_score(position):
            return score_text(position)
        if not position.is_over():
            raise _Refusal("cannot score")
        return {1.0: "B+", 0.0: "0", -1.0: "W+"}[position.outcome()[0]]


def _has_score(position: HostGame) -> bool:
    """Whether the game is won by points, as Go is."""
    return hasattr(getattr(innermost(position), "rules", None), "komi")


def _colour(word: str) -> int:
    if word.lower() not in COLOURS:
        raise _Refusal("syntax error")
    return COLOURS[word.lower()]


def _number(word: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(float(word)):
            return float(word)
    raise _Refusal("syntax error")
