"""A folder of compiled levels, as DeepMind Lab asks for them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path


class LevelCache:
    """Keeps what the engine compiles; its methods are those that the engine calls."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def fetch(self, key: str, pk3_path: str) -> bool:
        """Copies the level of that key to `pk3_path`; whether there is one."""
        kept = self._path(key)
        if not kept.is_file():
            return False
        shutil.copyfile(kept, pk3_path)
        return True

    def write(self, key: str, pk3_path: str) -> None:
        """Keeps a level; processes that write the same one do not disturb each other."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder)
        os.close(handle)
        shutil.copyfile(pk3_path, name)
        os.replace(name, self._path(key))

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.pk3"
