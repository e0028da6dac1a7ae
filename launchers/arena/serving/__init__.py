"""The engine side: a player speaks UCI, GTP or USI to a graphical board or another arena.

serve("uci", make_host_game("chess"), make_player, "my player")
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import Player
from tolman.launchers.arena.serving.gtp import serve_gtp
from tolman.launchers.arena.serving.seat import Seat
from tolman.launchers.arena.serving.uci import serve_uci

GAME_OF = {"uci": "chess", "usi": "shogi", "gtp": None}  # None for any.


def serve(
    protocol: str,
    game: HostGame,
    make_player: Callable[[], Player],
    name: str,
    commands: TextIO | None = None,
    answers: TextIO | None = None,
) -> None:
    """Answers commands until "quit" or the end of input.

    Args:
      protocol: "uci", "gtp" or "usi".
      game: its start; is not changed.
      make_player: is called once, in a thread: the greeting does not wait for it.
      name: of the player, for those who ask.
      commands: standard input by default.
      answers: standard output by default; nothing else may be written there.

    Raises:
      ValueError: for a protocol that is unknown, or does not fit the game; and whatever
        `make_player` raises.
    """
    check_protocol(protocol, game.info.name)
    commands = sys.stdin if commands is None else commands
    answers = sys.stdout if answers is None else answers
    seat = Seat(game, make_player, name)
    try:
        if protocol == "gtp":
            serve_gtp(game, seat, commands, answers)
        else:
            serve_uci(seat, commands, answers, protocol)
    finally:
        seat.close()


def check_protocol(protocol: str, game: str) -> None:
    """Raises ValueError for a protocol that is unknown, or does not fit the game."""
    if protocol not in GAME_OF:
        raise ValueError(
            f"protocol {protocol!r}: must be one of {', '.join(GAME_OF)}. Set --protocol."
        )
    if GAME_OF[protocol] not in (None, game):
        raise ValueError(
            f"protocol {protocol!r} is for {GAME_OF[protocol]}, not {game}: use "
            f"{_fitting(game)}. Set --protocol."
        )


def _fitting(game: str) -> str:
    """The protocols of a game, its own one first."""
    return " or ".join([p for p, name in GAME_OF.items() if name in (game, None)])
