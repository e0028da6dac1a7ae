"""A Go engine by the Go Text Protocol, version 2."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.engines.limits import EngineSettings, engine_settings
from tolman.launchers.arena.engines.line_process import LineProcess
from tolman.launchers.arena.player import PlayerFault, answered, register_player
from tolman.launchers.arena.recorded import innermost, moves_so_far

COLOURS = "bw"


class GtpPlayer:
    """An engine such as GNU Go; a fault ends its process, the next move starts another."""

    def __init__(self, settings: EngineSettings) -> None:
        """Starts nothing yet.

        Raises:
          ValueError: for limits or options that GTP does not know.
        """
        limits = settings.limits
        if limits.nodes is not None or limits.depth is not None or settings.options:
            raise ValueError(
                f"player {settings.name!r}: GTP knows no nodes, depth or options; set them "
                "by words of the program, such as `gnugo --mode gtp --level 1`."
            )
        self.name = settings.name
        self._settings = settings
        self._process: LineProcess | None = None
        self._played: tuple[str, ...] | None = None  # By the engine's board.

    def reset(self, seed: int) -> None:
        self._played = None

    def choose(self, game: HostGame) -> int:
        texts = moves_so_far(game, self.name)
        try:
            self.start()
            self._set_up(game, texts)
            answer = self._ask(f"genmove {COLOURS[game.to_play()]}").strip().lower()
        except PlayerFault:
            self.close()
            raise
        self._played = None  # Until the answer is a move on both boards.
        action = answered(game, answer)
        self._played = (*texts, game.action_to_text(action))
        return action

    def start(self) -> None:
        """Starts the process where there is none, and hears that it speaks GTP.

        Raises:
          PlayerFault: if it does not.
        """
        if self._process is None:
            self._process = LineProcess(self._settings.command)
            self._played = None
            self._ask("protocol_version")

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
        self._process, self._played = None, None

    def _set_up(self, game: HostGame, texts: Sequence[str]) -> None:
        played = self._played
        if played is None or tuple(texts[: len(played)]) != played:
            self._ask(f"boardsize {game.info.board[0]}")
            komi = getattr(getattr(innermost(game), "rules", None), "komi", None)
            if komi is not None:
                self._ask(f"komi {komi}")
            self._ask("clear_board")
            if self._settings.limits.seconds is not None:
                # One move in each period: so many seconds a move.
                self._ask(f"time_settings 0 {self._settings.limits.seconds:g} 1")
            played = ()
        for number in range(len(played), len(texts)):
            self._ask(f"play {COLOURS[number % 2]} {texts[number]}")

    def _ask(self, command: str) -> str:
        assert self._process is not None
        deadline = time.monotonic() + self._settings.limits.timeout_seconds
        self._process.send(command)
        first = ""
        while not first.strip():
            first = self._process.receive(deadline)
        line = first
        while line.strip():  # An empty line ends the answer.
            line = self._process.receive(deadline)
        if not first.startswith("="):
            raise PlayerFault(f"answered {first[:60]!r} to {command!r}")
        return first[1:]


@register_player("gtp")
def _make_gtp(spec: str, rest: str) -> GtpPlayer:
    """gtp:COMMAND?KEY=VALUE&...: an engine by GTP, of Go or another game."""
    return GtpPlayer(engine_settings(spec, rest))
