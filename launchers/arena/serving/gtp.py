"""The Go Text Protocol, version 2."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TextIO

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import Player, Resigned
from tolman.launchers.arena.recorded import RecordedGame

COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}


class _Refusal(Exception):
    """What is answered after "?"."""


def serve_gtp(game: HostGame, player: Player, commands: TextIO, answers: TextIO) -> None:
    """See `serving.serve`."""
    server = _Server(game, player)
    for line in commands:
        words = line.partition("#")[0].split()
        if not words:
            continue
        number = words.pop(0) if words[0].isdigit() else ""
        if not words:
            continue
        try:
            answer = f"={number} {server.obey(words)}".rstrip()
        except _Refusal as refusal:
            answer = f"?{number} {refusal}"
        print(f"{answer}\n", file=answers, flush=True)
        if words[0] == "quit":
            break


class _Server:
    def __init__(self, game: HostGame, player: Player) -> None:
        self._game, self._player = game, player
        self._position = RecordedGame(game.new())
        self._seeds = itertools.count()
        self._commands: dict[str, Callable[[list[str]], str]] = {
            "protocol_version": lambda _: "2",
            "name": lambda _: f"Tolman {player.name}",
            "version": lambda _: "1",
            "known_command": lambda words: str(words[0] in self._commands).lower(),
            "list_commands": lambda _: "\n".join(self._commands),
            "quit": lambda _: "",
            "boardsize": self._board_size,
            "clear_board": self._clear_board,
            "komi": self._komi,
            "play": self._play,
            "genmove": self._generate_move,
            "undo": self._undo,
            "showboard": lambda _: "\n" + self._position.render(),
            "time_settings": lambda _: "",  # A player's thought has its own bound.
            "time_left": lambda _: "",
            "final_score": self._final_score,
        }
        player.reset(next(self._seeds))

    def obey(self, words: list[str]) -> str:
        if words[0] not in self._commands:
            raise _Refusal("unknown command")
        try:
            return self._commands[words[0]](words[1:])
        except IndexError:
            raise _Refusal("syntax error") from None

    def _board_size(self, words: list[str]) -> str:
        if words[0] != str(self._game.info.board[0]):
            raise _Refusal("unacceptable size")
        return self._clear_board(words)

    def _clear_board(self, words: list[str]) -> str:
        self._position = RecordedGame(self._game.new())
        self._player.reset(next(self._seeds))
        return ""

    def _komi(self, words: list[str]) -> str:
        ours = getattr(getattr(self._game, "rules", None), "komi", None)
        try:
            if ours is not None and float(words[0]) != ours:
                raise _Refusal(f"komi is {ours}")
        except ValueError:
            raise _Refusal("syntax error") from None
        return ""

    def _play(self, words: list[str]) -> str:
        self._check_turn(words[0])
        try:
            self._position.step(self._position.text_to_action(words[1]))
        except ValueError:
            raise _Refusal("illegal move") from None
        return ""

    def _generate_move(self, words: list[str]) -> str:
        self._check_turn(words[0])
        if self._position.is_over():
            return "pass"
        try:
            action = self._player.choose(self._position)
        except Resigned:
            return "resign"
        text = self._position.action_to_text(action)
        self._position.step(action)
        return text

    def _check_turn(self, colour: str) -> None:
        if colour.lower() not in COLOURS:
            raise _Refusal("syntax error")
        if COLOURS[colour.lower()] != self._position.to_play():
            raise _Refusal("moves must alternate")

    def _undo(self, words: list[str]) -> str:
        texts = self._position.texts
        if not texts:
            raise _Refusal("cannot undo")
        self._position = RecordedGame(self._game.new())
        for text in texts[:-1]:
            self._position.step(self._position.text_to_action(text))
        return ""

    def _final_score(self, words: list[str]) -> str:
        if not self._position.is_over():
            raise _Refusal("cannot score")
        return {1.0: "B+", 0.0: "0", -1.0: "W+"}[self._position.outcome()[0]]
