"""The replay on the device: its ring beside a slow oracle, its draws, and its rates."""

import math
import re
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare
from toys import CountingTask, make_agent

from tolman.agents.agent import DataSpec, Decision
from tolman.agents.dqn import Hyperparameters
from tolman.envs.environment import TimeStep
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.device.replay import Replay, Row
from tolman.launchers.host.priorities import PriorityScale
from tolman.launchers.runs import memory
from tolman.launchers.runs.rates import warn_of_minimum

ALPHA = 0.6
SHAPES = [  # T, p, E, capacity, min_size
    (3, 1, 2, 10, 4),
    (4, 4, 3, 9, 5),
    (5, 2, 2, 7, 8),
    (2, 5, 1, 3, 1),
]


def _replay(length, period, num_envs, capacity, min_size, kind="prioritized", batch=4):
    data = DataSpec(length, batch, kind, 0, period, capacity, min_size, 2.0, ALPHA)
    return Replay(data, num_envs)


def _rows(time, num_envs):
    """Rows whose every number names the time and environment: 100 t + e."""
    named = 100.0 * np.asarray(time)[..., None] + np.arange(num_envs)
    return TimeStep(*[named.astype(np.float32)] * 5)


def _run(replay, num_rounds):
    """Yields the state after each round; decision t leads to time step t."""
    num_envs, period = replay.num_envs, replay.period
    blank = jnp.zeros(num_envs)
    row = Row(Decision(blank, blank), TimeStep(*[blank] * 5))
    state = replay.start(_rows(-1, num_envs), row, blank)
    add = jax.jit(replay.add)
    for number in range(num_rounds):
        times = number * period + np.arange(period)
        timestep = _rows(times, num_envs)
        row = Row(Decision(timestep.reward + 0.25, timestep.reward + 0.5), timestep)
        before = _rows(number * period, num_envs).reward + 0.75
        ring = add(state.ring, state.age, state.scale, row, before, jnp.int32(number))
        state = replay.count_round(state)._replace(ring=ring)
        yield state


def _oracle(replay, age):
    """The begins, in decisions, of the sequences that are kept after `age` rounds."""
    data = replay.data
    begins = [
        number * replay.period
        for number in range(age)
        if number * replay.period + data.unroll_length <= age * replay.period
    ]
    kept = max(data.capacity // replay.num_envs, math.ceil(data.min_size / replay.num_envs))
    return begins[-kept:]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_read_is_what_was_put_in(shape):
    """Through several turns of the ring, every sequence that there is, row by row."""
    replay = _replay(*shape)
    length, num_envs = replay.data.unroll_length, replay.num_envs
    read = jax.jit(replay.read)
    for state in _run(replay, 4 * replay.num_rounds + 3):
        age = int(state.age)
        begins = _oracle(replay, age)
        assert int(replay.num_items(state.age)) == len(begins) * num_envs
        weights = np.asarray(state.ring.weights[0])
        (items,) = np.nonzero(weights)
        np.testing.assert_array_equal(weights[items], 1.0)
        wanted = {(begin, env) for begin in begins for env in range(num_envs)}
        if not wanted:
            assert not len(items)
            continue
        everything = jnp.asarray(np.resize(items, replay.num_rounds * num_envs))
        unroll, versions = read(state.ring, everything, None)
        found = set()
        for column in range(len(items)):
            begin, env = divmod(float(unroll.action[0, column]) - 0.25, 100)
            found.add((begin, env))
            times = 100 * (begin + np.arange(length + 1)) + env
            np.testing.assert_array_equal(unroll.timestep.reward[:, column], times - 100)
            np.testing.assert_array_equal(unroll.action[:, column], times[:-1] + 0.25)
            np.testing.assert_array_equal(unroll.policy[:, column], times[:-1] + 0.5)
            assert float(unroll.actor_state[column]) == times[0] + 0.75
            assert int(versions[column]) == begin // replay.period
        assert found == wanted and len(items) == len(wanted)


def test_rows_are_stored_once():
    """Sequences of 80 that begin at every decision take one row each, not 81."""
    replay = _replay(80, 1, 2, 1000, 10)
    blank = jnp.zeros(2)
    row = Row(Decision(blank, blank), TimeStep(*[blank] * 5))
    state = jax.eval_shape(lambda: replay.start(TimeStep(*[blank] * 5), row, blank))
    assert state.ring.rows.words.shape == (580, 2, 7)
    assert state.ring.actor_state.shape == (580, 2)


@pytest.mark.parametrize("num_rounds", [6, 40])
def test_uniform_draws_are_uniform(num_rounds):
    """Before the ring is full, and after it has turned."""
    replay = _replay(5, 2, 3, 30, 4, "uniform", batch=20_000)
    state = list(_run(replay, num_rounds))[-1]
    items, probability = replay.draw(state.ring, state.age, jax.random.PRNGKey(0))
    assert probability is None
    begins = _oracle(replay, num_rounds)
    slots = [begin // 2 % replay.num_rounds for begin in begins]
    wanted = sorted(slot * 3 + env for slot in slots for env in range(3))
    values, counts = np.unique(items, return_counts=True)
    assert values.tolist() == wanted
    assert chisquare(counts).pvalue > 1e-3


def test_priorities_are_those_of_the_host():
    """The same numbers as `PriorityScale`, and draws in proportion to their power."""
    replay = _replay(3, 1, 2, 12, 4, batch=3)
    *_, state = _run(replay, 8)
    (items,) = np.nonzero(np.asarray(state.ring.weights[0]))
    host, wanted = PriorityScale(np.array([0.0, 1.0])), dict.fromkeys(items.tolist(), 1.0)
    weights, scale = state.ring.weights, state.scale
    reweigh = jax.jit(replay.reweigh)
    for chosen, priorities in (
        ([1, 4, 6], [2.0, 4.0, 1.0]),
        ([4, 5, 4], [12.0, 0.5, 12.0]),
        ([0, 1, 2], [1.0, 3.0, 2.0]),
    ):
        drawn = items[np.array(chosen)]
        weights, scale = reweigh(weights, scale, jnp.asarray(drawn), jnp.array(priorities))
        wanted |= dict(zip(drawn.tolist(), host.scale(np.array(priorities)), strict=True))
        assert float(scale.largest) == host.largest
    assert host.largest == 3.0  # 12 in units of the first batch's 4.
    stored = np.array([wanted[item] for item in items.tolist()])
    np.testing.assert_allclose(weights[0][items], stored**ALPHA, rtol=1e-6)

    new = replay.add(
        state.ring._replace(weights=weights),
        state.age,
        scale,
        Row(Decision(jnp.zeros((1, 2)), jnp.zeros((1, 2))), _rows([8], 2)),
        jnp.zeros(2),
        jnp.int32(8),
    )
    (now,) = np.nonzero(np.asarray(new.weights[0]))
    fresh = sorted(set(now.tolist()) - set(items.tolist()))
    np.testing.assert_allclose(new.weights[0][jnp.array(fresh)], 3.0**ALPHA, rtol=1e-6)
    assert len(fresh) == 2 and len(now) == len(items)  # As many as the oldest that went.

    many = _replay(3, 1, 2, 12, 4, batch=20_000)
    drawn, probability = many.draw(new, state.age + 1, jax.random.PRNGKey(0))
    share = np.asarray(new.weights[0], np.float64)
    share /= share.sum()
    counts = np.bincount(drawn, minlength=len(share))
    assert chisquare(counts[now], share[now] * 20_000).pvalue > 1e-3
    np.testing.assert_allclose(probability, share[drawn], rtol=1e-5)


def test_an_item_drawn_twice_has_one_priority():
    replay = _replay(3, 1, 2, 12, 4, batch=3)
    *_, state = _run(replay, 8)
    (items,) = np.nonzero(np.asarray(state.ring.weights[0]))
    twice = jnp.asarray(items[[2, 2, 3]])
    weights, _ = replay.reweigh(
        state.ring.weights, state.scale, twice, jnp.array([2.0, 1.0, 4.0])
    )
    np.testing.assert_allclose(weights[0][twice], np.array([0.5, 0.5, 1.0]) ** ALPHA)
    assert float(weights[-1].sum()) == pytest.approx(float(weights[0].sum()))


@pytest.mark.parametrize("samples", [2.0, 0.1, 8.0, 1 / 3, 0.0123])
@pytest.mark.parametrize("shape", SHAPES)
def test_rates_are_exact(shape, samples):
    """An update is due once the items beyond the minimum pay for all of them so far."""
    length, period, num_envs, capacity, min_size = shape
    data = DataSpec(length, 4, "uniform", 0, period, capacity, min_size, samples)
    replay = Replay(data, num_envs)
    rate, exact = replay.rate, Fraction(samples)
    credit, updates = 0, 0
    lead = math.ceil(length / period)
    for age in range(1, 3000):
        inserted = num_envs * max(age - lead + 1, 0)
        if age == rate.first_round:
            credit += rate.first_gain
        elif age > rate.first_round:
            credit += rate.gain
        while credit >= rate.cost:
            credit -= rate.cost
            updates += 1
        earned = (inserted - min_size) * exact / 4 + Fraction(1, 10**6)
        assert updates == max(math.floor(earned), 0)


def _agent(core="lstm", **settings):
    settings = {
        "unroll_length": 6,
        "burn_in": 2,
        "n_step": 2,
        "period": 3,
        "batch_size": 4,
        "min_size": 10,
        "capacity": 40,
        "samples_per_insert": 2.0,
        "torso": "flat",
        "torso_size": 8,
        "epsilon": 0.5,
        **settings,
    }
    return make_agent("dqn", CountingTask(), core, **settings)


@pytest.fixture(scope="module")
def runner():
    return OnDeviceRunner(_agent(), CountingTask(), num_envs=4)


def _keys(*seeds):
    return jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])


def _trained(runner, keys, chunks=(40,), hyperparameters=None):
    state, metrics = runner.prepare(runner.init(keys, hyperparameters), 40), None
    for num_updates in chunks:
        state, metrics = runner.train(state, num_updates)
    return state, metrics


def _assert_same(a, b, **kwargs):
    compare = np.testing.assert_allclose if kwargs else np.testing.assert_array_equal
    jax.tree.map(lambda x, y: compare(x, y, **kwargs), jax.device_get(a), jax.device_get(b))


def test_same_bits_however_the_updates_are_cut(runner):
    whole, _ = _trained(runner, _keys(4))
    parts, _ = _trained(runner, _keys(4), [1, 30, 9])
    _assert_same(whole, parts)
    assert runner.num_compilations() == 1


def test_environment_steps_are_those_taken(runner):
    """By hand: 2 rounds for a first sequence of 6; then 4 a round, 10 before any update."""
    state = runner.prepare(runner.init(_keys(0)), 40)
    assert runner.counts(state) == (0, 0)
    for updates, rounds in ((1, 4), (2, 5), (4, 6), (6, 7), (40, 24)):
        state, metrics = runner.train(state, updates - runner.counts(state).updates)
        assert runner.counts(state) == (updates, rounds * 3 * 4)
    assert float(metrics["replay/num_items"][0]) < 40.0  # A mean over the updates.
    _, metrics = runner.train(state, 1)
    assert float(metrics["replay/num_items"][0]) == 40.0
    assert runner.total_updates(24 * 3 * 4) == math.ceil((24 * 4 - 10) * 2.0 / 4)
    assert runner.units_per_update == 4 * 3 / 2.0


def test_the_learner_recomputes_what_the_actor_computed(runner):
    """With frozen weights, from the stored state, over ends of episodes and of tasks."""
    still = Hyperparameters(jnp.zeros(1), jnp.full(1, 0.9))
    state, _ = _trained(runner, _keys(1), hyperparameters=still)
    ring = jax.tree.map(lambda leaf: leaf[0], state.replay.ring)
    weights = jax.tree.map(lambda leaf: leaf[0], state.learner.params.weights)
    (items,) = np.nonzero(np.asarray(ring.weights[0]))
    unroll, _ = runner._replay.read(ring, jnp.asarray(items), None)
    timestep = unroll.timestep
    assert timestep.is_last().any() and timestep.new_task.any()
    assert (timestep.is_first() & ~timestep.new_task).any()
    recomputed = jax.jit(runner.agent.network.unroll)(weights, unroll).policy[:-1]
    np.testing.assert_allclose(recomputed, unroll.policy, atol=1e-5)
    # FIRST comes after LAST and at no other place.
    np.testing.assert_array_equal(timestep.is_last()[:-1], timestep.is_first()[1:])


@pytest.mark.parametrize("num_devices", [1, 2])
def test_members_are_what_they_would_be_alone(runner, num_devices):
    population = OnDeviceRunner(
        runner.agent, CountingTask(), 2, jax.devices()[:num_devices], num_envs=4
    )
    together, _ = _trained(population, _keys(4, 5), [12])
    for member, seed in enumerate((4, 5)):
        alone, _ = _trained(runner, _keys(seed), [12])
        _assert_same(
            jax.tree.map(lambda leaf, m=member: leaf[m], together.learner.params),
            jax.tree.map(lambda leaf: leaf[0], alone.learner.params),
            atol=2e-5,
        )
    assert population.counts(together) == runner.counts(alone)
    assert population.num_compilations() == 1


def test_a_lone_member_shares_out_its_environments_and_their_rows(runner):
    sharded = OnDeviceRunner(runner.agent, CountingTask(), 1, jax.devices()[:2], num_envs=4)
    state, _ = _trained(sharded, _keys(4), [12])
    alone, _ = _trained(runner, _keys(4), [12])
    _assert_same(state.learner.params, alone.learner.params, atol=2e-5)
    words = state.replay.ring.rows.words
    assert {piece.data.shape for piece in words.addressable_shards} == {
        (1, words.shape[1], 2, words.shape[3])
    }
    assert sharded.num_compilations() == 1


def test_an_empty_replay_fills_before_anything_is_learned(runner):
    state, _ = _trained(runner, _keys(4), [12])
    counts, scale = runner.counts(state), jax.device_get(state.replay.scale)
    small = runner.without_replay(state)
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(small.replay)) == 5 * 4
    state = runner.with_empty_replay(runner.place(jax.device_get(small)))
    assert runner.counts(state) == counts
    _assert_same(state.replay.scale, scale)
    before = jax.device_get(state.timestep.observation)
    state, metrics = runner.train(state, 1)
    assert float(metrics["replay/num_items"][0]) == 12.0
    assert runner.counts(state) == (13, counts.units + 4 * 3 * 4)
    # What opens the first sequence is what the environments showed.
    ring = jax.tree.map(lambda leaf: leaf[0], state.replay.ring)
    unroll, _ = runner._replay.read(ring, jnp.arange(4), None)
    np.testing.assert_array_equal(unroll.timestep.observation[0], before)


def test_no_update_copies_the_replay():
    """A copy of all that is kept in each update would cost more than the update."""
    agent = _agent("feedforward", capacity=100_000)
    runner = OnDeviceRunner(agent, CountingTask(), num_envs=4)
    state = runner.init(_keys(0))
    number = jnp.int32(1)
    compiled = runner._compile(runner._shardings(state))
    text = compiled.lower(state, (), number, number).compile().as_text()
    copied = re.findall(r"= \w+\[([\d,]+)\]\S* copy\(", text)
    sizes = [math.prod(map(int, shape.split(","))) for shape in copied]
    assert sizes and max(sizes) < 25_000


def test_what_cannot_be_kept_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "memory_of_machine", lambda: 1_000_000)
    agent = _agent("feedforward", capacity=100_000)
    told = (
        r"capacity=100000: the replay on each device would take 0.0\d+ GB, and this "
        r"machine has 0.001 GB of memory"
    )
    with pytest.raises(ValueError, match=told):
        OnDeviceRunner(agent, CountingTask(), num_envs=4).init(_keys(0))
    queue = make_agent("meta_rl", CountingTask(), "feedforward", batch_size=2)
    with pytest.raises(ValueError, match="num_envs=3: on-device the environments of an"):
        OnDeviceRunner(queue, CountingTask(), num_envs=3)


@pytest.mark.parametrize(("num_env_steps", "warns"), [(30, True), (31, False)])
def test_steps_that_end_before_the_first_update_are_told(num_env_steps, warns):
    """Ten sequences, one every third decision, are there after 30 env steps."""
    data = DataSpec(5, 4, "uniform", min_size=10, period=3, capacity=100)
    lines = warn_of_minimum(data, num_env_steps, "--num-env-steps")
    assert bool(lines) == warns
    assert not warns or "nothing is learned before env step 30" in lines[0]
    assert not warn_of_minimum(DataSpec(5, 4), 1, "--num-env-steps")
