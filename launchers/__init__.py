"""What runs agents: commands, runners, studies.

From Python: `from tolman.launchers import TrainConfig, train, resume, evaluate`. They are
imported when they are first asked for, so that the command line stays light.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "TrainConfig": "tolman.launchers.settings.config",
    "evaluate": "tolman.launchers.evaluation.evaluate",
    "play": "tolman.launchers.film.playing",
    "resume": "tolman.launchers.runs.training",
    "train": "tolman.launchers.runs.training",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
