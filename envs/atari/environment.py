"""One Atari game as a `dm_env.Environment`, with its picture for a film.

Shapes: frames of N x N pixels.
"""

from __future__ import annotations

import collections
from typing import Any, NamedTuple

import dm_env
import numpy as np
from dm_env import specs

from tolman.envs.atari.settings import AtariSettings, check_atari_id, rom_path

NOOP, MAX_SEED = 0, 2**31
CONSOLE_FRAMES_PER_SECOND = 60


class _Played(NamedTuple):
    """What came of one step; `terminated` is part of `ends`."""

    reward: int
    terminated: bool
    ends: bool


class AtariEnvironment(dm_env.Environment):
    """One game. `AtariVector` plays many of the same settings, and faster.

    With `max_noops=0` it gives, action for action, the rows of a copy of `AtariVector`
    that has its seed, but for pixels that are rounded the other way, and for the last
    picture of a game: here it is the true one, there it may be a step old.

    Attributes:
      lives: that are left; 0 in a game that has none.
      new_task: the latest time step was FIRST.
    """

    def __init__(self, name: str, settings: AtariSettings, seed: int = 0) -> None:
        """Loads the game.

        Args:
          name: the id, `ALE/Pong-v5`.
          settings: how it is played and seen.
          seed: of no-op starts and sticky actions, below 2**31.

        Raises:
          ValueError: for an unknown game.
        """
        import ale_py

        self.settings = settings
        self._rom = rom_path(check_atari_id(name))
        self._ale: Any = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", settings.sticky_action_probability)
        self.reseed(seed)
        all_or_some = (
            self._ale.getLegalActionSet
            if settings.full_action_set
            else self._ale.getMinimalActionSet
        )
        self._actions = all_or_some()
        height, width = self._ale.getScreenDims()
        self._down = _area_weights(height, settings.side)  # [N, height]
        self._across = _area_weights(width, settings.side).T  # [width, N]

    def reseed(self, seed: int) -> None:
        """Makes the next time step open a game with all chance from `seed`."""
        self._ale.setInt("random_seed", seed % MAX_SEED)
        self._ale.loadROM(self._rom)
        self._rng = np.random.default_rng(seed)
        self._game_is_over = self._episode_is_over = True
        self.lives, self.new_task = 0, False

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode: a new game, or what follows the lost life that ended one."""
        goes_on = self._episode_is_over and not self._game_is_over
        if not goes_on or self._play(NOOP).ends:
            self._start_game()
        black = np.zeros((self.settings.side,) * 2, np.uint8)
        self._stack = collections.deque([black] * self.settings.stack, self.settings.stack)
        self._episode_is_over, self.new_task = False, True
        return dm_env.restart(self._observe())

    def step(self, action: Any) -> dm_env.TimeStep:
        """Holds `action` for `frame_skip` frames; starts an episode where none is on.

        Raises:
          ValueError: for an action out of range.
        """
        if self._episode_is_over:
            return self.reset()
        if not 0 <= int(action) < len(self._actions):
            raise ValueError(f"action {action}: must lie in [0, {len(self._actions)}).")
        played = self._play(int(action))
        self._episode_is_over, self.new_task = played.ends, False
        reward = np.sign(played.reward) if self.settings.clip_rewards else played.reward
        return dm_env.TimeStep(
            dm_env.StepType.LAST if played.ends else dm_env.StepType.MID,
            float(reward),
            0.0 if played.terminated else 1.0,
            self._observe(),
        )

    def frame(self) -> np.ndarray:
        """The screen in colour, [height, 160, 3] uint8; most games are 210 high."""
        return self._ale.getScreenRGB()

    @property
    def frames_per_second(self) -> float:
        """Steps a second on a console: how fast to show a film of `frame()`s."""
        return CONSOLE_FRAMES_PER_SECOND / self.settings.frame_skip

    def observation_spec(self) -> specs.BoundedArray:
        """The stacked frames, `[N, N, stack]` uint8."""
        shape = (*(self.settings.side,) * 2, self.settings.stack)
        return specs.BoundedArray(shape, np.uint8, 0, 255, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """The game's actions, or all 18."""
        return specs.DiscreteArray(len(self._actions), name="action")

    def _start_game(self) -> None:
        self._ale.reset_game()
        for _ in range(self._rng.integers(self.settings.max_noops, endpoint=True)):
            self._ale.act(self._actions[NOOP])
            if self._ale.game_over():
                self._ale.reset_game()
        self._num_frames, self.lives = 0, self._ale.lives()
        self._game_is_over = False
        self._screen = self._ale.getScreenGrayscale()

    def _play(self, action: int) -> _Played:
        """The frames of one step."""
        settings = self.settings
        reward, screens = 0, []
        for _ in range(settings.frame_skip):
            reward += self._ale.act(self._actions[action])
            screens.append(self._ale.getScreenGrayscale())
            self._num_frames += 1
            is_truncated = self._num_frames >= settings.max_episode_frames
            if self._ale.game_over() or is_truncated:
                self._game_is_over = True
                break
        self._screen = np.max(screens[-2:], axis=0) if settings.max_pool else screens[-1]
        lost_life = 0 < self._ale.lives() < self.lives
        self.lives = self._ale.lives()
        terminated = self._ale.game_over() or (
            settings.life_loss_ends_episode and lost_life
        )
        return _Played(reward, terminated, self._game_is_over or terminated)

    def _observe(self) -> np.ndarray:
        small = self._down @ self._screen.astype(np.float32) @ self._across
        self._stack.append(np.rint(small).astype(np.uint8))
        return np.stack(self._stack, axis=-1)


def _area_weights(size: int, side: int) -> np.ndarray:
    """`[side, size]`: the share that each of `size` pixels has in each of equal parts."""
    edges = np.linspace(0.0, size, side + 1)
    pixel = np.arange(size)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.maximum(covered, 0.0) * side / size).astype(np.float32)
