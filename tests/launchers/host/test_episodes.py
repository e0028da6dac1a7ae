"""What the loop tells of episodes that ended, and their means."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

from tolman.envs.serial_vector import SerialVector
from tolman.launchers.host.actor import EnvironmentLoop
from tolman.launchers.host.episodes import Episode, episode_means


class Tells(dm_env.Environment):
    """Two steps of reward 1.5; tells the action of the last one."""

    def reset(self):
        self.time, self.episode_info = 0, {}
        return dm_env.restart(np.zeros(1, np.float32))

    def step(self, action):
        self.time += 1
        if self.time == 1:
            return dm_env.transition(1.5, np.zeros(1, np.float32))
        self.episode_info = {"is_success": float(action)}
        return dm_env.termination(1.5, np.zeros(1, np.float32))

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


class OneActs:
    """Copy 1 takes action 1, copy 0 action 0."""

    def select_action(self, row):
        return np.array([0, 1])

    def observe_first(self, row): ...

    def observe(self, action, row): ...

    def end_unroll(self): ...

    def close(self): ...


def test_the_loop_tells_what_environments_told():
    vector = SerialVector(lambda seed: Tells(), num_envs=2)
    loop = EnvironmentLoop([(vector, OneActs())], unroll_length=5)
    loop.unroll()  # FIRST, MID, LAST, FIRST, MID, LAST.
    episodes = loop.take_episodes()
    loop.close()
    each_time = [
        Episode(0, 3.0, 2, {"is_success": 0.0}),
        Episode(1, 3.0, 2, {"is_success": 1.0}),
    ]
    assert episodes == 2 * each_time


def test_copies_are_numbered_through_all_groups():
    groups = [(SerialVector(lambda seed: Tells(), num_envs=2), OneActs()) for _ in range(2)]
    loop = EnvironmentLoop(groups, unroll_length=3)
    loop.unroll()
    assert [episode[0] for episode in loop.take_episodes()] == [0, 1, 2, 3]
    loop.close()


def test_means_are_over_those_episodes_that_told():
    told = [Episode(0, 1.0, 2, {"height": 4.0}), Episode(1, 2.0, 5, {})]
    assert episode_means("train", told) == {
        "train/episode_return": 1.5,
        "train/episode_length": 3.5,
        "train/height": 4.0,
    }
    # What it tells under the name of another metric does not take its place.
    told = [Episode(0, 1.0, 2, {"episode_return": 9.0})]
    assert episode_means("train", told)["train/episode_return"] == 1.0
    assert episode_means("train", []) == pytest.approx(
        {"train/episode_return": np.nan, "train/episode_length": np.nan}, nan_ok=True
    )
