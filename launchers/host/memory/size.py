"""How much memory a replay takes, and how much there is."""

from __future__ import annotations

from typing import NamedTuple

from tolman.agents.agent import DataSpec
from tolman.launchers.host.layout import ItemLayout
from tolman.launchers.host.replay import limits_of
from tolman.launchers.runs.memory import memory_of_machine

MOST_OF_MEMORY = 0.9  # The network, the environments and the system need some.


class Sizes(NamedTuple):
    """How many of each a replay in memory holds.

    Attributes:
      items: C.
      rows: of all streams.
      states: of all streams.
      num_bytes: of all of it.
    """

    items: int
    rows: int
    states: int
    num_bytes: int


def sizes_of(
    data: DataSpec, layout: ItemLayout, num_streams: int, capacity: int | None = None
) -> Sizes:
    """What a replay takes.

    From the first row of the oldest item to the last row there may be, in each stream,
    the starts of its share of the items and of the one that waits, the rows of that one,
    and, in a replay, those that a resumed run left without an item.

    Args:
      data: what the agent asks for.
      layout: of the items.
      num_streams: S, of all actors together.
      capacity: C; None for what the agent asks for.
    """
    if capacity is None:
        capacity = limits_of(data, layout.num_items).capacity
    period = data.period or data.unroll_length
    length = (-(-capacity // num_streams) + 1) * period + data.unroll_length + 1
    if data.replay != "queue":
        length += data.unroll_length + period
    states = -(-length // period) + 2
    rows, states = num_streams * length, num_streams * states
    num_bytes = rows * layout.row.num_bytes + states * layout.actor_state.num_bytes
    num_bytes += capacity * (4 * (data.unroll_length + 1) + 3 * 8)
    return Sizes(capacity, rows, states, num_bytes)


def check_memory(
    data: DataSpec, layout: ItemLayout, num_streams: int, num_replays: int = 1
) -> None:
    """Checks that a replay fits, or so many like it.

    Raises:
      ValueError: if it does not.
    """
    there = memory_of_machine()
    allowed = int(MOST_OF_MEMORY * there) // num_replays
    takes = sizes_of(data, layout, num_streams).num_bytes
    if takes <= allowed:
        return
    least, most = 0, data.capacity
    while least < most:  # The largest capacity that fits.
        middle = -(-(least + most) // 2)
        if sizes_of(data, layout, num_streams, middle).num_bytes <= allowed:
            least = middle
        else:
            most = middle - 1
    fix = f"capacity to at most {least}" if least else "num_envs lower"
    raise ValueError(
        f"capacity={data.capacity}: a replay of so many sequences takes {takes:,} bytes, "
        f"must be at most {allowed:,}, {MOST_OF_MEMORY} of this machine's {there:,}"
        f"{f' for {num_replays} tasks' if num_replays > 1 else ''}. Set {fix}."
    )
