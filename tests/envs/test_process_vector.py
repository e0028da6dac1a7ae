"""Environments in processes of their own are those of one process, and end with it."""

import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from walking import Walk, actions_at, divide, faulty, refuse

from tolman.envs.environment import FIRST, LAST, MID
from tolman.envs.host import EnvironmentFault
from tolman.envs.process_vector import ProcessVector
from tolman.envs.serial_vector import SerialVector


def play(vector, number, rows=12):
    played = [vector.reset()]
    told = [[dict(info) for info in vector.episode_info]]
    for t in range(rows):
        played.append(vector.step(actions_at(t, number)))
        told.append([dict(info) for info in vector.episode_info])
    return played, told


def seeds_of(number, seed=3):
    found = []
    vector = SerialVector(lambda s: found.append(s) or Walk(s), number, seed)
    vector.close()
    return found


@pytest.fixture
def start():
    started = []

    def begin(*arguments, **settings):
        started.append(ProcessVector(*arguments, **settings))
        return started[-1]

    yield begin
    for vector in started:
        vector.close()


def test_rows_are_those_of_one_process_to_the_bit(start):
    """Five copies in two processes, also by way of a first copy; and after a reset."""
    serial = SerialVector(Walk, 5, seed=3)
    vector = start(Walk, 1, num_processes=2, seed=3)
    vector.extend(5)
    assert (vector.num_envs, vector.num_processes) == (5, 2)
    assert vector.observation_spec() == serial.observation_spec()
    assert vector.action_spec() == serial.action_spec()
    first = None
    for _ in range(2):
        ours, theirs = play(vector, 5), play(serial, 5)
        jax.tree.map(np.testing.assert_array_equal, ours[0], theirs[0])
        dtypes = [
            jax.tree.map(lambda leaf: leaf.dtype, rows[0][3]) for rows in (ours, theirs)
        ]
        assert dtypes[0] == dtypes[1] and ours[1] == theirs[1]
        assert any(any(told) for told in ours[1])
        first = ours[0] if first is None else first
    again = play(SerialVector(Walk, 5, seed=3), 5)[0]  # What was handed out has stayed.
    jax.tree.map(np.testing.assert_array_equal, first, again)
    with pytest.raises(ValueError, match=r"action of shape \(4,\): must be \(5,\)"):
        vector.step({**actions_at(0, 5), "move": np.zeros(4, np.int32)})


@pytest.mark.parametrize(
    "fault, said",
    [
        ("raises", r"copy 2, step \d+: raised OSError: the joystick is gone"),
        ("not finite", r"copy 2, step \d+: observation.*nan"),
        ("hangs", r"copy 2, step \d+: got no answer; must come within 4 s"),
        ("dies", r"copies 2 to 3, step \d+: their process ended by SIGKILL; must"),
        (
            "dies in reset",
            r"copies 2 to 3, step 0: their process ended by exit code 7; must",
        ),
    ],
)
def test_a_fault_is_named_on_one_line(fault, said, start):
    factory = faulty(fault, seeds_of(4)[2:3])
    seconds = 4.0 if fault == "hangs" else 60.0
    vector = start(factory, 4, 2, seed=3, name="walk", timeout_seconds=seconds)
    with pytest.raises(EnvironmentFault, match=f"^env 'walk', {said}") as caught:
        play(vector, 4)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fault, said",
    [
        (
            "dies",
            "copies 2 to 3, {}: their process ended by SIGKILL; must answer and stay alive",
        ),
        ("hangs", "copy 2, {}: got no answer; must come within 6 s (timeout_seconds)"),
    ],
)
def test_a_process_that_dies_is_replaced_and_its_episodes_are_cut(
    fault, said, start, caplog
):
    """Copy 2 takes copy 3 with it; what other processes step is as it was."""
    factory, seconds = faulty(fault, seeds_of(4)[2:3]), 6.0 if fault == "hangs" else 60.0
    settings = {"on_error": "restart", "timeout_seconds": seconds}
    vector = start(factory, 4, 2, seed=3, name="w", **settings)
    worker = vector._workers[1]._process
    rows, _ = play(vector, 4, rows=14)
    expected, _ = play(SerialVector(Walk, 4, seed=3), 4, rows=14)
    for ours, theirs in zip(rows, expected, strict=True):
        pick = lambda leaf: leaf[:2]  # noqa: E731
        jax.tree.map(
            np.testing.assert_array_equal,
            jax.tree.map(pick, ours),
            jax.tree.map(pick, theirs),
        )
    died = next(
        t
        for t, (ours, theirs) in enumerate(zip(rows, expected, strict=True))
        if not np.array_equal(
            ours.observation["place"][2:], theirs.observation["place"][2:]
        )
    )
    for copy in (2, 3):
        before, cut = rows[died - 1], rows[died]
        if before.step_type[copy] == LAST:
            assert cut.step_type[copy] == FIRST
            continue
        assert cut.step_type[copy] == LAST
        assert (cut.reward[copy], cut.discount[copy]) == (0.0, 1.0)
        np.testing.assert_array_equal(
            cut.observation["place"][copy], before.observation["place"][copy]
        )
        assert rows[died + 1].step_type[copy] == FIRST
        assert rows[died + 2].step_type[copy] == MID
    assert vector.num_restarts == 2
    assert [record.message for record in caplog.records] == [
        f"env 'w', {said.format(f'step {died}')}. Restart."
    ]
    assert worker.poll() is not None


def test_a_copy_that_breaks_down_is_restarted_in_its_process(start, caplog):
    factory = faulty("raises", seeds_of(3)[2:])
    vector = start(factory, 3, 2, seed=3, name="w", on_error="restart")
    serial = SerialVector(factory, 3, seed=3, name="w", on_error="restart")
    ours, theirs = play(vector, 3)[0], play(serial, 3)[0]
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert vector.num_restarts == serial.num_restarts == 1
    one, other = (record.message for record in caplog.records)
    assert one == other and "raised OSError" in one


def test_one_that_dies_again_and_again_ends_the_run(start, monkeypatch):
    monkeypatch.setattr("tolman.envs.process_vector.MAX_RESTARTS", 1)
    vector = start(faulty("dies in reset"), 1, 1, on_error="restart")
    with pytest.raises(EnvironmentFault, match=r"exit code 7.*It was restarted 1 times"):
        vector.reset()


def test_what_cannot_be_built_is_told_as_in_one_process(start):
    with pytest.raises(ValueError, match=r"^env\.size=0: must be at least 1\.$"):
        start(refuse, 2, 2)
    with pytest.raises(EnvironmentFault, match=r"env 'environment', copy 0.*ZeroDivision"):
        start(divide, 2, 2)
    with pytest.raises(ValueError, match=r"cannot go to another process \(TypeError"):
        start(threading.Lock(), 1, 1)


ORPHANS = """
import sys, time
import dm_env, numpy as np
from dm_env import specs
from tolman.envs.process_vector import ProcessVector

class Still(dm_env.Environment):
    def __init__(self, seed): pass
    def reset(self): return dm_env.restart(np.zeros(1))
    def step(self, action):
        time.sleep(600)
    def observation_spec(self): return specs.Array((1,), float)
    def action_spec(self): return specs.DiscreteArray(2)

vector = ProcessVector(Still, 2, 2, timeout_seconds=500.0)
vector.reset()
print(*[worker._process.pid for worker in vector._workers], flush=True)
vector.step(np.zeros(2, np.int32))
"""


def test_no_process_outlives_a_parent_that_is_killed():
    """While their copies hang."""
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2 and all(is_alive(pid) for pid in pids)
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20.0
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_alive(pid) for pid in pids)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_closing_ends_the_processes_also_one_that_hangs(monkeypatch):
    monkeypatch.setattr("tolman.envs.process_vector.CLOSE_SECONDS", 0.5)
    vector = ProcessVector(faulty("hangs", seeds_of(2)[1:], at=1), 2, 2, seed=3)
    vector.reset()
    pids = [worker._process.pid for worker in vector._workers]
    vector._rows.write_action(actions_at(0, 2))
    for worker in vector._workers:
        worker.ask("step")
    vector.close()
    assert not any(is_alive(pid) for pid in pids)
