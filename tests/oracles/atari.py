"""A game played on the bare Arcade Learning Environment, one frame and pixel at a time."""

import math

import ale_py
import numpy as np
from ale_py import roms


class RawGame:
    """Rows `(step_type, reward, discount, latest frame [N, N] or None)`, by plain loops.

    The frame is None where a game has ended, and, to save time, where it is not asked for.
    """

    def __init__(self, rom, seed, settings):
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.settings = settings
        self.ale = ale_py.ALEInterface()
        self.ale.setFloat("repeat_action_probability", settings.sticky_action_probability)
        self.ale.setInt("random_seed", seed)
        self.ale.loadROM(roms.get_rom_path(rom))
        self.actions = self.ale.getMinimalActionSet()
        if settings.full_action_set:
            self.actions = self.ale.getLegalActionSet()
        self.ended, self.game_over = True, True

    def row(self, action, wants_frame=False):
        if self.ended:
            step_type, reward, discount = 0, 0.0, 1.0
            if not self.game_over:
                self.act(0)
            if self.game_over or self.lost:
                self.ale.reset_game()
                self.count, self.game_over = 0, False
                self.screens = [self.ale.getScreenGrayscale()]
                self.lives = self.ale.lives()
            self.ended = False
        else:
            reward = self.act(action)
            if self.settings.clip_rewards:
                reward = min(max(reward, -1), 1)
            terminated = self.ale.game_over() or (
                self.settings.life_loss_ends_episode and self.lost
            )
            self.ended = terminated or self.game_over
            step_type = 2 if self.ended else 1
            discount = 0.0 if terminated else 1.0
        shown = wants_frame and not (step_type == 2 and self.game_over)
        return step_type, float(reward), discount, self.frame() if shown else None

    def act(self, action):
        total, self.screens = 0, []
        for _ in range(self.settings.frame_skip):
            total += self.ale.act(self.actions[action])
            self.count += 1
            self.screens.append(self.ale.getScreenGrayscale())
            if self.ale.game_over() or self.count == self.settings.max_episode_frames:
                self.game_over = True
                break
        self.lost = 0 < self.ale.lives() < self.lives
        self.lives = self.ale.lives()
        return total

    def frame(self):
        screen = self.screens[-1].astype(float)
        if self.settings.max_pool and len(self.screens) > 1:
            screen = np.maximum(screen, self.screens[-2])
        side = self.settings.side
        pixels = [[area(screen, y, x, side) for x in range(side)] for y in range(side)]
        return np.array(pixels)


def area(screen, y, x, side):
    """The mean of the screen over the part of it that pixel (y, x) of side^2 covers."""
    height, width = screen.shape
    top, bottom = y * height / side, (y + 1) * height / side
    left, right = x * width / side, (x + 1) * width / side
    total = 0.0
    for row in range(int(top), math.ceil(bottom)):
        for column in range(int(left), math.ceil(right)):
            share = (min(row + 1, bottom) - max(row, top)) * (
                min(column + 1, right) - max(column, left)
            )
            total += max(share, 0.0) * screen[row, column]
    return total / ((bottom - top) * (right - left))
