"""Which devices share out a number of equal parts."""

from __future__ import annotations

from collections.abc import Sequence

import jax


def dividing(devices: Sequence[jax.Device], num_parts: int) -> list[jax.Device]:
    """The first devices, as many as can take equally many parts each."""
    count = max(n for n in range(1, len(devices) + 1) if num_parts % n == 0)
    return list(devices[:count])
