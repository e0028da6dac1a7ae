"""Restarts, and parameters on their way, with small processes under a real Ray."""

import os
import time

import numpy as np
import pytest
import ray
from cluster_runs import wait_for

from tolman.launchers.cluster import supervisor as module
from tolman.launchers.cluster.board import Board
from tolman.launchers.cluster.connection import disconnect, start
from tolman.launchers.cluster.parameters import BoardReader, Closed, Publisher
from tolman.launchers.cluster.supervisor import Member, Supervisor
from tolman.launchers.runs.protocol import ProcessFailure


@pytest.fixture(scope="module", autouse=True)
def small_ray():
    start(num_cpus=4)
    yield
    disconnect(is_ours=True)


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_REPORTS", 0.05)


def launcher(fails=False):
    class Mortal:
        """Ray sends a class inside a function by value."""

        def __init__(self, life):
            if fails:
                raise ValueError("no such thing here")
            self.life = life

        def report(self):
            return (self.life, os.getpid())

        def close(self):
            pass

    remote = ray.remote(Mortal).options(num_cpus=0)
    return lambda life: remote.remote(life)


def test_the_dead_are_replaced_and_counted():
    members = [Member("actor", index, launcher()) for index in range(2)]
    supervisor = Supervisor(members)
    try:
        wait_for(lambda: supervisor.look(0.05) and members[0].report, "first report")
        (row,) = supervisor.rows()
        assert (row.kind, row.wanted, row.restarts) == ("actor", 2, 0)
        life, pid = members[0].report
        assert life == 0
        os.kill(pid, 9)
        wait_for(
            lambda: [supervisor.look(0.05)] and members[0].report and members[0].life == 1,
            "second life",
        )
        assert members[0].report[0] == 1 and members[0].report[1] != pid
        wait_for(lambda: [supervisor.look(0.05)] and members[1].report, "the other one")
        (row,) = supervisor.rows()
        assert (row.alive, row.restarts) == (2, 1)
    finally:
        supervisor.close()


def test_what_dies_of_itself_ends_the_run():
    member = Member("replay", 3, launcher(fails=True))
    supervisor = Supervisor([member])
    message = "^replay 3 died 5 times in a row: ValueError: no such thing here"
    with pytest.raises(ProcessFailure, match=message):
        wait_for(lambda: supervisor.look(0.05), "a report", seconds=60)
    assert member.life == 4


def test_parameters_reach_those_who_read_and_outlive_the_board():
    board = ray.remote(Board).options(num_cpus=0, max_restarts=-1).remote()
    publisher, reader = Publisher(board), BoardReader(board)
    try:
        params = {"w": np.arange(100_000, dtype=np.float32)}
        publisher.publish(3, params)
        version, got = reader.get()
        assert version == 3 and (np.asarray(got["w"]) == params["w"]).all()
        ray.get(board.announce.remote(("a:1",)))
        assert reader.address(0) == "a:1"

        ray.kill(board, no_restart=False)
        began = time.monotonic()
        assert reader.get()[0] == 3  # Serves on, and does not wait.
        assert time.monotonic() - began < 1.0
        publisher.publish(4, {"w": params["w"] + 1})
        wait_for(lambda: reader.get()[0] == 4, "the next version")
        assert float(reader.get()[1]["w"][5]) == 6.0
        # A learner that was restarted goes back.
        publisher.publish(2, params)
        wait_for(lambda: reader.get()[0] == 2, "an earlier version")
        reader.close()
        with pytest.raises(Closed):
            reader.get()
    finally:
        publisher.close()
        ray.kill(board)
