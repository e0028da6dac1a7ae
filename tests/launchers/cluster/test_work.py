"""What crosses from one process to another."""

import logging
import pickle

import jax
import numpy as np

from tolman.envs.host import EnvironmentFault
from tolman.launchers.cluster.work import ActorIdentity, LogBuffer, portable


class Foreign(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def raised(error):
    try:
        raise error
    except Exception as caught:
        return caught


def test_errors_survive_the_way():
    for error in (EnvironmentFault("env 'a': broken"), ValueError("b"), KeyError("c")):
        assert portable(raised(error)) is error
    shown = pickle.loads(pickle.dumps(portable(raised(Foreign("x", "y")))))
    assert type(shown) is RuntimeError
    assert str(shown).startswith("Foreign: x and y (test_work.py:")


def test_records_are_handed_over_once():
    buffer = LogBuffer()
    try:
        logging.getLogger("tolman.some.module").warning("%d of them", 3)
        logging.getLogger("tolman.some.module").info("and so on")
        assert buffer.take() == [(30, "3 of them"), (20, "and so on")]
        assert buffer.take() == []
    finally:
        buffer.close()
        logging.getLogger("tolman").setLevel(logging.NOTSET)


def test_every_incarnation_has_seeds_of_its_own():
    key = np.asarray(jax.random.PRNGKey(0))
    identities = [
        ActorIdentity(*words, key) for words in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    identities.append(identities[0]._replace(stretch=1))
    assert len({each.env_seed(5) for each in identities}) == len(identities)
    assert len({tuple(np.asarray(each.key())) for each in identities}) == len(identities)
    assert identities[0].env_seed(5) != identities[0].env_seed(6)
    assert all(0 <= each.env_seed(5) < 2**32 for each in identities)
