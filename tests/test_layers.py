"""The layers: no arrow runs up, and agents stay pure."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "networks": {"networks"},
    "envs": {"envs"},
    "agents": {"agents", "networks", "envs"},
    "launchers": {"launchers", "agents", "networks", "envs"},
}
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


def test_agents_know_env_types_but_no_env():
    allowed = {
        "tolman.envs.environment",
        "tolman.envs.registry",
        "tolman.envs.board.game",
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
    wrong = [
        name
        for name in _imports(ROOT / "launchers" / "cli.py", top_only=True)
        if name.split(".")[0] in SLOW
    ]
    assert not wrong
