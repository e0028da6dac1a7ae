"""The mazes of `maze/...` in ViZDoom: `doom/static_1` and the rest.

Nothing here imports `vizdoom` before a maze is asked for.
"""

from tolman.envs.doom.environment import DoomEnvironment
from tolman.envs.doom.settings import DoomSettings, check_doom_id
from tolman.envs.doom.vector import DoomVector
from tolman.envs.families import Family, register_family

__all__ = ["DoomEnvironment", "DoomSettings", "DoomVector", "check_doom_id"]

register_family("doom/MAZE")(
    Family(
        pattern="doom/.+",
        summary="the mazes of maze/... in ViZDoom, such as doom/static_1",
        settings=DoomSettings,
        check=check_doom_id,
        make=DoomEnvironment,
        make_vector=DoomVector,
        specs=lambda name, settings: (
            settings.maze(name).observation_spec(),
            settings.maze(name).action_spec(),
        ),
        releases_gil=True,
        mends_copies=True,
    )
)
