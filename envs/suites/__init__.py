"""Environments of other JAX suites by their ids, on the device.

The adapter of a suite is the module of its package's name: `list_ids()` gives the suite's
ids, and `make(task, settings)` the environment of one.
"""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import version
from typing import Any

from tolman.envs.families import Family, register_family
from tolman.envs.places import summary
from tolman.envs.spelling import require_package, suggest
from tolman.envs.suites.settings import (
    ArcadeSettings,
    BraxSettings,
    SuiteSettings,
    XMiniGridSettings,
)


def _adapter_of(package: str) -> Any:
    return importlib.import_module(f"{__name__}.{package}")


def check_suite_id(name: str) -> None:
    """Looks an id up.

    Raises:
      ValueError: if its suite is not installed, or has no such id.
    """
    package, _, task = name.partition("/")
    require_package(name, package)
    known = _adapter_of(package).list_ids()
    if task not in known:
        hint = suggest(task, known, f"{package}/")
        raise ValueError(
            f"env {name!r} is unknown{hint}: {package} has {len(known)} ids, such as "
            f"{package}/{known[0]}."
        )


def make_suite(name: str, settings: Any, seed: int) -> Any:
    """Builds the environment of that id; `seed` is not needed, keys come with a reset."""
    check_suite_id(name)
    package, _, task = name.partition("/")
    return _make(package, task, settings)


@functools.cache
def _make(package: str, task: str, settings: Any) -> Any:
    """Equal settings give one object, and so one program.

    Raises:
      ValueError: if the suite cannot make it.
    """
    try:
        return _adapter_of(package).make(task, settings)
    except OSError as error:
        raise ValueError(
            f"{package} could not read or fetch what it needs for it ({summary(error)}). "
            "Get its files as the package's own pages say."
        ) from error
    except ValueError:
        raise
    except Exception as error:
        both = " with ".join(f"{name} {version(name)}" for name in (package, "jax"))
        raise ValueError(
            f"{both} cannot make it ({summary(error)}). Take another id, or other versions."
        ) from error


SUITES = {
    "brax": ("bodies in simulated physics, in JAX: brax/ant", BraxSettings),
    "craftax": ("a world of crafting in JAX: craftax/Craftax-Symbolic-v1", SuiteSettings),
    "gymnax": ("control, bsuite, MinAtar in JAX: gymnax/CartPole-v1", SuiteSettings),
    "jumanji": ("problems, games, many agents in JAX: jumanji/Snake-v1", SuiteSettings),
    "navix": ("MiniGrid in JAX: navix/Navix-Empty-5x5-v0", SuiteSettings),
    "popgym_arcade": ("memory in pixels: popgym_arcade/CountRecallEasy", ArcadeSettings),
    "xminigrid": (
        "MiniGrid and XLand in JAX: xminigrid/MiniGrid-DoorKey-8x8",
        XMiniGridSettings,
    ),
}

for _package, (_summary, _settings) in SUITES.items():
    register_family(f"{_package}/TASK")(
        Family(
            pattern=f"{_package}/.*",
            summary=_summary,
            settings=_settings,
            check=check_suite_id,
            make=make_suite,
            is_on_device=True,
            package=_package,
        )
    )
