"""Writes to replays of any kind, for tests: items that are nothing but a number."""

import numpy as np

from tolman.launchers.host.layout import ItemLayout
from tolman.launchers.host.packing import Packing


def layout_of(num_items=2, unroll_length=1):
    """Items of rows that are nothing but the version of the parameters that acted."""
    version = np.zeros((), np.int32)
    row = Packing((np.zeros(0), np.zeros(0), version))
    return ItemLayout(row, Packing(version), unroll_length, 1, num_items)


class Writer:
    """Inserts items by their version; of one decision each."""

    def __init__(self, replay, num_envs=1):
        self.priority = 1.0
        self._nothing = np.zeros((num_envs, 0))
        self._state = np.zeros(num_envs, np.int32)
        self._writer = replay.writer(num_envs, lambda: self.priority)
        self._writer.append(self._nothing, None, -1, self._state)

    def insert(self, version, priority=1.0):
        self.priority = priority
        self._writer.append(self._nothing, self._nothing, version, self._state)

    def close(self):
        self._writer.close()


def fill(replay, priorities):
    """Inserts an item for each priority, which are there when this returns."""
    writer = Writer(replay)
    for version, priority in enumerate(priorities):
        writer.insert(version, priority)
    writer.close()


def next_with(replay, probability):
    """The next batch of this probability by version; what was read ahead comes before."""
    for _ in range(200):
        batch = replay.next(20.0)
        if np.allclose(batch.probability, probability[batch.versions], rtol=1e-5):
            return batch
    raise AssertionError(f"{batch.probability} of {batch.versions}")
