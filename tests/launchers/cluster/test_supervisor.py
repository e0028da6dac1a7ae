"""Restarts, and parameters on their way, with small processes under a real Ray."""

import os
import re
import shutil
import subprocess
import time

import numpy as np
import pytest
import ray
from cluster_runs import processes, ray_processes, wait_for

from tolman.launchers.cluster import supervisor as module
from tolman.launchers.cluster.connection import disconnect, start
from tolman.launchers.cluster.parameter_server import ParameterServer
from tolman.launchers.cluster.parameters import ParameterClient, ParameterPublisher
from tolman.launchers.cluster.supervisor import Process, Supervisor
from tolman.launchers.host.parameters import Closed
from tolman.launchers.runs.failures import ProcessFailure


@pytest.fixture(scope="module", autouse=True)
def small_ray():
    start(num_cpus=4)
    yield
    disconnect(is_ours=True)


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss of iproute2")
def test_a_ray_of_this_machine_listens_on_loopback_only(small_ray):
    assert ray.util.get_node_ip_address() == "127.0.0.1"
    workers = {pid for pid, title in processes() if title.startswith("ray::")}
    ours = {os.getpid()} | ray_processes() | workers
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
    found = 0
    for line in listening.splitlines():
        address, owners = line.split()[3], re.findall(r"pid=(\d+)", line)
        if ours & set(map(int, owners)):
            found += 1
            assert "127.0.0.1" in address, line
    assert found >= 3  # At least the head's, the node's and a worker's.


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_REPORTS", 0.05)


def launcher(fails=False):
    class Mortal:
        """Ray sends a class inside a function by value."""

        def __init__(self, incarnation):
            if fails:
                raise ValueError("no such thing here")
            self.incarnation = incarnation

        def report(self):
            return (self.incarnation, os.getpid())

        def close(self):
            pass

    remote = ray.remote(Mortal).options(num_cpus=0)
    return lambda incarnation: remote.remote(incarnation)


def test_the_dead_are_replaced_and_counted():
    processes = [Process("actor", index, launcher()) for index in range(2)]
    supervisor = Supervisor(processes)
    try:
        wait_for(lambda: supervisor.poll(0.05) and processes[0].report, "first report")
        (row,) = supervisor.rows()
        assert (row.kind, row.wanted, row.restarts) == ("actor", 2, 0)
        incarnation, pid = processes[0].report
        assert incarnation == 0
        os.kill(pid, 9)
        wait_for(
            lambda: (
                [supervisor.poll(0.05)]
                and processes[0].report
                and processes[0].incarnation == 1
            ),
            "second incarnation",
        )
        assert processes[0].report[0] == 1 and processes[0].report[1] != pid
        wait_for(lambda: [supervisor.poll(0.05)] and processes[1].report, "the other one")
        (row,) = supervisor.rows()
        assert (row.alive, row.restarts) == (2, 1)
    finally:
        supervisor.close()


def test_what_dies_of_itself_ends_the_run():
    process = Process("replay", 3, launcher(fails=True))
    supervisor = Supervisor([process])
    message = "^replay 3 died 5 times in a row: ValueError: no such thing here"
    with pytest.raises(ProcessFailure, match=message):
        wait_for(lambda: supervisor.poll(0.05), "a report")
    assert process.incarnation == 4


def test_parameters_and_priority_arrive_and_outlive_the_server():
    server = ray.remote(ParameterServer).options(num_cpus=0, max_restarts=-1).remote()
    priority = [1.0]
    publisher = ParameterPublisher(server, lambda: priority[0])
    client = ParameterClient(server)
    try:
        params = {"w": np.arange(100_000, dtype=np.float32)}
        publisher.publish(3, params)
        version, got = client.get()
        assert version == 3 and (np.asarray(got["w"]) == params["w"]).all()
        ray.get(server.set_addresses.remote(("a:1",)))
        assert client.address(0) == "a:1"

        ray.kill(server, no_restart=False)
        began = time.monotonic()
        assert client.get()[0] == 3  # Serves on, and does not wait.
        assert time.monotonic() - began < 1.0
        priority[0] = 7.5
        publisher.publish(4, {"w": params["w"] + 1})
        wait_for(lambda: client.get()[0] == 4, "the next version")
        assert float(client.get()[1]["w"][5]) == 6.0
        assert client.new_priority() == 7.5
        # A learner that was restarted goes back.
        publisher.publish(2, params)
        wait_for(lambda: client.get()[0] == 2, "an earlier version")
        client.close()
        with pytest.raises(Closed):
            client.get()
    finally:
        publisher.close()
        ray.kill(server)
