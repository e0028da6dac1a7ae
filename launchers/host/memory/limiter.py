"""Keeps draws to inserts, as Reverb's `SampleToInsertRatio` does."""

from __future__ import annotations

import math

from tolman.launchers.host.replay import Limits


class RateLimiter:
    """Says how many items may be inserted or drawn now.

    draws = inserts * samples_per_insert, give or take `slack` around where it stands when
    there are `min_size` items.

    Attributes:
      num_inserted: items, ever.
      num_drawn: items, ever.
    """

    def __init__(self, limits: Limits) -> None:
        """Has counted nothing."""
        self._limits = limits
        self.num_inserted, self.num_drawn = 0, 0

    def inserts_allowed(self, size: int) -> int:
        """How many items may be added to the `size` that are there; at least 0."""
        limits = self._limits
        most = (limits.min_size + limits.slack / limits.samples_per_insert) + (
            self.num_drawn / limits.samples_per_insert
        )
        return max(math.floor(most + 1e-9) - self.num_inserted, limits.min_size - size, 0)

    def allows_draws(self, size: int, number: int) -> bool:
        """Whether `number` of the `size` items may be drawn."""
        limits = self._limits
        if size < limits.min_size:
            return False
        allowed = self.num_inserted * limits.samples_per_insert
        least = limits.min_size * limits.samples_per_insert - limits.slack
        return allowed - self.num_drawn - number >= least
