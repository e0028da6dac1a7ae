"""Turns that are watched in the caller's own thread."""

import threading
import time

from tolman.envs.turns import WatchedTurns


def fail(index):
    raise KeyError(index)


def test_turns_are_taken_in_order_in_the_callers_thread():
    turns = WatchedTurns(lambda index: told.append(index))
    told = []
    results, error = turns.play(lambda i: (i, threading.get_ident()), range(3, 6), 0.1)
    assert results == [(i, threading.get_ident()) for i in (3, 4, 5)] and error is None
    results, error = turns.play(fail, [7, 8], 0.1)
    assert results == [] and isinstance(error, KeyError) and error.args == (7,)
    slow, _ = turns.play(lambda i: time.sleep(0.06), range(3), 0.1)  # 0.18 s in all.
    time.sleep(0.3)  # Between turns nothing is overdue.
    assert len(slow) == 3 and told == []


def test_one_that_is_overdue_is_told_once_and_does_not_return():
    told, returned = [], []
    turns = WatchedTurns(lambda index: told.append((index, time.monotonic())))
    began = []

    def turn(index):
        began.append(time.monotonic())
        time.sleep(0.8 if index == 5 else 0.05)

    def call():
        returned.append(turns.play(turn, [4, 5, 6], 0.4))

    threading.Thread(target=call, daemon=True).start()
    time.sleep(2.0)
    assert [index for index, _ in told] == [5] and len(began) == 2 and returned == []
    assert 0.4 <= told[0][1] - began[1] < 0.8
