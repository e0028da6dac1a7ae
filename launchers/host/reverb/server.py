"""A Reverb server, and the table made from what an agent says it learns from."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import reverb
import tensorflow as tf

from tolman.agents.agent import DataSpec
from tolman.launchers.host.layout import EXAMPLES, TABLE, ItemLayout
from tolman.launchers.host.replay import limits_of
from tolman.launchers.host.reverb.listening import accept_only
from tolman.launchers.host.saved_replay import seal


class ReplayServer:
    """A Reverb server with some tables, which are saved and restored together.

    Attributes:
      address: where clients reach it.
    """

    def __init__(
        self,
        tables: Sequence[reverb.Table],
        scratch: Path | None,
        saved: Path | None = None,
        host: str = "localhost",
        port: int | None = None,
    ) -> None:
        """Starts the server.

        Args:
          tables: that it serves.
          scratch: a folder on the disk that `save` is to write to; it is there only while
            the server writes. None for a server that saves nothing.
          saved: what `save` wrote, to start with; None to start empty.
          host: the name or address by which clients reach this machine; no other is
            listened on.
          port: to listen on; None for a free one.
        """
        self._scratch = scratch
        checkpointer = None
        if scratch is not None:
            # Reverb starts with what is in the scratch folder, if anything is.
            shutil.rmtree(scratch, ignore_errors=True)
            checkpointer = reverb.platform.checkpointers_lib.DefaultCheckpointer(
                str(scratch), fallback_checkpoint_path=None if saved is None else str(saved)
            )
        self._server = reverb.Server(list(tables), port, checkpointer)
        accept_only(self._server.port, host)
        self.address = f"{host}:{self._server.port}"

    def client(self) -> reverb.Client:
        """A client of the server."""
        return reverb.Client(self.address)

    def save(self, folder: Path) -> None:
        """Saves what the tables hold in a new folder, flushed to disk.

        Raises:
          OSError: if there is no space for it.
        """
        assert self._scratch is not None
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


def make_table(
    data: DataSpec, layout: ItemLayout, share: int = 1, name: str = TABLE
) -> reverb.Table:
    """The table that `data` asks for, or one of `share` that hold a part of it each."""
    limits = limits_of(data, layout.num_items, share)
    signature = _signature(layout)
    if data.replay == "queue":
        return reverb.Table.queue(name, limits.capacity, signature=signature)
    sampler = reverb.selectors.Uniform()
    if data.replay == "prioritized":
        sampler = reverb.selectors.Prioritized(data.priority_exponent)
    return reverb.Table(
        name,
        sampler=sampler,
        remover=reverb.selectors.Fifo(),
        max_size=limits.capacity,
        rate_limiter=reverb.rate_limiters.SampleToInsertRatio(
            limits.samples_per_insert, limits.min_size, limits.slack
        ),
        signature=signature,
    )


def make_examples_table(
    data: DataSpec, layout: ItemLayout, share: int = 1, name: str = EXAMPLES
) -> reverb.Table:
    """Holds the items of `make_table`'s once more; draws from it are not limited."""
    return reverb.Table(
        name,
        sampler=reverb.selectors.Uniform(),
        remover=reverb.selectors.Fifo(),
        max_size=limits_of(data, layout.num_items, share).capacity,
        rate_limiter=reverb.rate_limiters.MinSize(1),
        signature=_signature(layout),
    )


def _signature(layout: ItemLayout) -> dict[str, tf.TensorSpec]:
    columns = layout.columns().items()
    return {name: tf.TensorSpec(shape, tf.uint8) for name, shape in columns}
