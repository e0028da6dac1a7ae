"""AlphaZero: tree search and self-play from the rules alone (Silver et al. 2017)."""

from tolman.agents.alphazero.agent import AlphaZero, LearnerState, Positions
from tolman.agents.alphazero.config import AlphaZeroConfig, GumbelAlphaZeroConfig
from tolman.agents.alphazero.host_search import HostSearch
from tolman.agents.alphazero.search import Search, tree_bytes

__all__ = [
    "AlphaZero",
    "AlphaZeroConfig",
    "GumbelAlphaZeroConfig",
    "HostSearch",
    "LearnerState",
    "Positions",
    "Search",
    "tree_bytes",
]
