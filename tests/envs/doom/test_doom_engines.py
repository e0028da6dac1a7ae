"""Engines side by side, with stand-ins for ViZDoom: who fails, who is replaced."""

import numpy as np
import pytest

from tolman.envs.doom.engines import Engines
from tolman.envs.host import EnvironmentFault


class StandIn:
    """An engine of a number; `closed` has those that were ended."""

    def __init__(self, number, closed):
        self.number, self._closed = number, closed

    def close(self):
        self._closed.append(self.number)
        if self.number == 1:
            raise RuntimeError("gone already")


def make(number, on_error="restart"):
    closed, numbers = [], iter(range(100))
    engines = Engines(lambda: StandIn(next(numbers), closed), number, "doom/x", on_error)
    return engines, closed


def failing(*numbers):
    def turn(engine, copy):
        if engine.number in numbers:
            raise RuntimeError(f"no {engine.number}")

    return turn


def test_turns_are_of_the_chosen():
    engines, _ = make(3)
    taken = []
    failed = engines.each(
        np.array([True, False, True]),
        lambda engine, copy: taken.append((engine.number, copy)),
        4,
    )
    assert sorted(taken) == [(0, 0), (2, 2)] and not failed.any()
    assert not engines.each(np.zeros(3, bool), failing(0, 1, 2), 5).any()


@pytest.mark.parametrize("chosen", [[False, True, False], [True, True, True]])
def test_who_fails_is_replaced_and_no_other(chosen, caplog):
    engines, closed = make(3)
    failed = engines.each(np.array(chosen), failing(1), 4)
    assert failed.tolist() == [False, True, False]
    assert [engines[copy].number for copy in range(3)] == [0, 3, 2]
    assert closed == [1] and engines.num_restarts == 1
    assert "env 'doom/x', copy 1, step 4: ViZDoom raised RuntimeError: no 1" in caplog.text


def test_by_default_a_fault_is_raised():
    engines, closed = make(2, "fail")
    with pytest.raises(EnvironmentFault, match=r"copy 0, step 9: ViZDoom raised Runtim"):
        engines.each(np.array([True, True]), failing(0), 9)
    assert closed == [] and engines[0].number == 0


def test_ten_restarts_without_an_episode_are_the_last():
    engines, _ = make(1)
    everyone, always = np.array([True]), failing(*range(100))
    for _ in range(9):
        assert engines.each(everyone, always, 1).all()
    engines.note_episodes(everyone)
    for _ in range(10):
        assert engines.each(everyone, always, 1).all()
    with pytest.raises(EnvironmentFault, match=r"restarted 10 times and completed no epi"):
        engines.each(everyone, always, 1)
    assert engines.num_restarts == 19


def test_an_engine_that_does_not_start_ends_the_others():
    closed, numbers = [], iter(range(5))

    def start():
        number = next(numbers)
        if number == 2:
            raise RuntimeError("no screen")
        return StandIn(number + 10, closed)

    with pytest.raises(EnvironmentFault, match=r"copy 2, step 0: .* no screen; must be"):
        Engines(start, 3, "doom/x", "fail")
    assert closed == [10, 11]
