"""Registers the built-in games."""

from tolman.envs.board import small as _small  # noqa: F401
