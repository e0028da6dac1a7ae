"""The DNC's external memory: how heads find a slot, and what a write changes.

Pure functions of one step, for one memory; the core maps them over the batch. A weighting
is a vector over slots with sum at most 1.

Shapes: N slots, W size of a slot, R read heads.

Source: Graves et al. 2016, "Hybrid computing using a neural network with dynamic external
memory", Methods.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tolman.networks.core import Array

SMALLEST_SQUARE = 1e-6  # Under the root of a norm: an empty slot has direction 0, not NaN.
USAGE_STEP = 1e-4  # Usages closer than this count as equal when slots are ordered.


class Memory(NamedTuple):
    """Attributes:
    slots: `[N, W]`.
    usage: `[N]` in [0, 1], how much each slot is in use.
    link: `[N, N]` in [0, 1]; row i, column j: i was written right after j.
    precedence: `[N]`, how much each slot was the last one written.
    write_weights: `[N]`, of the last step.
    read_weights: `[R, N]`, of the last step.
    """

    slots: Array
    usage: Array
    link: Array
    precedence: Array
    write_weights: Array
    read_weights: Array


class Interface(NamedTuple):
    """What the controller says at one step, squashed to its ranges.

    Attributes:
      read_keys: `[R, W]`.
      read_strengths: `[R]`, at least 1.
      write_key: `[W]`.
      write_strength: `[]`, at least 1.
      erase: `[W]` in [0, 1].
      write: `[W]`.
      free_gates: `[R]` in [0, 1], how far what each head read last is given up.
      allocation_gate: `[]` in [0, 1], write to a free slot rather than by content.
      write_gate: `[]` in [0, 1], write at all.
      read_modes: `[R, 3]`, shares of backward, content and forward; sum to 1.
    """

    read_keys: Array
    read_strengths: Array
    write_key: Array
    write_strength: Array
    erase: Array
    write: Array
    free_gates: Array
    allocation_gate: Array
    write_gate: Array
    read_modes: Array


def empty_memory(num_slots: int, slot_size: int, num_read_heads: int) -> Memory:
    """Returns a memory of zeros."""
    none = jnp.zeros(num_slots)
    return Memory(
        slots=jnp.zeros((num_slots, slot_size)),
        usage=none,
        link=jnp.zeros((num_slots, num_slots)),
        precedence=none,
        write_weights=none,
        read_weights=jnp.zeros((num_read_heads, num_slots)),
    )


def interface_size(slot_size: int, num_read_heads: int) -> int:
    """The length of the vector that `parse_interface` takes."""
    return slot_size * num_read_heads + 3 * slot_size + 5 * num_read_heads + 3


def parse_interface(vector: Array, slot_size: int, num_read_heads: int) -> Interface:
    """Cuts the controller's output `[interface_size]` into its parts."""
    w, r = slot_size, num_read_heads
    sizes = (r * w, r, w, 1, w, w, r, 1, 1, 3 * r)
    borders = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    keys, strengths, key, strength, erase, write, free, allocation, gate, modes = jnp.split(
        vector, borders
    )
    return Interface(
        read_keys=keys.reshape(r, w),
        read_strengths=1.0 + jax.nn.softplus(strengths),
        write_key=key,
        write_strength=1.0 + jax.nn.softplus(strength[0]),
        erase=jax.nn.sigmoid(erase),
        write=write,
        free_gates=jax.nn.sigmoid(free),
        allocation_gate=jax.nn.sigmoid(allocation[0]),
        write_gate=jax.nn.sigmoid(gate[0]),
        read_modes=jax.nn.softmax(modes.reshape(r, 3)),
    )


def content_weights(slots: Array, key: Array, strength: Array) -> Array:
    """Softmax over slots of their cosine with the key, times the strength.

    Args:
      slots: `[N, W]`.
      key: `[..., W]`.
      strength: `[...]`.

    Returns:
      `[..., N]`, sums to 1.
    """
    return jax.nn.softmax(strength[..., None] * (_unit(key) @ _unit(slots).T))


def _unit(x: Array) -> Array:
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x / jnp.sqrt(square + SMALLEST_SQUARE)


def next_usage(memory: Memory, free_gates: Array) -> Array:
    """Usage `[N]` after the last write, and after freeing `[R]` what was read last."""
    written = memory.usage + memory.write_weights - memory.usage * memory.write_weights
    retention = jnp.prod(1.0 - free_gates[:, None] * memory.read_weights, axis=0)
    return written * retention


def allocation_weights(usage: Array) -> Array:
    """Where to write what is new: the least used slot, as far as it is free, then the next.

    Args:
      usage: `[N]` in [0, 1].

    Returns:
      `[N]`, sums to at most 1.

    Source: Graves et al. 2016, Methods, "Dynamic memory allocation".
      Departure: slots of nearly equal usage keep their order. The weighting jumps where
      two usages cross; rounding errors must not decide on which side of the jump it is.
    """
    order = jnp.argsort(jnp.round(usage / USAGE_STEP), stable=True)
    in_order = usage[order]
    used_before = jnp.concatenate([jnp.ones(1), jnp.cumprod(in_order)[:-1]])
    return jnp.zeros_like(usage).at[order].set((1.0 - in_order) * used_before)


def next_link(link: Array, precedence: Array, write_weights: Array) -> Array:
    """The order of writes `[N, N]` after one more."""
    by_row, by_column = write_weights[:, None], write_weights[None, :]
    link = (1.0 - by_row - by_column) * link + by_row * precedence[None, :]
    return link * (1.0 - jnp.eye(len(link)))  # No slot follows itself.


def access(memory: Memory, interface: Interface) -> tuple[Array, Memory]:
    """Writes, then reads.

    Returns:
      What the heads read, `[R, W]`, and the memory after it.
    """
    usage = next_usage(memory, interface.free_gates)
    by_content = content_weights(
        memory.slots, interface.write_key, interface.write_strength
    )
    gate = interface.allocation_gate
    write_weights = interface.write_gate * (
        gate * allocation_weights(usage) + (1.0 - gate) * by_content
    )  # [N]
    slots = memory.slots * (1.0 - jnp.outer(write_weights, interface.erase))
    slots = slots + jnp.outer(write_weights, interface.write)
    link = next_link(memory.link, memory.precedence, write_weights)
    precedence = (1.0 - write_weights.sum()) * memory.precedence + write_weights

    forward = memory.read_weights @ link.T  # [R, N]
    backward = memory.read_weights @ link
    content = content_weights(slots, interface.read_keys, interface.read_strengths)
    ways = jnp.stack([backward, content, forward], axis=1)  # [R, 3, N]
    read_weights = jnp.einsum("rm,rmn->rn", interface.read_modes, ways)
    memory = Memory(slots, usage, link, precedence, write_weights, read_weights)
    return read_weights @ slots, memory
