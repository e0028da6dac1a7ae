"""Atari 2600 games through the Arcade Learning Environment: `ALE/Pong-v5` and the rest.

Nothing here imports `ale_py` before a game is asked for.
"""

from tolman.envs.atari.environment import AtariEnvironment
from tolman.envs.atari.scores import GAMES, human_normalized_score
from tolman.envs.atari.settings import AtariSettings, check_atari_id
from tolman.envs.atari.vector import AtariVector, atari_specs
from tolman.envs.families import Family, register_family

__all__ = [
    "GAMES",
    "AtariEnvironment",
    "AtariSettings",
    "AtariVector",
    "check_atari_id",
    "human_normalized_score",
]

register_family("ALE/GAME-v5")(
    Family(
        pattern="ALE/.*",
        summary="Atari 2600 games of ale-py, such as ALE/MsPacman-v5",
        settings=AtariSettings,
        check=check_atari_id,
        make=AtariEnvironment,
        make_vector=AtariVector,
        specs=atari_specs,
        releases_gil=True,
    )
)
