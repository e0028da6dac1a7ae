"""A chess engine by the Universal Chess Interface, through python-chess."""

from __future__ import annotations

import contextlib
import shlex
import threading
from typing import Any

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.engines.limits import EngineSettings, engine_settings
from tolman.launchers.arena.player import (
    IllegalMove,
    PlayerFault,
    Resigned,
    answered,
    register_player,
)
from tolman.launchers.arena.recorded import moves_so_far


class UciPlayer:
    """An engine such as Stockfish; a fault ends its process, the next move starts one."""

    def __init__(self, settings: EngineSettings) -> None:
        """Starts nothing yet.

        Raises:
          ValueError: if python-chess is not installed.
        """
        _python_chess()
        self.name = settings.name
        self._settings = settings
        self._engine: Any = None
        self._game_token = object()  # python-chess announces a new game by a new one.

    def reset(self, seed: int) -> None:
        self._game_token = object()

    def choose(self, game: HostGame) -> int:
        chess = _python_chess()
        board = chess.Board()
        for text in moves_so_far(game, self.name):
            board.push_uci(text)
        try:
            move = self._move(chess, board)
        except PlayerFault:
            self.close()
            raise
        return answered(game, move)

    def start(self) -> None:
        """Starts the process where there is none, and hears that it speaks UCI.

        Raises:
          PlayerFault: if it does not.
        """
        if self._engine is None:
            self._start(_python_chess())

    def close(self) -> None:
        """Ends the process."""
        if self._engine is not None:
            _kill(self._engine)
            with contextlib.suppress(Exception):  # What it had open is of no use now.
                self._engine.close()
        self._engine = None

    def _move(self, chess: Any, board: Any) -> str:
        limits = self._settings.limits
        limit = chess.engine.Limit(
            time=limits.seconds, depth=limits.depth, nodes=limits.nodes
        )
        self.start()
        engine = self._engine
        is_overdue = threading.Event()

        def kill() -> None:
            is_overdue.set()
            _kill(engine)

        # python-chess waits for ever where the limit is one of nodes.
        watchdog = threading.Timer(limits.timeout_seconds, kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            result = engine.play(board, limit, game=self._game_token)
        except chess.engine.EngineTerminatedError as error:
            raise PlayerFault(
                "no answer in time"
                if is_overdue.is_set()
                else f"the process ended ({error})"
            ) from None
        except chess.engine.EngineError as error:
            kind = IllegalMove if "illegal" in str(error) else PlayerFault
            raise kind(" ".join(str(error).split())) from None
        finally:
            watchdog.cancel()
        if result.resigned:
            raise Resigned
        if result.move is None:
            raise PlayerFault("answered without a move")
        return result.move.uci()

    def _start(self, chess: Any) -> None:
        settings = self._settings
        try:
            self._engine = chess.engine.SimpleEngine.popen_uci(
                shlex.split(settings.command), timeout=settings.limits.timeout_seconds
            )
            self._engine.configure(settings.options)
        except (FileNotFoundError, PermissionError, IndexError) as error:
            raise ValueError(
                f"engine {settings.command!r}: cannot be started ({error}). Give the path "
                "of an installed program."
            ) from error
        except TimeoutError:
            raise PlayerFault("no answer in time") from None
        except chess.engine.EngineTerminatedError as error:
            raise PlayerFault(f"the process ended ({error})") from None
        except chess.engine.EngineError as error:
            raise ValueError(f"engine {settings.command!r}: {error}.") from error


def _kill(engine: Any) -> None:
    with contextlib.suppress(ProcessLookupError):  # It may have ended by itself.
        engine.transport.kill()


def _python_chess() -> Any:
    try:
        import chess.engine
    except ImportError:
        raise ValueError(
            "UCI engines need python-chess. Run: uv sync --extra engines, in a clone, or "
            "pip install 'tolman[engines]', where pip installed Tolman."
        ) from None
    return chess


@register_player("uci")
def _make_uci(spec: str, rest: str) -> UciPlayer:
    """uci:COMMAND?KEY=VALUE&...: a chess engine by UCI."""
    return UciPlayer(engine_settings(spec, rest))
