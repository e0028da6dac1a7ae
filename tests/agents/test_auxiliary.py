"""Auxiliary tasks by name, their weights, and what they read."""

import sys
import types

import jax
import jax.numpy as jnp
import pytest
from dm_env import specs
from toys import CountingTask, make_agent

from tolman.agents.agent import Unroll
from tolman.agents.auxiliary import (
    AUXILIARY_TASKS,
    AuxiliaryTask,
    auxiliary_loss,
    make_auxiliary_tasks,
    register_auxiliary_task,
)
from tolman.envs.environment import TimeStep

SPEC = specs.Array((2,), float, "observation")


@pytest.fixture
def clock(monkeypatch):
    """A task "clock" of cost 0.5, in a module of a user's own."""
    module = types.ModuleType("a_users_tasks")

    def make(observation_spec):
        assert observation_spec is SPEC
        return AuxiliaryTask("clock", 0.5, lambda features: None, lambda guess, unroll: 0)

    module.clock, module.other = make, lambda observation_spec: make(observation_spec)
    monkeypatch.setitem(sys.modules, "a_users_tasks", module)
    register_auxiliary_task("clock")(make)
    yield module
    del AUXILIARY_TASKS["clock"]


def test_tasks_are_chosen_by_name_and_weighed(clock):
    (own,) = make_auxiliary_tasks(["clock"], [], SPEC)
    (weighed,) = make_auxiliary_tasks(["a_users_tasks:clock"], [3.0], SPEC)
    assert (own.cost, weighed.cost) == (0.5, 3.0) and own.name == weighed.name == "clock"


@pytest.mark.parametrize(
    "names, costs, message",
    [
        (["clok"], [], "'clok' is unknown: use one of clock, ponder"),
        (["a_users_tasks:other"], [], "is not registered"),
        (["a_users_tasks:none"], [], "not found .*has no attribute 'none'"),
        (["no_such_module:x"], [], "not found .*No module named"),
        (["clock"], [1.0, 2.0], r"must be as many as auxiliary_tasks, 1"),
        (["clock", "a_users_tasks:clock"], [], "'clock' is chosen twice"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(clock, names, costs, message):
    with pytest.raises(ValueError, match=message) as refusal:
        make_auxiliary_tasks(names, costs, SPEC)
    assert "\n" not in str(refusal.value)


def test_losses_and_their_sum_by_hand():
    guesses = {"a": jnp.array([[1.0, 5], [2, 3]]), "b": jnp.array([[4.0, 9], [0, 2]])}
    mask = jnp.array([[1.0, 0], [1, 1]])  # Two decisions of two copies, three that count.

    def count(guess, unroll, mask):
        return {"counted": mask.sum()}

    tasks = [
        AuxiliaryTask("a", 2.0, None, lambda guess, unroll: guess, metrics=count),
        AuxiliaryTask("b", 0.5, None, lambda guess, unroll: unroll * guess),
    ]
    total, metrics = auxiliary_loss(tasks, guesses, 10.0, mask)
    # 1 + 2 + 3 and 40 + 0 + 20: sums over time, means over copies; the cost of each.
    assert float(total) == 2.0 * 6 / 2 + 0.5 * 60 / 2
    assert {name: float(value) for name, value in metrics.items()} == {
        "loss/a": 2.0, "a/counted": 3.0, "loss/b": 20.0,
    }  # fmt: skip
    _, metrics = auxiliary_loss(tasks[:1], guesses, 10.0, 0.0 * mask)
    assert float(metrics["loss/a"]) == 0.0


def test_a_taken_name_is_refused(clock):
    with pytest.raises(ValueError, match="'clock' is taken"):
        register_auxiliary_task("clock")(clock.other)


def test_pondering_needs_a_core_that_hops():
    agent = make_agent("actor_critic", CountingTask(), "lstm", auxiliary_tasks=("ponder",))
    with pytest.raises(ValueError, match=r"takes no hops\. Set --core memo"):
        jax.eval_shape(agent.init, jax.random.PRNGKey(0))
    hops = make_agent(
        "actor_critic", CountingTask(), "memo", auxiliary_tasks=("ponder",),
        auxiliary_costs=(0.25,),
    )  # fmt: skip
    (task,) = hops._auxiliary_tasks
    assert (task.name, task.cost) == ("ponder", 0.25)
    assert task.loss(jnp.arange(4.0), None).tolist() == [0.0, 1.0, 2.0]


def test_a_task_reads_features_core_state_and_the_unroll():
    seen = {}

    def head(features):
        seen.update(features._asdict())
        return features.core.mean(-1)

    def loss(guess, unroll):
        seen["observation"] = unroll.timestep.observation
        return jnp.square(guess - unroll.timestep.observation[..., 0])[:-1]

    task = AuxiliaryTask("first", 1.0, head, loss)
    agent = make_agent("actor_critic", CountingTask(), "lstm", [task])
    learner = jax.eval_shape(agent.init, jax.random.PRNGKey(0))
    assert seen["torso"].shape == (1, 256) and seen["core_state"].cell.shape == (1, 48)
    rows = jnp.zeros((11, 2))
    timestep = TimeStep(rows, rows, rows, jnp.zeros((11, 2, 2)), rows)
    state = agent.initial_actor_state(2)
    unroll = Unroll(timestep, jnp.zeros((10, 2), int), jnp.zeros((10, 2, 2)), state)
    arguments = (learner.params, unroll, learner.hyperparameters, jnp.float32(0.0))
    assert "loss/first" in jax.eval_shape(agent.loss, *arguments).metrics
    assert seen["core"].shape == (11, 2, 48) and seen["observation"].shape == (11, 2, 2)
