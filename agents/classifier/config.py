"""Settings of the classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt


@dataclass(frozen=True)
class ClassifierConfig:
    """A fully connected ReLU network under gradient descent.

    Attributes:
      hidden_sizes: units of each hidden layer. Kirkpatrick et al. 2017, table S1: 400, 400.
      batch_size: examples in one update.
      optimizer: "sgd", without momentum, or "adam".
      learning_rate: constant. Kirkpatrick et al. 2017, table S1: 1e-3, of 20 epochs.
        Departure: a hundred times that, so that two epochs do.
    """

    hidden_sizes: tuple[Annotated[int, Ge(1)], ...] = (400, 400)
    batch_size: Annotated[int, Ge(1)] = 100
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Annotated[float, Gt(0)] = 0.1
