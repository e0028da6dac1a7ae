"""Runs a sweep: each run a process of its own, in a folder of its own, and resumable."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tolman.launchers.report.status import read_status
from tolman.launchers.runs.folder import hold, make_folder
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.sweep.grid import Planned, Sweep, plan_runs
from tolman.launchers.sweep.summary import as_json, summarise, table, write_page

SWEEP = "sweep.json"  # In the sweep's folder: what it is, and what it came to.
COMMAND = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
SECONDS_BETWEEN_LOOKS = 0.1


def run_sweep(sweep: Sweep) -> int:
    """Trains every run that has not finished, and writes what all came to.

    Returns:
      0 if every run has finished, else 1.

    Raises:
      ValueError: for a setting that cannot be run; nothing has been written then.
    """
    sweep = _stored(sweep)
    runs = plan_runs(sweep)
    for run in runs:
        parse_train(run.words)
    folder = _folder(sweep, runs)
    with hold(folder, "running this sweep"):
        _write(folder, sweep, [])
        failed = _train_all(folder, runs, sweep.jobs)
        rows = summarise(folder, runs)
        _write(folder, sweep, as_json(rows))
        page = write_page(folder, runs)
    print("\n".join(table(rows)))
    for run in failed:
        reason = read_status(folder / run.name).get("reason") or f"see {run.name}.txt"
        print(f"failed: {run.name} ({reason})", file=sys.stderr)
    print(page or folder)
    return 1 if failed else 0


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
    stored = json.loads((Path(sweep.folder) / SWEEP).read_text())
    found = replace(sweep, words=tuple(stored["words"]), seeds=tuple(stored["seeds"]))
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
    told = {"words": sweep.words, "seeds": sweep.seeds, "results": results}
    unfinished = folder / f"{SWEEP}.unfinished"
    unfinished.write_text(json.dumps(told, indent=2))
    unfinished.rename(folder / SWEEP)


def _train_all(folder: Path, runs: Sequence[Planned], jobs: int) -> list[Planned]:
    """Trains what has not finished, `jobs` at a time; returns what failed."""
    waiting = [run for run in runs if not _is_finished(folder, run)]
    under_way: list[tuple[Planned, subprocess.Popen[bytes]]] = []
    failed: list[Planned] = []
    with _children_end_with_us(under_way):
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                run = waiting.pop(0)
                under_way.append((run, _begin(folder, run)))
            time.sleep(SECONDS_BETWEEN_LOOKS)
            for run, process in [*under_way]:
                code = process.poll()
                if code is None:
                    continue
                under_way.remove((run, process))
                told = "finished" if code == 0 else f"ended with code {code}"
                print(f"{run.name}: {told}", file=sys.stderr)
                if code:
                    failed.append(run)
    return failed


def _is_finished(folder: Path, run: Planned) -> bool:
    return bool(read_status(folder / run.name).get("state") == "finished")


def _begin(folder: Path, run: Planned) -> subprocess.Popen[bytes]:
    """Starts a run, or resumes it; what it says goes to a file beside its folder."""
    words = [*run.words, "--run-dir", str(folder / run.name), "--if-exists", "resume"]
    with (folder / f"{run.name}.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, "train", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


@contextlib.contextmanager
def _children_end_with_us(
    under_way: list[tuple[Planned, subprocess.Popen[bytes]]],
) -> Iterator[None]:
    """Has runs save and stop where this process is asked to, and waits for them."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        for _, process in under_way:
            if process.poll() is None:
                process.terminate()
        for _, process in under_way:
            process.wait()
        signal.signal(signal.SIGTERM, before)
