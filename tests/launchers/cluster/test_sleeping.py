"""The simulated environment keeps the contract and takes the time that it says."""

import time

import pytest

from tolman.envs.conformance import check_environment
from tolman.launchers.benches.sleeping import Sleeping
from tolman.launchers.catalog.names import ENV, find
from tolman.launchers.settings.bounds import check_settings


def test_contract():
    assert check_environment(Sleeping(seconds=0.0))


def test_steps_take_their_time_and_pay_for_what_was_asked():
    environment = Sleeping(seconds=0.02, episode_length=3)
    observation = environment.reset().observation
    began = time.perf_counter()
    paid = []
    for wrong in (0, 1, 0):
        wanted = int(observation.argmax())
        step = environment.step(1 - wanted if wrong else wanted)
        observation = step.observation
        paid.append(step.reward)
    assert time.perf_counter() - began >= 3 * 0.02
    assert paid == [1.0, 0.0, 1.0] and step.last() and step.discount == 0.0


def test_settings_out_of_range():
    settings = find(ENV, "tolman.launchers.benches.sleeping:Sleeping").settings_type
    with pytest.raises(ValueError, match=r"seconds=-1.*at least 0. Set --env.seconds"):
        check_settings(settings(seconds=-1), "env.")
