"""Many copies of one Atari game, stepped by ale-py's threads.

Shapes: E copies, S stacked frames of N x N pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from dm_env import specs

from tolman.envs.atari.settings import AtariSettings, check_atari_id, rom_path
from tolman.envs.environment import FIRST, LAST, MID, TimeStep

NOOP = 0


def atari_specs(name: str, settings: AtariSettings) -> tuple[Any, Any]:
    """The specs of observations and actions; reads the game's ROM, and starts no game.

    Raises:
      ValueError: for an unknown game.
    """
    import ale_py

    ale: Any = ale_py.ALEInterface()
    ale.loadROM(rom_path(check_atari_id(name)))
    find = ale.getLegalActionSet if settings.full_action_set else ale.getMinimalActionSet
    return _observation_spec(settings), _action_spec(len(find()))


def _observation_spec(settings: AtariSettings) -> specs.BoundedArray:
    shape = (settings.side, settings.side, settings.stack)
    return specs.BoundedArray(shape, np.uint8, 0, 255, "observation")


def _action_spec(num_actions: int) -> specs.DiscreteArray:
    return specs.DiscreteArray(num_actions, name="action")


class AtariVector:
    """E copies of a game; see `HostVector` for the rows.

    Observations are `[E, N, N, S]` uint8. Frames from before the episode are black.

    Attributes:
      num_envs: E.
      releases_gil: it steps outside Python.
    """

    releases_gil = True

    def __init__(
        self, name: str, settings: AtariSettings, num_envs: int, seed: int = 0
    ) -> None:
        """Loads the games.

        Args:
          name: the id, `ALE/Pong-v5`.
          settings: of all copies.
          num_envs: E, at least 1.
          seed: all chance in the copies comes from it.

        Raises:
          ValueError: for an unknown game, or no copies.
        """
        from ale_py.vector_env import AtariVectorEnv

        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs}: must be at least 1.")
        self.num_envs, self.settings = num_envs, settings
        # A life lost is only reported: ale-py's own `episodic_life` starts a new game
        # then, so that nobody would ever see what comes after a first life.
        self._games: Any = AtariVectorEnv(
            check_atari_id(name),
            num_envs,
            max_num_frames_per_episode=settings.max_episode_frames,
            repeat_action_probability=settings.sticky_action_probability,
            full_action_space=settings.full_action_set,
            img_height=settings.side,
            img_width=settings.side,
            stack_num=settings.stack,
            frameskip=settings.frame_skip,
            maxpool=settings.max_pool,
            noop_max=settings.max_noops + 1,  # It draws below this.
            life_loss_info=settings.life_loss_ends_episode,
            reward_clipping=settings.clip_rewards,
            use_fire_reset=False,
        )
        num_actions: Any = self._games.single_action_space
        self._num_actions = int(num_actions.n)
        words = np.random.SeedSequence(seed).generate_state(num_envs)
        self._seeds: np.ndarray | None = (words >> 1).astype(np.int32)
        self._is_over = np.zeros(num_envs, bool)  # [E], the last row was LAST.
        self._age = np.zeros(num_envs, np.int64)  # [E], rows since FIRST.

    def observation_spec(self) -> specs.BoundedArray:
        return _observation_spec(self.settings)

    def action_spec(self) -> specs.DiscreteArray:
        return _action_spec(self._num_actions)

    def reset(self) -> TimeStep:
        frames, _ = self._games.reset(seed=self._seeds)
        self._seeds = None  # The games draw on from where they are.
        starts = np.ones(self.num_envs, bool)
        zeros = np.zeros(self.num_envs)
        return self._row(frames, zeros, ~starts, ~starts, starts)

    def step(self, action: Any) -> TimeStep:
        """See `HostVector`.

        Raises:
          ValueError: for actions of another shape, or out of range.
        """
        action = np.asarray(action, np.int32)
        if action.shape != (self.num_envs,):
            raise ValueError(f"action of shape {action.shape}: must be {(self.num_envs,)}.")
        if action.min() < 0 or action.max() >= self._num_actions:
            # ale-py would wait forever for the thread that fails on it.
            raise ValueError(
                f"actions from {action.min()} to {action.max()}: must lie in "
                f"[0, {self._num_actions})."
            )
        starts = self._is_over
        # After a lost life the same game goes on, by a step without an action.
        action = np.where(starts, NOOP, action)
        frames, reward, terminated, truncated, _ = self._games.step(action)
        ends = terminated | truncated
        if (starts & ends).any():  # The game ended in that very step.
            frames = self._restart(starts & ends)
        return self._row(frames, reward, terminated, ends, starts)

    def close(self) -> None:
        """Ends the threads."""
        self._games = None

    def _restart(self, chosen: np.ndarray) -> np.ndarray:
        """New games for the copies that `chosen` [E] says; all copies' frames."""
        frames, _ = self._games.reset(options={"reset_mask": chosen})
        return frames

    def _row(
        self,
        frames: np.ndarray,
        reward: np.ndarray,
        terminated: np.ndarray,
        ends: np.ndarray,
        starts: np.ndarray,
    ) -> TimeStep:
        """One row of what ale-py gave; all `[E]`, `frames` `[E, S, N, N]`."""
        side, stack = self.settings.side, self.settings.stack
        observation = np.empty((self.num_envs, side, side, stack), np.uint8)
        for index in range(stack):  # Six times as fast as a copy of the transpose.
            observation[..., index] = frames[:, index]
        self._age = np.where(starts, 1, self._age + 1)
        for index in np.flatnonzero(self._age < stack):
            observation[index, ..., : stack - self._age[index]] = 0
        self._is_over = ends & ~starts
        step_type = np.where(starts, FIRST, np.where(ends, LAST, MID))
        arrays: Any = (
            step_type.astype(np.int32),
            np.where(starts, 0.0, reward).astype(np.float32),
            np.where(terminated & ~starts, 0.0, 1.0).astype(np.float32),
            observation,
            starts,
        )
        return TimeStep(*arrays)
