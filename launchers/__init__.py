"""What runs agents: commands, runners, studies.

From Python (docs/python.md):

    from tolman.launchers import make_config, train, resume, evaluate, load

They are imported when they are first asked for, so that the command line stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tolman.launchers.evaluation.evaluate import evaluate
    from tolman.launchers.evaluation.policy import Policy, load
    from tolman.launchers.film.playing import play
    from tolman.launchers.runs.training import resume, train
    from tolman.launchers.settings.config import TrainConfig
    from tolman.launchers.settings.files import make_config

_PUBLIC = {
    "Policy": "tolman.launchers.evaluation.policy",
    "TrainConfig": "tolman.launchers.settings.config",
    "evaluate": "tolman.launchers.evaluation.evaluate",
    "load": "tolman.launchers.evaluation.policy",
    "make_config": "tolman.launchers.settings.files",
    "play": "tolman.launchers.film.playing",
    "resume": "tolman.launchers.runs.training",
    "train": "tolman.launchers.runs.training",
}
__all__ = [
    "Policy",
    "TrainConfig",
    "evaluate",
    "load",
    "make_config",
    "play",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
