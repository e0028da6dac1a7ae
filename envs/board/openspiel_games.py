"""Registers OpenSpiel's games: "openspiel/chess" is "chess" under OpenSpiel's rules.

OpenSpiel is imported with the first game that is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from annotated_types import Ge, Interval

from tolman.envs.board.game import register_game
from tolman.envs.board.openspiel_game import OpenSpielGame


@register_game("openspiel/tic_tac_toe")
def _tic_tac_toe() -> OpenSpielGame:
    """Tic-tac-toe in C++."""
    from tolman.envs.board.openspiel_small import TicTacToeRules

    return OpenSpielGame(TicTacToeRules())


@register_game("openspiel/connect_four")
def _connect_four() -> OpenSpielGame:
    """Connect four in C++."""
    from tolman.envs.board.openspiel_small import ConnectFourRules

    return OpenSpielGame(ConnectFourRules())


@register_game("openspiel/othello")
def _othello() -> OpenSpielGame:
    """Othello in C++."""
    from tolman.envs.board.openspiel_small import OthelloRules

    return OpenSpielGame(OthelloRules())


@register_game("openspiel/hex")
def _hex(size: Annotated[int, Interval(ge=2, le=26)] = 11) -> OpenSpielGame:
    """Hex in C++, with the swap."""
    from tolman.envs.board.openspiel_small import HexRules

    return OpenSpielGame(HexRules(size))


@register_game("openspiel/go")
def _go(
    size: Annotated[int, Interval(ge=2, le=19)] = 9,
    komi: float = 7.5,
    max_num_moves: Annotated[int, Ge(0)] = 0,
) -> OpenSpielGame:
    """Go in C++, with positional superko."""
    from tolman.envs.board.openspiel_go import GoRules

    return OpenSpielGame(GoRules(size, komi, max_num_moves))


@register_game("openspiel/go_9x9")
def _go_9x9(komi: float = 7.5, max_num_moves: Annotated[int, Ge(0)] = 0) -> OpenSpielGame:
    """Go on 9 x 9 in C++."""
    return _go(9, komi, max_num_moves)


@register_game("openspiel/go_19x19")
def _go_19x19(komi: float = 7.5, max_num_moves: Annotated[int, Ge(0)] = 0) -> OpenSpielGame:
    """Go on 19 x 19 in C++, as in the paper."""
    return _go(19, komi, max_num_moves)


@register_game("openspiel/chess")
def _chess(max_num_moves: Annotated[int, Ge(1)] = 512) -> OpenSpielGame:
    """Chess in C++, with the paper's planes and moves."""
    from tolman.envs.board.openspiel_chess import ChessRules

    return OpenSpielGame(ChessRules(max_num_moves))


@register_game("openspiel/shogi")
def _shogi(
    max_num_moves: Annotated[int, Ge(1)] = 512, with_declaration: bool = True
) -> OpenSpielGame:
    """Shogi in C++, with the paper's planes and moves."""
    from tolman.envs.board.openspiel_shogi import ShogiRules

    return OpenSpielGame(ShogiRules(max_num_moves, with_declaration))


OPENSPIEL_GAMES: dict[str, Callable[..., OpenSpielGame]] = {
    "tic_tac_toe": _tic_tac_toe,
    "connect_four": _connect_four,
    "othello": _othello,
    "hex": _hex,
    "go": _go,
    "go_9x9": _go_9x9,
    "go_19x19": _go_19x19,
    "chess": _chess,
    "shogi": _shogi,
}


def openspiel_game(name: str, **settings: Any) -> OpenSpielGame:
    """The start of the named game.

    Args:
      name: one of OPENSPIEL_GAMES.
      **settings: of its rules: `size` of hex; `size`, `komi` and `max_num_moves` of Go;
        `max_num_moves` of chess and shogi.

    Raises:
      ValueError: for a name or a setting that is unknown.
    """
    if name not in OPENSPIEL_GAMES:
        raise ValueError(
            f"game {name!r} is not one of OpenSpiel's here: use one of "
            f"{', '.join(OPENSPIEL_GAMES)}."
        )
    try:
        return OPENSPIEL_GAMES[name](**settings)
    except TypeError as error:
        raise ValueError(f"game {name!r}: {error}") from error
