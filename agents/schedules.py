"""Schedules: settings that change in the course of training.

`progress` is the share of the planned training that is done, in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import optax

from tolman.agents.agent import Array


def linear(start: Array | float, end: float, progress: Array) -> Array:
    """From `start` at progress 0 to `end` at progress 1: start + (end - start) progress."""
    return jnp.asarray(start + (end - start) * progress, jnp.float32)


def rise_and_cosine(
    largest: float, rise_share: float, final_scale: float, progress: Array
) -> Array:
    """A linear rise from 0 over `rise_share`, times a cosine from 1 to `final_scale`."""
    rise = jnp.minimum(progress / max(rise_share, 1e-9), 1.0)
    fall = final_scale + (1.0 - final_scale) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
    return largest * jnp.where(rise_share > 0, rise, 1) * fall


def drops(start: float, at: Sequence[int], updates: Array) -> Array:
    """`start`, a tenth of that after `at[0]` updates, a hundredth after `at[1]`, ..."""
    schedule = optax.piecewise_constant_schedule(start, {number: 0.1 for number in at})
    return jnp.asarray(schedule(updates), jnp.float32)
