"""One self-contained HTML page that shows and compares runs and studies.

    from tolman.launchers.report import write_report
    write_report([Path("runs/two_step__meta_rl__lstm__s1__20260101T120000Z")])

The page is read top to bottom: cards, final values, curves, config differences and
versions of the runs; then verdicts, figures, tables and notes of the studies. This file
reads the folders and works out every number and every curve; the template
`templates/report.html` only lays them out.

Runs whose configs are the same but for the seed form one *series*: a mean with an
interval over seeds. Any other run is a series of its own.
"""

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

RUN_FILES = ("metrics.jsonl", "config.yaml", "status.json")
# Keys that name a run and do not change what it learns, beside the seed itself.
RUN_ONLY_KEYS = ("run_dir", "if_exists")
TIME_PART = re.compile(r"\d{8}T\d+Z?")  # Of a folder name: its UTC time,
SEED_PART = re.compile(r"s\d+")  # and its seed.
# Share of a run that one smoothed point averages; the page lets its reader choose.
SMOOTHING = {"off": 0.0, "5 % of the run": 0.05, "20 % of the run": 0.2}
FINAL_SHARE = 0.1  # A final value is the mean of this last share of the logged points.
MAX_POINTS = 1000  # Of one drawn curve,
MAX_SMOOTH_POINTS = 300  # of a smoothed one,
MAX_BINS = 100  # and of a mean-and-interval band.
MAX_END_LABELS = 12  # With more lines than this the legend alone names them.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 620, 290, 62, 148, 10, 44  # Chart, in pixels.
FIRST_METRICS = ("eval/episode_return", "train/episode_return", "episode_length")
UNITS = {
    "episode_return": "reward per episode",
    "episode_length": "env steps",
    "env_steps_per_second": "env steps per second",
    "param_lag": "learner updates",
}
FULL_NAMES = {"loss": "{} loss", "grad": "gradient {}"}
IMAGE_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}

Array = np.ndarray
Curve = tuple[Array, Array]  # env_steps [N], values [N]


@dataclass(frozen=True)
class Figure:
    """An image as a data URI, with its caption."""

    source: str
    caption: str


@dataclass(frozen=True)
class Run:
    """What a run folder holds; `config` and `versions` map dotted keys to text."""

    name: str
    config: dict[str, str]
    versions: dict[str, str]
    state: str
    reason: str
    seconds: float | None  # Wall time as `status.json` tells it.
    curves: dict[str, Curve]
    figures: list[Figure]

    @property
    def seed(self) -> str | None:
        """The value of the config key `seed`, at any depth."""
        return next((v for k, v in self.config.items() if _leaf(k) == "seed"), None)


@dataclass(frozen=True)
class Study:
    """What a study folder holds; `result` is its `result.json`."""

    name: str
    result: dict[str, Any]
    settings: dict[str, str]
    figures: list[Figure]

    @property
    def num_passed(self) -> int:
        """How many checks passed."""
        return sum(bool(check.get("passed")) for check in self.result["checks"])


@dataclass(frozen=True)
class Series:
    """Runs that differ by seed alone, or one run."""

    label: str
    runs: list[Run]


@dataclass(frozen=True)
class Trace:
    """One line of a chart; `kind` is run, member (one seed of several) or mean."""

    series: int
    kind: str
    steps: Array  # [N]
    values: Array  # [N]
    low: Array | None = None  # [N]
    high: Array | None = None  # [N]


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
      ValueError: if a folder is neither a run nor a study, or a file in it is broken.
    """
    if not folders:
        raise ValueError("no folders: a report needs at least one run or study folder.")
    runs, studies = [], []
    for folder in map(Path, folders):
        if not folder.exists():
            raise FileNotFoundError(f"{folder}: no such folder. Check the path.")
        if (folder / "result.json").is_file():
            studies.append(_read_study(folder))
        elif any((folder / name).is_file() for name in RUN_FILES):
            runs.append(_read_run(folder))
        else:
            raise ValueError(
                f"{folder}: neither a run ({', '.join(RUN_FILES)}) nor a study "
                "(result.json). Name the folder that holds one of these files."
            )
    if out is not None and out.is_dir():
        raise ValueError(f"{out}: a folder. Name a file: {out / 'report.html'}.")
    if out is None:
        out = (Path(folders[0]) if len(folders) == 1 else Path()) / "report.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(_render(runs, studies), encoding="utf-8")
    return out


def _render(runs: list[Run], studies: list[Study]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    environment.filters["short"] = short_number
    environment.filters["duration"] = duration
    series = group_by_seed(runs)
    names = _unique(_series_names([[run.name] for run in runs]))
    metrics = sorted({m for run in runs for m in run.curves}, key=_metric_order)
    shared = Counter(study.result["study"] for study in studies)
    return environment.get_template("report.html").render(
        title=_title(runs, studies),
        series=series,
        cards=[_card(run, name) for run, name in zip(runs, names, strict=True)],
        finals=[(metric, [_final_text(s, metric) for s in series]) for metric in metrics],
        charts=[chart for m in metrics if (chart := _chart(m, series))],
        smoothing=list(SMOOTHING),
        run_names=names,
        config=compare([_without_run_only(run.config) for run in runs]),
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


# Reading.


def _read_run(folder: Path) -> Run:
    status = _read_mapping(folder / "status.json")
    seconds = status.get("seconds")
    return Run(
        name=folder.resolve().name,
        config=flatten(_read_mapping(folder / "config.yaml")),
        versions=flatten(_read_mapping(folder / "versions.json")),
        state=str(status.get("state", "unknown")),
        reason=str(status.get("reason") or ""),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        curves=read_curves(folder / "metrics.jsonl"),
        figures=_read_figures(folder / "figures"),
    )


def _read_study(folder: Path) -> Study:
    path = folder / "result.json"
    result = _read_mapping(path)
    if not isinstance(result.get("study"), str):
        raise ValueError(f'{path}: no text "study". Write the result again.')
    for key in ("checks", "tables"):
        items = result.setdefault(key, [])
        if not isinstance(items, list) or not all(isinstance(i, dict) for i in items):
            raise ValueError(f'{path}: "{key}" is not a list of objects.')
    return Study(
        name=folder.resolve().name,
        result=result,
        settings=flatten(result.get("settings") or {}),
        figures=_read_figures(folder / "figures"),
    )


def _read_mapping(path: Path) -> dict[str, Any]:
    """Reads a JSON or YAML mapping; a file that does not exist is an empty one."""
    if not path.is_file():
        return {}
    kind = "YAML" if path.suffix == ".yaml" else "JSON"
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        content = yaml.safe_load(text) if kind == "YAML" else json.loads(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not {kind}: {reason}") from error
    if content is None:  # An empty YAML file.
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a {kind} mapping.")
    return content


def read_curves(path: Path) -> dict[str, Curve]:
    """Reads `metrics.jsonl`: for each metric its `env_steps` [N] and values [N].

    A last line that a killed run left torn is ignored. Where `env_steps` goes back, a
    run was resumed from a checkpoint, and the rows it repeats count once: the later ones.

    Raises:
      ValueError: if any other line is not a JSON object with a number `env_steps`.
    """
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise ValueError(f"{path} line {number}: not JSON: {error.msg}.") from error
        if not isinstance(row, dict) or not _is_number(row.get("env_steps")):
            raise ValueError(f'{path} line {number}: no number "env_steps" in an object.')
        while rows and rows[-1]["env_steps"] > row["env_steps"]:
            rows.pop()
        rows.append(row)
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "env_steps" and _is_number(value):
                points.setdefault(name, []).append((row["env_steps"], value))
    tables = {name: np.array(pairs, float) for name, pairs in points.items()}  # [N, 2]
    return {name: (table[:, 0], table[:, 1]) for name, table in tables.items()}


def _read_figures(folder: Path) -> list[Figure]:
    captions = _read_mapping(folder / "captions.json")
    figures = []
    for path in sorted(folder.glob("*")):
        if kind := IMAGE_TYPES.get(path.suffix.lower()):
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            caption = str(captions.get(path.name, path.stem.replace("_", " ")))
            figures.append(Figure(f"data:{kind};base64,{data}", caption))
    return figures


# Runs side by side.


def flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """Turns a nested mapping into dotted keys and text: {"a": {"b": 1}}, {"a.b": "1"}."""
    if isinstance(tree, dict) and (tree or not prefix):
        flat = [flatten(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in tree.items()]
        return {key: text for part in flat for key, text in part.items()}
    return {prefix: tree if isinstance(tree, str) else json.dumps(tree, default=str)}


def compare(
    columns: Sequence[dict[str, str]],
) -> tuple[list[tuple[str, list[str]]], list[tuple[str, str]]]:
    """Splits keys into those that differ (a value per column) and those in common."""
    different, common = [], []
    for key in dict.fromkeys(key for column in columns for key in column):
        values = [column.get(key, "not set") for column in columns]
        if len(set(values)) > 1:
            different.append((key, values))
        else:
            common.append((key, values[0]))
    return different, common


def group_by_seed(runs: Sequence[Run]) -> list[Series]:
    """Puts runs whose configs are the same but for distinct seeds in one series."""
    groups: dict[Any, list[Run]] = {}
    for index, run in enumerate(runs):
        own = ("seed", *RUN_ONLY_KEYS)
        key: Any = frozenset(i for i in run.config.items() if _leaf(i[0]) not in own)
        # No config, or a seed seen already: nothing says that these are two samples.
        if not run.config or run.seed in [other.seed for other in groups.get(key, [])]:
            key = index
        groups.setdefault(key, []).append(run)
    labels = _unique(_series_names([[run.name for run in g] for g in groups.values()]))
    return [Series(*pair) for pair in zip(labels, groups.values(), strict=True)]


def _series_names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Names series by the fewest `__` parts of their folder names that tell them apart."""
    split = [[name.split("__") for name in names] for names in groups]
    own = [[part for part in g[0] if all(part in other for other in g)] for g in split]
    shared = set(own[0]).intersection(*own) if len(own) > 1 else set()
    own = [[part for part in parts if part not in shared] for parts in own]
    no_time = [[part for part in parts if not TIME_PART.fullmatch(part)] for parts in own]
    no_seed = [
        [part for part in parts if not SEED_PART.fullmatch(part)] for parts in no_time
    ]
    labels = [names[0] for names in groups]
    for choice in (own, no_time, no_seed):
        joined = ["__".join(parts) for parts in choice]
        if len(groups) > 1 and all(joined) and len(set(joined)) == len(joined):
            labels = joined
    if len(groups) == 1 and len(groups[0]) > 1:
        labels = ["__".join(own[0]) or labels[0]]
    counts = [f" \u00d7 {len(names)} seeds" if len(names) > 1 else "" for names in groups]
    return [label + count for label, count in zip(labels, counts, strict=True)]


def _without_run_only(config: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in config.items() if _leaf(key) not in RUN_ONLY_KEYS}


def _title(runs: list[Run], studies: list[Study]) -> str:
    if len(runs) + len(studies) == 1:
        return runs[0].name if runs else studies[0].name
    counts = [(len(runs), "run", "runs"), (len(studies), "study", "studies")]
    return ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n)


def _compare_studies(name: str, studies: list[Study]) -> dict[str, Any]:
    """Lines up the checks of several results of one study, claim by claim."""
    claims = dict.fromkeys(c.get("claim", "") for s in studies for c in s.result["checks"])
    by_claim = [{c.get("claim", ""): c for c in s.result["checks"]} for s in studies]
    return {
        "name": name,
        "columns": _unique([study.name for study in studies]),
        "rows": [(claim, [checks.get(claim) for checks in by_claim]) for claim in claims],
    }


def _card(run: Run, name: str) -> dict[str, Any]:
    returns = [m for m in FIRST_METRICS[:2] if m in run.curves]
    last_steps = [steps[-1] for steps, _ in run.curves.values()]
    rate = _finite(run.curves.get("time/env_steps_per_second"))
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
        "env_steps": max(last_steps, default=None),
        "rate": None if rate is None else float(np.median(rate[1])),
        "wall_time": "" if seconds is None else "\u2248 " * is_estimate + duration(seconds),
    }


# Numbers.


def final_value(curve: Curve) -> float:
    """The mean of the last tenth of the logged values, not a number if one is not."""
    values = curve[1]
    return float(np.mean(values[-max(1, round(FINAL_SHARE * len(values))) :]))


def seed_interval(table: Array) -> tuple[Array, Array, Array]:
    """Mean, low and high over the seeds, axis 0 of `table` [S, N]; S at least 2.

    From three seeds on, the 95 % Student interval of the mean; of two, their range,
    because the Student interval of two (12.7 standard errors) tells nothing.
    """
    from scipy.stats import t as student

    num_seeds = len(table)
    mean = table.mean(axis=0)
    if num_seeds < 3:
        return mean, table.min(axis=0), table.max(axis=0)
    error = table.std(axis=0, ddof=1) / math.sqrt(num_seeds)
    half = student.ppf(0.975, num_seeds - 1) * error
    return mean, mean - half, mean + half


def bin_curves(curves: Sequence[Curve]) -> tuple[Array, Array] | None:
    """Averages curves in shared bins of env steps, over the steps that all cover.

    Returns:
      Bin centres [N] and means [S, N], or None if fewer than two bins hold every curve.
    """
    start = max(steps[0] for steps, _ in curves)
    end = min(steps[-1] for steps, _ in curves)
    num_bins = min(MAX_BINS, *(len(steps) for steps, _ in curves))
    if num_bins < 2 or end <= start:
        return None
    # Bins are centred, so that evenly logged points fall on the centres, one in each.
    half = (end - start) / (num_bins - 1) / 2
    edges = np.linspace(start - half, end + half, num_bins + 1)
    counts = np.array([np.histogram(steps, edges)[0] for steps, _ in curves])
    sums = np.array([np.histogram(x, edges, weights=y)[0] for x, y in curves])
    held = (counts > 0).all(axis=0)
    if held.sum() < 2:
        return None
    centres = (edges[1:] + edges[:-1]) / 2
    return centres[held], sums[:, held] / counts[:, held]


def smooth(values: Array, share: float) -> Array:
    """Centred moving average of `values` [N] over `share` of them; shorter at the ends."""
    half = int(share * len(values) / 2)
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first = np.maximum(index - half, 0)
    last = np.minimum(index + half + 1, len(values))
    return values if half == 0 else (total[last] - total[first]) / (last - first)


def down_sample(curve: Curve, max_points: int = MAX_POINTS) -> Curve:
    """Keeps the ends, and the lowest and highest point of each stretch of the curve."""
    steps, values = curve
    if len(steps) <= max_points:
        return curve
    keep = {0, len(steps) - 1}
    for first, last in pairwise(np.linspace(0, len(steps), max_points // 2, dtype=int)):
        stretch = values[first:last]
        keep |= {int(first + stretch.argmin()), int(first + stretch.argmax())}
    index = sorted(keep)
    return steps[index], values[index]


def ticks(low: float, high: float, target: int = 5) -> list[float]:
    """Round numbers within [low, high], about `target` of them, 1, 2 or 5 x 10^n apart."""
    rough = (high - low) / target
    power = 10.0 ** math.floor(math.log10(rough))
    gap = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    return [k * gap for k in range(math.ceil(low / gap), math.floor(high / gap) + 1)]


def short_number(value: float) -> str:
    """Formats a number for an axis or a card: 1500 is 1.5k, 2000000 is 2M."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"


def format_number(value: Any) -> str:
    """Formats a table cell: floats to four digits, None as a dash, the rest as it is."""
    if value is None:
        return "\u2013"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Formats seconds: `42 s`, `12 min 5 s`, `3 h 20 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _unique(names: Sequence[str]) -> list[str]:
    """Numbers the repeated names: a, a becomes a (1), a (2)."""
    total, seen, unique = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        unique.append(name if total[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _metric_order(metric: str) -> tuple[int, str]:
    known = FIRST_METRICS.index(metric) if metric in FIRST_METRICS else len(FIRST_METRICS)
    return known, metric


def _final_text(series: Series, metric: str) -> str:
    finals = [
        final_value(run.curves[metric]) for run in series.runs if metric in run.curves
    ]
    if len(finals) < 2:
        return short_number(finals[0]) if finals else "\u2013"
    mean, low, high = (float(part[0]) for part in seed_interval(np.array(finals)[:, None]))
    return f"{short_number(mean)} [{short_number(low)}, {short_number(high)}]"


# Charts: numbers to pixels.


def _finite(curve: Curve | None) -> Curve | None:
    if curve is None:
        return None
    finite = np.isfinite(curve[1])
    return (curve[0][finite], curve[1][finite]) if finite.any() else None


def _traces(metric: str, series: Sequence[Series], share: float) -> list[Trace]:
    """The lines of one chart, each run smoothed over `share` of its points."""
    traces = []
    for index, one in enumerate(series):
        found = [_finite(run.curves.get(metric)) for run in one.runs]
        curves = [(curve[0], smooth(curve[1], share)) for curve in found if curve]
        binned = bin_curves(curves) if len(curves) > 1 else None
        kind = "run" if binned is None else "member"
        limit = MAX_SMOOTH_POINTS if share else MAX_POINTS
        traces += [Trace(index, kind, *down_sample(curve, limit)) for curve in curves]
        if binned is not None:
            traces.append(Trace(index, "mean", binned[0], *seed_interval(binned[1])))
    return traces


def _chart(metric: str, series: Sequence[Series]) -> dict[str, Any] | None:
    """Lays out the chart of one metric, or None if it has no finite value."""
    variants = [_traces(metric, series, share) for share in SMOOTHING.values()]
    drawn = [trace for traces in variants for trace in traces]
    if not drawn:
        return None
    curves = [run.curves[metric] for s in series for run in s.runs if metric in run.curves]
    reach = _reach(drawn)
    y_range = _y_range(reach, curves, [t for traces in variants[1:] for t in traces])
    ends = [float(step) for trace in drawn for step in trace.steps[[0, -1]]]
    x_range = (min(0.0, *ends), max(ends) if max(ends) > 0 else 1.0)
    return {
        "metric": metric,
        "y_label": _y_label(metric),
        "beyond": reach if reach[0] < y_range[0] or reach[1] > y_range[1] else None,
        "x_range": x_range,
        "y_range": y_range,
        "x_ticks": [(_x(v, x_range), short_number(v)) for v in ticks(*x_range)],
        "y_ticks": [(_y(v, y_range), short_number(v)) for v in ticks(*y_range)],
        "variants": [
            {
                "lines": [_line(trace, x_range, y_range) for trace in traces],
                "labels": _end_labels(traces, series, y_range),
            }
            for traces in variants
        ],
        "num_left_out": sum(int((~np.isfinite(values)).sum()) for _, values in curves),
    }


def _y_label(metric: str) -> str:
    group, _, leaf = metric.rpartition("/")
    name = FULL_NAMES.get(group, "{}").format(leaf.replace("_", " "))
    unit = UNITS.get(leaf, name)
    return name if unit == name else f"{name} ({unit})"


def _reach(traces: Sequence[Trace]) -> tuple[float, float]:
    parts = [y for t in traces for y in (t.values, t.low, t.high) if y is not None]
    return min(float(y.min()) for y in parts), max(float(y.max()) for y in parts)


def _y_range(
    reach: tuple[float, float], curves: Sequence[Curve], smoothed: Sequence[Trace]
) -> tuple[float, float]:
    """The axis: somewhat more than the lines reach, unless rare spikes would flatten them.

    Where the lines reach over four times the span of 99 % of the points, the axis
    holds those points and the smoothed lines, and the page tells what lies beyond.
    """
    low, high = reach
    points = np.concatenate([values for _, values in curves])
    inner = np.percentile(points[np.isfinite(points)], [0.5, 99.5])
    if 0 < 4 * (inner[1] - inner[0]) < high - low:
        values = [trace.values for trace in smoothed]
        low = min(float(inner[0]), *(float(y.min()) for y in values))
        high = max(float(inner[1]), *(float(y.max()) for y in values))
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _x(value: Any, span: tuple[float, float]) -> Any:
    return LEFT + (value - span[0]) / (span[1] - span[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: Any, span: tuple[float, float]) -> Any:
    return (
        HEIGHT - BOTTOM - (value - span[0]) / (span[1] - span[0]) * (HEIGHT - TOP - BOTTOM)
    )


def _line(
    trace: Trace, x_range: tuple[float, float], y_range: tuple[float, float]
) -> dict[str, Any]:
    def path(steps: Array, values: Array) -> str:
        places = zip(_x(steps, x_range), _y(values, y_range), strict=True)
        points = [f"{x:.1f},{y:.2f}" for x, y in places]
        # One point alone draws nothing; twice, with round ends, it draws a dot.
        return "M" + "L".join(points * 2 if len(points) == 1 else points)

    band = ""
    if trace.low is not None and trace.high is not None:
        there_and_back = np.concatenate([trace.steps, trace.steps[::-1]])
        band = path(there_and_back, np.concatenate([trace.high, trace.low[::-1]])) + "Z"
    line = path(trace.steps, trace.values)
    return {"series": trace.series, "kind": trace.kind, "path": line, "band": band}


def _end_labels(
    traces: Sequence[Trace], series: Sequence[Series], y_range: tuple[float, float]
) -> list[dict[str, Any]]:
    """Names at the line ends, moved apart so that none covers another."""
    ends = {
        trace.series: float(np.clip(_y(trace.values[-1], y_range), TOP, HEIGHT - BOTTOM))
        for trace in traces
        if trace.kind != "member"
    }
    if len(ends) > MAX_END_LABELS or len(series) == 1:
        return []
    order = sorted(ends, key=lambda index: ends[index])
    for above, below in pairwise(order):
        ends[below] = max(ends[below], ends[above] + 13)
    ends[order[-1]] = min(ends[order[-1]], HEIGHT - BOTTOM)
    for below, above in pairwise(reversed(order)):
        ends[above] = min(ends[above], ends[below] - 13)
    return [
        {"series": index, "y": ends[index], "text": series[index].label} for index in order
    ]
