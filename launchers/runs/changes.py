"""What may be changed in a run when it is resumed, and how a change comes into force.

A checkpoint tells the settings that it was trained with. Where those of `config.yaml`, or
given to `tolman resume`, are others, they hold from that checkpoint on, or are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax

from tolman.launchers.catalog.names import OBJECT
from tolman.launchers.report.changes import Change
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import State
from tolman.launchers.settings.files import make_config, to_mapping

KEPT = (
    *("agent", "env", "core", "launcher", "seed", "preset", "init_from", "fresh"),
    *("replay", "replay_shards", "num_envs", "tasks", "steps_per_task"),
    "labels",
)
NOT_TRAINED = ("run_dir", "if_exists")  # Where a run is, and how it began.
MAY_DIFFER = ("max_lag",)  # Of a `DataSpec`: everything else decides what is counted.
HYPERPARAMETERS = "hyperparameters"  # A field of a learner's state, or of one within.


def find_changes(
    before: Mapping[str, Any], after: Mapping[str, Any], units: int
) -> list[Change]:
    """What differs between two configs as flat mappings, at so many units."""
    return [
        Change(units, key, before[key], value)
        for key, value in after.items()
        if key in before and before[key] != value and key not in NOT_TRAINED
    ]


def check_kept(changes: Sequence[Change]) -> None:
    """Raises ValueError for the first change of what every run keeps."""
    for change in changes:
        section = change.key.partition(".")[0]
        if change.key in KEPT or (section in ("env", "core") and section != change.key):
            raise ValueError(_refusal(change))


def check_reached(changes: Sequence[Change], units: int) -> None:
    """Raises ValueError if a run that stands at so many units is asked to end before."""
    for change in changes:
        if change.key == "num_env_steps" and change.after < units:
            raise ValueError(
                f"num_env_steps={change.after}: this run stands at {units} already. Give "
                "more, or leave it out."
            )


def check_data(changes: Sequence[Change], before: Mapping[str, Any], job: Job) -> None:
    """Checks that changed settings of the agent leave how it counts as it is.

    Args:
      changes: what changes.
      before: the settings until now, as a flat mapping.
      job: of the settings from now on.

    Raises:
      ValueError: for the first that does not.
    """
    known = {key: v for key, v in before.items() if key in to_mapping(job.config)}
    for change in changes:
        if change.key.startswith("agent."):
            if str(before["agent"]).startswith(OBJECT):
                raise ValueError(_refusal(change, ", as its agent was given ready made"))
            changed = {**known, change.key: change.after}
            if _data(job, changed) != _data(job, known):
                raise ValueError(_refusal(change))


def told(change: Change) -> str:
    """A change in words."""
    return f"{change.key} {change.after!r}, until here {change.before!r}"


def take_settings(state: State, fresh: State) -> State:
    """A restored state with the hyper-parameters that a fresh one has from its config."""

    def choose(path: Any, restored: Any, own: Any) -> Any:
        names = [getattr(part, "name", getattr(part, "key", None)) for part in path]
        return own if HYPERPARAMETERS in names else restored

    return jax.tree_util.tree_map_with_path(choose, state, fresh)


def explain_misfit(changes: Sequence[Change], error: ValueError) -> ValueError:
    """The error of a checkpoint that does not fit changed settings, naming these."""
    own = [change for change in changes if change.key.startswith("agent.")]
    return ValueError(_refusal(own[0], f" ({error})")) if own else error


def _refusal(change: Change, why: str = "") -> str:
    value = f"{change.key}={change.after!r}"
    if change.key not in KEPT and not why:
        why = ", as what it has learned and counted goes by it"
    return (
        f"{value}: this run has {change.before!r} and must keep it{why}. Leave it so, or "
        "start another run with --init-from."
    )


def _data(job: Job, settings: Mapping[str, Any]) -> Any:
    """What decides how an agent with these settings is given data, and how it counts."""
    config = make_config({**settings, "preset": None})
    agent = replace(job, config=config).make_agent()
    data = getattr(agent, "data", None)
    if data is None:
        return agent.batch_size
    return [value for name, value in vars(data).items() if name not in MAY_DIFFER]
