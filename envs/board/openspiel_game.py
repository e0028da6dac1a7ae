"""Games under the C++ rules of OpenSpiel, seen through Tolman's planes and action numbers.

One network plays a game of this module and the JAX game of the same name: what `observe`
shows and what an action number means are equal, position by position.

Shapes: A actions, R rows, C columns.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol

import numpy as np
from dm_env import specs

from tolman.envs.board.game import GameInfo

State = Any  # A pyspiel.State.
Trail = Any  # Immutable: what of the past the rules or the planes need.


class Rules(Protocol):
    """One of OpenSpiel's games in Tolman's terms; holds nothing of a game under way."""

    @property
    def info(self) -> GameInfo: ...

    @property
    def game(self) -> Any:
        """The pyspiel.Game."""
        ...

    def start(self, state: State) -> Trail:
        """What is remembered at the start."""
        ...

    def follow(self, trail: Trail, state: State) -> Trail:
        """What is remembered after a move that led to `state`."""
        ...

    def legal(self, state: State, trail: Trail) -> list[int]:
        """Legal actions of a game that is not over, ascending."""
        ...

    def to_openspiel(self, state: State, action: int) -> int:
        """OpenSpiel's number of an action."""
        ...

    def is_over(self, state: State, trail: Trail) -> bool: ...

    def outcome(self, state: State, trail: Trail) -> tuple[float, float]:
        """Of a game that is over."""
        ...

    def observe(self, state: State, trail: Trail) -> np.ndarray: ...

    def observation_spec(self) -> specs.Array: ...

    def to_text(self, state: State, action: int) -> str: ...

    def render(self, state: State) -> str: ...


class OpenSpielGame:
    """A game under way; a `HostGame`.

    `state` is OpenSpiel's own, `trail` what the rules remember; both are to be looked at,
    not changed.
    """

    def __init__(self, rules: Rules) -> None:
        """The start of a game of these rules."""
        self.rules = rules
        self.state = rules.game.new_initial_state()
        self.trail = rules.start(self.state)
        self._legal: list[int] | None = None

    @property
    def info(self) -> GameInfo:
        return self.rules.info

    def new(self) -> OpenSpielGame:
        return OpenSpielGame(self.rules)

    def copy(self) -> OpenSpielGame:
        twin = copy.copy(self)
        twin.state = self.state.clone()
        return twin

    def step(self, action: int) -> None:
        if action not in self._known_legal():
            raise ValueError(
                f"action {action!r} of {self.info.name}: is not legal here; must be one of "
                "legal_actions()."
            )
        self.state.apply_action(self.rules.to_openspiel(self.state, action))
        self.trail = self.rules.follow(self.trail, self.state)
        self._legal = None

    def legal_actions(self) -> list[int]:
        return list(self._known_legal())

    def _known_legal(self) -> list[int]:
        if self._legal is None:
            over = self.rules.is_over(self.state, self.trail)
            self._legal = [] if over else self.rules.legal(self.state, self.trail)
        return self._legal

    def to_play(self) -> int:
        # Of these games each has turns that alternate. OpenSpiel's own number is another
        # one in some (its player 0 is Black in chess), and is none at the end.
        return self.state.move_number() % 2

    def is_over(self) -> bool:
        return self.rules.is_over(self.state, self.trail)

    def outcome(self) -> tuple[float, float]:
        if not self.rules.is_over(self.state, self.trail):
            return 0.0, 0.0
        return self.rules.outcome(self.state, self.trail)

    def observe(self) -> np.ndarray:
        return self.rules.observe(self.state, self.trail)

    def observation_spec(self) -> specs.Array:
        return self.rules.observation_spec()

    def action_to_text(self, action: int) -> str:
        return self.rules.to_text(self.state, action)

    def text_to_action(self, text: str) -> int:
        wanted = text.strip().lower()
        for action in self._known_legal():
            if self.rules.to_text(self.state, action).lower() == wanted:
                return action
        raise ValueError(
            f"move {text!r} of {self.info.name}: is not legal here, or is not spelled as "
            "action_to_text spells it."
        )

    def render(self) -> str:
        return self.rules.render(self.state)


def grid_text(rows: list[str], labels: tuple[str, list[str]]) -> str:
    """A board as text.

    Args:
      rows: R strings of C letters, from the top.
      labels: the letters of the columns, and the names of the rows.
    """
    columns, names = labels
    width = max(map(len, names))
    foot = " " * (width + 1) + " ".join(columns)
    lines = [
        f"{name:>{width}} {' '.join(row)}" for name, row in zip(names, rows, strict=True)
    ]
    return "\n".join([*lines, foot])
