"""Rules as a user would write them: tic-tac-toe in plain Python."""

import numpy as np
from dm_env import specs

from tolman.envs.board.game import GameInfo

LINES = ["012", "345", "678", "036", "147", "258", "048", "246"]


class PlainTicTacToe:
    def __init__(self):
        self.cells = [-1] * 9
        self.num_moves = 0

    @property
    def info(self):
        return GameInfo("tic_tac_toe", 9, 9, 9, (3, 3), 1)

    def new(self):
        return type(self)()

    def copy(self):
        twin = self.new()
        twin.cells, twin.num_moves = list(self.cells), self.num_moves
        return twin

    def step(self, action):
        if action not in self.legal_actions():
            raise ValueError(f"action {action}: is not legal")
        self.cells[action] = self.to_play()
        self.num_moves += 1

    def winner(self):
        for line in LINES:
            owners = {self.cells[int(cell)] for cell in line}
            if len(owners) == 1 and owners != {-1}:
                return owners.pop()
        return None

    def legal_actions(self):
        if self.winner() is not None:
            return []
        return [cell for cell in range(9) if self.cells[cell] == -1]

    def to_play(self):
        return self.num_moves % 2

    def is_over(self):
        return not self.legal_actions()

    def outcome(self):
        winner = self.winner()
        return (0.0, 0.0) if winner is None else (1.0 - 2 * winner, 2.0 * winner - 1)

    def observe(self):
        cells = np.array(self.cells).reshape(3, 3)
        own = self.to_play()
        return np.stack([cells == own, cells == 1 - own], -1).astype(np.float32)

    def observation_spec(self):
        return specs.Array((3, 3, 2), np.float32, "planes")

    def action_to_text(self, action):
        return f"{'abc'[action % 3]}{action // 3 + 1}"

    def text_to_action(self, text):
        for action in self.legal_actions():
            if self.action_to_text(action) == text:
                return action
        raise ValueError(f"move {text!r}: is not legal")

    def render(self):
        letters = ["xo."[cell] for cell in self.cells]
        return "\n".join(" ".join(letters[i : i + 3]) for i in (0, 3, 6))
