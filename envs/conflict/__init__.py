"""Small games of one observation and action spec whose right actions conflict."""

from tolman.envs.conflict.crossing import Crossing, catch, dodge, exchanged

__all__ = ["Crossing", "catch", "dodge", "exchanged"]
