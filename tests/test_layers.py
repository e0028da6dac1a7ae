"""The layers: no arrow runs up or in a circle, agents stay pure, files stay short."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "networks": {"networks"},
    "envs": {"envs"},
    "agents": {"agents", "networks", "envs"},
    "launchers": {"launchers", "agents", "networks", "envs"},
}
# The folders of `launchers/`; each imports only what stands in rows below its own.
ORDER = (
    {"cli"},
    {"verbs"},
    {"benches", "sweep"},
    {"cluster", "film", "studies"},
    {"synth2"},
    {"evaluation", "probe", "self_play"},
    {"arena", "device", "doctor", "host"},
    {"check_core", "check_env", "runs"},
    {"measuring", "settings"},
    {"catalog"},
    {"report"},
)
MAX_LINES, MAX_FUNCTION_LINES = 400, 70
# What would tie an agent to one way of running it.
IMPURE = {"ray", "reverb", "tensorflow", "acme", "logging", "pathlib", "os", "time", "rich"}
SLOW = {
    "jax",
    "haiku",
    "tensorflow",
    "reverb",
    "ray",
    "matplotlib",
    "orbax",
    "torch",
    "optax",
}


_spec = importlib.util.spec_from_file_location(
    "draw_design", ROOT / "docs" / "draw_design.py"
)
design = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(design)


def _imports(path, top_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def _files(layer):
    return sorted((ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_no_arrow_runs_up(layer):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _files(layer)
        for name in _imports(path)
        if name.startswith("tolman.") and name.split(".")[1] not in MAY_IMPORT[layer]
    ]
    assert _files(layer) and not wrong


def test_no_arrow_runs_up_between_the_folders_of_launchers():
    graph = design.folder_graph()
    row = {folder: number for number, folders in enumerate(ORDER) for folder in folders}
    inside = set(graph) - set(design.LAYERS)
    assert set(row) == inside
    wrong = [
        f"{folder} imports {below}"
        for folder in inside
        for below in graph[folder] & inside
        if row[below] <= row[folder]
    ]
    assert not wrong


def test_no_import_runs_in_a_circle():
    graph = design.file_graph()
    # That arrows are found: in functions, and for types.
    assert (
        "tolman.launchers.evaluation.evaluate" in graph["tolman.launchers.verbs.training"]
    )
    assert "tolman.networks.core" in graph["tolman.launchers.catalog.names"]
    assert design.circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]
    assert not design.circles(graph)


def test_the_drawing_is_true():
    page = design.PAGE.read_text()
    assert page == design.page_with_drawing(page), "run: python docs/draw_design.py"


def test_files_and_functions_are_short():
    wrong = []
    for name, path in design.modules().items():
        text = path.read_text()
        if (lines := len(text.splitlines())) > MAX_LINES:
            wrong.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    wrong.append(f"{name}.{node.name}: {lines} lines")
    assert not wrong


def test_agents_know_env_types_but_no_env():
    allowed = {
        "tolman.envs.actions",
        "tolman.envs.checks",
        "tolman.envs.environment",
        "tolman.envs.places",
        "tolman.envs.registry",
        "tolman.envs.spelling",
        "tolman.envs.board.game",
        "tolman.envs.classification.task",
        "tolman.envs.reasoning.task",
    }
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _files("agents")
        for name in _imports(path)
        if name.startswith("tolman.envs") and name not in allowed
    ]
    assert not wrong


def test_agents_are_pure():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _files("agents")
        for name in _imports(path)
        if name.split(".")[0] in IMPURE
    ]
    assert not wrong


def test_agent_settings_need_no_jax():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / "agents").rglob("config.py")
        for name in _imports(path)
        if name.split(".")[0] in SLOW
    ]
    assert not wrong


def test_command_line_imports_nothing_slow_at_its_top():
    launchers = ROOT / "launchers"
    wrong = [
        name
        for path in (launchers / "cli.py", *sorted((launchers / "verbs").glob("*.py")))
        for name in _imports(path, top_only=True)
        if name.split(".")[0] in SLOW
    ]
    assert not wrong
