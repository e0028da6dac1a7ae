"""Environments of the host kind, stepped side by side in processes of their own.

Shapes: E copies, N processes. Every leaf of a time step here is a NumPy array `[E, ...]`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any

import cloudpickle
import jax
import numpy as np

from tolman.envs.environment import LAST, TimeStep
from tolman.envs.guarded import Factory
from tolman.envs.host import EnvironmentFault
from tolman.envs.places import summary
from tolman.envs.serial_vector import CLOSE_SECONDS, MAX_RESTARTS, check_vector_settings
from tolman.envs.shared_rows import RowLayout, SharedRows, new_file
from tolman.envs.worker import STEP, Answer, Plan

START_SECONDS = 300.0  # Until a process has imported what it needs, on a loaded machine.
SPARE_SECONDS = 30.0  # Until one that still runs, and does not answer, is given up.
PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[4])
from tolman.envs.worker import main
main()
"""

_NOTHING = Answer(None, None, ())

logger = logging.getLogger(__name__)


class ProcessVector:
    """E copies of a `dm_env.Environment`, shared out among N processes.

    Each process has a `SerialVector` of its share: rows, seeds, and what is done about a
    fault, are those of one `SerialVector` of all copies. Where a process dies, its copies
    are at fault. Rows and actions go through shared memory; a process ends with its
    parent, however that ends.

    Attributes:
      num_envs: E.
      num_processes: N; no more than E.
      num_restarts: copies that were replaced after a fault, so far.
      episode_info: see `HostVector`; the attribute of that name of the environments.
    """

    def __init__(
        self,
        factory: Factory,
        num_envs: int,
        num_processes: int,
        seed: int = 0,
        name: str = "environment",
        on_error: str = "fail",
        timeout_seconds: float = 60.0,
    ) -> None:
        """Starts the first process, and builds its copies.

        Args:
          factory: see `SerialVector`; it goes to other processes by cloudpickle.
          num_envs: E, at least 1.
          num_processes: N, at least 1; of fewer copies, as many as there are.
          seed: see `SerialVector`.
          name: see `SerialVector`.
          on_error: see `SerialVector`.
          timeout_seconds: see `SerialVector`.

        Raises:
          ValueError: for a setting outside its range, or any that `factory` raises.
          EnvironmentFault: if a copy cannot be built.
        """
        check_vector_settings(num_envs, on_error, timeout_seconds)
        if num_processes < 1:
            raise ValueError(f"num_processes={num_processes}: must be at least 1.")
        self.num_envs = self.num_processes = 1
        self.episode_info: Sequence[Mapping[str, float]] = [{}]
        self._limit, self._on_error = num_processes, on_error
        packed = _pack(factory, name)
        self._plan = Plan(packed, 1, seed, name, on_error, timeout_seconds, 0, 0)
        self._step_number = 0
        self._file = new_file()
        self._rows: SharedRows | None = None
        self._latest: TimeStep | None = None
        self._workers: list[_Process] = []
        self._start([self._plan])
        if num_envs > 1:
            self.extend(num_envs)

    @property
    def num_restarts(self) -> int:
        return sum(worker.num_restarts for worker in self._workers)

    def extend(self, num_envs: int) -> None:
        """Builds further copies, up to E; only before the first `reset`.

        Raises:
          ValueError: as the constructor does.
          EnvironmentFault: if a copy cannot be built.
        """
        if num_envs == self.num_envs:
            return
        self.num_envs = num_envs
        self.num_processes = min(self._limit, num_envs)
        self.episode_info = [{}] * num_envs
        ends = np.linspace(0, num_envs, self.num_processes + 1).round().astype(int).tolist()
        plans = [
            self._plan._replace(first_copy=first, num_envs=end - first)
            for first, end in itertools.pairwise(ends)
        ]
        first = self._workers[0]
        first.plan = plans[0]
        first.ask("extend", plans[0].num_envs)
        self._start(plans[1:])
        self._take(first, "extend")

    def observation_spec(self) -> Any:
        return self._specs[0]

    def action_spec(self) -> Any:
        return self._specs[1]

    def reset(self) -> TimeStep:
        if self._rows is None:
            layout = RowLayout(self.num_envs, *self._specs)
            self._rows = SharedRows(self._file.fileno(), layout)
            for worker in self._workers:
                worker.ask("share", layout)
            for worker in self._workers:
                self._take(worker, "share")
        is_over: Any = np.full(
            self.num_envs, LAST, np.int32
        )  # Of what is played until now.
        self._latest = self._rows.read_row()._replace(step_type=is_over)
        return self._play("reset")

    def step(self, action: Any) -> TimeStep:
        """See `HostVector`.

        Raises:
          ValueError: before the first `reset`, or for actions of another shape.
        """
        if self._rows is None:
            raise ValueError("step before reset: call reset() once first.")
        self._step_number += 1
        self._rows.write_action(action)
        return self._play("step")

    def close(self) -> None:
        """Closes every copy, as far as none of them hangs, and ends the processes."""
        for worker in self._workers:
            worker.ask("close")
        deadline = time.monotonic() + CLOSE_SECONDS
        for worker in self._workers:
            worker.end(deadline)
        self._workers = []
        if self._rows is not None:
            self._rows.close()
            self._rows = None
        self._file.close()

    def _start(self, plans: Sequence[Plan]) -> None:
        """Starts processes, side by side; they come after those that there are."""
        started = [_Process(plan, self._file.fileno()) for plan in plans]
        self._workers += started
        for worker in started:
            self._specs = self._take(worker, "build")

    def _play(self, order: str) -> TimeStep:
        """One row of every copy."""
        assert self._rows is not None
        for worker in self._workers:
            worker.ask(order)
        asked = [*self._workers]
        asked[-1].wait()  # Waking once, where steps take alike, leaves them the cores.
        info: list[Mapping[str, float]] = []
        for index, worker in enumerate(asked):
            told = self._take(worker, order, index)
            if told is None:
                info += [{}] * worker.plan.num_envs
                continue
            self._workers[index].num_restarts_of_now = told.num_restarts
            info += told.episode_info or [{}] * worker.plan.num_envs
        self.episode_info = info
        self._latest = self._rows.read_row()
        is_last = self._latest.step_type == LAST
        for worker in asked:  # One that is new has ended the episodes of another.
            if worker.num_deaths and is_last[worker.part()].any():
                worker.num_deaths = 0
        return self._latest

    def _take(self, worker: _Process, order: str, index: int | None = None) -> Any:
        """What a process answers; a new one in its place, where it has died.

        Raises:
          EnvironmentFault: for a process that died, or a copy that hangs, unless it is in
            a row and faults are mended.
          Exception: what it raised.
        """
        try:
            answer = worker.answer()
        except _Gone as gone:
            fault = EnvironmentFault(self._fault(worker.plan, str(gone)))
            answer = Answer(None, fault, (), is_last=True)
        for level, text in answer.log:
            logger.log(level, "%s", text)
        if answer.error is None:
            return answer.value
        if answer.is_last and index is not None and self._on_error == "restart":
            worker.end(time.monotonic() + CLOSE_SECONDS)
            return self._replace(index, str(answer.error))
        if answer.is_last or order in ("build", "extend"):
            self.close()
        raise answer.error

    def _replace(self, index: int, fault: str) -> Any:
        """Has a new process end the episodes of one that has died."""
        assert self._rows is not None
        before = self._workers[index]
        if before.num_deaths == MAX_RESTARTS:
            self.close()
            raise EnvironmentFault(
                f"{fault} It was restarted {MAX_RESTARTS} times; no episode was completed."
            )
        logger.warning("%s Restart.", fault)
        part = before.part()
        self._rows.write_row(_part_of(self._latest, part), part)
        restarts = before.plan.restarts + before.num_restarts_of_now + 1
        plan = before.plan._replace(restarts=restarts)
        worker = _Process(plan, self._file.fileno(), before)
        self._workers[index] = worker
        self._take(worker, "build")
        worker.ask("share", RowLayout(self.num_envs, *self._specs))
        self._take(worker, "share")
        worker.ask("take_over", self._step_number)
        return self._take(worker, "take_over", index)

    def _fault(self, plan: Plan, what: str) -> str:
        last = plan.first_copy + plan.num_envs - 1
        copies = f"copy {last}"
        if plan.num_envs > 1:
            copies = f"copies {plan.first_copy} to {last}"
        where = f"env {plan.name!r}, {copies}, step {self._step_number}"
        return f"{where}: their process {what}; must answer and stay alive."


class _Gone(Exception):
    """A process has died, or does not answer; says how."""


class _Process:
    """A worker, seen from its parent.

    Attributes:
      plan: what it steps.
      has_started: it has answered once.
      num_deaths: of those before it, since one of its copies last completed an episode.
      num_restarts_of_now: of its copies, by itself.
    """

    def __init__(self, plan: Plan, descriptor: int, before: _Process | None = None) -> None:
        """Starts it, and has it build its copies.

        Args:
          plan: what it steps.
          descriptor: of the file of the shared rows.
          before: the one whose place it takes.
        """
        self.plan = plan
        self.num_deaths: int = 0 if before is None else before.num_deaths + 1
        self._restarts_before = 0 if before is None else before.num_restarts + plan.num_envs
        self.num_restarts_of_now, self.has_started = 0, False
        ours, theirs = Pipe()
        watched, self._alive = os.pipe()  # Its reader sees the end when we are gone.
        descriptors = (theirs.fileno(), watched, descriptor)
        words = [*map(str, descriptors), json.dumps(sys.path)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            pass_fds=descriptors,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        os.close(watched)
        self._connection: Connection[Any, Any] = ours
        self._answers = select.poll()
        self._answers.register(ours.fileno(), select.POLLIN)
        self._send(cloudpickle.dumps(("build", plan)))

    @property
    def num_restarts(self) -> int:
        """Of its copies, by it and those before it."""
        return self._restarts_before + self.num_restarts_of_now

    def part(self) -> slice:
        """Its copies."""
        return slice(self.plan.first_copy, self.plan.first_copy + self.plan.num_envs)

    def ask(self, order: str, *arguments: Any) -> None:
        """Gives an order."""
        is_step = order == "step"
        self._send(STEP if is_step else cloudpickle.dumps((order, *arguments)))

    def wait(self) -> bool:
        """Waits for an answer; False if none came, and the process has not ended."""
        return bool(self._answers.poll(1e3 * self._patience()))

    def answer(self) -> Answer:
        """What came of the last order.

        Raises:
          _Gone: if it has died, or does not answer.
        """
        try:
            if self.wait():
                message = self._connection.recv_bytes()
                self.has_started = True
                return pickle.loads(message) if message else _NOTHING
            how = f"gave no answer within {self._patience():g} s"
        except (EOFError, OSError):
            how = ""
        if how:
            self._process.kill()
        code = self._process.wait()
        self._release()
        raise _Gone(how or f"ended by {_cause(code)}")

    def end(self, deadline: float) -> None:
        """Waits until then for it to end, and kills it."""
        try:
            self._process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._release()

    def _patience(self) -> float:
        """Seconds until it must have answered."""
        seconds = self.plan.num_envs * self.plan.timeout_seconds + SPARE_SECONDS
        return seconds if self.has_started else seconds + START_SECONDS

    def _release(self) -> None:
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1
        self._connection.close()

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # It is gone: so the answer will tell.
            self._connection.send_bytes(message)


def _pack(factory: Factory, name: str) -> bytes:
    try:
        return cloudpickle.dumps(factory)
    except Exception as error:  # Whatever an object makes of being taken apart.
        raise ValueError(
            f"env {name!r}: cannot go to another process ({summary(error)}). Leave "
            "--env-processes out."
        ) from error


def _cause(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _part_of(row: Any, part: slice) -> Any:
    return jax.tree.map(lambda leaf: leaf[part], row)
