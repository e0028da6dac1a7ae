"""The levels of DeepMind Lab: `lab/nav_maze_static_01` and the rest.

Nothing here imports `deepmind_lab` before a level is asked for.
"""

from tolman.envs.families import Family, register_family
from tolman.envs.lab.environment import LabEnvironment
from tolman.envs.lab.settings import LabSettings, check_lab_id

__all__ = ["LabEnvironment", "LabSettings", "check_lab_id"]

register_family("lab/LEVEL")(
    Family(
        pattern="lab/.+",
        summary="levels of DeepMind Lab, such as lab/nav_maze_static_01",
        settings=LabSettings,
        check=check_lab_id,
        make=LabEnvironment,
    )
)
