"""A cluster of two nodes on this machine, and a look at what a run leaves behind."""

import os
import sys

import pytest
from cluster_runs import ray_processes, role_processes, wait_for

collect_ignore_glob = ["test_*.py"] if sys.version_info >= (3, 12) else []


@pytest.fixture
def leftovers():
    """Fails a test after which roles shared memory or a Ray of its own are left over."""
    before, rays = set(os.listdir("/dev/shm")), ray_processes()
    yield
    wait_for(lambda: not role_processes(), "end of all roles")
    wait_for(lambda: ray_processes() <= rays, "end of Ray")
    assert set(os.listdir("/dev/shm")) <= before


@pytest.fixture(scope="module")
def two_nodes():
    """A cluster with a head and one more node; the address in `.address`."""
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 2**27}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 4, **small, "include_dashboard": False},
    )
    cluster.add_node(num_cpus=4, **small)
    yield cluster
    cluster.shutdown()
