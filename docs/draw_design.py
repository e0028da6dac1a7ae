"""Draws the folders of Tolman from their imports, into `docs/design.md`.

    python docs/draw_design.py

replaces what stands between the two markers of that page. A folder stands one floor above
the highest folder that it imports; imports inside functions and for types count.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "design.md"
BEGIN, END = "<!-- drawn by docs/draw_design.py -->", "<!-- end of the drawing -->"
LAYERS = ("networks", "envs", "agents", "launchers")
SPLIT = "launchers"  # The layer whose folders are drawn one by one.

Graph = Mapping[str, set[str]]


def modules() -> dict[str, Path]:
    """Every module of the four layers by its name, such as `tolman.envs.vector`."""
    found = {}
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[f"tolman.{name}"] = path
    return found


def imports(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules among `known` that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in known:
                    yield name
                elif node.module in known:
                    yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


@functools.cache
def file_graph() -> dict[str, set[str]]:
    """Module to the modules that it imports."""
    known = modules()
    return {name: set(imports(path, known)) - {name} for name, path in known.items()}


def folder_of(module: str) -> str:
    """What is drawn for a module: its layer, or its folder inside `launchers`."""
    _, layer, *rest = module.split(".")
    return rest[0] if layer == SPLIT and rest else layer


def folder_graph() -> dict[str, set[str]]:
    """Folder to the folders that it imports; `launchers/__init__.py` is left out."""
    graph: dict[str, set[str]] = {}
    for module, targets in file_graph().items():
        folder = folder_of(module)
        if folder != SPLIT:
            others = {folder_of(target) for target in targets} - {folder, SPLIT}
            graph.setdefault(folder, set()).update(others)
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """The sets of nodes that reach one another, each sorted."""
    reach = {node: _reachable(graph, node) for node in graph}
    found = {
        tuple(sorted(other for other in reach[node] if node in reach.get(other, ())))
        for node in graph
        if node in reach[node]
    }
    return [list(circle) for circle in sorted(found)]


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    stack = list(graph[start])
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += graph.get(node, ())
    return seen


def floors(graph: Graph) -> list[list[str]]:
    """The folders floor by floor, the ground floor first; for a graph without circles."""
    height: dict[str, int] = {}

    def rise(node: str) -> int:
        if node not in height:
            height[node] = 1 + max((rise(below) for below in graph[node]), default=-1)
        return height[node]

    for node in graph:
        rise(node)
    rows: list[list[str]] = [[] for _ in range(max(height.values()) + 1)]
    for node in sorted(graph):
        rows[height[node]].append(node)
    return rows


def drawing() -> str:
    """Floors from the top down; each folder with the folders that it imports."""
    graph = folder_graph()
    rows = [
        f"{number:5}  {folder:<11} {' '.join(sorted(graph[folder])) or '-'}"
        for number, level in reversed(list(enumerate(floors(graph), start=1)))
        for folder in level
    ]
    head = f"{'floor':>5}  {'folder':<11} imports"
    return "\n".join(["```", head, *rows, "```"])


def page_with_drawing(text: str) -> str:
    """The page with the drawing as the imports are now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{drawing()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_drawing(PAGE.read_text()))
