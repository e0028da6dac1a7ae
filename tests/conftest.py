"""Options and fixtures that all tests share."""

import gc
import os
import sys
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parent.parent / ".pytest_cache" / "jax"

# Files that take longest begin first, so that no worker ends long after the others.
LONGEST = (
    "launchers/cluster",
    "launchers/self_play/test_runner.py",
    "test_docs.py",
    "envs/board/test_game_contract.py",
    "agents/test_agent_contract.py",
    "networks/test_core_contract.py",
    "networks/test_memo.py",
    "launchers/arena/test_engines.py",
    "envs/board/test_chess.py",
    "envs/board/test_shogi.py",
)

# Two CPU devices, so that sharding is tested everywhere, and no time for making programs
# fast that run for a moment, nor for cutting them up: the workers compile beside each
# other. Must precede the import of jax.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0 "
    "--xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Where in the source each operation stands is written into programs for a debugger alone.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
# Most of the time goes into compiling; what has been compiled once is found again.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(CACHE / f"py{sys.version_info.minor}")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# Images of containers often forbid it: each worker, and each process that a test starts,
# would compile all that it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Tracing makes so many objects that Python would search for garbage all the time.
gc.set_threshold(100_000, 20, 20)


def pytest_xdist_auto_num_workers():
    """One more than there are cores: many tests wait, for a process or a clock."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser):
    parser.addoption(
        "--core",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="run the memory-core contract on a core of your own too",
    )


def pytest_generate_tests(metafunc):
    if "core_name" in metafunc.fixturenames:
        import tolman.networks.cores  # noqa: F401
        from tolman.networks.core import CORES

        metafunc.parametrize(
            "core_name", [*sorted(CORES), *metafunc.config.getoption("core")]
        )


def pytest_xdist_make_scheduler(config, log):
    """Tests of one file run in one process: they share what they have compiled.

    Those of a cluster all do, for one machine has one set of Ray's ports. Marks of
    pytest-xdist's own for such groups have no effect with pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "cluster" if "/cluster/" in file else file

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items):
    items.sort(key=_begins)  # Tests of one file keep their order.


def _begins(item):
    """The place in `LONGEST` of what holds a test, or the place behind all of them."""
    path = str(item.path.relative_to(Path(__file__).parent))
    places = [place for place, part in enumerate(LONGEST) if path.startswith(part)]
    return min(places, default=len(LONGEST))


def pytest_collection_finish():
    """What has been imported by now lives on: it need not be searched for garbage."""
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled():
    """What one file has compiled no other asks for: a worker would hold all of it.

    What lives on is imported or cached for good; without `gc.freeze`, each later file
    would have all of it searched for garbage again.
    """
    yield
    import jax

    jax.clear_caches()
    gc.collect()
    gc.freeze()
