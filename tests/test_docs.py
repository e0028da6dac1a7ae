"""Every Python and shell snippet of the docs runs, in the order in which it stands.

A block opened by ```python file=NAME, or text, is saved under that name; other ```python
blocks are run, each document's in one namespace; the commands of ```sh blocks are run too.
Plain ``` blocks are output, or commands that take too long here.

All of a document runs in one process, its `tolman` commands through the same `main` as
the installed command: importing jax and TensorFlow anew costs more than most of them.
Training takes fewer steps here than a document says: that it runs is the subject.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(
    r"^```(python|sh|text)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
STEPS, MOST_STEPS = "--num-env-steps", 20_000
PROGRAM = """
def run(steps):
    import subprocess
    from tolman.launchers.cli import main
    for kind, step in steps:
        if kind == "python":
            exec(step, globals())
        elif kind == "shell":
            subprocess.run(["bash", "-euc", step], check=True)
        elif code := main(step):
            raise SystemExit(f"{step}: exit code {code}")

import json, sys
run(json.loads(sys.argv[1]))
"""


def _steps(language, text):
    """What one block asks for: commands of `tolman`, code, or a script for a shell."""
    if language == "python":
        return [("python", text)]
    lines = text.replace("\\\n", " ").splitlines()
    if not all(line.startswith("tolman ") for line in lines) or set(text) & set("|<>$&;*`"):
        return [("shell", text)]
    return [("tolman", _shorter(shlex.split(line, comments=True)[1:])) for line in lines]


def _shorter(words):
    """The same command, with `MOST_STEPS` to train for at most."""
    if STEPS in words:
        place = words.index(STEPS) + 1
        words[place] = str(min(int(words[place]), MOST_STEPS))
    return words


def _run(command, folder):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_snippets_run(document, tmp_path):
    steps = []
    for language, name, text in BLOCK.findall(document.read_text()):
        if name:
            (tmp_path / name).write_text(text)
        else:
            steps += _steps(language, text)
    if steps:
        _run([sys.executable, "-c", PROGRAM, json.dumps(steps)], tmp_path)


def test_there_are_snippets():
    blocks = [BLOCK.findall(document.read_text()) for document in DOCUMENTS]
    assert sum(map(len, blocks)) >= 8
