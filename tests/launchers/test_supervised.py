"""The supervised runner, on a regression whose every number is known."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.supervised import Answers, Learned
from tolman.launchers.device.supervised import SupervisedRunner
from tolman.launchers.studies.study import Study


class Pairs(NamedTuple):
    x: jax.Array
    y: jax.Array


class Line:
    """y = 3 x, read from a table."""

    def load(self, split):
        return jnp.linspace(-1.0, 1.0, 11)

    def sample(self, data, key, batch_size):
        x = jax.random.choice(key, data, (batch_size,))
        return Pairs(x, 3.0 * x)


class Learner(NamedTuple):
    params: jax.Array


class Slope:
    """Least squares by gradient descent; `learning_rate` falls to 0 with progress."""

    batch_size = 4

    def __init__(self, learning_rate=0.5):
        self.learning_rate = learning_rate

    def init(self, key, examples):
        assert examples.x.shape == (4,)
        return Learner(jax.random.normal(key))

    def update(self, learner, batch, key, progress):
        def loss(slope):
            return jnp.square(slope * batch.x - batch.y).mean()

        value, gradient = jax.value_and_grad(loss)(learner.params)
        slope = learner.params - self.learning_rate * (1.0 - progress) * gradient
        # Told of every other update only, by chance.
        often = jnp.where(jax.random.bernoulli(key), 1.0, jnp.nan)
        metrics = {"loss/total": value, "progress": progress, "seldom": often}
        metrics["drawn"] = jax.random.uniform(key)
        return Learned(Learner(slope), metrics)

    def answer(self, params, examples, key):
        return Answers(params * examples.x, {})


def _keys(*seeds):
    return jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])


def _trained(runner, keys, chunks, total=12):
    state, metrics = runner.prepare(runner.init(keys), total), None
    for num_updates in chunks:
        state, metrics = runner.train(state, num_updates)
    return jax.device_get(state), jax.device_get(metrics)


@pytest.fixture(scope="module")
def runner():
    return SupervisedRunner(Slope(), Line())


def test_it_learns_and_counts(runner):
    state, metrics = _trained(runner, _keys(0), [12])
    assert state.updates.tolist() == [12]
    assert abs(state.learner.params[0] - 3.0) < 0.5
    assert metrics["progress"][0] == pytest.approx(np.mean(np.arange(12) / 12))


def test_same_seed_same_bits_however_the_updates_are_cut(runner):
    whole, _ = _trained(runner, _keys(4), [12])
    parts, _ = _trained(runner, _keys(4), [1, 0, 8, 3])
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    other, _ = _trained(runner, _keys(5), [12])
    assert other.learner.params != whole.learner.params


@pytest.mark.parametrize("num_devices", [1, 2])
def test_members_are_what_they_would_be_alone(runner, num_devices):
    population = SupervisedRunner(Slope(), Line(), 2, jax.devices()[:num_devices])
    together, metrics = _trained(population, _keys(4, 5), [12])
    for member, seed in enumerate((4, 5)):
        alone, alone_metrics = _trained(runner, _keys(seed), [12])
        assert together.learner.params[member] == pytest.approx(
            alone.learner.params[0], abs=1e-6
        )
        assert metrics["loss/total"][member] == pytest.approx(
            alone_metrics["loss/total"][0], abs=1e-6
        )
    assert population.num_compilations() == 1


def test_nothing_is_compiled_after_the_first_update():
    runner = SupervisedRunner(Slope(), Line(), 2)
    _trained(runner, _keys(0, 1), [1, 5, 2, 1], total=9)
    _trained(runner, _keys(2, 3), [4], total=20)
    assert runner.num_compilations() == 1


def test_devices_that_cannot_share_are_refused():
    with pytest.raises(ValueError, match="2 devices cannot share 3 members evenly"):
        SupervisedRunner(Slope(), Line(), 3, jax.devices()[:2])
    assert SupervisedRunner(Slope(), Line(), 3).mesh.size == 1


def test_a_metric_that_an_update_says_nothing_of_is_left_out_of_its_mean(runner):
    _, metrics = _trained(runner, _keys(0), [12])
    assert metrics["seldom"][0] == 1.0


def test_a_loss_that_is_not_finite_stops_it_and_is_told():
    runner = SupervisedRunner(Slope(learning_rate=1e25), Line(), 2)
    state, metrics = _trained(runner, _keys(0, 1), [12])
    assert state.updates.max() < 12 and not np.isfinite(metrics["loss/total"]).any()


def _fit(folder):
    study = Study("toy/one", "A toy", "Nobody", True, 0, folder)
    return study.fit("stage", Slope(), Line(), 60, 2)


def test_a_study_fits_and_does_not_fit_again(tmp_path, monkeypatch):
    first = _fit(tmp_path)
    assert first.params.shape == (2,) and np.abs(first.params - 3.0).max() < 0.1
    assert first.updates[-1] == 60 and first.curves["loss/total"].shape == (50, 2)
    monkeypatch.setattr(SupervisedRunner, "train", None)  # Would fail if it were called.
    again = _fit(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, first, again)


def test_an_interrupted_fit_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr("tolman.launchers.runs.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole = _fit(tmp_path / "whole")
    train, calls = SupervisedRunner.train, []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return train(self, *arguments)

    monkeypatch.setattr(SupervisedRunner, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _fit(tmp_path / "cut")
    monkeypatch.setattr(SupervisedRunner, "train", train)
    resumed = _fit(tmp_path / "cut")
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


class LineByLine:
    """The same line as a stream from the host, which ends after `length` batches."""

    def __init__(self, length=10**6):
        self.length, self.opened = length, []

    def stream(self, key, first):
        self.opened.append(first)
        for number in range(first, self.length):
            rng = np.random.default_rng([*np.asarray(key), number])
            x = rng.uniform(-1.0, 1.0, 4).astype(np.float32)
            yield Pairs(x, 3.0 * x)


def test_a_stream_trains_to_the_same_bits_however_it_is_cut():
    runner = SupervisedRunner(Slope(), LineByLine(), 2, unit="examples")
    whole, metrics = _trained(runner, _keys(4, 5), [12])
    assert np.abs(whole.learner.params - 3.0).max() < 0.5
    assert runner.counts(whole) == (12, 48)
    assert metrics["progress"][0] == pytest.approx(np.mean(np.arange(12) / 12))
    assert metrics["seldom"].tolist() == [1.0, 1.0]
    parts, _ = _trained(runner, _keys(4, 5), [1, 0, 8, 3])
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    assert runner.num_compilations() == 1
    half, _ = _trained(runner, _keys(4, 5), [7])
    resumed = SupervisedRunner(Slope(), LineByLine(), 2)
    state = resumed.prepare(resumed.place(half), 12)
    assert resumed.source.opened[-2:] == [7, 7]
    jax.tree.map(np.testing.assert_array_equal, resumed.train(state, 5)[0], whole)
    for member, seed in enumerate((4, 5)):
        alone, _ = _trained(SupervisedRunner(Slope(), LineByLine()), _keys(seed), [12])
        assert alone.learner.params[0] == pytest.approx(
            whole.learner.params[member], abs=1e-6
        )


def test_a_stream_that_ends_is_one_line():
    runner = SupervisedRunner(Slope(), LineByLine(length=5))
    state, first = _trained(runner, _keys(0), [4])
    state, last = runner.train(state, 1)
    assert first["drawn"] != last["drawn"]  # Each update has chance of its own.
    assert state.updates.tolist() == [5]
    with pytest.raises(ValueError, match="ended after 5 batches"):
        _trained(runner, _keys(0), [6])
