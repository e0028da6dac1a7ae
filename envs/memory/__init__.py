"""Tasks that test memory and nothing else; importing this package registers them.

In all of them an episode is one task, its rows come whatever the agent does, and only
its last decision is paid: what it earns is what it remembers. An agent that is fed its own
last action may carry the answer in it from row to row, by repeating itself; a control
without memory must go without that input.
"""

from tolman.envs.memory.associative_recall import AssociativeRecall
from tolman.envs.memory.memory_length import MemoryLength
from tolman.envs.memory.t_maze import TMaze

__all__ = ["AssociativeRecall", "MemoryLength", "TMaze"]
