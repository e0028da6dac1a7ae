"""UCI and USI, which differ in a few words only.

A player's thought has its own bound, such as simulations; what "go" says about time, nodes
or depth is not heeded. "stop" waits for the move.
"""

from __future__ import annotations

import itertools
import threading
from typing import TextIO

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import Player, Resigned
from tolman.launchers.arena.recorded import RecordedGame

AUTHOR = "the Tolman project"


def serve_uci(
    game: HostGame, player: Player, commands: TextIO, answers: TextIO, protocol: str
) -> None:
    """See `serving.serve`; `protocol` is "uci" or "usi"."""
    server = _Server(game, player, answers, protocol)
    for line in commands:
        words = line.split()
        if words and words[0] == "quit":
            break
        if words:
            server.obey(words)
    server.wait()


class _Server:
    def __init__(
        self, game: HostGame, player: Player, answers: TextIO, protocol: str
    ) -> None:
        self._game, self._player, self._answers = game, player, answers
        self._protocol = protocol
        self._position = RecordedGame(game.new())
        self._seeds = itertools.count()
        self._thought: threading.Thread | None = None
        self._is_infinite = False
        self._stopped = threading.Event()
        player.reset(next(self._seeds))

    def obey(self, words: list[str]) -> None:
        command = words[0]
        if command == self._protocol:
            self._say(f"id name Tolman {self._player.name}")
            self._say(f"id author {AUTHOR}")
            self._say(f"{self._protocol}ok")
        elif command == "isready":
            self._say("readyok")
        elif command in ("stop", "ponderhit"):
            self.wait()
        elif command in ("ucinewgame", "usinewgame"):
            self.wait()
            self._player.reset(next(self._seeds))
        elif command == "position":
            self.wait()
            self._set_position(words[1:])
        elif command == "go":
            self.wait()
            self._stopped.clear()
            self._is_infinite = "infinite" in words or "ponder" in words
            self._thought = threading.Thread(target=self._think)
            self._thought.start()
        # Other commands, such as setoption and debug, mean nothing here.

    def wait(self) -> None:
        """Ends the thought under way with its move."""
        self._stopped.set()
        if self._thought is not None:
            self._thought.join()
        self._thought = None

    def _set_position(self, words: list[str]) -> None:
        if not words or words[0] != "startpos":
            self._say("info string only startpos is understood, not a set-up position")
            return
        position = RecordedGame(self._game.new())
        try:
            for text in words[2:]:  # After "startpos moves".
                position.step(position.text_to_action(text))
        except ValueError as error:
            self._say(f"info string {error}")
            return
        self._position = position

    def _think(self) -> None:
        if self._position.is_over():
            move = "resign" if self._protocol == "usi" else "0000"
        else:
            try:
                move = self._position.action_to_text(self._player.choose(self._position))
            except Resigned:
                move = "resign"
            except Exception as error:  # A thread that dies silently looks like a hang.
                self._say(f"info string {type(error).__name__}: {error}")
                move = "resign"
        if self._is_infinite:
            self._stopped.wait()
        self._say(f"bestmove {move}")

    def _say(self, line: str) -> None:
        print(line, file=self._answers, flush=True)
