"""Runs a sweep: each run in a folder of its own, and all of it resumable."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tolman.launchers.report.status import read_status
from tolman.launchers.report.whole import replace_text
from tolman.launchers.runs.folder import hold, make_folder
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.settings.config import TrainConfig
from tolman.launchers.sweep.grid import Planned, Sweep, plan_runs
from tolman.launchers.sweep.processes import begin, train_each
from tolman.launchers.sweep.summary import as_json, summarise, table, write_page

SWEEP = "sweep.json"  # In the sweep's folder: what it is, and what it came to.


def run_sweep(sweep: Sweep) -> int:
    """Trains every run that has not finished, and writes what all came to.

    Returns:
      0 if every run has finished, else 1.

    Raises:
      ValueError: for a setting that cannot be run; nothing has been written then.
    """
    sweep = _stored(sweep)
    runs = plan_runs(sweep)
    configs = [parse_train(run.words) for run in runs]
    for config in {
        run.setting: one for run, one in zip(runs, configs, strict=True)
    }.values():
        resolve(config).close()
    sweep, train_all = _launch(sweep, runs, configs)
    folder = _folder(sweep, runs)
    with hold(folder, "running this sweep"):
        _write(folder, sweep, [])
        failed = train_all(folder)
        rows = summarise(folder, runs)
        _write(folder, sweep, as_json(rows))
        page = write_page(folder, runs)
    print("\n".join(table(rows)))
    for run in failed:
        reason = read_status(folder / run.name).get("reason") or f"see {run.name}.txt"
        print(f"failed: {run.name} ({reason})", file=sys.stderr)
    print(page or folder)
    return 1 if failed else 0


def _launch(
    sweep: Sweep, runs: Sequence[Planned], configs: Sequence[TrainConfig]
) -> tuple[Sweep, Callable[[Path], list[Planned]]]:
    """How the runs are trained: a function of the sweep's folder, to the runs that failed.

    Raises:
      ValueError: if they are to be a population, and cannot be.
    """
    if sweep.launcher in ("auto", "population"):
        from tolman.launchers.sweep.population import find_groups, train_groups

        try:
            groups = find_groups(runs, configs)
        except ValueError:
            if sweep.launcher == "population":
                raise
        else:
            if sweep.launcher == "population" or len(groups) < len(runs):
                sweep = replace(sweep, launcher="population")
                return sweep, lambda folder: train_groups(folder, groups)
        sweep = replace(sweep, launcher="processes")
    if sweep.launcher == "ray":
        from tolman.launchers.sweep.tasks import ray_tasks

        return sweep, lambda folder: ray_tasks(folder, runs, sweep.jobs, train_each)
    jobs = sweep.jobs or 1
    return sweep, lambda folder: train_each(folder, runs, jobs, begin)


def _stored(sweep: Sweep) -> Sweep:
    """The sweep of its folder, where there is one.

    Raises:
      ValueError: if that is another one.
    """
    if sweep.folder is None or not (Path(sweep.folder) / SWEEP).is_file():
        if not sweep.words and sweep.folder is not None:
            raise ValueError(
                f"{sweep.folder}: holds no sweep to go on with. Set --sweep-dir, "
                "or say AGENT --env ID to begin one there."
            )
        if not sweep.words:
            raise ValueError(
                "AGENT is missing: tolman sweep AGENT --env ID --seeds 5 "
                "--agent.KEY A,B, or --sweep-dir DIR of one to go on with."
            )
        return sweep
    path = Path(sweep.folder) / SWEEP
    try:
        stored = json.loads(path.read_text())
        found = replace(sweep, words=tuple(stored["words"]), seeds=tuple(stored["seeds"]))
        launcher = stored["launcher"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: is no JSON of a sweep ({error}). Choose another --sweep-dir."
        ) from None
    if sweep.launcher not in ("auto", launcher):
        raise ValueError(
            f"{sweep.folder}: its sweep was begun by {launcher}. Leave out "
            f"--sweep-launcher {sweep.launcher}"
            f"{' and --jobs' if launcher == 'population' else ''}."
        )
    found = replace(found, launcher=launcher)
    if sweep.words and (sweep.words, sweep.seeds) != (found.words, found.seeds):
        raise ValueError(
            f"{sweep.folder}: holds another sweep ({' '.join(found.words)}, "
            f"{len(found.seeds)} seeds). Choose another --sweep-dir, or say no more than "
            "this one to go on with it."
        )
    return found


def _folder(sweep: Sweep, runs: Sequence[Planned]) -> Path:
    if sweep.folder is not None and (Path(sweep.folder) / SWEEP).is_file():
        return Path(sweep.folder)
    config = parse_train(runs[0].words)
    named = re.sub(r"[^\w.-]+", "-", f"sweep__{config.env}__{config.agent}")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    default = Path("runs") / f"{named}__{stamp}"
    path = default if sweep.folder is None else Path(sweep.folder).expanduser()
    return make_folder(path, "--sweep-dir", is_numbered=sweep.folder is None)


def _write(folder: Path, sweep: Sweep, results: list[dict[str, Any]]) -> None:
    told = {
        "words": sweep.words,
        "seeds": sweep.seeds,
        "launcher": sweep.launcher,
        "results": results,
    }
    replace_text(folder / SWEEP, json.dumps(told, indent=2))
