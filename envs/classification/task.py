"""What a classification task is: examples, each of one of several classes.

Shapes: B examples, D numbers of one.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax

Array = jax.Array


class Examples(NamedTuple):
    """Attributes:
    x: `[B, D]` float32.
    target: `[B]` int32, the class.
    """

    x: Array
    target: Array


class ClassificationTask(Protocol):
    """A source of examples: a frozen dataclass of its settings."""

    @property
    def num_classes(self) -> int:
        """Of an example."""
        ...

    def load(self, split: str) -> Any:
        """Returns the arrays that `sample` reads.

        Args:
          split: "train", "validation" or "test".
        """
        ...

    def sample(self, data: Any, key: Array, batch_size: int) -> Examples:
        """Draws examples with replacement: pure, may be jitted with `batch_size` static."""
        ...
