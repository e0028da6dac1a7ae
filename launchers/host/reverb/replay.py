"""Reverb tables made from what an agent says it learns from.

Shapes: T decisions an unroll, G environments an item, I items a batch; I G = B sequences.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import reverb
import tensorflow as tf
from dm_env import specs

from tolman.agents.agent import Agent, Array, DataSpec, Unroll, draw_noise
from tolman.envs.environment import TimeStep
from tolman.launchers.host.reverb import TABLE
from tolman.launchers.host.reverb.listening import accept_only
from tolman.launchers.host.reverb.packing import Packing
from tolman.launchers.host.saved_replay import seal
from tolman.launchers.host.state import group_size

QUEUED_BATCHES = 2  # A queue holds so many batches before it makes actors wait.
REPLAY_SLACK_BATCHES = 1  # How far samples may run from inserts * samples_per_insert.


@dataclass(frozen=True)
class ItemLayout:
    """How an `Unroll` of G environments lies in a Reverb item.

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

    table = TABLE  # Where batches are drawn.
    pick = None  # A sample is learned from as it is.

    def tables(self, data: DataSpec, share: int) -> list[reverb.Table]:
        """Those of one of `share` servers; see `make_table`."""
        return [make_table(data, self, share)]

    def signature(self) -> dict[str, tf.TensorSpec]:
        """The table's signature: what `UnrollWriter` writes."""
        rows = (self.unroll_length + 1, self.row.num_bytes)
        return {
            "row": tf.TensorSpec(rows, tf.uint8),
            "actor_state": tf.TensorSpec((self.actor_state.num_bytes,), tf.uint8),
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


class Replay:
    """A Reverb server with what an agent's `DataSpec` asks for.

    Attributes:
      address: where clients reach it.
    """

    def __init__(
        self,
        data: DataSpec,
        layout: Any,
        scratch: Path,
        saved: Path | None = None,
        host: str = "localhost",
        share: int = 1,
        port: int | None = None,
    ) -> None:
        """Starts the server.

        Args:
          data: what the agent asks for.
          layout: of its items, such as an `ItemLayout`; its `tables` are served.
          scratch: a folder on the disk that `save` is to write to; it is there only while
            the server writes.
          saved: what `save` wrote, to start with; None to start empty.
          host: the name or address by which clients reach this machine; no other is
            listened on.
          share: the number of servers that share out the data between them.
          port: to listen on; None for a free one.
        """
        self._scratch = scratch
        checkpointer = None
        if data.replay != "queue":
            # Reverb starts with what is in the scratch folder, if anything is.
            shutil.rmtree(scratch, ignore_errors=True)
            checkpointer = reverb.platform.checkpointers_lib.DefaultCheckpointer(
                str(scratch), fallback_checkpoint_path=None if saved is None else str(saved)
            )
        self._server = reverb.Server(layout.tables(data, share), port, checkpointer)
        accept_only(self._server.port, host)
        self.address = f"{host}:{self._server.port}"

    def num_items(self) -> int:
        """Items in the table now."""
        return self._server.localhost_client().server_info()[TABLE].current_size

    def client(self) -> reverb.Client:
        """A client of the server."""
        return reverb.Client(self.address)

    def save(self, folder: Path) -> None:
        """Saves a replay's content in a new folder, flushed to disk.

        Raises:
          OSError: if there is no space for it.
        """
        try:
            written = self._server.localhost_client().checkpoint()
        except Exception as error:  # On a full disk, an IndexError.
            shutil.rmtree(self._scratch, ignore_errors=True)
            if os.strerror(errno.ENOSPC) not in str(error):
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        shutil.rmtree(folder, ignore_errors=True)  # Of one that died while it saved.
        folder.parent.mkdir(parents=True, exist_ok=True)
        Path(written).rename(folder)
        shutil.rmtree(self._scratch)
        seal(folder)

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
