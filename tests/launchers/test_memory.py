"""What a run must hold is worked out from shapes, before any of it is made."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from dm_env import specs

from tolman.agents.agent import DataSpec
from tolman.launchers.runs import memory

PAGES = {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 1000}  # A machine of 10 kB.


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr("os.sysconf", PAGES.get)


def shape(*sizes, dtype=np.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def job(kind, observation=(), **config):
    source = SimpleNamespace(observation_spec=lambda: observation)
    return SimpleNamespace(kind=kind, source=source, config=SimpleNamespace(**config))


def actor(data, memory_size=1, num_params=1):
    return SimpleNamespace(
        data=data,
        initial_actor_state=lambda size: np.zeros((size, memory_size), np.float32),
        init=lambda key: np.zeros((num_params,), np.float32),
    )


def test_bytes_are_those_of_all_leaves():
    tree = {"a": shape(3, 5), "b": [shape(7, dtype=np.uint8), shape(dtype=np.int16)]}
    assert memory.bytes_of(tree) == 4 * 15 + 7 + 2
    assert memory.bytes_of({"x": specs.Array((4, 2), np.uint8)}) == 8


def test_as_much_as_there_is_may_be_taken():
    memory.check_memory("size=1: all", 10_000)
    message = (
        "size=1: all would take 1e-05 GB, and this machine has 1e-05 GB of memory. Set"
    )
    with pytest.raises(ValueError, match=f"^{message}"):
        memory.check_memory("size=1: all", 10_001)


def test_rows_of_an_update_are_one_more_than_decisions():
    """Rows of 9 + 16 bytes: 4 environments of 100 rows fill the machine."""
    observation = {"image": specs.Array((3, 3), np.uint8)}
    memory.check_job(job("acts", observation), actor(DataSpec(99, 4)))
    with pytest.raises(ValueError, match=r"^batch_size=4, unroll_length=100: the rows"):
        memory.check_job(job("acts", observation), actor(DataSpec(100, 4)))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (actor(DataSpec(1, 4), memory_size=625), None),
        (actor(DataSpec(1, 4), memory_size=626), "batch_size=4 and the core's sizes"),
        (actor(DataSpec(1, 4), num_params=2500), None),
        (actor(DataSpec(1, 4), num_params=2501), "sizes of the agent and its core"),
    ],
)
def test_memories_and_parameters(made, message):
    if message is None:
        memory.check_job(job("acts", specs.Array((1,), np.float32)), made)
        return
    with pytest.raises(ValueError, match=f"^{message}"):
        memory.check_job(job("acts", specs.Array((1,), np.float32)), made)


def test_nodes_of_search_trees():
    """Trees of 50 nodes of 20 bytes: ten games fill the machine."""
    settings = {"num_parallel_games": 10, "num_simulations": 49}
    agent = actor(None)
    agent.config = SimpleNamespace(**settings)
    memory.check_job(job("plays"), agent)
    agent.config.num_simulations = 50
    with pytest.raises(
        ValueError, match=r"^num_parallel_games=10, num_simulations=50: the"
    ):
        memory.check_job(job("plays"), agent)


def test_examples_come_with_the_key():
    agent = SimpleNamespace(init=lambda key, examples: np.zeros(2501) + examples.sum())
    with pytest.raises(ValueError, match=r"^sizes of the agent and its core"):
        memory.check_learner(agent, shape(3))


@pytest.mark.parametrize(
    ("replay", "num_env_steps", "capacity", "free", "warns"),
    [
        # 100 items of 3 rows of 20 bytes are 6 kB in each of 4 checkpoints.
        ("uniform", 200, 1000, 23_999, True),
        ("uniform", 200, 1000, 24_000, False),
        ("uniform", 9999, 100, 23_999, True),
        ("uniform", 9999, 100, 24_000, False),
        ("queue", 200, 1000, 1, False),
    ],
)
def test_replays_that_might_fill_the_disk_are_told(
    replay, num_env_steps, capacity, free, warns, monkeypatch
):
    monkeypatch.setattr(memory, "disk_usage", lambda path: SimpleNamespace(free=free))
    data = DataSpec(2, 4, replay=replay, capacity=capacity, period=2)
    run = job(
        "acts",
        specs.Array((1,), np.float32),
        launcher="local",
        save_replay=True,
        num_env_steps=num_env_steps,
        num_checkpoints_to_keep=3,
    )
    lines = memory.warn_of_replay(run, actor(data), "runs/x")
    assert bool(lines) is warns
    if warns:
        assert "takes up to 6e-06 GB in each checkpoint" in lines[0]
        assert (
            "2.4e-05 GB are free at runs/x" in lines[0] and "--agent.capacity" in lines[0]
        )
