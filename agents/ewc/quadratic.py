"""The penalties of all tasks as one quadratic, and the proximal step down it.

A sum of quadratics is a quadratic: sum_k F_k (w - w_k)^2 = F (w - m)^2 + c, with F the sum
of the F_k, m their weighted mean of the w_k and c what no weights can avoid. Two copies of
the weights and a number hold it, however many tasks there are; written around its own
centre, it is 0 where it must be and loses no digits in differences of large sums.

Source: Kirkpatrick et al. 2017, section 2.1: "the sum of two quadratic penalties is
  itself a quadratic penalty".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array

Weights = Any  # Pytree of arrays.


class Quadratic(NamedTuple):
    """sum F (w - centre)^2 + floor.

    Attributes:
      fisher: F, like the weights.
      centre: of the penalty, like the weights; any number where F is 0.
      floor: `[]`, its least value.
    """

    fisher: Weights
    centre: Weights
    floor: Array


def flat(weights: Weights) -> Quadratic:
    """No penalty on anything."""
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return Quadratic(zeros, jax.tree.map(jnp.zeros_like, weights), jnp.float32(0.0))


def add(quadratic: Quadratic, fisher: Weights, weights: Weights) -> Quadratic:
    """Adds sum `fisher` (w - `weights`)^2."""

    def share(old: Array, new: Array) -> Array:
        total = old + new
        return jnp.where(total > 0, new / jnp.where(total > 0, total, 1.0), 0.0)

    shares = jax.tree.map(share, quadratic.fisher, fisher)
    apart = jax.tree.map(jnp.subtract, weights, quadratic.centre)
    centre = jax.tree.map(lambda c, s, a: c + s * a, quadratic.centre, shares, apart)
    # F_a F_b / (F_a + F_b) (w_a - w_b)^2 is what the two cannot both avoid.
    rise = jax.tree.map(
        lambda old, s, a: (old * s * jnp.square(a)).sum(), quadratic.fisher, shares, apart
    )
    total = jax.tree.map(jnp.add, quadratic.fisher, fisher)
    return Quadratic(total, centre, quadratic.floor + _sum(rise))


def value(quadratic: Quadratic, weights: Weights) -> Array:
    """`[]`, sum F (w - centre)^2 + floor."""
    terms = jax.tree.map(
        lambda f, c, w: (f * jnp.square(w - c)).sum(),
        quadratic.fisher,
        quadratic.centre,
        weights,
    )
    return _sum(terms) + quadratic.floor


def proximal_step(quadratic: Quadratic, weights: Weights, scale: Array | float) -> Weights:
    """The least of 1/2 |v - weights|^2 + scale/2 value(v): no scale makes it diverge.

    v = (w + scale F centre) / (1 + scale F); with a scale of 0, w to the bit.
    """
    return jax.tree.map(
        lambda w, f, c: (w + scale * f * c) / (1.0 + scale * f),
        weights,
        quadratic.fisher,
        quadratic.centre,
    )


def _sum(tree: Any) -> Array:
    return jnp.stack(jax.tree.leaves(tree)).sum()
