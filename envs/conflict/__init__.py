"""Small games of one observation and action spec whose right actions conflict."""

from tolman.envs.conflict.crossing import SIDE, Crossing, catch, dodge, exchanged

__all__ = ["SIDE", "Crossing", "catch", "dodge", "exchanged"]
