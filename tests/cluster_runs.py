"""Runs over Ray in processes of their own, for tests that kill parts of them."""

import json
import os
import signal
import subprocess
import sys
import time

COMMAND = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
SECONDS = 300  # A loaded machine takes its time to import TensorFlow in six processes.
SESSIONS = {os.getsid(0)}  # Others on this machine may run Ray too.


def wait_for(condition, what, process=None, seconds=SECONDS):
    """Returns the first true value of `condition()`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if process is not None and process.poll() is not None:
            raise AssertionError(f"ended before {what}: {process.stdout.read()}")
        assert time.monotonic() < deadline, f"no {what} in {seconds} s"
        time.sleep(0.2)


class Run:
    """One process of `tolman`, and the folder of its run."""

    def __init__(self, folder, words, python_path=""):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(python_path), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        SESSIONS.add(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        """Kills what is still there, so that a test that fails leaves nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def rows(self):
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def checkpoints(self):
        """The env steps of the finished ones, in ascending order."""
        names = [path.name for path in self.folder.glob("checkpoints/*")]
        return sorted(int(name) for name in names if name.isdigit())

    def wait_for_checkpoint(self):
        wait_for(self.checkpoints, "checkpoint", self.process)

    def status(self):
        return json.loads((self.folder / "status.json").read_text())

    def status_or_none(self, key):
        path = self.folder / "status.json"
        return json.loads(path.read_text()).get(key) if path.exists() else None

    def restarts(self, kind):
        return (self.status_or_none("restarts") or {}).get(kind, 0)

    def wait_for_rows(self, count):
        """Waits for so many rows more than there are."""
        wanted = len(self.rows()) + count
        wait_for(lambda: len(self.rows()) >= wanted, f"{wanted} rows", self.process)

    def wait_for_restart(self, kind, count):
        wait_for(lambda: self.restarts(kind) >= count, f"restart of {kind}", self.process)

    def stop(self, number=signal.SIGTERM):
        """Sends a signal, as a terminal does; returns the exit code and what was said."""
        os.killpg(self.process.pid, number)
        output, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, output


def processes():
    """The pid and the command line of every process that these tests started."""
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                title = file.read()
            if os.getsid(pid) in SESSIONS:
                yield pid, title
        except OSError:
            continue


def role_processes(name=""):
    """The pids of Ray actors whose role begins so."""
    found = []
    for pid, title in processes():
        if title.startswith(f"ray::{name}") and ("Role" in title or "Server" in title):
            found.append(pid)
    return found


def ray_processes():
    """The pids of Ray's own processes."""
    names = ("raylet", "gcs_server")
    return {pid for pid, title in processes() if title.split("\0")[0].endswith(names)}
