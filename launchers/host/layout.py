"""How an unroll lies in a replay: each row, and each state of an actor, as bytes.

Shapes: T decisions an unroll, G environments an item, I items a batch; I G = B sequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.agents.agent import Agent, Array, Unroll, draw_noise
from tolman.envs.environment import TimeStep
from tolman.launchers.host.packing import Packing
from tolman.launchers.host.state import group_size

TABLE = "unrolls"  # Where a server keeps them.
EXAMPLES = "examples"  # The same ones once more, to draw from without being counted.


def table_of(label: int) -> str:
    """The name of the table for what is acted under a label of tasks in turn."""
    return f"{TABLE}-{label}" if label else TABLE


def examples_of(label: int) -> str:
    """Likewise of the table that holds the same items once more."""
    return f"{EXAMPLES}-{label}" if label else EXAMPLES


@dataclass(frozen=True)
class ItemLayout:
    """How an `Unroll` of G environments lies in an item.

    Attributes:
      row: packs a time step, the decision that led to it and its version, `[G, ...]`.
      actor_state: packs the state before row 0, `[G, ...]`.
      unroll_length: T.
      group_size: G.
      num_items: I, items in a batch.
    """

    row: Packing
    actor_state: Packing
    unroll_length: int
    group_size: int
    num_items: int

    table = TABLE  # Where a server draws batches.
    pick = None  # A sample is learned from as it is.

    def columns(self) -> dict[str, tuple[int, ...]]:
        """The shapes of an item's columns of uint8."""
        return {
            "row": (self.unroll_length + 1, self.row.num_bytes),
            "actor_state": (self.actor_state.num_bytes,),
        }

    def versions(self, items: dict[str, np.ndarray]) -> np.ndarray:
        """`[I]`, of the parameters that decided first in each item; on the host."""
        _, _, versions = self.row.read(items["row"][:, 1])
        return versions

    def assemble(self, items: dict[str, Array], probability: Array | None) -> Unroll:
        """A batch of items, `[I, ...]`, as one `Unroll` of B sequences; in a jit."""

        def side_by_side(leaf: Array) -> Array:
            """`[T, I, G, ...]` to `[T, I G, ...]`."""
            return leaf.reshape(leaf.shape[0], -1, *leaf.shape[3:])

        rows = self.row.unpack(jnp.moveaxis(items["row"], 0, 1))  # [T + 1, I, G, ...]
        timestep, decision, _ = rows
        decision = jax.tree.map(lambda leaf: side_by_side(leaf[1:]), decision)
        state = self.actor_state.unpack(items["actor_state"])  # [I, G, ...]
        return Unroll(
            timestep=jax.tree.map(side_by_side, timestep),
            action=decision.action,
            policy=decision.policy,
            actor_state=jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), state),
            probability=probability,
        )


def item_layout(agent: Agent, observation_spec: Any, num_envs: int) -> ItemLayout:
    """The layout of an agent's items, where each actor has `num_envs` environments.

    Raises:
      ValueError: if the environments of an actor do not fill a batch evenly.
    """
    data = agent.data
    size = group_size(data, num_envs)
    timestep = _row(observation_spec, size)
    decision, actor_state = jax.eval_shape(
        lambda key, timestep: _decide(agent, key, timestep),
        jax.random.PRNGKey(0),
        timestep,
    )
    version = jax.ShapeDtypeStruct((), np.int32)
    return ItemLayout(
        Packing((timestep, decision, version)),
        Packing(actor_state),
        data.unroll_length,
        size,
        data.batch_size // size,
    )


def _decide(agent: Agent, key: Array, timestep: TimeStep) -> Any:
    """A decision by a fresh agent, and the actor state before it: for their shapes."""
    batch_size = timestep.reward.shape[0]
    actor_state = agent.initial_actor_state(batch_size)
    noise = draw_noise(agent, key, batch_size)
    decision, _ = agent.act(agent.init(key).params, noise, timestep, actor_state)
    return decision, actor_state


def _row(observation_spec: Any, size: int) -> Any:
    """A `TimeStep` of shapes, `[G, ...]`."""

    def leaf(spec: specs.Array) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((size, *spec.shape), spec.dtype)

    def number(dtype: Any) -> Any:
        return jax.ShapeDtypeStruct((size,), dtype)

    return TimeStep(
        step_type=number(np.int32),
        reward=number(np.float32),
        discount=number(np.float32),
        observation=jax.tree.map(leaf, observation_spec),
        new_task=number(np.bool_),
    )
