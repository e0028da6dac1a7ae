"""Starts Ray on this machine, or joins a running cluster, and checks its resources."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray._private import ray_constants
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tolman.envs.places import summary
from tolman.launchers.settings.config import TrainConfig

NAMESPACE = "tolman"
OBJECT_STORE_BYTES = 2**30  # Of a Ray that is started for one run.
SECONDS_TO_CONNECT = 5.0
START_ATTEMPTS = 2
SECONDS_TO_PROBE = 120.0
# Tolman reports in its own log what Ray would print on standard error.
OPTIONS: dict[str, Any] = {
    "namespace": NAMESPACE,
    "log_to_driver": False,
    "logging_level": logging.ERROR,
}

logger = logging.getLogger(__name__)


class Roles(NamedTuple):
    """How many processes a run has.

    Attributes:
      actors: that act.
      shards: servers that share out the data.
      evaluators: 0 or 1.
      gpus: of the learner.
    """

    actors: int
    shards: int
    evaluators: int
    gpus: int

    @property
    def cpus(self) -> int:
        """One for each process; the parameter server takes none."""
        return self.actors + self.shards + self.evaluators + 1

    def __str__(self) -> str:
        return (
            f"{self.actors} actors, {self.shards} replay servers, 1 learner, "
            f"{self.evaluators} evaluators"
        )


def connect(config: TrainConfig, roles: Roles) -> bool:
    """Connects this process to a Ray with enough CPUs and GPUs for the roles.

    An existing connection is used as it is.

    Args:
      config: with the address.
      roles: of the run.

    Returns:
      Whether a connection was made, which `disconnect` has to end.

    Raises:
      ValueError: if there is no cluster at the address, or it has too few CPUs or GPUs.
    """
    is_ours = not ray.is_initialized()
    with _keep_stop_handler():
        if config.address is not None and is_ours:
            join(config.address)
        elif is_ours:
            start(roles.cpus)
    try:
        _check_room(roles)
        if config.address is not None:
            _check_nodes(_modules(config))
    except ValueError:
        disconnect(is_ours)
        raise
    return is_ours


def start(num_cpus: int) -> None:
    """Starts a Ray on this machine for this process.

    It listens on loopback only. Ray's CPUs count processes here, not cores: it is told that
    there are as many as are needed.

    Ray gives its processes half a minute, which a busy machine may exceed: it is started a
    second time then.

    Raises:
      ValueError: if it does not start.
    """
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            with _on_loopback(), _in_this_environment():
                ray.init(
                    address="local",
                    num_cpus=max(os.cpu_count() or 1, num_cpus),
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    **OPTIONS,
                )
            return
        except Exception as error:  # Ray has no type of its own for this.
            ray.shutdown()
            reason = summary(error)
            if attempt < START_ATTEMPTS:
                logger.warning("Ray did not start (%s): trying again.", reason)
                continue
            raise ValueError(
                f"launcher='ray': Ray did not start on this machine ({reason}). It needs "
                "a free core for some seconds: try again when there is one."
            ) from error


@contextlib.contextmanager
def _keep_stop_handler() -> Iterator[None]:
    """Puts the handler of SIGTERM back, which Ray replaces: a run saves before it stops."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Has a Ray that starts meanwhile listen on 127.0.0.1 only, with all its processes.

    Ray does so where it supports no clusters; it has no other setting for it.
    """
    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before, enabled = os.environ.get(name), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@contextlib.contextmanager
def _in_this_environment() -> Iterator[None]:
    """Has the processes of a Ray that is joined meanwhile run where Tolman is installed.

    Under `uv run` Ray would copy the current folder and install all of its dependencies
    once more: gigabytes and minutes for every start.
    """
    before = ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV
    ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False
    try:
        yield
    finally:
        ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = before


def disconnect(is_ours: bool) -> None:
    """Ends a connection that `connect` made, and a Ray that it started."""
    if is_ours:
        ray.shutdown()


def join(address: str) -> None:
    """Connects to a cluster and sends its machines the code of this process."""
    if address != "auto":
        _check_address(address)
    with tempfile.TemporaryDirectory(prefix="tolman-") as folder:
        code = stage(Path(folder))
        try:
            with _in_this_environment():
                ray.init(
                    address=address, runtime_env={"py_modules": [str(code)]}, **OPTIONS
                )
        except ConnectionError as error:
            raise _no_cluster(address) from error
        except RuntimeError as error:
            reason = summary(error)
            raise ValueError(
                f"address={address!r}: the cluster cannot be joined ({reason}). All "
                "machines need the same Python, Ray and authentication token."
            ) from error


def stage(folder: Path) -> Path:
    """Copies Tolman's four packages, wherever they are installed, into one folder.

    Ray sends it to every machine of a cluster, so that all run the driver's code and need
    only its dependencies. A package that is installed in place has no such folder.

    Returns:
      `folder/tolman`.
    """
    import tolman.agents
    import tolman.envs
    import tolman.launchers
    import tolman.networks

    packages = (tolman.agents, tolman.envs, tolman.launchers, tolman.networks)
    for package in packages:
        source = Path(package.__path__[0])
        target = folder / "tolman" / package.__name__.rpartition(".")[2]
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "tolman"


def _modules(config: TrainConfig) -> list[str]:
    """The modules that every machine must import, the user's own included."""
    named = [getattr(config, noun) for noun in ("agent", "env", "core")]
    own = [name.partition(":")[0] for name in named if ":" in name]
    return ["reverb", "tolman.launchers.cluster.session", *own]


def _check_nodes(modules: list[str]) -> None:
    """Raises ValueError for the first machine that cannot import one of the modules."""

    # Ray sends a function inside a function by value: this one asks what is missing, so
    # it must not itself be looked up in a module that may be.
    def missing(modules: list[str]) -> str:
        import importlib
        import importlib.util

        for name in modules:
            try:
                if importlib.util.find_spec(name) is None:
                    return f"there is no module {name}"
                if name.startswith("tolman"):
                    importlib.import_module(name)
            except ImportError as error:
                return f"importing {name} failed: {error}"
        return ""

    nodes = [node for node in ray.nodes() if node["Alive"]]
    probe = ray.remote(num_cpus=0, max_retries=0)(missing)
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    answers = [probe.options(scheduling_strategy=p).remote(modules) for p in places]
    for node, answer in zip(nodes, answers, strict=True):
        where = f"the machine at {node['NodeManagerAddress']}"
        try:
            reason = ray.get(answer, timeout=SECONDS_TO_PROBE)
        except RayError as error:
            reason = f"no answer: {summary(error)}"
        if reason:
            raise ValueError(
                f"{where} of the Ray cluster cannot run Tolman ({reason}). Install Tolman "
                "and your own packages there from wheels, not in place (pip install -e)."
            )


def _check_address(address: str) -> None:
    """Raises ValueError unless somebody listens at `host:port`."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(
            f"address={address!r}: must be auto or host:port, as `ray start --head` says "
            "it. Set --address."
        )
    try:
        socket.create_connection((host, int(port)), SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise _no_cluster(address) from error


def _no_cluster(address: str) -> ValueError:
    return ValueError(
        f"address={address!r}: no Ray cluster is there. Start one with `ray start --head`, "
        "or leave --address out for one on this machine."
    )


def _check_room(roles: Roles) -> None:
    """Raises ValueError where the cluster has too few CPUs or GPUs, busy or not."""
    there = ray.cluster_resources()
    for what, needed, fix in (
        ("CPU", roles.cpus, "Set --actors lower, or add machines."),
        ("GPU", roles.gpus, "Set --learner-gpus 0, or add a machine that has one."),
    ):
        got = int(there.get(what, 0))
        if got < needed:
            raise ValueError(
                f"the Ray cluster has {got} {what}s: {roles} need {needed}. {fix}"
            )
