"""Questions about a memory of given facts: what MEMO and its baselines are trained on."""

from tolman.envs.reasoning.babi import Babi
from tolman.envs.reasoning.babi_style import BabiStyle
from tolman.envs.reasoning.shortest_path import ShortestPath
from tolman.envs.reasoning.stories import StoryTask

__all__ = ["Babi", "BabiStyle", "ShortestPath", "StoryTask"]
