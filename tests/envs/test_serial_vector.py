"""Rows of environments stepped in turn, and what becomes of one that goes wrong."""

import logging
import re
import subprocess
import sys
import threading
import time

import dm_env
import gymnasium
import jax
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import CountingTask

from tolman.envs.adapters import DmEnvAdapter, GymnasiumAdapter
from tolman.envs.checks import check_structure
from tolman.envs.host import EnvironmentFault
from tolman.envs.serial_vector import MAX_RESTARTS, SerialVector

HERE = re.escape(__file__)

FIRST, MID, LAST = 0, 1, 2


class Counter(dm_env.Environment):
    """Shows its seed's last digit and the time; ends after `length` steps."""

    def __init__(self, seed, length=3):
        self.seed, self.length, self.closed = seed, length, False

    def reset(self):
        self.time = 0
        return dm_env.restart(self.observe())

    def step(self, action):
        self.time += 1
        reward = float(action) + 0.5
        if self.time == self.length:
            return dm_env.termination(reward, self.observe())
        return dm_env.transition(reward, self.observe())

    def observe(self):
        return np.array([self.seed % 10, self.time], np.float32)

    def observation_spec(self):
        return specs.Array((2,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(4)

    def close(self):
        self.closed = True


def row(timestep, index):
    return (
        int(timestep.step_type[index]),
        float(timestep.reward[index]),
        float(timestep.discount[index]),
        timestep.observation[index].tolist(),
        bool(timestep.new_task[index]),
    )


def test_rows_are_those_worked_out_by_hand():
    lengths = iter([2, 3])
    vector = SerialVector(lambda seed: Counter(7, next(lengths)), num_envs=2)
    rows = [vector.reset()]
    for action in ([1, 0], [2, 3], [1, 1], [0, 2]):
        rows.append(vector.step(np.array(action)))
    vector.close()
    assert [row(each, 0) for each in rows] == [
        (FIRST, 0.0, 1.0, [7, 0], True),
        (MID, 1.5, 1.0, [7, 1], False),
        (LAST, 2.5, 0.0, [7, 2], False),
        (FIRST, 0.0, 1.0, [7, 0], True),  # The action is ignored.
        (MID, 0.5, 1.0, [7, 1], False),
    ]
    assert [row(each, 1) for each in rows] == [
        (FIRST, 0.0, 1.0, [7, 0], True),
        (MID, 0.5, 1.0, [7, 1], False),
        (MID, 3.5, 1.0, [7, 2], False),
        (LAST, 1.5, 0.0, [7, 3], False),
        (FIRST, 0.0, 1.0, [7, 0], True),
    ]
    dtypes = [leaf.dtype.name for leaf in rows[0]]
    assert dtypes == ["int32", "float32", "float32", "float32", "bool"]


def test_reset_in_mid_episode_starts_anew():
    vector = SerialVector(Counter, num_envs=1)
    vector.reset()
    vector.step([0])
    assert vector.reset().step_type.tolist() == [FIRST]
    assert vector.step([0]).observation[0, 1] == 1
    vector.close()


def test_equals_gymnasium_stepped_by_hand():
    def factory(seed):
        seeds.append(seed)
        return GymnasiumAdapter(gymnasium.make("CartPole-v1", max_episode_steps=15), seed)

    seeds = []
    vector = SerialVector(factory, num_envs=2, seed=3)
    timestep = vector.reset()
    actions = np.random.default_rng(0).integers(2, size=(200, 2))
    rows = [timestep] + [vector.step(action) for action in actions]
    vector.close()
    assert len(set(seeds)) == 2
    kinds = set()
    for index, seed in enumerate(seeds):
        environment = gymnasium.make("CartPole-v1", max_episode_steps=15)
        observation, _ = environment.reset(seed=seed)
        ended = False
        for time_, got in enumerate(rows):
            if time_ > 0 and not ended:
                observation, reward, terminated, truncated, _ = environment.step(
                    actions[time_ - 1, index]
                )
                ended = terminated or truncated
                wanted = (LAST if ended else MID, reward, 0.0 if terminated else 1.0)
                kinds.add((terminated, truncated))
            else:
                if time_ > 0:
                    observation, _ = environment.reset()
                ended, wanted = False, (FIRST, 0.0, 1.0)
            assert row(got, index)[:3] == wanted
            np.testing.assert_array_equal(got.observation[index], observation)
    assert {(True, False), (False, True)} <= kinds  # Both ends have been seen.


def test_new_task_is_what_the_environment_says():
    vector = SerialVector(lambda seed: DmEnvAdapter(CountingTask(2, 2), seed), num_envs=1)
    told = [bool(vector.reset().new_task[0])]
    starts = [True]
    for _ in range(12):
        timestep = vector.step([0])
        told.append(bool(timestep.new_task[0]))
        starts.append(timestep.step_type[0] == FIRST)
    vector.close()
    assert [new for new, first in zip(told, starts, strict=True) if first] == [
        *(True, False),
        *(True, False),
        True,
    ]
    assert not any(new and not first for new, first in zip(told, starts, strict=True))


def test_what_was_handed_out_stays():
    class OneBuffer(Counter):
        buffer = np.zeros(2, np.float32)

        def observe(self):
            self.buffer[:] = super().observe()
            return self.buffer

    vector = SerialVector(OneBuffer, num_envs=1)
    rows = [vector.reset(), vector.step([1]), vector.step([1])]
    assert [each.observation[0, 1] for each in rows] == [0, 1, 2]
    vector.close()


# Faults. Each environment below goes wrong at the second step of an episode, unless it
# is `sound`; `Counter` is never wrong.


class Wrong(Counter):
    def __init__(self, seed, sound=False):
        super().__init__(seed)
        self.sound = sound

    def step(self, action):
        timestep = super().step(action)
        return timestep if self.sound or self.time != 2 else self.spoil(timestep)


class Raises(Wrong):
    def spoil(self, timestep):
        raise KeyError("the door is\nlocked")


class Exits(Wrong):
    def spoil(self, timestep):
        sys.exit(3)


class NanReward(Wrong):
    def spoil(self, timestep):
        return timestep._replace(reward=float("nan"))


class NoReward(Wrong):
    def spoil(self, timestep):
        return timestep._replace(reward=None)


class WideReward(Wrong):
    def spoil(self, timestep):
        return timestep._replace(reward=np.zeros(2))


class HugeReward(Wrong):
    def spoil(self, timestep):
        return timestep._replace(reward=1e39)


class BadDiscount(Wrong):
    def spoil(self, timestep):
        return timestep._replace(discount=1.5)


class InfiniteObservation(Wrong):
    def spoil(self, timestep):
        return timestep._replace(observation=np.array([1, -np.inf], np.float32))


class NanObservation(Wrong):
    def spoil(self, timestep):
        return timestep._replace(observation=np.array([np.nan, 0], np.float32))


class WrongShape(Wrong):
    def spoil(self, timestep):
        return timestep._replace(observation=np.zeros((2, 1), np.float32))


class WrongDtype(Wrong):
    def spoil(self, timestep):
        return timestep._replace(observation=np.zeros(2))


class WrongStructure(Wrong):
    def spoil(self, timestep):
        return timestep._replace(observation={"camera": timestep.observation})


class NoTimeStep(Wrong):
    def spoil(self, timestep):
        return None


class FirstInStep(Wrong):
    def spoil(self, timestep):
        return self.reset()


FAULTS = [
    (
        Raises,
        rf"raised KeyError: 'the door is\\nlocked' \({HERE}:\d+\); must be free of err",
    ),
    (Exits, r"raised SystemExit: 3"),
    (NanReward, r"reward: got nan; must be a finite float32"),
    (NoReward, r"reward: got None; must be one number"),
    (WideReward, r"reward: got array\(\[0., 0.\]\); must be one number"),
    (HugeReward, r"reward: got 1e\+39; must be a finite"),
    (BadDiscount, r"discount: got 1.5; must be in \[0, 1\]"),
    (InfiniteObservation, r"observation: got -inf; must be finite"),
    (NanObservation, r"observation: got nan; must be finite"),
    (WrongShape, r"observation shape: got \(2, 1\); must be \(2,\)"),
    (WrongDtype, r"observation dtype: got float64; must be float32"),
    (WrongStructure, r"observation.*got .*camera"),
    (NoTimeStep, r"step: got NoneType; must be a dm_env.TimeStep"),
    (FirstInStep, r"step_type: got .*; must be MID or LAST"),
]
IDS = [kind.__name__ for kind, _ in FAULTS]


def one_wrong(kind):
    """Copy 1 of 3 is wrong; what replaces it is sound. Counts what is built."""
    built = []

    def factory(seed):
        built.append(kind(seed, sound=len(built) != 1))
        return built[-1]

    return factory, built


@pytest.mark.parametrize(("kind", "message"), FAULTS, ids=IDS)
def test_fault_is_named_in_one_line(kind, message):
    vector = SerialVector(one_wrong(kind)[0], num_envs=3, name="my:Env")
    vector.reset()
    vector.step([0, 0, 0])
    with pytest.raises(EnvironmentFault, match=message) as caught:
        vector.step([0, 0, 0])
    vector.close()
    assert str(caught.value).startswith("env 'my:Env', copy 1, step 2: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "message"), FAULTS, ids=IDS)
def test_restart_truncates_and_goes_on(kind, message, caplog):
    factory, built = one_wrong(kind)
    vector = SerialVector(factory, num_envs=3, on_error="restart")
    with caplog.at_level(logging.WARNING):
        rows = [vector.reset(), *(vector.step([1, 2, 3]) for _ in range(6))]
    assert [each.step_type[0] for each in rows] == [0, 1, 1, 2, 0, 1, 1]
    assert [each.step_type[2] for each in rows] == [0, 1, 1, 2, 0, 1, 1]
    # The wrong one's episode ends a step early, by truncation, with what was seen last.
    assert [each.step_type[1] for each in rows] == [0, 1, 2, 0, 1, 1, 2]
    assert row(rows[2], 1) == (LAST, 0.0, 1.0, rows[1].observation[1].tolist(), False)
    assert row(rows[3], 1)[:3] == (FIRST, 0.0, 1.0) and rows[3].new_task[1]
    assert vector.num_restarts == 1 and len(built) == 4
    assert len({each.seed for each in built}) == 4  # The new one has a seed of its own.
    (record,) = caplog.records
    assert "copy 1, step 2" in record.message and "\n" not in record.message
    assert not any(each.closed for each in built)  # Closing one may close what all share.
    vector.close()
    assert all(each.closed for each in built)


class SharesScreen(Raises):
    """Draws on a screen that is the process's, which `close` takes from all, as pygame."""

    is_open = True

    def step(self, action):
        if not type(self).is_open:
            raise RuntimeError("display Surface quit")
        return super().step(action)

    def close(self):
        super().close()
        type(self).is_open = False


def test_a_restart_leaves_what_copies_share_open():
    vector = SerialVector(one_wrong(SharesScreen)[0], num_envs=3, on_error="restart")
    vector.reset()
    for _ in range(20):
        vector.step([0, 0, 0])
    assert vector.num_restarts == 1 and SharesScreen.is_open
    vector.close()
    assert not SharesScreen.is_open


def test_numbers_of_an_episode_come_with_its_last_row():
    class Tells(gymnasium.Env):
        observation_space, action_space = spaces.Box(0, 9, (1,)), spaces.Discrete(3)
        log_info = ("height",)

        def reset(self, *, seed=None, options=None):
            self.time = 0
            return np.zeros(1, np.float32), {"is_success": True}

        def step(self, action):
            self.time += 1
            info = {
                "is_success": np.bool_(action == 2),
                "episode": {"r": np.array([4.5]), "l": self.time, "name": "short"},
                "height": np.float32(0.25),
                "width": 9.0,  # Nobody has asked for it.
            }
            return np.zeros(1, np.float32), 0.0, self.time == 2, False, info

    vector = SerialVector(lambda seed: GymnasiumAdapter(Tells(), seed), num_envs=2)
    vector.reset()
    assert [dict(each) for each in vector.episode_info] == [{}, {}]
    vector.step([0, 2])
    assert [dict(each) for each in vector.episode_info] == [{}, {}]
    vector.step([0, 2])
    assert vector.episode_info[0] == {
        "is_success": 0.0,
        "episode/r": 4.5,
        "episode/l": 2.0,
        "height": 0.25,
    }
    assert vector.episode_info[1]["is_success"] == 1.0
    vector.step([0, 2])
    assert [dict(each) for each in vector.episode_info] == [{}, {}]
    vector.close()


class WrongReset(Counter):
    sound = False

    def reset(self):
        timestep = super().reset()
        return timestep if self.sound else timestep._replace(step_type=1)


def test_faulty_reset_is_tried_again_at_once():
    built = []

    def factory(seed):
        built.append(WrongReset(seed))
        built[-1].sound = len(built) > 3
        return built[-1]

    vector = SerialVector(factory, num_envs=1, on_error="restart")
    assert vector.reset().step_type.tolist() == [FIRST]
    assert vector.num_restarts == 3
    vector.close()
    vector = SerialVector(WrongReset, num_envs=1)
    with pytest.raises(EnvironmentFault, match=r"step 0: reset: got .*FIRST time step"):
        vector.reset()


def test_gives_up_when_no_episode_completes():
    vector = SerialVector(Raises, num_envs=1, on_error="restart")
    vector.reset()
    with pytest.raises(EnvironmentFault, match="restarted 10 times and completed no"):
        for _ in range(100):
            vector.step([0])
    assert vector.num_restarts == MAX_RESTARTS


def test_a_completed_episode_forgives():
    class EverySecond(Raises):
        count = 0

        def reset(self):
            type(self).count += 1
            self.sound = self.count % 2 == 0
            return super().reset()

    vector = SerialVector(EverySecond, num_envs=1, on_error="restart")
    vector.reset()
    for _ in range(150):
        vector.step([0])
    assert vector.num_restarts > 2 * MAX_RESTARTS


class Hangs(Wrong):
    """Waits for ever, until a test lets it go."""

    go_on = threading.Event()

    def spoil(self, timestep):
        self.go_on.wait()
        return timestep


def test_hanging_step_is_a_fault_and_the_others_go_on():
    vector = SerialVector(one_wrong(Hangs)[0], num_envs=3, timeout_seconds=0.5)
    vector.reset()
    vector.step([0, 0, 0])
    with pytest.raises(EnvironmentFault, match=r"copy 1, step 2: .* within 0.5 s"):
        vector.step([0, 0, 0])

    Hangs.go_on.clear()
    factory, built = one_wrong(Hangs)
    vector = SerialVector(factory, num_envs=3, timeout_seconds=0.5, on_error="restart")
    rows = [vector.reset(), *(vector.step([1, 2, 3]) for _ in range(3))]
    before = built[2].time
    Hangs.go_on.set()  # It comes back when nobody waits any more.
    time.sleep(0.2)
    assert built[2].time == before  # And takes no further turn.
    rows += [vector.step([1, 2, 3]) for _ in range(3)]
    assert [each.step_type[0] for each in rows] == [0, 1, 1, 2, 0, 1, 1]
    assert [each.step_type[1] for each in rows] == [0, 1, 2, 0, 1, 1, 2]
    assert [each.step_type[2] for each in rows] == [0, 1, 1, 2, 0, 1, 1]
    assert vector.num_restarts == 1 and len(built) == 4
    vector.close()


def test_slow_copies_are_not_late_together():
    class Slow(Counter):
        def step(self, action):
            time.sleep(0.15)
            return super().step(action)

    vector = SerialVector(Slow, num_envs=4, timeout_seconds=0.5)
    vector.reset()
    vector.step([0] * 4)  # 0.6 s for all of them.
    vector.close()


HANG = """
import threading
from tolman.envs.host import EnvironmentFault
from tolman.envs.serial_vector import SerialVector
import dm_env, numpy as np
from dm_env import specs

class Hang(dm_env.Environment):
    def reset(self): threading.Event().wait()
    def close(self): threading.Event().wait()
    def step(self, action): pass
    def observation_spec(self): return specs.Array((), np.float32)
    def action_spec(self): return specs.DiscreteArray(2)

try:
    SerialVector(lambda seed: Hang(), 2, timeout_seconds=0.2).reset()
except EnvironmentFault as fault:
    print(fault)
"""


def test_process_ends_although_an_environment_hangs():
    ran = subprocess.run(
        [sys.executable, "-c", HANG], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert "copy 0, step 0: got no answer" in ran.stdout


def test_changed_specs_are_a_fault():
    class Grows(Counter):
        num_actions = 3

        def reset(self):
            self.num_actions += 1
            return super().reset()

        def action_spec(self):
            return specs.DiscreteArray(self.num_actions)

    with pytest.raises(EnvironmentFault, match=r"action_spec\(\): got .*num_values=4"):
        SerialVector(Grows, num_envs=1).reset()

    counts = iter([3, 4])

    class Differs(Counter):
        def __init__(self, seed):
            super().__init__(seed)
            self.count = next(counts)

        def action_spec(self):
            return specs.DiscreteArray(self.count)

    with pytest.raises(EnvironmentFault, match="copy 1, step 0: action_spec"):
        SerialVector(Differs, num_envs=2)


def test_errors_of_the_factory():
    def mistaken(seed):
        raise ValueError("size=-1: must be at least 1.")

    def broken(seed):
        raise OSError("no screen")

    with pytest.raises(ValueError, match=r"^size=-1"):
        SerialVector(mistaken, num_envs=1)
    with pytest.raises(EnvironmentFault, match="copy 0, step 0: raised OSError: no screen"):
        SerialVector(broken, num_envs=1)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"num_envs": 0}, "num_envs=0: must be at least 1"),
        ({"on_error": "retry"}, "on_error='retry': must be one of fail, restart"),
        ({"timeout_seconds": 0.0}, "timeout_seconds=0.0: must be above 0"),
    ],
)
def test_mistakes(keywords, message):
    with pytest.raises(ValueError, match=message):
        SerialVector(Counter, **{"num_envs": 1, **keywords})


def test_wrong_actions_are_the_callers_mistake():
    vector = SerialVector(Counter, num_envs=2)
    vector.reset()
    with pytest.raises(ValueError, match=r"action of shape \(3,\): must be \(2,\)"):
        vector.step([0, 0, 0])
    vector.close()


def boxes():
    shape = st.lists(st.integers(0, 3), max_size=3).map(tuple)
    dtype = st.sampled_from([np.float32, np.float64, np.uint8, np.int64])
    box = st.builds(lambda shape, dtype: spaces.Box(0, 9, shape, dtype), shape, dtype)
    return st.one_of(box, st.integers(2, 5).map(lambda n: spaces.Discrete(n, start=1)))


def nests():
    keys = st.sampled_from(["camera", "arm", "clock"])
    return st.recursive(
        boxes(),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: spaces.Tuple(parts)),
            st.dictionaries(keys, inner, min_size=1).map(lambda parts: spaces.Dict(parts)),
        ),
        max_leaves=5,
    )


class Sampler(gymnasium.Env):
    """Whatever its spaces hold; keeps the actions that it got."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        self.actions, self.shown = [], []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.show(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.actions.append(action)
        return self.show(), 1.0, False, len(self.shown) % 3 == 0, {}

    def show(self):
        self.shown.append(self.observation_space.sample())
        return self.shown[-1]


def leaves(value):
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in leaves(value[key])]
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in leaves(part)]
    return [np.asarray(value)]


def batched(space, rng, num_envs):
    """A batch of actions as the specs describe them: discrete ones count from 0."""
    if isinstance(space, spaces.Dict):
        return {key: batched(inner, rng, num_envs) for key, inner in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(batched(inner, rng, num_envs) for inner in space)
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.n, size=num_envs)
    return rng.integers(10, size=(num_envs, *space.shape))


@settings(max_examples=25, deadline=None)
@given(observation_space=nests(), action_space=nests(), seed=st.integers(0, 2**32 - 1))
def test_any_nest_is_stacked_and_taken_apart(observation_space, action_space, seed):
    made = []

    def factory(seed):
        made.append(Sampler(observation_space, action_space))
        return GymnasiumAdapter(made[-1], seed)

    vector = SerialVector(factory, num_envs=2, seed=seed)
    rng = np.random.default_rng(seed)
    rows, actions = [vector.reset()], []
    for _ in range(4):
        actions.append(batched(action_space, rng, 2))
        rows.append(vector.step(actions[-1]))
    vector.close()
    starts = [space.start for space in flat(observation_space)]
    for index, environment in enumerate(made):
        assert len(environment.shown) == len(rows)
        for got, shown in zip(rows, environment.shown, strict=True):
            one = [leaf[index] for leaf in leaves(got.observation)]
            for leaf, wanted, start in zip(one, leaves(shown), starts, strict=True):
                wanted = np.asarray(wanted - start).astype(leaf.dtype)
                np.testing.assert_array_equal(leaf, wanted)
        taken = [
            batch
            for batch, got in zip(actions, rows[1:], strict=True)
            if got.step_type[index] != FIRST
        ]
        action_starts = [space.start for space in flat(action_space)]
        for batch, got in zip(taken, environment.actions, strict=True):
            for leaf, one, start in zip(
                leaves(batch), leaves(got), action_starts, strict=True
            ):
                np.testing.assert_array_equal(leaf[index] + start, one)
    one = jax.tree.map(lambda leaf: leaf[0], rows[0].observation)
    check_structure("observation", vector.observation_spec(), one)


class _Plain:
    start = 0


def flat(space):
    if isinstance(space, spaces.Dict):
        return [leaf for key in sorted(space.keys()) for leaf in flat(space[key])]
    if isinstance(space, spaces.Tuple):
        return [leaf for part in space for leaf in flat(part)]
    return [space if isinstance(space, spaces.Discrete) else _Plain]


def test_continuous_actions_pass():
    vector = SerialVector(
        lambda seed: GymnasiumAdapter(gymnasium.make("Pendulum-v1"), seed), num_envs=2
    )
    spec = vector.action_spec()
    assert spec.shape == (1,) and spec.dtype == np.float32
    assert (spec.minimum, spec.maximum) == (-2.0, 2.0)
    vector.reset()
    timestep = vector.step(np.array([[0.5], [-0.5]], np.float32))
    assert timestep.observation.shape == (2, 3)
    vector.close()
