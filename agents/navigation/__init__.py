"""Navigation with predictions of depth and loop closure, Mirowski et al. 2016."""

from tolman.agents.navigation.agent import make_navigation
from tolman.agents.navigation.config import NavigationConfig

__all__ = ["NavigationConfig", "make_navigation"]
