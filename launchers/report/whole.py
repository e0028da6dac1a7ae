"""Files of which nobody ever sees a part."""

from __future__ import annotations

from pathlib import Path

UNFINISHED = ".unfinished"  # After the name of what is not whole yet.


def replace_text(path: Path, text: str) -> None:
    """Writes a file whole, or leaves the one before it; UTF-8."""
    unfinished = path.with_name(f"{path.name}{UNFINISHED}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
