"""Tic-tac-toe, connect four, othello and hex."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, Any

import jax.numpy as jnp
import pgx
from annotated_types import Interval

from tolman.envs.board import symmetry
from tolman.envs.board.game import Array, GameInfo, register_game
from tolman.envs.board.pgx_game import PgxGame, pgx_env


@register_game("tic_tac_toe")
@dataclass(frozen=True)
class TicTacToe(PgxGame):
    """Tic-tac-toe: 9 actions, the squares row by row; a draw between good players."""

    @property
    def env(self) -> pgx.Env:
        return pgx_env(self.info.name)

    @property
    def info(self) -> GameInfo:
        return GameInfo("tic_tac_toe", 9, 9, 9, (3, 3), num_move_planes=1)

    def symmetries(self, observation: Array, policy: Array) -> tuple[Array, Array]:
        return symmetry.views(observation, policy, symmetry.SQUARE)


@register_game("connect_four")
@dataclass(frozen=True)
class ConnectFour(PgxGame):
    """Connect four on 6 rows and 7 columns: an action is a column."""

    @property
    def env(self) -> pgx.Env:
        return pgx_env(self.info.name)

    @property
    def info(self) -> GameInfo:
        return GameInfo("connect_four", 7, 7, 42, (6, 7))

    def symmetries(self, observation: Array, policy: Array) -> tuple[Array, Array]:
        mirrored = symmetry.mirrored(observation)
        return jnp.stack([observation, mirrored]), jnp.stack([policy, policy[::-1]])


@register_game("othello")
@dataclass(frozen=True)
class Othello(PgxGame):
    """Othello on 8 x 8: the squares row by row, then to pass, if nothing else is legal."""

    @property
    def env(self) -> pgx.Env:
        return pgx_env("othello")

    @property
    def info(self) -> GameInfo:
        # 60 squares to fill, and no pass follows another but at the end.
        return GameInfo("othello", 65, 65, 122, (8, 8))

    def symmetries(self, observation: Array, policy: Array) -> tuple[Array, Array]:
        """The four that leave the first four discs where they are."""
        return symmetry.views(observation, policy, symmetry.DIAGONAL)


@register_game("hex")
@dataclass(frozen=True)
class Hex(PgxGame):
    """Hex: the squares row by row, then to swap, for the second player's first move.

    Player 0 joins the first row to the last, player 1 the first column to the last. A swap
    replaces the stone by one of player 1's in the place mirrored at the diagonal.

    Attributes:
      size: of the board, from 2 to 19. 11, as in pgx.
    """

    size: Annotated[int, Interval(ge=2, le=19)] = 11

    @property
    def env(self) -> pgx.Env:
        return _hex(self.size)

    @property
    def integer(self) -> Any:
        return jnp.int16 if self.size > 11 else jnp.int8

    @property
    def info(self) -> GameInfo:
        num_squares = self.size**2
        return GameInfo(
            f"hex_{self.size}x{self.size}",
            num_squares + 1,
            num_squares + 1,
            num_squares + 1,
            (self.size, self.size),
        )

    def start(self) -> Any:
        from pgx.hex import GameState, State

        num_squares = self.size**2  # pgx's own start has 11 x 11, whatever the size.
        return State(
            legal_action_mask=jnp.arange(num_squares + 1) < num_squares,
            _x=GameState(board=jnp.zeros(num_squares, jnp.int32)),
        )

    def symmetries(self, observation: Array, policy: Array) -> tuple[Array, Array]:
        transforms = (symmetry.same, symmetry.turned_twice)
        return symmetry.views(observation, policy, transforms)


@functools.cache
def _hex(size: int) -> pgx.Env:
    from pgx.hex import Hex as PgxHex

    return PgxHex(size=size)
