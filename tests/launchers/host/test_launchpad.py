"""Acme's loops stop when the run does, by the handlers that Launchpad would serve."""

import os
import signal

import acme
from acme.utils import signals

from tolman.envs.adapters import DmEnvAdapter
from tolman.envs.meta_rl import TwoStep
from tolman.launchers.runs.stopping import StopRequest


class LeftActor(acme.Actor):
    def select_action(self, observation):
        return 0

    def observe_first(self, timestep):
        pass

    def observe(self, action, next_timestep):
        pass

    def update(self, wait=False):
        pass


class Silent:
    def write(self, values):
        pass


def test_a_signal_ends_acmes_own_loop():
    """`runtime_terminator` registers a handler that ends what runs inside it."""
    counts = []
    with StopRequest() as stop, signals.runtime_terminator(lambda: counts.append("called")):
        environment = DmEnvAdapter(TwoStep(num_trials=2), seed=0)
        loop = acme.EnvironmentLoop(environment, LeftActor(), logger=Silent())
        for episode in range(1000):
            if episode == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            loop.run_episode()
        counts.append("never here")
    assert counts == ["called"] and stop.signal_number == signal.SIGTERM


def test_a_handler_is_forgotten():
    called = []
    with signals.runtime_terminator(lambda: called.append(1)):
        pass
    with StopRequest():
        os.kill(os.getpid(), signal.SIGTERM)
    assert called == []
