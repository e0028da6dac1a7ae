"""Castling rights as FEN spells them."""

from __future__ import annotations

_BY_FILE = str.maketrans("HAha", "KQkq")


def standard_castling(field: str) -> str:
    """The rights as letters of KQkq, in that order; "-" for none.

    Files of the rooks are read too ("HAha", as Shredder-FEN and X-FEN may write them).

    Args:
      field: the third field of a FEN.

    Raises:
      ValueError: for any other letter, such as a rook's file of Chess960.
    """
    rights = "" if field == "-" else field.translate(_BY_FILE)
    if set(rights) - set("KQkq") or len(set(rights)) < len(rights) or not field:
        raise ValueError(f"castling {field!r}: must be of KQkq or HAha, or -.")
    return "".join(sorted(rights, key="KQkq".index)) or "-"
