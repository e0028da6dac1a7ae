"""What the tests of runs share: a tiny run, and a package of a user's own."""

import sys

import pytest

EXTENSION = '''
import dataclasses
import os
import signal
import time
from typing import Annotated

import jax.numpy as jnp
from annotated_types import Ge

from tolman.agents.actor_critic import ActorCritic, ActorCriticConfig
from tolman.envs.meta_rl import TwoStep
from tolman.networks.cores import Feedforward, FeedforwardConfig


@dataclasses.dataclass(frozen=True)
class MyConfig:
    """Attributes:
    units: of it.
    """

    units: Annotated[int, Ge(1)] = 3


class MyCore(Feedforward):
    def __init__(self, config: MyConfig, name: str | None = None):
        super().__init__(FeedforwardConfig(config.units), name)


def make_env(num_trials: int, scale: float = 1.0, **unused):
    return TwoStep(num_trials)


class Faulty(ActorCritic):
    """An agent whose value loss stops being a number in the middle of the run."""

    def __init__(self, config: ActorCriticConfig, *rest):
        super().__init__(config, *rest)

    def update(self, learner_state, batch, key, progress):
        learned = super().update(learner_state, batch, key, progress)
        bad = jnp.where(progress >= 0.5, jnp.nan, learned.metrics["loss/value"])
        metrics = {**learned.metrics, "loss/value": bad, "loss/total": bad}
        return learned._replace(metrics=metrics)


class Slow:
    """A logger that takes its time."""

    def write(self, row):
        time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))

    def close(self):
        pass


class Signalling(Slow):
    """A logger that sends this process a signal, as a user would, at one row."""

    def write(self, row):
        if row["env_steps"] == int(os.environ.get("SIGNAL_AT", "-1")):
            os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))


class Failing(Slow):
    """A logger that fails as only a user's own code can."""

    def write(self, row):
        raise KeyError("nothing")


A_NUMBER = 3
'''


GAMES = '''
import dm_env
import numpy as np
from dm_env import specs


class Game(dm_env.Environment):
    """A grey screen with a bright column that moves; one of two actions is rewarded."""

    level, right, length = 0, 0, 8

    def __init__(self, seed=0):
        self._random, self._count = np.random.default_rng(seed), 0

    def reset(self):
        self._count = 0
        return dm_env.restart(self._screen())

    def step(self, action):
        self._count += 1
        reward = float(action == self.right)
        if self._count == self.length:
            return dm_env.termination(reward, self._screen())
        return dm_env.transition(reward, self._screen())

    def observation_spec(self):
        return specs.BoundedArray((8, 8, 1), np.uint8, 0, 255)

    def action_spec(self):
        return specs.DiscreteArray(2)

    def _screen(self):
        screen = np.full((8, 8, 1), self.level, np.uint8)
        screen[:, self._random.integers(8)] = 255
        return screen


class Dark(Game):
    level = 20


class Grey(Game):
    level, right = 90, 1


class Light(Game):
    level = 170


class Changing(Game):
    """Of three levels, twelve screens each."""

    length = 36

    @property
    def level(self):
        return 70 * (self._count // 12)
'''


@pytest.fixture(scope="session")
def extension(tmp_path_factory):
    """The folder of a module `my_extension`, importable in this process."""
    folder = tmp_path_factory.mktemp("extension")
    (folder / "my_extension.py").write_text(EXTENSION)
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("my_extension", None)


@pytest.fixture(scope="session")
def games(tmp_path_factory):
    """The folder of a module `screen_games`, importable in this process."""
    folder = tmp_path_factory.mktemp("games")
    (folder / "screen_games.py").write_text(GAMES)
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("screen_games", None)


@pytest.fixture
def tolman(capsys, tmp_path, monkeypatch):
    """Runs a command in an empty folder; returns its exit code, output and error lines."""
    from tolman.launchers.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        return code, shown.out.strip(), shown.err.strip().splitlines()

    return run


@pytest.fixture
def tiny():
    """The flags of a run of 200 updates, 50 rows and 25 checkpoints."""
    flags = """--env two_step --core feedforward --env.num-trials 2 --num-env-steps 2000
    --agent.unroll-length 5 --agent.batch-size 2 --agent.torso flat
    --log-interval 40 --checkpoint-interval 80"""
    return flags.split()
