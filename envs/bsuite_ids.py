"""The Behaviour Suite's tasks by their ids, such as `bsuite/memory_len/0`."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import dm_env

from tolman.envs.families import Family, register_family
from tolman.envs.spelling import require_package, suggest


@dataclass(frozen=True)
class BsuiteSettings:
    """None: the id says it all."""


def check_bsuite_id(name: str) -> str:
    """What bsuite calls an id: `memory_len/0` for `bsuite/memory_len/0`.

    Raises:
      ValueError: for an id that bsuite does not have, or if it is not installed.
    """
    require_package(name, "bsuite")
    from bsuite import sweep

    bsuite_id = name.removeprefix("bsuite/")
    if bsuite_id not in sweep.SETTINGS:
        hint = suggest(bsuite_id, sweep.SWEEP, "bsuite/")
        raise ValueError(
            f"env {name!r} is unknown{hint}: bsuite has {len(sweep.SWEEP)} ids, spelled "
            "as bsuite/memory_len/0."
        )
    return bsuite_id


def make_bsuite(name: str, settings: BsuiteSettings, seed: int) -> dm_env.Environment:
    """Builds the task of that id; `seed` takes the place of the id's own."""
    import bsuite
    from bsuite import sweep
    from bsuite.bsuite import EXPERIMENT_NAME_TO_ENVIRONMENT

    bsuite_id = check_bsuite_id(name)
    experiment = bsuite_id.partition("/")[0]
    keywords = dict(sweep.SETTINGS[bsuite_id])
    if "seed" in inspect.signature(EXPERIMENT_NAME_TO_ENVIRONMENT[experiment]).parameters:
        keywords["seed"] = seed
    return bsuite.load(experiment, keywords)


register_family("bsuite/TASK/N")(
    Family(
        pattern="bsuite/.*",
        summary="tasks of the Behaviour Suite, such as bsuite/memory_len/0",
        settings=BsuiteSettings,
        check=check_bsuite_id,
        make=make_bsuite,
    )
)
