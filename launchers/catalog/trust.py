"""What a stored run may reach, and what its config may call.

A run folder may be somebody else's. No link in it may lead out of it. A module that its
config names is not imported where it lies in the run folder itself, and what the config
names there is called only if it is a class of its kind or was registered by a decorator.
`--trust` lifts all three rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from tolman.launchers.catalog.names import Named, is_registered
from tolman.launchers.report.links import all_paths, link_out

FIX = "If you know where this run comes from, add --trust."
# The methods that a class of each kind has.
METHODS = {
    "agent": ("init", "update"),
    "env": ("reset", "step"),
    "game": ("info", "observation_spec"),
    "source": ("load", "sample"),
    "core": ("initial_state", "unroll"),
}


def check_links(folder: Path) -> None:
    """Raises ValueError for the first link in a run folder that leads out of it."""
    outside = link_out(folder, all_paths(folder))
    if outside is not None:
        raise ValueError(
            f"{outside}: is a link out of {folder}, and a stored run reads and writes "
            f"nothing elsewhere. {FIX}"
        )


def check_modules(paths: Iterable[str], folder: Path) -> None:
    """Raises ValueError for the first name whose module lies in a run folder.

    Args:
      paths: names; those that are not `module:attribute` pass.
      folder: the run's.
    """
    for path in paths:
        module, colon, _ = path.partition(":")
        for place in _places(module) if colon else ():
            if place.resolve().is_relative_to(folder.resolve()):
                raise ValueError(
                    f"{path!r} in {folder}: module {module} lies in the run folder itself, "
                    f"and a stored run brings no code. {FIX}"
                )


def check_things(found: Sequence[Named]) -> None:
    """Raises ValueError for the first thing that is not to be called."""
    from tolman.envs.families import Member

    for named in found:
        thing, noun = named.thing, named.kind.noun
        if ":" not in named.name or isinstance(thing, Member):
            continue
        is_class = isinstance(thing, type) and all(
            hasattr(thing, method) for method in METHODS[noun]
        )
        if not is_class and not is_registered(named.kind, thing):
            raise ValueError(
                f"{noun} {named.name!r}: is neither a class of that kind nor registered "
                f"by @register_{noun}, and a stored run calls nothing else. {FIX}"
            )


def _places(module: str) -> Iterator[Path]:
    """Where a module and the packages around it lie; nothing is imported."""
    path, name = None, ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return
        if spec.origin is not None:
            yield Path(spec.origin)
        path = spec.submodule_search_locations
        yield from map(Path, path or ())
        if path is None:
            return
