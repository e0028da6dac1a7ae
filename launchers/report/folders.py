"""What run folders and study folders hold, as text, numbers and images."""

import base64
import json
import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tolman.launchers.report.changes import CHANGES, Change, read_changes
from tolman.launchers.report.curves import Curve
from tolman.launchers.report.links import link_out
from tolman.launchers.report.parsing import parse_json, parse_yaml
from tolman.launchers.report.status import STATUS, read_status

RUN_FILES = ("metrics.jsonl", "config.yaml", STATUS)
FIGURES = "figures"
READ = (*RUN_FILES, "versions.json", "result.json")  # And figures.
LEAST_SCALE = 0.45  # Text of 10 points at 150 dots an inch is 9 pixels high then.
WIDE = 1.7  # Width to height of figures with panels side by side.
HALF_PAGE = 600  # Pixels: what needs more to be read gets the whole page.
IMAGE_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Figure:
    """An image as a data URI, with its caption.

    Attributes:
      source: the URI.
      caption: what it shows.
      least_width: on the page, in pixels, so that its text can be read; 0 where its size
        is not known.
      is_wide: whether it has panels side by side, and so needs the whole page's width.
    """

    source: str
    caption: str
    least_width: int = 0
    is_wide: bool = False


@dataclass(frozen=True)
class Run:
    """What a run folder holds; `config` and `versions` map dotted keys to text."""

    name: str
    config: dict[str, str]
    versions: dict[str, str]
    state: str
    reason: str
    seconds: float | None  # Wall time as `status.json` tells it.
    unit: str  # The x axis of the curves.
    curves: dict[str, Curve]
    figures: list[Figure]
    changes: list[Change]  # Of settings, when it was resumed.

    @property
    def seed(self) -> str | None:
        """The value of the config key `seed`, at any depth."""
        return next((v for k, v in self.config.items() if leaf(k) == "seed"), None)


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


def check_links(folder: Path) -> None:
    """Raises ValueError if what is read of a run or study is a link out of its folder.

    A page may be handed on, and the folder may be somebody else's.
    """
    paths = [folder / name for name in (*READ, FIGURES)]
    outside = link_out(folder, [*paths, *(folder / FIGURES).glob("*")])
    if outside is not None:
        raise ValueError(
            f"{outside}: is a link out of {folder}, and a report reads nothing from "
            "elsewhere. Put the file itself there."
        )


def read_run(folder: Path) -> Run:
    """Reads a run folder; any of its files may be missing."""
    status = _read_mapping(folder / STATUS)
    seconds = status.get("seconds")
    config = _read_mapping(folder / "config.yaml")
    changes = read_changes(config.pop(CHANGES, None))
    return Run(
        name=folder.resolve().name,
        config=flatten(config),
        versions=flatten(_read_mapping(folder / "versions.json")),
        state=str(read_status(folder).get("state", "unknown")),
        reason=str(status.get("reason") or ""),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        unit=str(status.get("unit", "env_steps")),
        curves=read_curves(folder / "metrics.jsonl"),
        figures=_read_figures(folder / FIGURES),
        changes=changes,
    )


def read_study(folder: Path) -> Study:
    """Reads a study folder, which holds a `result.json`."""
    path = folder / "result.json"
    result = _read_mapping(path)
    if not isinstance(result.get("study"), str):
        raise ValueError(
            f'{path}: no text "study", so it is no result of a study. Name a run or a '
            "study; a tournament has its own report.html."
        )
    for key in ("checks", "tables"):
        items = result.setdefault(key, [])
        if not isinstance(items, list) or not all(isinstance(i, dict) for i in items):
            raise ValueError(f'{path}: "{key}" is not a list of objects.')
    for table in result["tables"]:
        rows = [table.get("columns"), table.get("rows"), *(table.get("rows") or [])]
        if not all(isinstance(row, list) for row in rows):
            raise ValueError(f'{path}: "columns" or a row of a table is not a list.')
    return Study(
        name=folder.resolve().name,
        result=result,
        settings=flatten(result.get("settings") or {}),
        figures=_read_figures(folder / FIGURES),
    )


def _read_mapping(path: Path) -> dict[str, Any]:
    """Reads a JSON or YAML mapping; a file that does not exist is an empty one."""
    if not path.is_file():
        return {}
    kind = "YAML" if path.suffix == ".yaml" else "JSON"
    text = path.read_text(encoding="utf-8", errors="replace")
    content = parse_yaml(text, path) if kind == "YAML" else parse_json(text, str(path))
    if content is None:  # An empty YAML file.
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a {kind} mapping.")
    return content


def read_curves(path: Path) -> dict[str, Curve]:
    """Reads `metrics.jsonl`: for each metric its place on the x axis [N] and values [N].

    The x axis is the first key of the first row, such as `env_steps`. A last line that a
    killed run left torn is ignored. Where the x axis goes back, a run was resumed from a
    checkpoint, and the rows it repeats count once: the later ones.

    Raises:
      ValueError: if any other line is not a JSON object with a number on the x axis.
    """
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows: list[dict[str, Any]] = []
    unit = "env_steps"
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line, f"{path} line {number}")
        except ValueError:
            if number == len(lines):
                break
            raise
        if not rows and isinstance(row, dict):
            unit = next((name for name in row if "/" not in name), unit)
        if not isinstance(row, dict) or not _is_place(row.get(unit)):
            raise ValueError(
                f'{path} line {number}: no finite number "{unit}" in an object.'
            )
        while rows and rows[-1][unit] > row[unit]:
            rows.pop()
        rows.append(row)
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != unit and _is_number(value):
                points.setdefault(name, []).append((row[unit], value))
    tables = {name: np.array(pairs, float) for name, pairs in points.items()}  # [N, 2]
    return {name: (table[:, 0], table[:, 1]) for name, table in tables.items()}


def _read_figures(folder: Path) -> list[Figure]:
    captions = _read_mapping(folder / "captions.json")
    figures = []
    for path in sorted(folder.glob("*")):
        kind = IMAGE_TYPES.get(path.suffix.lower())
        if kind and path.is_file():
            content = path.read_bytes()
            data = base64.b64encode(content).decode("ascii")
            caption = str(captions.get(path.name, path.stem.replace("_", " ")))
            width, height = _size(content)
            least = round(LEAST_SCALE * width)
            is_wide = width > WIDE * height or least > HALF_PAGE
            figure = Figure(f"data:{kind};base64,{data}", caption, least, is_wide)
            figures.append(figure)
    return figures


def _size(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG image; zeros of any other."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        return 0, 0
    return struct.unpack(">II", content[16:24])


def flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """Turns a nested mapping into dotted keys and text: {"a": {"b": 1}}, {"a.b": "1"}."""
    if isinstance(tree, dict) and (tree or not prefix):
        flat = [flatten(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in tree.items()]
        return {key: text for part in flat for key, text in part.items()}
    return {prefix: tree if isinstance(tree, str) else json.dumps(tree, default=str)}


def leaf(key: str) -> str:
    """The last part of a dotted key: "a.b" gives "b"."""
    return key.rpartition(".")[2]


def _is_place(value: Any) -> bool:
    """Whether a value is a place on the x axis."""
    return _is_number(value) and math.isfinite(value)


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float can hold; it may be infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < sys.float_info.max
