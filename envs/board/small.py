"""Tic-tac-toe, connect four, othello and hex."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import pgx

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
