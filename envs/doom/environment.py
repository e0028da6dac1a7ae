"""A maze in ViZDoom as a `dm_env.Environment`."""

from __future__ import annotations

from tolman.envs.doom.settings import DoomSettings
from tolman.envs.doom.vector import DoomVector
from tolman.envs.maze.motion import FRAMES_PER_SECOND, KEYS
from tolman.envs.native_vector import FirstCopy


class DoomEnvironment(FirstCopy):
    """The only copy of a `DoomVector`."""

    def __init__(self, name: str, settings: DoomSettings, seed: int = 0) -> None:
        """See `DoomVector`."""
        self._doom = DoomVector(name, settings, 1, seed)
        self._action_repeat = settings.action_repeat
        super().__init__(self._doom)

    def reseed(self, seed: int) -> None:
        """Makes the next time step open an episode, with all chance from `seed`."""
        self._doom.reseed(seed)
        self.new_task = False

    @property
    def keys(self) -> dict[str, int]:
        """By which a person acts: the action of each."""
        return KEYS

    @property
    def frames_per_second(self) -> float:
        """Decisions a second, of the mazes' clock."""
        return FRAMES_PER_SECOND / self._action_repeat
