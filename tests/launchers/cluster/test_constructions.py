"""No environment is built that is not then stepped, over Ray too."""

import os
import signal
import sys
import threading
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from cluster_runs import Run, role_processes, wait_for

from tolman.envs.host import EnvironmentFault
from tolman.launchers.cluster.actor import ActorRole
from tolman.launchers.cluster.environments import EnvironmentWork
from tolman.launchers.cluster.parameter_server import Turn
from tolman.launchers.cluster.work import ActorIdentity
from tolman.launchers.host.reverb.server import ReplayServer
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_train

NOTING = """
import os
from pathlib import Path

import dm_env
import numpy as np
from dm_env import specs

LOG = Path(__file__).with_name("log.txt")


class Noting(dm_env.Environment):
    def __init__(self, seed: int = 0, fault: str = ""):
        if fault:
            raise RuntimeError(fault)
        self.seed, self.time, self.is_noted = seed, 0, False
        self.note("built")

    def note(self, what):
        with LOG.open("a") as file:
            file.write(f"{what} {os.getpid()} {self.seed}\\n")

    def reset(self):
        self.time = 0
        return dm_env.restart(np.zeros(2, np.float32))

    def step(self, action):
        if not self.is_noted:
            self.is_noted = True
            self.note("stepped")
        self.time += 1
        if self.time == 3:
            return dm_env.termination(1.0, np.zeros(2, np.float32))
        return dm_env.transition(0.0, np.zeros(2, np.float32))

    def observation_spec(self):
        return specs.Array((2,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)
"""
WORDS = """dqn --core feedforward --launcher ray --actors 2 --num-envs 2 --eval-episodes 0
--agent.min-size 50 --agent.torso flat --agent.batch-size 8
--log-interval 100 --num-env-steps 10000000""".split()


@pytest.fixture
def noted(tmp_path):
    """What copies did of which process and seed; a function of what to look for."""
    (tmp_path / "noting.py").write_text(NOTING)
    sys.path.append(str(tmp_path))

    def told(what):
        path = tmp_path / "log.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return sorted(line.split()[1:] for line in lines if line.split()[0] == what)

    yield told
    sys.path.remove(str(tmp_path))
    sys.modules.pop("noting", None)


def test_the_copy_that_told_the_specs_is_one_of_those_that_are_stepped(noted, tmp_path):
    job = resolve(parse_train([*WORDS, "--env", "noting:Noting"]))
    assert job.source.known_specs() is None and not noted("built")
    role, key = ActorRole(), np.zeros(2, np.uint32)
    identity = ActorIdentity(0, 0, 0, key)
    specs = role.specs(job.config, identity.env_seed(job.config.seed))
    assert len(noted("built")) == 1
    work = EnvironmentWork(job.config, specs, num_envs=2, num_shards=1)
    agent = work.agent()
    replay = ReplayServer(work.tables(agent), tmp_path / "replay")
    params = agent.init(jax.random.PRNGKey(0)).params
    parameters = SimpleNamespace(
        get=lambda num_unrolls=0: (0, params),
        new_priority=lambda: 1.0,
        address=lambda shard: replay.address,
        is_closed=threading.Event(),
        turn=Turn(),
    )
    loop = work.acting_loop(identity, parameters, role._job)
    try:
        loop.unroll()
        loop.unroll()
        assert len(noted("built")) == 2 and noted("built") == noted("stepped")
    finally:
        loop.close()
        replay.stop()
        role.close()


def test_a_copy_that_cannot_be_built_is_told_by_the_first_actor(noted):
    words = [*WORDS, "--env", "noting:Noting", "--env.fault", "no licence"]
    job = resolve(parse_train(words))
    role = ActorRole()
    try:
        with pytest.raises((ValueError, EnvironmentFault), match="no licence"):
            role.specs(job.config, 0)
    finally:
        role.close()


@pytest.mark.slow
@pytest.mark.usefixtures("leftovers")
def test_every_process_builds_what_it_steps(noted, tmp_path):
    run_folder = tmp_path / "run"
    words = ["train", *WORDS, "--env", "noting:Noting", "--run-dir", run_folder]
    with Run(run_folder, [*words, "--env.fault", "no licence"], tmp_path) as run:
        output, _ = run.process.communicate(timeout=300)
    assert run.process.returncode in (1, 2), output
    assert "no licence" in output.splitlines()[-1] and not run_folder.exists()
    with Run(run_folder, words, tmp_path) as run:
        wait_for(lambda: len(noted("stepped")) == 4, "steps of all", run.process)
        assert noted("built") == noted("stepped")
        assert len({process for process, _ in noted("built")}) == 2  # The two actors.
        os.kill(role_processes("ActorRole")[0], signal.SIGKILL)
        wait_for(lambda: len(noted("stepped")) == 6, "steps of a restart", run.process)
        assert noted("built") == noted("stepped")
        assert len({seed for _, seed in noted("built")}) == 6
        run.stop()
