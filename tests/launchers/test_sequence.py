"""A sequence of environments in one run: its parts, its switch, and its bits."""

import copy
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import CountingTask, make_agent

from tolman.envs.meta_rl import TwoStep
from tolman.launchers.device import sequence
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.device.sequence import Part, SequenceRunner
from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.launchers.studies.stages import run_stage

PER_UPDATE = 5 * 2
PARTS = [
    Part("short", CountingTask(episode_length=3), 4 * PER_UPDATE),
    Part("long", CountingTask(episode_length=4), 3 * PER_UPDATE - 1),
]
KEYS = jax.random.PRNGKey(4)[None]


@pytest.fixture(scope="module")
def agent():
    return make_agent("meta_rl", PARTS[0].environment, "feedforward", unroll_length=5)


def forget(learner, examples, key, ended, begun):
    """A switch that the parameters show: they become what the numbers say."""
    assert examples is None  # Of a queue.
    return learner._replace(
        params=jax.tree.map(
            lambda leaf: jnp.full_like(leaf, 10 * ended + begun), learner.params
        )
    )


def trained(runner, chunks, total=7):
    state, rows = runner.prepare(runner.init(KEYS), total), []
    for num_updates in chunks:
        state, row = runner.train(state, num_updates)
        rows.append(row)
    return jax.device_get(state), rows


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_the_first_part_is_a_run_of_its_own_and_the_counts_go_on(agent):
    runner = SequenceRunner(agent, PARTS, num_eval_episodes=2)
    assert runner.num_env_steps == 7 * PER_UPDATE - 1
    state, (row,) = trained(runner, [4])
    alone = OnDeviceRunner(agent, PARTS[0].environment)
    expected, _ = alone.train(alone.prepare(alone.init(KEYS), 4), 4)
    same(state.learner, jax.device_get(expected.learner))
    assert row["task/index"] == 0 and row["train/episode_length"] == 3
    assert np.isfinite(row["eval/short/episode_return"]).all()
    assert np.isfinite(row["eval/long/episode_return"]).all()
    state, (_, row) = trained(runner, [4, 3])
    assert runner.counts(state) == (7, 70)
    assert row["task/index"] == 1 and row["train/episode_length"] == 4


def test_cut_anywhere_and_restored_it_goes_on_to_the_same_bits(agent, tmp_path):
    runner, fresh = SequenceRunner(agent, PARTS), SequenceRunner(agent, PARTS)
    whole, _ = trained(runner, [7])
    for at in (2, 4, 5):
        half, _ = trained(runner, [at])
        Checkpoints(tmp_path / str(at)).save(at, half, {})
        restored = Checkpoints(tmp_path / str(at)).restore(fresh.init(KEYS)).state
        state = fresh.prepare(fresh.place(restored), 7)
        same(jax.device_get(fresh.train(state, 7 - at)[0]), whole)


def test_the_switch_is_told_once_or_not_at_all(agent):
    plain = SequenceRunner(agent, PARTS)
    runner = SequenceRunner(agent, PARTS, on_switch=forget)
    untold, _ = trained(plain, [4])
    told, _ = trained(runner, [4])
    same(told, untold)  # It is told when the next part begins.
    whole, _ = trained(runner, [7])
    parted, _ = trained(runner, [4, 2, 1])
    same(whole, parted)
    untold, _ = trained(plain, [7])
    leaves = jax.tree.leaves(whole.learner.params), jax.tree.leaves(untold.learner.params)
    assert any(np.any(a != b) for a, b in zip(*leaves, strict=True))
    assert min(np.abs(leaf).max() for leaf in leaves[0]) > 0.5  # All were set to 1.


def test_a_stage_of_a_study_trains_a_sequence(agent, tmp_path):
    stage = run_stage(tmp_path / "s", SequenceRunner(agent, PARTS), KEYS, 70, num_rows=7)
    assert stage.curves["task/index"][:, 0].tolist() == [0] * 4 + [1] * 3
    assert stage.units.tolist() == [10, 20, 30, 40, 50, 60, 70]


def test_a_row_ends_where_a_task_does(agent, tmp_path):
    runner = SequenceRunner(agent, PARTS)
    assert runner.task_ends == (4, 7)
    stage = run_stage(tmp_path / "s", runner, KEYS, 70, num_rows=2)  # Every 3 updates.
    assert stage.units.tolist() == [30, 40, 60, 70]
    assert stage.curves["task/index"][:, 0].tolist() == [0, 0, 1, 1]


def test_tasks_are_evaluated_before_the_first_update(agent):
    runner = SequenceRunner(agent, PARTS, num_eval_episodes=3)
    before = runner.evaluate(runner.init(KEYS), 3)
    _, rows = trained(runner, [2, 2, 3])
    for name in ("short", "long"):
        first = rows[0][f"untrained/{name}/episode_return"]
        np.testing.assert_array_equal(first, before[f"eval/{name}/episode_return"])
    assert not any(key.startswith("untrained/") for row in rows[1:] for key in row)


BACK = [*PARTS, Part("short", PARTS[0].environment, 2 * PER_UPDATE)]


def test_one_that_returns_goes_on_where_it_stood(agent):
    runner = SequenceRunner(agent, BACK, num_eval_episodes=2)
    assert runner.total_updates(1) == 9 and [*runner.environments] == ["short", "long"]
    state, rows = trained(runner, [4, 3, 2], total=9)
    assert [int(row["task/index"][0]) for row in rows] == [0, 1, 2]
    assert [float(row["train/episode_length"][0]) for row in rows] == [3, 4, 3]
    assert [int(place["updates"][0]) for place in state.places] == [6, 3]
    assert runner.counts(state) == (9, 90) and int(state.updates[0]) == 9
    told = SequenceRunner(agent, BACK, on_switch=forget)
    state, _ = trained(told, [7, 2], total=9)  # Told of 1 to 0 too: near 10, not 1.
    assert min(np.abs(leaf).max() for leaf in jax.tree.leaves(state.learner.params)) > 5


@pytest.fixture(scope="module")
def replaying():
    return make_agent(
        "dqn", PARTS[0].environment, "feedforward", unroll_length=1, n_step=1,
        batch_size=4, min_size=8, capacity=64, samples_per_insert=2.0, torso_size=4,
        replay="uniform", exploration_share=1.0, epsilon=1.0, final_epsilon=0.0,
    )  # fmt: skip


# The first 8 env steps fill the replay of each, then 2 give an update.
STEPS = [Part("long", PARTS[1].environment, 28), Part("short", PARTS[0].environment, 18)]


def test_each_environment_has_its_replay_and_its_clock(replaying):
    runner = SequenceRunner(replaying, STEPS, num_envs=2)
    assert runner.num_env_steps == 46
    state, (first, second, third) = trained(runner, [10, 1, 4], total=15)
    assert runner.counts(state) == (15, 46)
    assert float(first["replay/num_items"][0]) == np.mean(range(10, 30, 2))
    assert float(second["replay/num_items"][0]) == 10  # It fills one of its own.
    # Epsilon falls from 1 to 0 over the share of each.
    assert float(second["train/epsilon"][0]) == 1.0
    assert float(third["train/epsilon"][0]) == pytest.approx(np.mean([0.8, 0.6, 0.4, 0.2]))


def test_the_switch_is_given_examples_of_what_ended(replaying):
    def show(learner, examples, key, ended, begun):
        seen = examples.timestep.observation[..., 0]  # The time within an episode.
        assert seen.shape == (2, 3 * 4)  # [T + 1, B], of three batches.
        assert examples.action.shape[1] == 3 * 4
        batches = jnp.split(seen, 3, 1)
        are_others = (batches[0] != batches[1]).any() & (batches[1] != batches[2]).any()
        told = jnp.stack([seen.max(), ended, begun, are_others])
        weights = jax.tree.map(lambda leaf: jnp.resize(told, leaf.shape), learner.params)
        return learner._replace(params=weights)

    class Asks(type(replaying)):
        num_switch_batches = 3

    asking = copy.copy(replaying)
    asking.__class__ = Asks
    runner = SequenceRunner(asking, STEPS, num_envs=2, on_switch=show)
    state, _ = trained(runner, [10], total=15)
    learner = runner._switch(state, 0, 1).learner
    bias = jax.tree.leaves(learner.params.weights)[1]
    assert jnp.ravel(bias)[:4].tolist() in ([4, 0, 1, 1], [3, 0, 1, 1])


def test_a_replay_that_is_cut_off_goes_on_to_the_same_bits_or_is_told(replaying, tmp_path):
    runner, fresh = (SequenceRunner(replaying, STEPS, num_envs=2) for _ in range(2))
    whole, _ = trained(runner, [15], total=15)
    for at in (10, 12):
        half, _ = trained(runner, [at], total=15)
        Checkpoints(tmp_path / str(at)).save(at, half, {})
        restored = Checkpoints(tmp_path / str(at)).restore(fresh.init(KEYS)).state
        state = fresh.prepare(fresh.place(restored), 15)
        same(jax.device_get(fresh.train(state, 15 - at)[0]), whole)
    told = SequenceRunner(replaying, STEPS, num_envs=2, on_switch=lambda state, *_: state)
    state, _ = trained(told, [10], total=15)
    small = told.without_replay(told.place(state))
    assert not small.places[0]["replay"].ring
    emptied = told.with_empty_replay(small)
    assert told.counts(emptied) == told.counts(state)
    with pytest.raises(ValueError, match="environment 'long': its replay is empty where"):
        told.train(emptied, 1)


@pytest.mark.parametrize("eval_greedy", [False, True])
def test_each_is_evaluated_by_parameters_of_its_own(agent, monkeypatch, eval_greedy):
    """Those that the agent has for it, by the present ones, and chance of its own."""

    class Marked(type(agent)):
        def for_task(self, params, task):
            return jax.tree.map(lambda leaf: jnp.full_like(leaf, task + 1.0), params)

    played = []

    def play(player, environment, params, key, number):
        marks = {float(leaf.max()) for leaf in jax.tree.leaves(params)}
        played.append((environment.episode_length, marks, tuple(key.tolist()), number))
        assert (player is marked) == (not eval_greedy)
        return SimpleNamespace(episode_return=np.array([[1.0, 2.0, 6.0]]) * len(played))

    marked = copy.copy(agent)
    marked.__class__ = Marked
    monkeypatch.setattr(sequence, "play_episodes", play)
    runner = SequenceRunner(marked, PARTS, eval_greedy=eval_greedy)
    state = runner.init(KEYS)
    found = runner.evaluate(state, 3)
    assert {name: value.tolist() for name, value in found.items()} == {
        "eval/short/episode_return": [3.0], "eval/long/episode_return": [6.0]
    }  # fmt: skip
    assert [one[:2] for one in played] == [(3, {1.0}), (4, {2.0})]
    assert played[0][2] != played[1][2] and {one[3] for one in played} == {3}
    assert runner.evaluate(state, 0) == {}


def test_environments_that_are_alike_begin_by_chance_of_their_own(agent):
    alike = [Part(name, PARTS[0].environment, PER_UPDATE) for name in "ab"]
    first, second = SequenceRunner(agent, alike).init(KEYS).places
    leaves = zip(*map(jax.tree.leaves, (first, second)), strict=True)
    assert any(np.any(np.asarray(a) != np.asarray(b)) for a, b in leaves)


def test_one_that_follows_itself_is_no_switch(agent):
    def fail(*told):
        raise AssertionError(told)

    runner = SequenceRunner(agent, [PARTS[0], PARTS[0]], on_switch=fail)
    state, _ = trained(runner, [8], total=8)
    assert int(state.updates[0]) == 8


def test_an_agent_without_room_is_refused_in_one_line(agent):
    class Narrow(type(agent)):
        max_tasks = 1

    narrow = copy.copy(agent)
    narrow.__class__ = Narrow
    with pytest.raises(
        ValueError, match="max_tasks=1: must be at least 2, for short, long"
    ):
        SequenceRunner(narrow, PARTS)


def test_specs_that_differ_are_refused_in_one_line(agent):
    other = Part("other", TwoStep(), 10)
    with pytest.raises(ValueError, match="environment 'other': observation_spec") as caught:
        SequenceRunner(agent, [PARTS[0], other])
    assert "\n" not in str(caught.value)
