"""Whole runs and sweeps over Ray: PPO behind its policy, the best checkpoint, tasks."""

import json

import pytest
from cluster_runs import Run

from tolman.launchers.evaluation.evaluate import evaluate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("leftovers")]

PPO = """train ppo --env CartPole-v1 --core feedforward --launcher ray --actors 2
--num-envs 2 --agent.unroll-length 16 --agent.batch-size 8 --agent.num-epochs 2
--agent.num-minibatches 2 --num-env-steps 4096 --log-interval 512
--eval-every 1024 --eval-episodes 2 --eval-greedy"""
SWEEP = """sweep actor_critic --env two_step --core feedforward --env.num-trials 2
--num-env-steps 200 --agent.unroll-length 5 --agent.batch-size 2 --agent.torso flat
--seeds 2 --sweep-launcher ray"""


def test_ppo_learns_from_what_older_policies_did_and_keeps_its_best(tmp_path):
    folder = tmp_path / "run"
    with Run(folder, [*PPO.split(), "--run-dir", folder]) as run:
        output, _ = run.process.communicate(timeout=300)
    assert run.process.returncode == 0, output
    assert run.status()["env_steps"] == 4096
    rows = run.rows()
    assert max(row["time/param_lag"] for row in rows) > 0.0
    judged = {
        row["env_steps"]: row["eval/episode_return"]
        for row in rows
        if "eval/episode_return" in row
    }
    assert [*judged] == [1024, 2048, 3072, 4096]
    best = json.loads((folder / "checkpoints" / "best.json").read_text())
    assert best["value"] == max(judged.values()) == judged[best["units"]]
    assert evaluate(f"{folder}@best", num_episodes=2)["env_steps"] == best["units"]


def test_a_sweep_by_tasks(tmp_path):
    folder = tmp_path / "sweep"
    with Run(folder, [*SWEEP.split(), "--sweep-dir", folder]) as run:
        output, _ = run.process.communicate(timeout=300)
    assert run.process.returncode == 0, output
    for name in ("s0", "s1"):
        status = json.loads((folder / name / "status.json").read_text())
        assert status["state"] == "finished"
    assert json.loads((folder / "sweep.json").read_text())["launcher"] == "ray"
