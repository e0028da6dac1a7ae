"""Runs whose processes are killed one after the other, on two nodes of this machine."""

import json
import os
import signal

import numpy as np
import pytest
from cluster_runs import Run, role_processes, wait_for

from tolman.launchers.host.saved_replay import check_replays

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("leftovers")]

ROLES = {
    "actor": "ActorRole",
    "replay": "ReplayRole",
    "learner": "LearnerRole",
    "evaluator": "EvaluatorRole",
}
QUEUE_FLAGS = """train actor_critic --env CartPole-v1 --core feedforward --launcher ray
--agent.off-policy-correction vtrace --agent.unroll-length 10 --agent.batch-size 8
--num-envs 4 --log-interval 4000 --checkpoint-interval 20000"""
REPLAY_FLAGS = """train dqn --env CartPole-v1 --core feedforward --launcher ray --actors 2
--replay-shards 2 --num-envs 2 --agent.min-size 500 --agent.samples-per-insert 4
--agent.batch-size 8 --agent.torso-size 32 --eval-episodes 0
--log-interval 200 --checkpoint-interval 1000"""


def saved(run):
    """The env steps of the run's last checkpoint, and its leaves by name."""
    steps = run.checkpoints()[-1]
    with np.load(run.folder / "checkpoints" / str(steps) / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        return steps, {name: file[f"arr_{i}"] for i, name in enumerate(names)}


def kill(role):
    os.kill(role_processes(role)[0], signal.SIGKILL)


def test_every_process_of_a_run_may_die(two_nodes, tmp_path):
    words = [*QUEUE_FLAGS.split(), "--address", two_nodes.address, "--run-dir", tmp_path]
    with Run(tmp_path, [*words, "--num-env-steps", 10_000_000]) as run:
        run.wait_for_rows(3)
        for kind, role in ROLES.items():
            kill(role)
            run.wait_for_restart(kind, 1)
            run.wait_for_rows(3)
        kill("ParameterServer")
        run.wait_for_rows(3)
        assert run.status()["restarts"] == dict.fromkeys(ROLES, 1)
    # The driver was killed too, and took all others with it.
    wait_for(lambda: not role_processes(), "end of all roles")
    # The learner went back by less than a row: every row is there once and in order.
    steps = [row["env_steps"] for row in run.rows()]
    row = steps[0]
    assert steps == list(range(row, row * len(steps) + 1, row))

    checkpoint, leaves = saved(run)
    assert leaves[".env_steps"] == checkpoint == leaves[".updates"] * 80
    with Run(tmp_path, ["resume", tmp_path]) as resumed:
        wait_for(lambda: run.rows()[-1]["env_steps"] == checkpoint, "cut of the rows")
        resumed.wait_for_rows(2)
        code, output = resumed.stop()
    assert code == 143, output
    assert "checkpoint saved. Go on with: tolman resume" in output
    status = resumed.status()
    assert status["state"] == "interrupted"
    steps = [row["env_steps"] for row in run.rows()]
    assert steps == list(range(row, status["env_steps"] + 1, row))


def test_replays_come_back_with_their_content(tmp_path):
    words = [*REPLAY_FLAGS.split(), "--run-dir", tmp_path, "--num-env-steps", 10_000_000]
    checkpoints = tmp_path / "checkpoints"
    with Run(tmp_path, words) as run:
        run.wait_for_checkpoint()
        kill("ReplayRole")
        run.wait_for_restart("replay", 1)
        run.wait_for_rows(2)
        kill("LearnerRole")
        run.wait_for_restart("learner", 1)
        run.wait_for_rows(2)
        log = (tmp_path / "log.txt").read_text()
        assert "restored with" in log  # Else it would have to fill up again.
        assert f"from {checkpoints}/" in log
        steps = [row["env_steps"] for row in run.rows()]
        assert steps == sorted(set(steps))
        code, output = run.stop(signal.SIGINT)
    assert code == 130, output
    checkpoint, leaves = saved(run)
    assert run.status()["env_steps"] == leaves[".env_steps"] == checkpoint
    check_replays(checkpoints / str(checkpoint), 2)
    assert all(path.name.isdigit() for path in checkpoints.iterdir())

    with Run(tmp_path, ["resume", tmp_path]) as resumed:
        resumed.wait_for_rows(2)
        assert resumed.rows()[-1]["env_steps"] > checkpoint
    # The driver was killed, and the Ray that it had started for itself is to end with it.
    log = (tmp_path / "log.txt").read_text()
    assert log.count("restored with") >= 3  # One after the kill, two at the resume.


BROKEN = """
import gymnasium


class Broken(gymnasium.Wrapper):
    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == 100:
            raise KeyError("lost")
        return super().step(action)


def make() -> gymnasium.Env:
    return Broken(gymnasium.make("CartPole-v1"))
"""


@pytest.mark.parametrize("policy", ["fail", "restart"])
def test_an_environment_breaks_down(tmp_path, policy):
    (tmp_path / "broken.py").write_text(BROKEN)
    run_folder = tmp_path / "run"
    words = [*QUEUE_FLAGS.split(), "--env", "broken:make", "--on-env-error", policy]
    words += ["--actors", 1, "--eval-episodes", 0]  # Each process imports for seconds.
    words += ["--run-dir", run_folder, "--num-env-steps", 8000]
    with Run(run_folder, words, python_path=tmp_path) as run:
        output, _ = run.process.communicate(timeout=300)
    if policy == "fail":
        assert run.process.returncode == 1
        (error,) = [line for line in output.splitlines() if "tolman: error: env" in line]
        assert "env 'broken:make', copy" in error and "raised KeyError" in error
        assert run.status()["state"] == "failed"
    else:
        assert run.process.returncode == 0, output
        assert "actor 0: env 'broken:make', copy 0" in output and "Restart 1." in output
        assert run.status()["restarts"] == {"actor": 0, "replay": 0, "learner": 0}
