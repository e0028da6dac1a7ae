"""What a two-player, zero-sum game of perfect information is, in JAX and on the host.

Both kinds act on ONE game. What holds for both: players are numbered 0 and 1, player 0
moves first, a finished game stays as it is, and what `observe` shows is seen from the side
of the player to move. Moves need not alternate: a search reads `to_play`, and does not
count.

Shapes: A actions, K compact slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from dm_env import specs

from tolman.envs.registry import Registry

Array = jax.Array
State = Any  # Any pytree of arrays.


class GameInfo(NamedTuple):
    """What is fixed about a game.

    Attributes:
      name: such as "connect_four".
      num_actions: A.
      max_num_legal: K, a bound on the legal actions of any position; the search keeps
        that many slots in place of A.
      max_num_moves: a game that lasts this long ends, as its rules say.
      board: rows and columns of the planes of `observe`; (1, A) where there is no board.
      num_move_planes: P where each action belongs to a square: action
        `(row * columns + column) * P + plane`, and A = rows * columns * P, so that a
        convolution to P channels is the policy; 0 where actions are not numbered so.
      planes_are_masks: whether every plane of `observe` has one number beside 0, all over
        the board perhaps: a replay keeps a bit for each square then.
    """

    name: str
    num_actions: int
    max_num_legal: int
    max_num_moves: int
    board: tuple[int, int]
    num_move_planes: int = 0
    planes_are_masks: bool = False


@runtime_checkable
class Game(Protocol):
    """Rules as pure functions of arrays, on one game; callers `vmap` and `jit` them.

    An implementation is a frozen dataclass of its settings: equal settings, equal hash, so
    that equal games share compiled programs.
    """

    @property
    def info(self) -> GameInfo: ...

    def init(self, key: Array) -> State:
        """The start. Most games draw nothing from `key`."""
        ...

    def step(self, state: State, action: Array) -> State:
        """Plays `action`, `[]` int32; a finished game stays as it is, whatever is played.

        Of an illegal one the result is undefined; check `legal` first.
        """
        ...

    def legal(self, state: State) -> Array:
        """`[A]` bool; all False once the game is over."""
        ...

    def to_play(self, state: State) -> Array:
        """`[]` int32: 0 or 1."""
        ...

    def is_over(self, state: State) -> Array:
        """`[]` bool."""
        ...

    def outcome(self, state: State) -> Array:
        """`[2]` float32: 1, 0 or -1 for each player, zero-sum; zeros before the end."""
        ...

    def observe(self, state: State) -> Array:
        """Planes `[rows, columns, C]`, from the side of the player to move."""
        ...

    def observation_spec(self) -> specs.Array:
        """Shape and dtype of `observe`."""
        ...

    def compact(self, state: State) -> State:
        """Leaves out what `expand` can work out again: a search tree stays small."""
        ...

    def expand(self, compacted: State) -> State:
        """The inverse of `compact`."""
        ...

    def symmetries(self, observation: Array, policy: Array) -> tuple[Array, Array]:
        """All equivalent views of a position, itself first.

        Args:
          observation: `[rows, columns, C]`.
          policy: `[A]`.

        Returns:
          `[N, rows, columns, C]` and `[N, A]`; N is 1 where the game has none.
        """
        ...


@runtime_checkable
class HostGame(Protocol):
    """Rules in plain Python or C++: one game under way, which changes as it is played."""

    @property
    def info(self) -> GameInfo: ...

    def new(self) -> HostGame:
        """Another game of this kind, at its start."""
        ...

    def copy(self) -> HostGame:
        """The same position; neither feels what is played on the other."""
        ...

    def step(self, action: int) -> None:
        """Plays a legal action.

        Raises:
          ValueError: if it is not legal.
        """
        ...

    def legal_actions(self) -> Sequence[int]:
        """In ascending order; empty once the game is over."""
        ...

    def to_play(self) -> int: ...

    def is_over(self) -> bool: ...

    def outcome(self) -> tuple[float, float]:
        """As `Game.outcome`."""
        ...

    def observe(self) -> np.ndarray:
        """As `Game.observe`."""
        ...

    def observation_spec(self) -> specs.Array: ...

    def action_to_text(self, action: int) -> str:
        """The move as players write it: UCI for chess, USI for shogi, GTP for Go."""
        ...

    def text_to_action(self, text: str) -> int:
        """The inverse of `action_to_text`.

        Raises:
          ValueError: if it names no legal move.
        """
        ...

    def render(self) -> str:
        """The board as text."""
        ...


# The factory is called with keyword arguments only, and returns a `Game` or a `HostGame`;
# a frozen dataclass is its own factory.
GAMES = Registry("game")
register_game = GAMES.register
