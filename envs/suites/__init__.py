"""Environments of other JAX suites by their ids, on the device."""

from __future__ import annotations

from typing import Any

from tolman.envs.families import Family, register_family
from tolman.envs.spelling import require_package, suggest
from tolman.envs.suites.settings import ArcadeSettings, GymnaxSettings, NavixSettings


def _task_of(name: str) -> tuple[str, str]:
    """The suite's package and its own id; raises ValueError where it is not installed."""
    package, _, task = name.partition("/")
    require_package(name, package)
    return package, task


def check_suite_id(name: str) -> None:
    """Looks an id up.

    Raises:
      ValueError: if its suite is not installed, or has no such id.
    """
    package, task = _task_of(name)
    if package == "navix":
        import navix

        known = sorted(navix.registry())
    elif package == "popgym_arcade":
        from popgym_arcade.registration import REGISTERED_ENVIRONMENTS

        known = REGISTERED_ENVIRONMENTS
    else:
        import gymnax

        known = gymnax.registered_envs
    if task not in known:
        hint = suggest(task, known, f"{package}/")
        raise ValueError(
            f"env {name!r} is unknown{hint}: {package} has {len(known)} ids, such as "
            f"{package}/{known[0]}."
        )


def make_suite(name: str, settings: Any, seed: int) -> Any:
    """Builds the environment of that id; `seed` is not needed, keys come with a reset."""
    check_suite_id(name)
    package, task = _task_of(name)
    if package == "navix":
        from tolman.envs.suites.navix import make_navix

        return make_navix(task, settings)
    from tolman.envs.suites.gymnax import make_gymnax

    return make_gymnax(package, task, settings)


SUITES = {
    "gymnax": ("control, bsuite, MinAtar in JAX: gymnax/CartPole-v1", GymnaxSettings),
    "navix": ("MiniGrid in JAX: navix/Navix-Empty-5x5-v0", NavixSettings),
    "popgym_arcade": ("memory in pixels: popgym_arcade/CountRecallEasy", ArcadeSettings),
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
