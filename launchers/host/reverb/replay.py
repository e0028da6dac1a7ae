"""Reverb tables made from what an agent says it learns from.

Shapes: T decisions an unroll, G environments an item, I items a batch; I G = B sequences.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import reverb
import tensorflow as tf
from dm_env import specs

from tolman.agents.agent import Agent, Array, DataSpec, Unroll, draw_noise
from tolman.envs.environment import TimeStep
from tolman.launchers.host.reverb.adder import TABLE, Client
from tolman.launchers.host.state import group_size

QUEUED_BATCHES = 2  # A queue holds so many batches before it makes actors wait.
REPLAY_SLACK_BATCHES = 1  # How far samples may run from inserts * samples_per_insert.


class ItemLayout(NamedTuple):
    """How an `Unroll` of G environments lies in a Reverb item.

    Attributes:
      unroll: an `Unroll` of `jax.ShapeDtypeStruct`s, `[T + 1, G, ...]` and so on.
      group_size: G.
      num_items: I, items in a batch.
    """

    unroll: Any
    group_size: int
    num_items: int

    @property
    def table(self) -> str:
        """Where batches are drawn."""
        return TABLE

    @property
    def pick(self) -> None:
        """A sample is learned from as it is."""
        return None

    def tables(self, data: DataSpec, share: int) -> list[reverb.Table]:
        """Those of one of `share` servers; see `make_table`."""
        return [make_table(data, self, share)]

    def signature(self) -> dict[str, Any]:
        """The table's signature: what `UnrollAdder` writes."""
        unroll = self.unroll
        return {
            "timestep": [_tensor(leaf) for leaf in jax.tree.leaves(unroll.timestep)],
            "action": _tensor(unroll.action),
            "logits": _tensor(unroll.logits),
            "actor_state": [_tensor(leaf) for leaf in jax.tree.leaves(unroll.actor_state)],
            "version": tf.TensorSpec((), tf.int64),
        }

    def assemble(self, items: Any, probability: Array | None) -> Unroll:
        """A batch of items, `[I, ...]` leaves, as one `Unroll` of B sequences; in a jit."""
        unroll = self.unroll

        def rows(spec: Any, leaf: Array) -> Array:
            """`[I, T, G, ...]` to `[T, I G, ...]`."""
            leaf = jnp.moveaxis(_loaded(spec, leaf), 0, 1)
            return leaf.reshape(leaf.shape[0], -1, *leaf.shape[3:])

        def opening(spec: Any, leaf: Array) -> Array:
            """`[I, G, ...]` to `[I G, ...]`."""
            leaf = _loaded(spec, leaf)
            return leaf.reshape(-1, *leaf.shape[2:])

        def nest(convert: Any, spec: Any, leaves: list[Array]) -> Any:
            flat, tree = jax.tree.flatten(spec)
            return jax.tree.unflatten(tree, map(convert, flat, leaves))

        return Unroll(
            timestep=nest(rows, unroll.timestep, items["timestep"]),
            action=rows(unroll.action, items["action"]),
            logits=rows(unroll.logits, items["logits"]),
            actor_state=nest(opening, unroll.actor_state, items["actor_state"]),
            probability=probability,
        )


def item_layout(agent: Agent, observation_spec: Any, num_envs: int) -> ItemLayout:
    """The layout of an agent's items, where each actor has `num_envs` environments.

    Raises:
      ValueError: if the environments of an actor do not fill a batch evenly.
    """
    data = agent.data
    size = group_size(data, num_envs)
    length = data.unroll_length
    act = jax.eval_shape(
        lambda key, timestep: _decide(agent, key, timestep),
        jax.random.PRNGKey(0),
        _rows(observation_spec, (size,)),
    )
    decision, actor_state = act

    def decisions(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((length, *leaf.shape), leaf.dtype)

    layout: Any = Unroll  # Its leaves are shapes here, not arrays.
    unroll = layout(
        timestep=_rows(observation_spec, (length + 1, size)),
        action=decisions(decision.action),
        logits=decisions(decision.logits),
        actor_state=actor_state,
    )
    return ItemLayout(unroll, size, data.batch_size // size)


class Replay:
    """A Reverb server with what an agent's `DataSpec` asks for.

    Attributes:
      address: where clients reach it.
    """

    def __init__(
        self,
        data: DataSpec,
        layout: Any,
        folder: Path,
        host: str = "localhost",
        share: int = 1,
        port: int | None = None,
    ) -> None:
        """Starts the server, with what its last checkpoint in `folder` holds.

        Args:
          data: what the agent asks for.
          layout: of its items, such as an `ItemLayout`; its `tables` are served.
          folder: for the checkpoints of a replay; a queue has none.
          host: the name or address by which clients reach this machine.
          share: the number of servers that share out the data between them.
          port: to listen on; None for a free one.
        """
        self._folder = folder
        self._is_queue = data.replay == "queue"
        checkpointer = None
        if not self._is_queue:
            folder.mkdir(parents=True, exist_ok=True)
            checkpointer = reverb.platform.checkpointers_lib.DefaultCheckpointer(
                path=str(folder)
            )
        self._server = reverb.Server(layout.tables(data, share), port, checkpointer)
        self.address = f"{host}:{self._server.port}"

    def num_items(self) -> int:
        """Items in the table now."""
        return self._server.localhost_client().server_info()[TABLE].current_size

    def client(self) -> Client:
        """A client as Acme's adders want it."""
        return Client(self.address)

    def checkpoint(self) -> None:
        """Saves a replay's content, then removes the checkpoint before it."""
        if self._is_queue:
            return
        before = list(self._folder.iterdir())
        self._server.localhost_client().checkpoint()
        for old in before:
            shutil.rmtree(old, ignore_errors=True)

    def stop(self) -> None:
        """Ends the server; clients that wait for it get an error."""
        self._server.stop()


def make_table(data: DataSpec, layout: ItemLayout, share: int = 1) -> reverb.Table:
    """The table that `data` asks for, or one of `share` that hold a part of it each."""
    signature = layout.signature()
    if data.replay == "queue":
        items = max(layout.num_items // share, 1) * QUEUED_BATCHES
        return reverb.Table.queue(TABLE, items, signature=signature)
    sampler = reverb.selectors.Uniform()
    if data.replay == "prioritized":
        sampler = reverb.selectors.Prioritized(data.priority_exponent)
    min_size = max(data.min_size // share, 1)
    slack = REPLAY_SLACK_BATCHES * data.batch_size * max(1.0, data.samples_per_insert)
    return reverb.Table(
        TABLE,
        sampler=sampler,
        remover=reverb.selectors.Fifo(),
        max_size=max(data.capacity // share, min_size),
        rate_limiter=reverb.rate_limiters.SampleToInsertRatio(
            data.samples_per_insert, min_size, slack
        ),
        signature=signature,
    )


def _decide(agent: Agent, key: Array, timestep: TimeStep) -> Any:
    """A decision by a fresh agent, and the actor state before it: for their shapes."""
    batch_size = timestep.reward.shape[0]
    actor_state = agent.initial_actor_state(batch_size)
    noise = draw_noise(agent, key, batch_size)
    decision, _ = agent.act(agent.init(key).params, noise, timestep, actor_state)
    return decision, actor_state


def _rows(observation_spec: Any, shape: tuple[int, ...]) -> Any:
    """A `TimeStep` of shapes, `[*shape, ...]`."""

    def leaf(spec: specs.Array) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*shape, *spec.shape), spec.dtype)

    def number(dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    return TimeStep(
        step_type=number(np.int32),
        reward=number(np.float32),
        discount=number(np.float32),
        observation=jax.tree.map(leaf, observation_spec),
        new_task=number(np.bool_),
    )


def _tensor(spec: jax.ShapeDtypeStruct) -> tf.TensorSpec:
    dtype = np.uint16 if spec.dtype == jnp.bfloat16 else spec.dtype
    return tf.TensorSpec(spec.shape, dtype)


def _loaded(spec: jax.ShapeDtypeStruct, leaf: Array) -> Array:
    """A stored leaf as the agent has it: Reverb holds bfloat16 as its bits."""
    if spec.dtype == jnp.bfloat16:
        return jax.lax.bitcast_convert_type(leaf, jnp.bfloat16)
    return leaf
