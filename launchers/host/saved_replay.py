"""What a checkpoint holds of the replays: the files of each server, and their checksums.

`<checkpoint>/replay/<server>/` has what Reverb writes. It restores a file that was cut off
without an error, and nothing at all where one is missing, so both are looked for here.
Nothing here needs Reverb.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from tolman.envs.places import summary
from tolman.launchers.report.whole import UNFINISHED
from tolman.launchers.runs.checkpoints import EMPTY_REPLAY, flush

CHECKSUMS = "checksums.json"
BYTES_AT_A_TIME = 2**24


def replay_folder(checkpoint: Path, server: int) -> Path:
    """The folder for what one of the servers holds."""
    return checkpoint / "replay" / str(server)


def scratch_folder(checkpoints: Path, server: int) -> Path:
    """Where a server writes, on the disk of the checkpoints; cleared as they are."""
    return checkpoints / f"replay{server}{UNFINISHED}"


def seal(folder: Path) -> None:
    """Adds checksums to the files in a folder, and flushes all of it to disk."""
    files = [path for path in folder.iterdir() if path.is_file()]
    sums = {path.name: _checksum(path) for path in files}
    for path in files:
        flush(path)
    with (folder / CHECKSUMS).open("w") as file:
        json.dump(sums, file)
        file.flush()
        os.fsync(file.fileno())
    flush(folder)
    flush(folder.parent)


def check_replays(checkpoint: Path, num_servers: int) -> None:
    """Checks that a checkpoint holds all of every server's content.

    Raises:
      ValueError: if it does not, in words without a full stop.
    """
    for server in range(num_servers):
        folder = replay_folder(checkpoint, server)
        if not folder.is_dir():
            raise ValueError(
                f"{folder}: this checkpoint has no such replay, it was removed or is of an "
                f"earlier Tolman; {EMPTY_REPLAY}"
            )
        try:
            sums = json.loads((folder / CHECKSUMS).read_text())
            odd = [name for name, told in sums.items() if _checksum(folder / name) != told]
            reason = f"{odd[0]} was changed" if odd else ""
        except Exception as error:  # A torn file can make its reader raise anything.
            reason = summary(error)
        if reason:
            raise ValueError(f"{folder}: broken replay ({reason}); {EMPTY_REPLAY}")


def _checksum(path: Path) -> int:
    """CRC-32 of a file."""
    total = 0
    with path.open("rb") as file:
        while piece := file.read(BYTES_AT_A_TIME):
            total = zlib.crc32(piece, total)
    return total
