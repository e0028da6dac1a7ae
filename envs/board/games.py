"""Registers the built-in games."""

from tolman.envs.board import animal_shogi as _animal_shogi  # noqa: F401
from tolman.envs.board import chess as _chess  # noqa: F401
from tolman.envs.board import gardner_chess as _gardner_chess  # noqa: F401
from tolman.envs.board import go as _go  # noqa: F401
from tolman.envs.board import openspiel_games as _openspiel_games  # noqa: F401
from tolman.envs.board import shogi as _shogi  # noqa: F401
from tolman.envs.board import small as _small  # noqa: F401
