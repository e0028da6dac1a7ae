"""UCI and USI, which differ in a few words only."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Sequence
from typing import TextIO

from tolman.envs.board.castling import standard_castling
from tolman.launchers.arena.player import Budget, Resigned, Thought
from tolman.launchers.arena.recorded import RecordedGame
from tolman.launchers.arena.serving.restricted import restricted
from tolman.launchers.arena.serving.seat import Seat, share_of_clock, within

AUTHOR = "the Tolman project"
SIMULATIONS, MAX_SIMULATIONS = "Simulations", 1_000_000
NO_MOVE = {"uci": "0000", "usi": "resign"}
# Clocks of player 0 and of player 1, who are White and Black in one, Black and White in
# the other.
CLOCKS = {"uci": "wb", "usi": "bw"}
NUMBERS = (
    *("nodes", "movetime", "depth", "mate", "movestogo", "byoyomi"),
    *("wtime", "btime", "winc", "binc"),
)
# Words of "go" that end the moves of "searchmoves".
GO_WORDS = (*NUMBERS, "searchmoves", "ponder", "infinite")
# The start, spelled out; what it is called; the fields that tell a position.
STARTS = {
    "uci": ("fen", "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq -", 4),
    "usi": (
        "sfen",
        "lnsgkgsnl/1r5b1/ppppppppp/9/9/9/PPPPPPPPP/1B5R1/LNSGKGSNL b -",
        3,
    ),
}
IGNORED = ("debug", "register", "gameover")
SECONDS_TO_QUIT = 2.0
WIDEST_VALUE = 0.999  # Beyond it a value says more than a score in centipawns can.


def serve_uci(seat: Seat, commands: TextIO, answers: TextIO, protocol: str) -> None:
    """See `serving.serve`; `protocol` is "uci" or "usi"."""
    server = _Server(seat, answers, protocol)
    try:
        for line in commands:
            words = line.split()
            if words and words[0] == "quit":
                break
            if words:
                server.obey(words)
        else:  # Nobody was there, perhaps, to hear that there is no such player.
            seat.player()
    finally:
        server.wait(SECONDS_TO_QUIT)


class _Server:
    def __init__(self, seat: Seat, answers: TextIO, protocol: str) -> None:
        self._seat, self._answers, self._protocol = seat, answers, protocol
        self._position: RecordedGame | None = seat.position
        self._num_simulations: int | None = None
        self._thought: threading.Thread | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def obey(self, words: list[str]) -> None:
        command, rest = words[0], words[1:]
        if command == self._protocol:
            self._say(f"id name Tolman {self._seat.name}")
            self._say(f"id author {AUTHOR}")
            self._say(
                f"option name {SIMULATIONS} type spin default 0 min 0 max {MAX_SIMULATIONS}"
            )
            self._say(f"{self._protocol}ok")
        elif command == "isready":
            self._seat.player()
            self._say("readyok")
        elif command in ("stop", "ponderhit"):
            self.wait()
        elif command == f"{self._protocol}newgame":
            self.wait()
            self._seat.start_game()
            self._position = self._seat.position
        elif command == "position":
            self.wait()
            self._set_position(rest)
        elif command == "setoption":
            self._set_option(rest)
        elif command == "go":
            self.wait()
            self._go(rest)
        elif command not in IGNORED:
            self._remark(f"unknown command: {command}")

    def wait(self, seconds: float | None = None) -> None:
        """Ends the thought under way with its move."""
        self._stopped.set()
        if self._thought is not None:
            self._thought.join(seconds)
        self._thought = None

    def _set_position(self, words: list[str]) -> None:
        self._position = None
        at = words.index("moves") if "moves" in words else len(words)
        if not self._is_start(words[:at]):
            kind = STARTS[self._protocol][0]
            self._remark(
                f"position: must be startpos, or {kind} and the start position, and then "
                "moves MOVE ..."
            )
            return
        try:
            self._position = self._seat.replay(tuple(words[at + 1 :]))
        except ValueError as error:
            self._remark(f"position: {error}")

    def _is_start(self, words: list[str]) -> bool:
        """Whether these words tell the start, by its name or field by field."""
        kind, start, num_fields = STARTS[self._protocol]
        if words == ["startpos"]:
            return True
        fields = words[1 : 1 + num_fields]
        if self._protocol == "uci" and len(fields) == num_fields:
            with contextlib.suppress(ValueError):
                fields[2] = standard_castling(fields[2])
        return words[:1] == [kind] and fields == start.split()

    def _set_option(self, words: list[str]) -> None:
        """Takes one option; those that every engine is sent, such as Hash, mean nothing."""
        text = " ".join(words).removeprefix("name ")
        name, _, value = text.partition(" value ")
        if name.lower() != SIMULATIONS.lower():
            self._remark(f"no such option: {name}")
        elif not value.isdecimal() or int(value) > MAX_SIMULATIONS:
            self._remark(f"option {name}: must be in 0..{MAX_SIMULATIONS}")
        else:
            self._num_simulations = int(value) or None

    def _go(self, words: list[str]) -> None:
        if "mate" in words and self._protocol == "usi":
            self._say("checkmate notimplemented")
            return
        self._seat.player()  # If it cannot be made, this process ends here.
        self._stopped.clear()
        is_held = "infinite" in words or "ponder" in words
        budget = self._budget(words, is_held)
        if "depth" in words:
            self._remark("go: depth is no limit here; nodes and movetime are")
        only = _search_moves(words)
        self._thought = threading.Thread(
            target=self._think, args=(budget, is_held, only), daemon=True
        )
        self._thought.start()

    def _budget(self, words: list[str], is_held: bool) -> Budget:
        given = self._numbers(words)
        nodes = given.get("nodes")
        player = 0 if self._position is None else self._position.to_play()
        letter = CLOCKS[self._protocol][player]
        seconds = None
        if "movetime" in given:
            seconds = within(given["movetime"] / 1000.0)
        elif is_held:
            seconds = math.inf
        elif f"{letter}time" in given or "byoyomi" in given:
            seconds = share_of_clock(
                given.get(f"{letter}time", 0) / 1000.0,
                given.get(f"{letter}inc", 0) / 1000.0,
                given.get("movestogo", 0),
                given.get("byoyomi", 0) / 1000.0,
            )
        if nodes is None and seconds is None:
            nodes = self._num_simulations
        return Budget(nodes, seconds, self._stopped.is_set)

    def _numbers(self, words: Sequence[str]) -> dict[str, int]:
        """What follows the words that a number follows; negative times are none left."""
        given: dict[str, int] = {}
        for word, number in itertools.pairwise([*words, ""]):
            if word not in NUMBERS:
                continue
            try:
                given[word] = max(int(number), 0)
            except ValueError:
                self._remark(f"go: {word} {number}: must be a whole number")
        if not given.get("nodes", 1):
            del given["nodes"]
        return given

    def _think(self, budget: Budget, is_held: bool, only: Sequence[str]) -> None:
        began = time.monotonic()
        move = NO_MOVE[self._protocol]
        position = self._position
        try:
            if position is None:
                self._remark("go: there is no position, the last one was refused")
            elif position.is_over():
                move = self._last_word(position)
            else:
                searched = restricted(position, only) if only else position
                thought = self._seat.think(searched, budget)
                move = position.action_to_text(thought.action)
                self._inform(thought, move, time.monotonic() - began)
        except Resigned:
            self._remark("resigns")
        except Exception as error:  # A thread that dies silently looks like a hang.
            self._remark(" ".join(f"{type(error).__name__}: {error}".split()))
        if is_held:
            self._stopped.wait()
        self._say(f"bestmove {move}")

    def _last_word(self, position: RecordedGame) -> str:
        """Of a game that is over: in shogi it may be the declaration that wins."""
        has_won = position.outcome()[position.to_play()] > 0.0
        return "win" if has_won and self._protocol == "usi" else NO_MOVE[self._protocol]

    def _inform(self, thought: Thought, move: str, seconds: float) -> None:
        """Tells of a search; a pawn is what makes 400 Elo a score of ten to one."""
        if not thought.nodes:
            return
        value = max(-WIDEST_VALUE, min(WIDEST_VALUE, thought.value))
        centipawns = round(400.0 * math.log10((1.0 + value) / (1.0 - value)))
        self._say(
            f"info nodes {thought.nodes} time {round(1000 * seconds)} "
            f"nps {round(thought.nodes / max(seconds, 1e-3))} "
            f"score cp {centipawns} pv {move}"
        )

    def _remark(self, text: str) -> None:
        self._say(f"info string {' '.join(text.split())}")

    def _say(self, line: str) -> None:
        # Whoever asked may be gone by now: the end of its commands tells us.
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._answers.write(line + "\n")
            self._answers.flush()


def _search_moves(words: Sequence[str]) -> list[str]:
    """The moves that "go" is confined to; none for all."""
    if "searchmoves" not in words:
        return []
    rest = words[words.index("searchmoves") + 1 :]
    return list(itertools.takewhile(lambda word: word not in GO_WORDS, rest))
