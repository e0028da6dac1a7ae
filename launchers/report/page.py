"""The page, from top to bottom.

Cards, final values, curves, config differences and versions of the runs; then verdicts,
figures, tables and notes of the studies.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from tolman.launchers.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    SMOOTHING,
    TOP,
    WIDTH,
    lay_out_chart,
)
from tolman.launchers.report.curves import (
    duration,
    final_value,
    finite_points,
    format_number,
    seed_interval,
    short_number,
)
from tolman.launchers.report.folders import (
    RUN_FILES,
    Run,
    Study,
    check_links,
    read_run,
    read_study,
)
from tolman.launchers.report.retention import UNTRAINED, read_retention
from tolman.launchers.report.series import (
    Series,
    compare,
    group_by_seed,
    number_repeats,
    series_names,
    without_run_only,
)
from tolman.launchers.report.whole import replace_text

FIRST_METRICS = ("eval/episode_return", "train/episode_return", "episode_length")


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Writes one HTML page about all `folders`, each a run or a study.

    Args:
      folders: run folders, study folders, or both; at least one.
      out: the file to write; by default `report.html`, in the folder if there is just
        one and in the working directory if there are several.

    Returns:
      The file written.

    Raises:
      FileNotFoundError: if a folder does not exist.
      ValueError: if a folder is neither a run nor a study, or a file in it is broken or
        a link out of it.
    """
    if not folders:
        raise ValueError("no folders: a report needs at least one run or study folder.")
    runs, studies = [], []
    for folder in map(Path, folders):
        if not folder.exists():
            raise FileNotFoundError(f"{folder}: no such folder. Check the path.")
        check_links(folder)
        if (folder / "result.json").is_file():
            studies.append(read_study(folder))
        elif any((folder / name).is_file() for name in RUN_FILES):
            runs.append(read_run(folder))
        else:
            raise ValueError(
                f"{folder}: neither a run ({', '.join(RUN_FILES)}) nor a study "
                "(result.json). Name the folder that holds one of these files."
            )
    if out is not None and out.is_dir():
        raise ValueError(f"{out}: a folder. Name a file: {out / 'report.html'}.")
    if out is None:
        out = (Path(folders[0]) if len(folders) == 1 else Path()) / "report.html"
        if out.is_symlink():  # It may lead anywhere: the page takes its place.
            out.unlink()
    page = _render(runs, studies)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_text(out, page)
    except OSError as error:
        raise ValueError(
            f"{out}: cannot be written ({error.strerror}). Choose another --out."
        ) from error
    return out


def _render(runs: list[Run], studies: list[Study]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    environment.filters["short"] = short_number
    environment.filters["duration"] = duration
    series = group_by_seed(runs)
    names = number_repeats(series_names([[run.name] for run in runs]))
    drawn = {m for run in runs for m in run.curves if not m.startswith(UNTRAINED)}
    metrics = sorted(drawn, key=_metric_order)
    shared = Counter(study.result["study"] for study in studies)
    return environment.get_template("report.html").render(
        title=_title(runs, studies),
        series=series,
        cards=[_card(run, name) for run, name in zip(runs, names, strict=True)],
        finals=[(metric, [_final_text(s, metric) for s in series]) for metric in metrics],
        charts=_charts(metrics, series),
        smoothing=list(SMOOTHING),
        run_names=names,
        retentions=[
            (name, kept)
            for name, kept in zip(names, map(read_retention, runs), strict=True)
            if kept is not None
        ],
        changes=[
            (name, change)
            for name, run in zip(names, runs, strict=True)
            for change in run.changes
        ],
        config=compare([without_run_only(run.config) for run in runs]),
        versions=compare([run.versions for run in runs]),
        run_figures=[pair for pair in zip(names, runs, strict=True) if pair[1].figures],
        studies=studies,
        comparisons=[
            _compare_studies(name, [s for s in studies if s.result["study"] == name])
            for name, count in shared.items()
            if count > 1
        ],
        size={"w": WIDTH, "h": HEIGHT, "l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM},
    )


def _charts(metrics: Sequence[str], series: Sequence[Series]) -> list[dict[str, Any]]:
    """One chart of each metric on each thing that was trained on, for scales differ."""
    places: dict[tuple[str, str], dict[int, Series]] = {}
    for index, one in enumerate(series):
        run = one.runs[0]
        places.setdefault((run.config.get("env", ""), run.unit), {})[index] = one
    laid_out = [
        lay_out_chart(metric, some, env if len(places) > 1 else "")
        for metric in metrics
        for (env, _), some in places.items()
    ]
    return [chart for chart in laid_out if chart is not None]


def _title(runs: list[Run], studies: list[Study]) -> str:
    if len(studies) == 1 and not runs:
        result = studies[0].result
        return str(result.get("title") or result["study"])
    if len(runs) == 1 and not studies:
        agent, env = (runs[0].config.get(key) for key in ("agent", "env"))
        return f"{agent} on {env}" if agent and env else runs[0].name
    counts = [(len(runs), "run", "runs"), (len(studies), "study", "studies")]
    return ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n)


def _metric_order(metric: str) -> tuple[int, str]:
    known = FIRST_METRICS.index(metric) if metric in FIRST_METRICS else len(FIRST_METRICS)
    return known, metric


def _card(run: Run, name: str) -> dict[str, Any]:
    returns = [m for m in FIRST_METRICS[:2] if m in run.curves]
    last_steps = [steps[-1] for steps, _ in run.curves.values()]
    rate = finite_points(run.curves.get(f"time/{run.unit}_per_second"))
    seconds, is_estimate = run.seconds, False
    if seconds is None and rate is not None and np.all(rate[1] > 0):
        seconds = float(np.sum(np.diff(rate[0], prepend=0.0) / rate[1]))
        is_estimate = True
    return {
        "name": name,
        "folder": run.name,
        "state": run.state,
        "reason": run.reason,
        "final": final_value(run.curves[returns[0]]) if returns else None,
        "final_metric": returns[0] if returns else "",
        "unit": run.unit.replace("_", " "),
        "units": max(last_steps, default=None),
        "rate": None if rate is None else float(np.median(rate[1])),
        "wall_time": "" if seconds is None else "\u2248 " * is_estimate + duration(seconds),
    }


def _final_text(series: Series, metric: str) -> str:
    finals = [
        final_value(run.curves[metric]) for run in series.runs if metric in run.curves
    ]
    if len(finals) < 2:
        return short_number(finals[0]) if finals else "\u2013"
    mean, low, high = (float(part[0]) for part in seed_interval(np.array(finals)[:, None]))
    return f"{short_number(mean)} [{short_number(low)}, {short_number(high)}]"


def _compare_studies(name: str, studies: list[Study]) -> dict[str, Any]:
    """Lines up the checks of several results of one study, claim by claim."""
    claims = dict.fromkeys(c.get("claim", "") for s in studies for c in s.result["checks"])
    by_claim = [{c.get("claim", ""): c for c in s.result["checks"]} for s in studies]
    return {
        "name": name,
        "columns": number_repeats([study.name for study in studies]),
        "rows": [(claim, [checks.get(claim) for checks in by_claim]) for claim in claims],
    }
