"""How parameters come from a learner to the actors of the same process."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from tolman.agents.agent import Params


class Closed(Exception):
    """The run is over: the parameters or addresses that were waited for will not come."""


class ParameterStore:
    """The latest parameters by version, the number of updates behind them.

    Actors of a queue get the very version that their next unroll is to be made with, and
    wait for it: so one process gives the same run each time. Others get the latest.
    """

    def __init__(self, max_lag: int | None, unrolls_per_update: int) -> None:
        """Holds nothing yet.

        Args:
          max_lag: updates that an unroll's parameters are behind the learner; None for
            the latest parameters, whatever they are.
          unrolls_per_update: of all actors together.
        """
        self._max_lag = max_lag
        self._unrolls_per_update = unrolls_per_update
        self._kept: deque[tuple[int, Params]] = deque(maxlen=(max_lag or 0) + 2)
        self._changed = threading.Condition()
        self._is_closed = False

    def publish(self, version: int, params: Params) -> None:
        """Stores new parameters; they must never be changed after."""
        with self._changed:
            self._kept.append((version, params))
            self._changed.notify_all()

    def of_group(self, index: int, num_groups: int, unrolls_done: int) -> GroupParameters:
        """The `ParameterSource` of one of several groups that take turns."""
        return GroupParameters(self, unrolls_done + index, num_groups)

    def get(self, num_unrolls: int) -> tuple[int, Params]:
        """Returns `(version, params)` for the unroll after `num_unrolls` of all actors.

        Raises:
          Closed: once the store is closed.
        """
        with self._changed:
            while True:
                if self._is_closed:
                    raise Closed
                if self._kept and self._max_lag is None:
                    return self._kept[-1]
                if self._kept:
                    wanted = num_unrolls // self._unrolls_per_update - (self._max_lag or 0)
                    oldest = self._kept[0][0]
                    for version, params in self._kept:
                        if version == max(wanted, oldest):
                            return version, params
                self._changed.wait()

    def close(self) -> None:
        """Wakes all who wait."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class GroupParameters(NamedTuple):
    """The `ParameterSource` of one of several groups that take turns.

    Attributes:
      store: of the parameters.
      first: unrolls of all groups before this one's first.
      num_groups: how many there are.
    """

    store: ParameterStore
    first: int
    num_groups: int

    def get(self, num_unrolls: int) -> tuple[int, Params]:
        """Returns `(version, params)` for the unroll after `num_unrolls` of this group."""
        return self.store.get(self.first + num_unrolls * self.num_groups)
