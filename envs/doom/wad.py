"""Doom's files: lumps in a WAD, and scripts in the bytecode that its engine runs.

Source: the unofficial Doom specifications, section 2, for the WAD; ZDoom's ACS0 object
  format for scripts.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

Lump = tuple[str, bytes]
NAME_LENGTH = 8

# Instructions of ACS, by number.
TERMINATE, PUSH_NUMBER, CALL_1, PUSH_ARGUMENT, DROP = 1, 3, 9, 28, 54
SET_ANGLE, SET_POSITION = 276, 283


def pack_wad(lumps: Sequence[Lump]) -> bytes:
    """A patch WAD of these lumps, in their order.

    Raises:
      ValueError: for a name of more than eight letters.
    """
    body, directory, place = b"", b"", 12  # The header is 12 bytes long.
    for name, content in lumps:
        if len(name) > NAME_LENGTH:
            raise ValueError(
                f"lump {name!r}: {len(name)} letters. May have {NAME_LENGTH}; shorten it."
            )
        directory += struct.pack("<ii8s", place, len(content), name.encode())
        body += content
        place += len(content)
    return struct.pack("<4sii", b"PWAD", len(lumps), place) + body + directory


def pack_scripts(scripts: Mapping[int, tuple[int, Sequence[int]]]) -> bytes:
    """A BEHAVIOR lump.

    Args:
      scripts: of each number how many arguments it takes, and its instructions.
    """
    code, entries, place = b"", b"", 8  # The header is 8 bytes long.
    for number, (num_arguments, words) in scripts.items():
        entries += struct.pack("<iii", number, place, num_arguments)
        code += struct.pack(f"<{len(words)}i", *words)
        place += 4 * len(words)
    directory = struct.pack("<i", len(scripts)) + entries + struct.pack("<i", 0)
    return b"ACS\0" + struct.pack("<i", place) + code + directory
