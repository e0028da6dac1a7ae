"""Permuted images: the same digits, with the pixels of each task in an order of its own.

Source: Srivastava et al. 2013 and Goodfellow et al. 2014, as in Kirkpatrick et al. 2017,
  section 2.2.

Shapes: N images, D pixels of one, B examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from tolman.envs.classification import mnist
from tolman.envs.classification.task import Array, Examples
from tolman.envs.reasoning.task import register_source


class Images(NamedTuple):
    """One split, and a task's order of pixels; tasks differ in the order alone.

    Attributes:
      image: `[N, D]` uint8.
      label: `[N]` int32.
      order: `[D]` int32: pixel i of an example is pixel `order[i]` of the image.
    """

    image: Array
    label: Array
    order: Array


@register_source("permuted_mnist")
@dataclass(frozen=True)
class PermutedImages:
    """One task of permuted MNIST, 0 to 1 a pixel.

    Attributes:
      task: its number; task 0 has the pixels as they are.
      side: only the pixels of a square of this side, in the middle, change places; 0 for
        all. The paper has 8 and 26 for tasks that are near and far, figure 2C.
      data: "mnist" from your files, "digits" of scikit-learn, or "auto" for the first of
        them that is there.
      seed: of the orders.
    """

    task: Annotated[int, Ge(0)] = 0
    side: Annotated[int, Ge(0)] = 0
    data: mnist.Name = "auto"
    seed: Annotated[int, Ge(0)] = 0

    @property
    def num_classes(self) -> int:
        return mnist.NUM_CLASSES

    def load(self, split: str) -> Images:
        """Returns the images and the order of their pixels.

        Raises:
          ValueError: if the data are not there or broken, or the square does not fit.
        """
        digits = mnist.read(self.data, split)
        side = digits.image.shape[-1]
        return Images(
            jnp.asarray(digits.image.reshape(len(digits.image), -1)),
            jnp.asarray(digits.label),
            jnp.asarray(self.order(side)),
        )

    def sample(self, data: Images, key: Array, batch_size: int) -> Examples:
        """Draws examples with replacement."""
        return examples_of(data, jax.random.randint(key, (batch_size,), 0, len(data.label)))

    def order(self, side: int) -> np.ndarray:
        """`[D]` int32, of images of that side.

        Raises:
          ValueError: if the square is larger than the image.
        """
        if self.side > side:
            raise ValueError(
                f"side={self.side}: must be at most {side}, the side of an image. Set "
                "--env.side."
            )
        square = np.arange(side * side, dtype=np.int32)
        if self.task == 0:
            return square
        inner = self.side or side
        first = (side - inner) // 2
        middle = slice(first, first + inner)
        places = square.reshape(side, side)[middle, middle].ravel()
        order = square.copy()
        order[places] = np.random.default_rng([self.seed, self.task]).permutation(places)
        return order


def examples_of(data: Images, row: Array) -> Examples:
    """The examples of these rows `[B]`."""
    x = data.image[row][:, data.order].astype(jnp.float32) / 255.0
    return Examples(x, data.label[row])
