"""The engine side: a player speaks UCI, GTP or USI to a graphical board or another arena.

serve("uci", make_host_game("chess"), make_player)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import Player, close_player
from tolman.launchers.arena.serving.gtp import serve_gtp
from tolman.launchers.arena.serving.uci import serve_uci

GAMES_OF = {"uci": ("chess",), "usi": ("shogi",), "gtp": ("go",)}


def serve(
    protocol: str,
    game: HostGame,
    make_player: Callable[[], Player],
    commands: TextIO | None = None,
    answers: TextIO | None = None,
) -> None:
    """Answers commands until "quit" or the end of input.

    Args:
      protocol: "uci", "gtp" or "usi".
      game: its start; is not changed.
      make_player: is called once, when the first command has come.
      commands: standard input by default.
      answers: standard output by default; nothing else may be written there.

    Raises:
      ValueError: for a protocol that is unknown, or does not fit the game.
    """
    if protocol not in GAMES_OF:
        raise ValueError(f"protocol {protocol!r}: must be one of {', '.join(GAMES_OF)}.")
    if game.info.name.split("_")[0] not in GAMES_OF[protocol]:
        raise ValueError(
            f"protocol {protocol!r} is for {GAMES_OF[protocol][0]}, not {game.info.name}."
        )
    commands = sys.stdin if commands is None else commands
    answers = sys.stdout if answers is None else answers
    player = make_player()
    try:
        if protocol == "gtp":
            serve_gtp(game, player, commands, answers)
        else:
            serve_uci(game, player, commands, answers, protocol)
    finally:
        close_player(player)
