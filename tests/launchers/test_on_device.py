"""The on-device runner: same seed same bits, one program, sharding, and frozen play."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import CountingTask, make_agent

from tolman.agents.actor_critic import Hyperparameters
from tolman.agents.gradient import Wrapper
from tolman.envs.meta_rl import TwoStep
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.device.on_device import OnDeviceRunner


def _keys(*seeds):
    return jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])


def _trained(runner, keys, chunks, total=6, hyperparameters=None):
    state, metrics = runner.prepare(runner.init(keys, hyperparameters), total), None
    for num_updates in chunks:
        state, metrics = runner.train(state, num_updates)
    return state, metrics


def _assert_same(a, b, **kwargs):
    compare = np.testing.assert_allclose if kwargs else np.testing.assert_array_equal
    jax.tree.map(lambda x, y: compare(x, y, **kwargs), jax.device_get(a), jax.device_get(b))


@pytest.fixture(scope="module")
def runner():
    return OnDeviceRunner(
        make_agent("meta_rl", TwoStep(), "lstm", unroll_length=7), TwoStep()
    )


def test_same_seed_same_bits_however_the_updates_are_cut(runner):
    whole, _ = _trained(runner, _keys(4), [6])
    parts, _ = _trained(runner, _keys(4), [1, 3, 2])
    _assert_same(whole, parts)
    other, _ = _trained(runner, _keys(5), [6])
    assert any(
        np.any(a != b)
        for a, b in zip(
            *map(jax.tree.leaves, (whole.learner.params, other.learner.params)), strict=True
        )
    )


def test_nothing_is_compiled_after_the_first_update(runner):
    _trained(runner, _keys(0), [1, 5, 2, 1], total=9)
    _trained(runner, _keys(1), [4], total=20)
    assert runner.num_compilations() == 1


class TellsWhatItGets(Wrapper):
    """An agent whose metrics are how far the training was at an update, and its chance."""

    def update(self, learner_state, batch, key, progress):
        learned = self.inner.update(learner_state, batch, key, progress)
        told = {"progress": progress, "chance": jax.random.uniform(key)}
        return learned._replace(metrics=told)


@pytest.mark.parametrize("name", ["meta_rl", "dqn"])
def test_an_update_gets_the_share_that_is_done_and_chance_of_its_own(name):
    """Of a queue, and of a replay, from which two updates follow each round of acting."""
    settings: dict = {"unroll_length": 3}
    if name == "dqn":
        settings = {"min_size": 4, "batch_size": 4, "samples_per_insert": 2.0}
    agent = TellsWhatItGets(make_agent(name, CountingTask(), "feedforward", **settings))
    runner = OnDeviceRunner(agent, CountingTask(), num_envs=4 if name == "dqn" else 0)
    state = runner.prepare(runner.init(_keys(0)), 4)
    chances = set()
    for wanted in (0.0, 0.25, 0.5, 0.75):
        state, metrics = runner.train(state, 1)
        assert metrics["progress"].tolist() == [wanted]
        chances.add(float(metrics["chance"][0]))
    assert len(chances) == 4


class HalfADay(CountingTask):
    """Opens at a time made of Python numbers: a weak type, which no later state has."""

    def reset(self, key):
        state, timestep = super().reset(key)
        return (state, jnp.full((), 12.0) / 2), timestep

    def next_episode(self, state, key):
        state, timestep = super().next_episode(state[0], key)
        return (state, jnp.float32(6.0)), timestep

    def step(self, state, action):
        state, timestep = super().step(state[0], action)
        return (state, jnp.float32(6.5)), timestep


def test_a_state_made_of_python_numbers_compiles_no_second_program():
    runner = OnDeviceRunner(make_agent("meta_rl", HalfADay(), "lstm"), HalfADay())
    _trained(runner, _keys(0), [1, 2])
    assert runner.num_compilations() == 1


@pytest.mark.parametrize("num_devices", [1, 2])
def test_members_are_what_they_would_be_alone(runner, num_devices):
    population = OnDeviceRunner(runner.agent, TwoStep(), 2, jax.devices()[:num_devices])
    together, metrics = _trained(population, _keys(4, 5), [6])
    for member, seed in enumerate((4, 5)):
        alone, alone_metrics = _trained(runner, _keys(seed), [6])
        _assert_same(
            jax.tree.map(lambda leaf, m=member: leaf[m], together.learner.params),
            jax.tree.map(lambda leaf: leaf[0], alone.learner.params),
            atol=2e-5,
        )
        assert float(metrics["loss/value"][member]) == pytest.approx(
            float(alone_metrics["loss/value"][0]), rel=1e-3
        )
    assert population.num_compilations() == 1


def test_members_that_take_turns_have_the_bits_of_lone_ones(runner):
    """On a CPU; as one batch they have the same numbers, rounded otherwise."""

    def train(keys, takes_turns):
        own = OnDeviceRunner(runner.agent, runner.environment, len(keys), jax.devices()[:1])
        own._takes_turns = takes_turns
        return _trained(own, keys, [2, 3])

    in_turn, told = train(_keys(7, 8, 9), True)
    together, told_together = train(_keys(7, 8, 9), False)
    _assert_same(in_turn, together, rtol=1e-4, atol=1e-5)
    _assert_same(told, told_together, rtol=1e-4, atol=1e-5)
    for member, seed in enumerate((7, 8, 9)):
        lone, told_alone = train(_keys(seed), True)
        _assert_same(runner.member(in_turn, member), lone)
        own = {name: value[member, None] for name, value in told.items()}
        _assert_same(own, told_alone)


def test_environments_of_a_lone_member_are_shared_out_over_devices(runner):
    assert len(jax.devices()) >= 2
    sharded = OnDeviceRunner(runner.agent, TwoStep(), 1, jax.devices()[:2])
    state, _ = _trained(sharded, _keys(4), [6])
    assert len(state.timestep.reward.sharding.device_set) == 2
    alone, _ = _trained(runner, _keys(4), [6])
    _assert_same(state.learner.params, alone.learner.params, atol=2e-5)
    assert sharded.num_compilations() == 1


def test_devices_that_cannot_share_the_work_are_refused(runner):
    with pytest.raises(ValueError, match="2 devices cannot share 3 members evenly"):
        OnDeviceRunner(runner.agent, TwoStep(), 3, jax.devices()[:2])


def test_hyperparameters_of_members_are_their_own(runner):
    population = OnDeviceRunner(runner.agent, TwoStep(), 2)
    rates = Hyperparameters(jnp.array([0.0, 1e-2]), jnp.full(2, 0.9), jnp.full(2, 0.05))
    start = population.init(_keys(1, 1), rates)
    before = jax.device_get(start.learner.params)
    state, _ = population.train(population.prepare(start, 3), 3)
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(axis=tuple(range(1, a.ndim))),
        before,
        jax.device_get(state.learner.params),
    )
    stayed, went = np.max([leaf for leaf in jax.tree.leaves(moved)], axis=0)
    assert stayed == 0.0 and went > 1e-3


class Paying(CountingTask):
    """Pays 2 for each decision."""

    def step(self, state, action):
        state, timestep = super().step(state, action)
        return state, timestep._replace(reward=jnp.float32(2.0))


def test_episode_statistics_by_hand():
    """Episodes of 3 decisions and a closing row: lengths, and returns of known size."""
    environment = Paying(episode_length=3)
    agent = make_agent(
        "meta_rl", environment, "feedforward", unroll_length=10, batch_size=2
    )
    runner = OnDeviceRunner(agent, environment)
    state, metrics = _trained(runner, _keys(0), [5])
    assert float(metrics["train/episode_length"][0]) == 3.0
    assert float(metrics["train/episode_return"][0]) == 6.0
    # 50 rows hold 12 whole episodes of 4 rows, and the first two rows of a thirteenth.
    assert state.episode_length.tolist() == [[2, 2]]
    assert int(state.updates[0]) == 5


def test_a_population_is_where_its_furthest_member_is(runner):
    stopped = SimpleNamespace(updates=np.array([3, 5]))
    assert runner.counts(stopped) == (5, 5 * 7 * 2)
    assert [runner.total_updates(units) for units in (1, 14, 15)] == [1, 1, 2]


def test_a_loss_that_is_not_finite_stops_the_program(runner):
    state = runner.init(_keys(0))
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, state.learner.params)
    state = state._replace(learner=state.learner._replace(params=broken))
    state, metrics = runner.train(runner.place(state), 100)
    assert int(state.updates[0]) == 1
    assert np.isnan(metrics["loss/policy"]).all()


def test_play_episodes_pairs_members_on_the_same_tasks(runner):
    population = OnDeviceRunner(runner.agent, TwoStep(), 2)
    params = population.init(_keys(1, 2)).learner.params
    played = play_episodes(
        runner.agent,
        TwoStep(),
        params,
        jax.random.PRNGKey(0),
        30,
        lambda state: state.good_state,
    )
    np.testing.assert_array_equal(played.episode_length, 20)
    np.testing.assert_array_equal(played.record[:21, 0], played.record[:21, 1])
    assert set(np.unique(played.record[0])) == {1, 2}
    rewards = played.timestep.reward[: 20 + 1]
    np.testing.assert_allclose(played.episode_return, rewards.sum(0))
    assert played.action.shape[1:] == (2, 30)


def test_episodes_without_end_are_an_error():
    environment = CountingTask(episode_length=10**6)
    agent = make_agent("meta_rl", environment, "feedforward")
    params = OnDeviceRunner(agent, environment).init(_keys(0)).learner.params
    with pytest.raises(ValueError, match="2 of 2 episodes are not over after 256 steps"):
        play_episodes(agent, environment, params, jax.random.PRNGKey(0), 2, max_steps=256)
