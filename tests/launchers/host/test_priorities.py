"""The scale of the errors changes no draw frequency, in the numbers and in the replay."""

import jax
import numpy as np
import pytest
from toys import CountingTask, make_agent

from tolman.agents.agent import DataSpec, Learned
from tolman.envs.host import OnDeviceVector
from tolman.launchers.host.local import LocalRunner, replay_maker
from tolman.launchers.host.priorities import PriorityScale, initial_priorities


def test_the_first_batch_sets_the_unit_and_the_largest_so_far_stays():
    scale = PriorityScale(initial_priorities(DataSpec(1, 1, replay="prioritized")))
    assert scale.largest == 1.0  # Of items from before the first update.
    np.testing.assert_allclose(scale.scale(np.array([50.0, 200.0])), [0.25, 1.0])
    assert scale.largest == 1.0
    np.testing.assert_allclose(scale.scale(np.array([600.0])), [3.0])
    scale.scale(np.array([20.0]))
    assert scale.largest == 3.0
    again = PriorityScale(scale.state())
    np.testing.assert_allclose(again.scale(np.array([100.0])), [0.5])
    assert again.largest == 3.0
    assert PriorityScale(initial_priorities(DataSpec(1, 1))).state() == ()


class Scaled:
    """An agent whose priorities are those of another times a factor, and grow tenfold."""

    def __init__(self, agent, factor):
        self._agent, self._factor = agent, factor

    def __getattr__(self, name):
        return getattr(self._agent, name)

    def update(self, *arguments):
        learned = self._agent.update(*arguments)
        progress = arguments[-1]
        priorities = learned.priorities * self._factor * (1.0 + 9.0 * progress)
        return Learned(*learned[:2], priorities)


@pytest.mark.parametrize("factor", [1e-3, 150.0])
def test_new_items_are_drawn_as_often_whatever_the_scale(factor, kind, tmp_path):
    environment = CountingTask()
    agent = make_agent(
        "dqn", environment, "feedforward", batch_size=8, min_size=200, capacity=10_000,
        samples_per_insert=4.0,
    )  # fmt: skip
    assert agent.data.replay == "prioritized"

    def make_vector(seed, number):
        return OnDeviceVector(environment, jax.random.split(jax.random.PRNGKey(0), number))

    make_replay = replay_maker(kind, agent.data, 4, tmp_path / "r", 0)
    runner = LocalRunner(Scaled(agent, factor), make_vector, 4, make_replay, num_groups=1)
    state = runner.prepare(runner.init(jax.random.PRNGKey(1)[None]), 300)
    state, _ = runner.train(state, 300)
    probability = {}  # By item; the later draw tells the later one.
    for _ in range(60):
        batch = runner._session.replay.next(20.0)
        told = np.asarray(batch.probability, float)
        probability |= dict(zip(batch.keys.tolist(), told, strict=True))
    runner.close()
    largest = float(state.priorities[1])
    assert 2.0 < largest < 50.0  # In units of the first batch.
    # What is new came in with the largest priority up to then, and shares it with what came
    # in beside it; no two errors are equal to six digits.
    shares = np.array([*probability.values()])
    relative, counts = np.unique(np.round(shares / shares.max(), 6), return_counts=True)
    assert relative[counts > 1].max() > 0.7
    assert (shares / shares.max()).min() > (0.01 / largest) ** agent.data.priority_exponent
