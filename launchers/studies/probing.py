"""`tolman probe`: studies of language models on any model, with what it answered on disk.

A battery's folder holds one folder a study, each with its `trials.jsonl`, `result.json` and
figures, and one `report.html`. Answers are kept beside batteries, by model, so that another
battery on the same model does not ask again.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import tyro

from tolman.launchers.catalog.names import PROBE, lookup, registered
from tolman.launchers.probe.answers import Journal, answered
from tolman.launchers.probe.battery import ProbeStudy, Row
from tolman.launchers.probe.model import ProbedModel, Tally, TextTooLongError
from tolman.launchers.probe.opening import ModelConfig, Opened, open_model
from tolman.launchers.report.whole import replace_text
from tolman.launchers.runs.folder import hold, is_unused, make_folder
from tolman.launchers.runs.progress import Progress
from tolman.launchers.runs.stopping import RunStopped, stop_request
from tolman.launchers.settings.bounds import check_settings
from tolman.launchers.studies.study import Study

MARKER = "probe.json"
BLOCKS = "blocks"
ITEMS_STUDY = "llm_probe/content_effects"


@dataclass(frozen=True)
class ProbeConfig(ModelConfig):
    """Puts the questions of language studies to a model.

    Attributes:
      study: one of `tolman list probes`; may be given several times. None for all that
        the model can be asked.
      items: a file of your own questions, in place of those that a study has; see
        docs/language.md for the format. Without --study they are put as
        llm_probe/content_effects.
      out: folder for its results; None for one of its own. A folder that holds a battery
        that was broken off goes on with it.
      answers: folder that all answers are kept in, by model.
    """

    study: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    items: Path | None = None
    out: Path | None = None
    answers: Path = Path("runs/probe_answers")


def run_probe(config: ProbeConfig) -> int:
    """Runs studies on a model.

    Returns:
      0 if every check passed, 1 if not.

    Raises:
      ValueError: for an unknown study or model, one that cannot be asked what a study
        asks, or a folder that holds something else.
      RunStopped: after SIGINT or SIGTERM, once there is a folder to go on in.
    """
    check_settings(config)
    every = registered(PROBE) if config.items is None else (ITEMS_STUDY,)
    names = list(dict.fromkeys(config.study or every))
    probes = {name: _find(name) for name in names}
    if config.items is not None:
        probes = {name: _with_items(name, probe, config.items)
                  for name, probe in probes.items()}  # fmt: skip
    opened = open_model(config)
    print(f"{config.model}: {', '.join(sorted(opened.model.abilities)) or 'nothing'}")
    possible = _possible(probes, opened.model, bool(config.study))
    folder = _open_folder(config, opened)
    with stop_request(is_deferred=False) as stop:
        try:
            return _run_studies(config, opened, possible, folder)
        except KeyboardInterrupt:
            raise RunStopped(
                "interrupted, every answer so far is on disk. Go on with the same command "
                f"and --out {folder}",
                stop.signal_number or signal.SIGINT,
            ) from None


def _run_studies(
    config: ProbeConfig, opened: Opened, possible: dict[str, ProbeStudy], folder: Path
) -> int:
    """Runs studies in a battery's folder; gives the exit code."""
    from tolman.launchers.report import write_report

    studies = []
    with hold(folder, "running this battery"), answered(config.answers, opened) as model:
        for name, probe in possible.items():
            own = folder / name.replace("/", ".")
            study = Study(name, probe.title, probe.paper, False, 0, own)
            study.settings = {"model": config.model, **opened.identity}
            try:
                _run(study, probe, model)
            except TextTooLongError as error:
                if config.study:
                    raise
                print(f"Left out: {name}: {error}")
                continue
            studies.append(study)
        if not studies:
            raise ValueError("no study is possible on this model. Ask another one.")
        report = write_report([study.folder for study in studies], folder / "report.html")
    for study in studies:
        if study.checks:
            study.print_verdict()
    print(f"{model.num_sent} questions sent, the others were answered before.")
    print(_told(model.tally))
    print(f"Figures and tables: {report}")
    return 0 if all(check.passed for study in studies for check in study.checks) else 1


def _told(tally: Tally | None) -> str:
    if tally is None:
        return "Padding and what prompts share are left to the server or the harness."
    return str(tally)


def _find(name: str) -> ProbeStudy:
    module: Any = lookup(PROBE, name)
    probe = getattr(module, "PROBE", module)
    if not isinstance(probe, ProbeStudy):
        raise ValueError(
            f"study {name!r}: has no PROBE, a ProbeStudy; see launchers/probe/battery.py."
        )
    return probe


def _with_items(name: str, probe: ProbeStudy, items: Path) -> ProbeStudy:
    if probe.with_items is None:
        raise ValueError(
            f"--items {items}: {name} takes no items of yours. Leave --items or "
            f"--study {name} out."
        )
    return probe.with_items(items)


def _possible(
    probes: dict[str, ProbeStudy], model: ProbedModel, is_asked_for: bool
) -> dict[str, ProbeStudy]:
    """The studies that a model can be asked; those that it cannot are named."""
    found = {}
    for name, probe in probes.items():
        implied = {"first token"} if "score" in model.abilities else set()
        missing = sorted(probe.needs - model.abilities - implied)
        if not missing:
            found[name] = probe
            continue
        has = ", ".join(sorted(model.abilities)) or "nothing"
        text = f"{name}: needs {', '.join(missing)}; this model can be asked for {has}."
        if is_asked_for:
            raise ValueError(f"--study {text} Leave it out, or ask another model.")
        print(f"Left out: {text}")
    if not found:
        raise ValueError("no study is possible on this model. Ask another one.")
    return found


def _run(study: Study, probe: ProbeStudy, model: ProbedModel) -> None:
    """Puts the blocks that are not on disk, and sums up."""
    start = time.monotonic()
    blocks = {block.name: block for block in probe.blocks()}
    journal = Journal(study.folder / "trials.jsonl", ("block", "rows_of_block"))
    try:
        done = _whole_blocks(journal.rows)
        missing = [name for name in blocks if name not in done]
        began, num_before = time.monotonic(), len(blocks) - len(missing)
        log_file = study.folder / "log.txt"
        with Progress(num_before, len(blocks), log_file, unit=BLOCKS) as progress:
            for number, name in enumerate(missing, start=1):
                rows = blocks[name].ask(model)
                told = {"block": name, "rows_of_block": len(rows)}
                journal.append({**told, **row} for row in rows)
                done[name] = rows
                speed = number / max(time.monotonic() - began, 1e-9)
                count = num_before + number
                progress.update({BLOCKS: count, f"time/{BLOCKS}_per_second": speed})
    finally:
        journal.close()
    probe.summarise([row for name in blocks for row in done[name]], study)
    study.seconds = time.monotonic() - start
    study.write()


def _whole_blocks(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each block of which all rows are there."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["block"], []).append(row)
    whole: dict[str, list[Row]] = {}
    for name, own in found.items():
        count = own[-1]["rows_of_block"]
        if len(own) >= count:
            hidden = ("block", "rows_of_block")
            whole[name] = [
                {key: value for key, value in row.items() if key not in hidden}
                for row in own[-count:]
            ]
    return whole


def _open_folder(config: ProbeConfig, opened: Opened) -> Path:
    out = config.out
    asked = json.loads(json.dumps(opened.identity))
    if out is None:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in config.model)[-60:]
        out = make_folder(Path("runs") / f"probe__{name}__{now}", "--out", is_numbered=True)
    elif not out.exists():
        out = make_folder(out, "--out")
    elif not out.is_dir():
        raise ValueError(f"--out {out}: is a file: must be a folder. Choose a new one.")
    marker = out / MARKER
    if not marker.exists():
        if not is_unused(out, MARKER):
            raise ValueError(
                f"--out {out}: exists and holds no battery. Choose a new folder."
            )
        # Under its name only when it is whole: a process may be killed at any time.
        replace_text(marker, json.dumps(asked, indent=2) + "\n")
        return out
    try:
        held = json.loads(marker.read_text())
    except ValueError:
        raise ValueError(
            f"--out {out}: its {MARKER} is broken, so that nobody knows of which model it "
            "is. Choose another folder; what was answered is kept in --answers."
        ) from None
    if held != asked:
        raise ValueError(
            f"--out {out}: holds a battery on another model. Choose another folder."
        )
    return out
