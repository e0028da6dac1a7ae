"""The built wheel holds the four layers, and installs as the namespace package tolman."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the tracked tree; needs the build back end's package only."""
    out = tmp_path_factory.mktemp("wheel")
    command = ["uv", "build", "--wheel", "--quiet", "--out-dir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (path,) = out.glob("tolman-*.whl")
    return path


def test_wheel_holds_every_module_under_the_namespace(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for layer in ("agents", "envs", "networks", "launchers"):
        assert f"tolman/{layer}/py.typed" in names
        for path in (ROOT / layer).rglob("*.py"):
            assert f"tolman/{path.relative_to(ROOT)}" in names
    assert "tolman/__init__.py" not in names
    assert not [name for name in names if name.startswith(("agents/", "tests/", "envs/"))]
    assert any(
        name.startswith("tolman/launchers/") and name.endswith(".html") for name in names
    )


def test_wheel_imports_where_the_source_is_not(wheel, tmp_path):
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)
    code = (
        "import tolman.launchers.cli as cli, tolman.networks.cores, tolman.envs.meta_rl;"
        f"assert cli.__file__.startswith({str(target)!r}), cli.__file__;"
        "cli.main(['list'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(target)!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu", "HOME": str(tmp_path)},
    )
    assert ran.returncode == 0, ran.stderr
    assert "two_step" in ran.stdout


def test_pip_needs_no_overrides():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = [item.split(";")[0] for item in project["dependency-groups"]["reverb"]]
    assert len(pins) == 3 and all("==" in pin for pin in pins)
    # What only an override can install, pip is not asked for.
    apart = {pin.split("==")[0] for pin in pins}
    extras = project["project"]["optional-dependencies"]
    asked = [
        *project["project"]["dependencies"],
        *(i for each in extras.values() for i in each),
    ]
    assert not apart & {re.match(r"[\w-]+", item)[0] for item in asked}
    # And every place that tells how to install these tells the same releases.
    for path in ("docs/dependencies.md", ".ci/run", "launchers/host/reverb/__init__.py"):
        line = re.search(r'--no-deps[\s\\"]+([^"\n]*)', (ROOT / path).read_text())[1]
        assert sorted(line.split()) == sorted(pins), path
