"""A shogi engine by the Universal Shogi Interface."""

from __future__ import annotations

import time

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.engines.limits import EngineSettings, engine_settings
from tolman.launchers.arena.engines.line_process import LineProcess
from tolman.launchers.arena.player import PlayerFault, answered, register_player
from tolman.launchers.arena.recorded import moves_so_far


class UsiPlayer:
    """An engine such as Fairy-Stockfish; a fault ends its process, the next move starts
    another.
    """

    def __init__(self, settings: EngineSettings) -> None:
        """Starts nothing yet."""
        self.name = settings.name
        self._settings = settings
        self._process: LineProcess | None = None
        self._is_new_game = True

    def reset(self, seed: int) -> None:
        self._is_new_game = True

    def choose(self, game: HostGame) -> int:
        texts = moves_so_far(game, self.name)
        try:
            process = self.start()
            answer = self._best_move(process, texts)
        except PlayerFault:
            self.close()
            raise
        return answered(game, answer)

    def start(self) -> LineProcess:
        """Starts the process where there is none, and hears that it speaks USI.

        Raises:
          PlayerFault: if it does not.
        """
        if self._process is None:
            self._process = LineProcess(self._settings.command)
            self._shake_hands(self._process)
        return self._process

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
        self._process, self._is_new_game = None, True

    def _shake_hands(self, process: LineProcess) -> None:
        process.send("usi")
        self._await(process, "usiok")
        for name, value in self._settings.options.items():
            process.send(f"setoption name {name} value {value}")
        process.send("isready")
        self._await(process, "readyok")

    def _best_move(self, process: LineProcess, texts: tuple[str, ...]) -> str:
        if self._is_new_game:
            process.send("usinewgame")
            process.send("isready")
            self._await(process, "readyok")
            self._is_new_game = False
        moves = " moves " + " ".join(texts) if texts else ""
        process.send(f"position startpos{moves}")
        process.send(self._go())
        words = self._await(process, "bestmove").split()
        if len(words) < 2:
            raise PlayerFault("answered 'bestmove' without a move")
        return words[1]

    def _go(self) -> str:
        limits, words = self._settings.limits, ["go"]
        if limits.nodes is not None:
            words += ["nodes", str(limits.nodes)]
        if limits.depth is not None:
            words += ["depth", str(limits.depth)]
        if limits.seconds is not None:
            milliseconds = str(round(1000 * limits.seconds))
            words += ["btime", "0", "wtime", "0", "byoyomi", milliseconds]
        return " ".join(words)

    def _await(self, process: LineProcess, word: str) -> str:
        """The next line that begins with that word; others are the engine's chatter."""
        deadline = time.monotonic() + self._settings.limits.timeout_seconds
        while True:
            line = process.receive(deadline).strip()
            if line.split(" ")[0] == word:
                return line


@register_player("usi")
def _make_usi(spec: str, rest: str) -> UsiPlayer:
    """usi:COMMAND?KEY=VALUE&...: a shogi engine by USI."""
    return UsiPlayer(engine_settings(spec, rest))
