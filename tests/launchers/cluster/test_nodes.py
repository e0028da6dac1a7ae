"""Machines that have no Tolman, and machines that are lost."""

import os
import subprocess
import sys
import sysconfig
import venv

import pytest
from cluster_runs import Run, wait_for

from tolman.launchers.evaluation.evaluate import evaluate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("leftovers")]

FLAGS = """train actor_critic --env CartPole-v1 --core feedforward --launcher ray
--actors 2 --eval-episodes 0 --agent.off-policy-correction vtrace
--agent.unroll-length 10 --agent.batch-size 8 --num-envs 4 --log-interval 4000"""


def bare_python(folder):
    """A Python with all that this one has, but what is installed in place: Tolman."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    paths = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    packages = sysconfig.get_path("purelib")
    with open(os.path.join(paths.stdout.strip(), "all.pth"), "w") as file:
        file.write(packages + "\n")
    found = subprocess.run([python, "-c", "import tolman.launchers"], capture_output=True)
    assert b"No module named 'tolman" in found.stderr
    return python


def test_a_machine_without_tolman_gets_it(tmp_path):
    from ray.cluster_utils import Cluster

    python = bare_python(tmp_path / "bare")
    head = {"num_cpus": 0, "object_store_memory": 2**27, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    words = ["start", "--address", cluster.address, "--num-cpus", "4", "--block"]
    node = subprocess.Popen(
        [python, "-m", "ray.scripts.scripts", *words, "--object-store-memory", str(2**27)],
        env={**os.environ, "PYTHONPATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run_folder = tmp_path / "run"
    words = [*FLAGS.split(), "--actors", 1, "--address", cluster.address]
    words += ["--run-dir", run_folder]
    try:
        wait_for(lambda: num_cpus(cluster.address) == 4, "the bare machine")
        with Run(run_folder, [*words, "--num-env-steps", 8000]) as run:
            output, _ = run.process.communicate(timeout=300)
        assert run.process.returncode == 0, output
        assert run.status()["env_steps"] == 8000
        assert evaluate(run_folder, num_episodes=2)["env_steps"] == 8000
        # A module of the user's own is not sent: the error names it and the machine.
        words = [*words, "--if-exists", "new", "--env", "own:make"]
        own = tmp_path / "own"
        own.mkdir()
        (own / "own.py").write_text(
            "import gymnasium\ndef make() -> gymnasium.Env:\n"
            "    return gymnasium.make('CartPole-v1')\n"
        )
        with Run(run_folder, words, python_path=own) as run:
            output, _ = run.process.communicate(timeout=300)
        assert run.process.returncode == 2, output
        assert "cannot run Tolman (there is no module own)" in output
    finally:
        node.terminate()
        node.wait()
        cluster.shutdown()


def num_cpus(address):
    """CPUs of the cluster, asked in a process of its own."""
    code = (
        f"import ray; ray.init(address={address!r}, logging_level='ERROR');"
        "print(int(ray.cluster_resources().get('CPU', 0)))"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return int(asked.stdout.split()[-1]) if asked.stdout.split() else 0


def test_a_lost_machine_costs_its_processes_a_life(two_nodes, tmp_path):
    words = [*FLAGS.split(), "--address", two_nodes.address, "--run-dir", tmp_path]
    with Run(tmp_path, [*words, "--num-env-steps", 10_000_000]) as run:
        run.wait_for_rows(3)
        lost = next(node for node in two_nodes.list_all_nodes() if not node.head)
        two_nodes.remove_node(lost, allow_graceful=False)
        wait_for(
            lambda: sum((run.status_or_none("restarts") or {}).values()) >= 1,
            "restart",
            run.process,
        )
        run.wait_for_rows(5)
        steps = [row["env_steps"] for row in run.rows()]
        assert steps == list(range(steps[0], steps[0] * len(steps) + 1, steps[0]))
        code, output = run.stop()
        assert code == 143, output
