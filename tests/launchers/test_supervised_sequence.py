"""A sequence of sources of examples in one run: its parts, its ends, and its bits."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.classifier import Classifier, ClassifierConfig
from tolman.agents.ewc import Elastic, ElasticConfig
from tolman.envs.classification.task import Examples
from tolman.launchers.device.supervised import SupervisedRunner
from tolman.launchers.device.supervised_sequence import SourcePart, SupervisedSequenceRunner
from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.launchers.studies.stages import run_stage

KEYS = jax.random.PRNGKey(4)[None]


class Shifted(NamedTuple):
    """Class 1 where a number is above the shift."""

    shift: float
    num_rows: int = 8

    def load(self, split):
        x = jnp.linspace(-1.0, 1.0, self.num_rows if split == "train" else 5)
        return x, jnp.float32(self.shift)

    def sample(self, data, key, batch_size):
        x = jax.random.choice(key, data[0], (batch_size, 1))
        return Examples(x, (x[:, 0] > data[1]).astype(jnp.int32))


PARTS = [SourcePart("low", Shifted(-0.5), 4), SourcePart("high", Shifted(0.5), 3)]
AGENT = Classifier(ClassifierConfig((3,), batch_size=6), SimpleNamespace(num_classes=2))


def score(params, data):
    """What the split's arrays are, and the parameters."""
    return data[1] + 10.0 * len(data[0]) + 0.0 * jax.tree.leaves(params)[0].sum()


def told(learner, data, key, index):
    """An end that the parameters show: they become what they were told of."""
    params = jax.tree.map(lambda leaf: jnp.full_like(leaf, data[1] + index), learner.params)
    return learner._replace(params=params)


def trained(runner, chunks, total=7):
    state, rows = runner.prepare(runner.init(KEYS), total), []
    for num_updates in chunks:
        state, row = runner.train(state, num_updates)
        rows.append(row)
    return jax.device_get(state), rows


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_the_first_part_is_a_run_of_its_own_and_the_others_have_their_arrays():
    runner = SupervisedSequenceRunner(AGENT, PARTS, score=score)
    assert runner.num_updates == 7 and runner.unit == "updates"
    state, (row,) = trained(runner, [4])
    alone = SupervisedRunner(AGENT, PARTS[0].source)
    expected, _ = alone.train(alone.prepare(alone.init(KEYS), 7), 4)
    same(state, jax.device_get(expected))
    assert row["task/index"] == 0 and runner.task_ends == (4, 7)
    assert row["eval/low/accuracy"] == 49.5 and row["eval/high/accuracy"] == 50.5
    assert {"untrained/low/accuracy", "untrained/high/accuracy"} <= row.keys()
    # Goes on as a run on the second source would from there.
    state, (_, row) = trained(runner, [4, 3])
    alone.use(PARTS[1].source.load("train"))
    expected, _ = alone.train(expected, 3)
    same(state, jax.device_get(expected))
    assert row["task/index"] == 1 and runner.counts(state) == (7, 7)
    assert "untrained/low/accuracy" not in row  # In the first row alone.
    assert runner.num_compilations() == 1


def test_scores_are_of_the_split_that_is_asked_for():
    runner = SupervisedSequenceRunner(AGENT, PARTS, score=score, score_split="train")
    found = runner.scores(runner.init(KEYS))
    assert found == {"eval/low/accuracy": 79.5, "eval/high/accuracy": 80.5}


@pytest.mark.parametrize("chunks", [[7], [2, 5], [4, 3], [1, 0, 3, 1, 2], [7, 2]])
def test_bits_do_not_depend_on_the_cuts(chunks):
    runner = SupervisedSequenceRunner(AGENT, PARTS, on_end=told)
    state, rows = trained(runner, chunks)
    whole, _ = trained(runner, [sum(chunks)])
    same(state, whole)
    assert state.updates.tolist() == [sum(chunks)]
    assert all(
        np.isfinite(row["loss/total"]).all()
        for row in rows
        if row.get("loss/total") is not None
    )


def test_the_end_of_a_part_is_told_once_with_its_arrays():
    runner = SupervisedSequenceRunner(AGENT, PARTS, on_end=told)
    state, _ = trained(runner, [4])
    before = jax.tree.leaves(state.learner.params)
    assert not any((leaf == -0.5).all() for leaf in before)  # Not before the next begins.
    frozen = Classifier(
        ClassifierConfig((3,), batch_size=6, learning_rate=1e-30),
        SimpleNamespace(num_classes=2),
    )
    runner = SupervisedSequenceRunner(frozen, [*PARTS, PARTS[0]], on_end=told)
    state, _ = trained(runner, [5], total=11)
    for leaf in jax.tree.leaves(state.learner.params):
        np.testing.assert_allclose(leaf, -0.5)  # Its shift, and index 0.
    state, _ = trained(runner, [9], total=11)
    for leaf in jax.tree.leaves(state.learner.params):
        np.testing.assert_allclose(leaf, 0.5 + 1)


def test_an_end_at_which_a_run_was_broken_off_is_told_with_its_arrays():
    frozen = Classifier(
        ClassifierConfig((3,), batch_size=6, learning_rate=1e-30),
        SimpleNamespace(num_classes=2),
    )
    runners = [
        SupervisedSequenceRunner(frozen, [*PARTS, PARTS[0]], on_end=told) for _ in range(2)
    ]
    state, _ = trained(runners[0], [7], total=11)
    fresh = runners[1]  # It has loaded the arrays of the first part.
    state, _ = fresh.train(fresh.prepare(fresh.place(state), 11), 1)
    for leaf in jax.tree.leaves(jax.device_get(state).learner.params):
        np.testing.assert_allclose(leaf, 0.5 + 1)


def test_a_run_that_was_broken_off_goes_on_to_the_same_bits(tmp_path):
    elastic = Elastic(AGENT, ElasticConfig(10.0))

    def end(learner, data, key, index):
        return elastic.consolidate(learner, PARTS[0].source.sample(data, key, 20), key)

    def run(folder, **how):
        runner = SupervisedSequenceRunner(elastic, PARTS, on_end=end)
        return run_stage(folder, runner, KEYS, 7, num_rows=7, **how)

    whole = run(tmp_path / "whole")
    cut = run(
        tmp_path / "cut", after_row=lambda state, counts, seconds: counts.updates == 4
    )
    assert cut.units[-1] == 4
    kept = Checkpoints(tmp_path / "cut" / "checkpoints").latest()
    assert kept == 4
    runner = SupervisedSequenceRunner(elastic, PARTS, on_end=end)
    state = runner.init(KEYS)
    state = Checkpoints(tmp_path / "cut" / "checkpoints").restore(state, kept).state
    state = runner.prepare(runner.place(state), 7)
    state, _ = runner.train(state, 3)
    same(jax.device_get(runner.params(state)), whole.params)
    assert float(state.learner.quadratic.fisher["mlp/~/linear_0"]["w"].sum()) > 0


def test_what_cannot_be_a_sequence_is_refused():
    with pytest.raises(ValueError, match=r"parts=\(\): must hold at least one source"):
        SupervisedSequenceRunner(AGENT, [])
    runner = SupervisedSequenceRunner(
        AGENT, [PARTS[0], SourcePart("other", Shifted(0.0, num_rows=9), 2)]
    )
    with pytest.raises(
        ValueError, match=r"data of float32\[9\].*shapes of those before, float32\[8\]"
    ):
        trained(runner, [5])
