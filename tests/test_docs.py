"""Every Python and shell snippet of the docs runs, in the order in which it stands.

A block opened by ```python file=NAME is saved under that name; other ```python blocks are
run, each document's in one namespace; ```sh blocks go to a shell. Plain ``` blocks are
output, or commands that take too long here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
NEEDS_REVERB = {"host"}  # Which has no build for Python 3.12.
BLOCK = re.compile(r"^```(python|sh)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _run(command, folder):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_snippets_run(document, tmp_path):
    if document.stem in NEEDS_REVERB and sys.version_info >= (3, 12):
        pytest.skip("its environments are stepped by runners that need Reverb")
    python = []
    for language, name, text in BLOCK.findall(document.read_text()):
        if name:
            (tmp_path / name).write_text(text)
        elif language == "python":
            python.append(text)
        else:
            _run(["bash", "-euc", text], tmp_path)
    if python:
        _run([sys.executable, "-c", "\n".join(python)], tmp_path)


def test_there_are_snippets():
    blocks = [BLOCK.findall(document.read_text()) for document in DOCUMENTS]
    assert sum(map(len, blocks)) >= 8
