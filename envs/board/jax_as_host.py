"""A JAX game as a host game: any `Game` can be played where a `HostGame` is asked for."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from dm_env import specs

from tolman.envs.board.game import Game, GameInfo


class JaxAsHost:
    """A `HostGame` that plays a `Game`. A move is written as the number of its action."""

    def __init__(self, game: Game, seed: int = 0) -> None:
        """The start of the game.

        Args:
          game: hashable, as all of its kind; equal games share what is compiled.
          seed: of what the game draws at its start; most draw nothing.
        """
        self.game = game
        self._seed = seed
        self._start, self._step, self._observe = _compiled(game)  # type: ignore[arg-type]
        self._state, view = self._start(jax.random.PRNGKey(seed))
        self._look(view)

    @property
    def info(self) -> GameInfo:
        return self.game.info

    def new(self) -> JaxAsHost:
        return JaxAsHost(self.game, self._seed)

    def copy(self) -> JaxAsHost:
        # The state is never changed in place.
        return copy.copy(self)

    def step(self, action: int) -> None:
        if action not in self._legal:
            raise ValueError(
                f"action {action!r} of {self.info.name}: is not legal here; must be one of "
                "legal_actions()."
            )
        self._state, view = self._step(self._state, np.int32(action))
        self._look(view)

    def legal_actions(self) -> list[int]:
        return list(self._legal)

    def to_play(self) -> int:
        return self._player

    def is_over(self) -> bool:
        return self._is_over

    def outcome(self) -> tuple[float, float]:
        return self._outcome

    def observe(self) -> np.ndarray:
        return np.asarray(self._observe(self._state))

    def observation_spec(self) -> specs.Array:
        return self.game.observation_spec()

    def action_to_text(self, action: int) -> str:
        return str(action)

    def text_to_action(self, text: str) -> int:
        if text.strip().isdigit() and int(text) in self._legal:
            return int(text)
        raise ValueError(
            f"move {text!r} of {self.info.name}: must be the number of a legal action."
        )

    def render(self) -> str:
        """A line for each row: how many planes are set at each of its points."""
        counts = np.count_nonzero(self.observe(), axis=-1)
        rows = "\n".join(" ".join(f"{count:3d}" for count in row) for row in counts)
        return f"planes set at each point, player {self._player} to move\n{rows}"

    def _look(self, view: Any) -> None:
        legal, player, is_over, outcome = jax.device_get(view)
        self._legal: list[int] = np.flatnonzero(legal).tolist()
        self._player, self._is_over = int(player), bool(is_over)
        self._outcome = float(outcome[0]), float(outcome[1])


@functools.cache
def _compiled(game: Game) -> tuple[Callable[..., Any], ...]:
    """Start and step, each with what is asked of every position, and the planes."""

    def view(state: Any) -> Any:
        return state, (
            game.legal(state),
            game.to_play(state),
            game.is_over(state),
            game.outcome(state),
        )

    start = jax.jit(lambda key: view(game.init(key)))
    step = jax.jit(lambda state, action: view(game.step(state, action)))
    return start, step, jax.jit(game.observe)
