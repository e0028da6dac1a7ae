"""A sequence of environments in one run: its parts, its switch, and its bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import CountingTask, make_agent

from tolman.envs.meta_rl import TwoStep
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


def forget(learner, key, index):
    """A switch that the parameters show: they become what the index says."""
    return learner._replace(
        params=jax.tree.map(lambda leaf: jnp.full_like(leaf, index), learner.params)
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
    assert runner.num_env_steps == 7 * PER_UPDATE
    state, (row,) = trained(runner, [4])
    alone = OnDeviceRunner(agent, PARTS[0].environment)
    expected, _ = alone.train(alone.prepare(alone.init(KEYS), 7), 4)
    same(state.learner, jax.device_get(expected.learner))
    assert row["task/index"] == 0 and row["train/episode_length"] == 3
    assert np.isfinite(row["eval/short/episode_return"]).all()
    assert np.isfinite(row["eval/long/episode_return"]).all()
    state, (_, row) = trained(runner, [4, 3])
    assert runner.counts(state) == (7, 70)
    assert row["task/index"] == 1 and row["train/episode_length"] == 4


def test_cut_anywhere_and_restored_it_goes_on_to_the_same_bits(agent, tmp_path):
    whole, _ = trained(SequenceRunner(agent, PARTS), [7])
    for at in (2, 4, 5):
        runner = SequenceRunner(agent, PARTS)
        half, _ = trained(runner, [at])
        Checkpoints(tmp_path / str(at)).save(at, half, {})
        fresh = SequenceRunner(agent, PARTS)
        restored = Checkpoints(tmp_path / str(at)).restore(fresh.init(KEYS)).state
        state = fresh.prepare(fresh.place(restored), 7)
        same(jax.device_get(fresh.train(state, 7 - at)[0]), whole)


def test_the_switch_is_told_once_or_not_at_all(agent):
    untold, _ = trained(SequenceRunner(agent, PARTS), [4])
    told, _ = trained(SequenceRunner(agent, PARTS, on_switch=forget), [4])
    same(told, untold)  # It is told when the next part begins.
    runner = SequenceRunner(agent, PARTS, on_switch=forget)
    whole, _ = trained(runner, [7])
    parted, _ = trained(runner, [4, 2, 1])
    same(whole, parted)
    untold, _ = trained(SequenceRunner(agent, PARTS), [7])
    leaves = jax.tree.leaves(whole.learner.params), jax.tree.leaves(untold.learner.params)
    assert any(np.any(a != b) for a, b in zip(*leaves, strict=True))
    assert min(np.abs(leaf).max() for leaf in leaves[0]) > 0.5  # All were set to 1.


def test_a_stage_of_a_study_trains_a_sequence(agent, tmp_path):
    stage = run_stage(tmp_path / "s", SequenceRunner(agent, PARTS), KEYS, 70, num_rows=7)
    assert stage.curves["task/index"][:, 0].tolist() == [0] * 4 + [1] * 3
    assert stage.units.tolist() == [10, 20, 30, 40, 50, 60, 70]


def test_specs_that_differ_are_refused_in_one_line(agent):
    other = Part("other", TwoStep(), 10)
    with pytest.raises(ValueError, match="environment 'other': observation_spec") as caught:
        SequenceRunner(agent, [PARTS[0], other])
    assert "\n" not in str(caught.value)
