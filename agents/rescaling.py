"""Values of any size on a scale that a network learns as well.

A network's value is a sum over units of about 1 each: a value of 100 takes large weights,
and with these every small change of a unit is a large error.
"""

from __future__ import annotations

import jax.numpy as jnp

from tolman.agents.agent import Array

EPSILON = 1e-3  # Keeps the inverse Lipschitz. Kapturowski et al. 2019, section 2.3.


def rescale(value: Array) -> Array:
    """Brings values of any size near the scale of their square root, monotonically.

    Source: Kapturowski et al. 2019, section 2.3 (Pohlen et al. 2018, section 3.2).
    """
    root = jnp.sqrt(jnp.abs(value) + 1.0)
    return jnp.sign(value) * (root - 1.0) + EPSILON * value


def restore(value: Array) -> Array:
    """The inverse of `rescale`, in a form that is exact near 0 too."""
    size = jnp.abs(value) + 1.0 + EPSILON
    root = 2.0 * size / (jnp.sqrt(1.0 + 4.0 * EPSILON * size) + 1.0)
    return jnp.sign(value) * (jnp.square(root) - 1.0)
