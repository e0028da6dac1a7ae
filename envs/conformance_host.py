"""Conformance of environments of the host kind, dm_env and Gymnasium; see `conformance`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import dm_env
import jax
import numpy as np

from tolman.envs.actions import Legal, cast_action, count_numbers, random_action
from tolman.envs.adapters import GymnasiumAdapter
from tolman.envs.checks import (
    check_structure,
    check_values,
    fail,
    is_same,
    spec_leaves,
)
from tolman.envs.places import summary, summary_with_place
from tolman.envs.turns import OverdueError, TurnThread

NUM_REPEATED = 50  # Steps that are played twice from one seed.
TIMEOUT_SECONDS = 60.0  # Of one call of the environment.


def check_dm_env(environment: dm_env.Environment, num_steps: int, seed: int) -> list[str]:
    """See `conformance.check_environment`."""
    spec_leaves(environment.observation_spec())
    spec_leaves(environment.action_spec())
    rng = np.random.default_rng(seed)
    thread = TurnThread()
    sample = _Sampler(environment, rng)
    timestep = _call(thread, "reset", environment.reset)
    _check_first(environment, "reset", timestep)
    num_episodes = 0
    for _ in range(num_steps):
        was_last = timestep.last()
        action = sample(timestep)
        timestep = _call(thread, "step", environment.step, action)
        if was_last:
            num_episodes += 1
            _check_first(environment, "step after LAST", timestep)
        else:
            _check_later(environment, timestep)
    timestep = _call(thread, "reset", environment.reset)
    _check_first(environment, "reset in mid-episode", timestep)
    checked = [
        "specs are there; observations, rewards and discounts are as they say",
        "FIRST, MID, LAST in order; new_task, where there is one, on FIRST only",
    ]
    if sample.legal.is_told:
        checked.append("some action is legal until an episode ends")
    if num_episodes == 0:
        checked.append(f"note: no episode ended within {num_steps} steps")
    checked.append(_check_seeds(environment, seed))
    thread.close()
    return checked


def check_gymnasium(environment: Any, num_steps: int, seed: int) -> list[str]:
    """See `conformance.check_environment`; Gymnasium's own checker comes first."""
    from gymnasium.utils.env_checker import check_env

    def check(_: int) -> GymnasiumAdapter:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Its check of close builds a second copy from the spec, which need not hold
            # every wrapper, and closes it, which closes pygame for the whole process.
            check_env(environment, skip_render_check=True, skip_close_check=True)
            return GymnasiumAdapter(environment, seed)

    thread = TurnThread()
    results, error = thread.play(check, [0], TIMEOUT_SECONDS)
    if error is not None:
        _fail_late("Gymnasium's checker", error)
        fail("Gymnasium's checker", summary(error), "content", "See the Gymnasium manual.")
    thread.close()
    (adapter,) = results
    return ["Gymnasium's own checker is content", *check_dm_env(adapter, num_steps, seed)]


def _call(
    thread: TurnThread, name: str, function: Callable[..., Any], *arguments: Any
) -> dm_env.TimeStep:
    results, error = thread.play(lambda _: function(*arguments), [0], TIMEOUT_SECONDS)
    if error is not None:
        _fail_late(name, error)
        fail(
            name,
            summary_with_place(error),
            "free of errors",
            "Actions were drawn from action_spec().",
        )
    (timestep,) = results
    if not isinstance(timestep, dm_env.TimeStep):
        got = type(timestep).__name__
        fail(f"result of {name}", got, "a dm_env.TimeStep", "Use dm_env.restart and so on.")
    return timestep


def _fail_late(what: str, error: BaseException) -> None:
    if isinstance(error, OverdueError):
        late = f"no answer within {TIMEOUT_SECONDS:g} s"
        fail(what, late, "an answer", "Find out what it waits for.")


def _check_first(
    environment: dm_env.Environment, what: str, timestep: dm_env.TimeStep
) -> None:
    if not timestep.first():
        fail(f"{what}: step_type", timestep.step_type, "FIRST", "Use dm_env.restart(...).")
    for name in ("reward", "discount"):
        if getattr(timestep, name) is not None:
            got = getattr(timestep, name)
            fail(f"{what}: {name}", got, "None on FIRST", "Use dm_env.restart(...).")
    _check_observation(environment, timestep)
    new_task = getattr(environment, "new_task", True)
    if not isinstance(new_task, bool):
        fail("new_task", repr(new_task), "a bool", "Convert it.")


def _check_later(environment: dm_env.Environment, timestep: dm_env.TimeStep) -> None:
    if timestep.first():
        fail(
            "step: step_type",
            "FIRST in mid-episode",
            "MID or LAST",
            "Return LAST once before another episode starts.",
        )
    for name, spec in (
        ("reward", environment.reward_spec()),
        ("discount", environment.discount_spec()),
    ):
        value = getattr(timestep, name)
        if value is None:
            fail(name, "None", "a number after FIRST", "Use dm_env.transition(...).")
        check_structure(name, spec, value)
        check_values(name, spec, value)
    discount = np.asarray(timestep.discount)
    if not ((discount >= 0.0) & (discount <= 1.0)).all():
        fail("discount", timestep.discount, "in [0, 1]", "Use dm_env.termination(...).")
    if getattr(environment, "new_task", False):
        fail("new_task", "True after FIRST", "True on FIRST only", "Clear it in step.")
    _check_observation(environment, timestep)


def _check_observation(environment: dm_env.Environment, timestep: dm_env.TimeStep) -> None:
    spec = environment.observation_spec()
    check_structure("observation", spec, timestep.observation)
    check_values("observation", spec, timestep.observation)


def _check_seeds(environment: Any, seed: int) -> str:
    if not hasattr(environment, "reseed"):
        return "note: no method reseed(seed), so whether seeds repeat is not known"
    first, second = (_play(environment, seed) for _ in range(2))
    if not is_same(first, second):
        fail(
            "trajectory",
            "another one from the same seed and actions",
            "the same",
            "Draw all chance from the seed.",
        )
    return "same seed, same trajectory"


def _play(environment: Any, seed: int) -> list[Any]:
    environment.reseed(seed)
    sample = _Sampler(environment, np.random.default_rng(seed))
    timestep = environment.reset()
    played = [_copy(timestep)]
    for _ in range(NUM_REPEATED):
        timestep = environment.step(sample(timestep))
        played.append(_copy(timestep))
    return played


def _copy(timestep: dm_env.TimeStep) -> Any:
    """The environment may write the next observation into the same buffer."""
    return jax.tree.map(np.array, tuple(timestep))


class _Sampler:
    """Draws actions at random among those that are legal.

    Attributes:
      legal: which those are.
    """

    def __init__(self, environment: dm_env.Environment, rng: np.random.Generator) -> None:
        self._spec = environment.action_spec()
        self.legal = Legal(environment.observation_spec(), self._spec)
        self._num_numbers, self._rng = count_numbers(self._spec), rng
        self._draw = jax.jit(functools.partial(random_action, self._spec))

    def __call__(self, timestep: dm_env.TimeStep) -> Any:
        """An action for a row; checks that there is one, where the episode goes on."""
        if not timestep.last():
            self.legal.check(jax.tree.leaves(timestep.observation))
        mask = self.legal.read(timestep.observation)
        action = self._draw(self._rng.random(self._num_numbers, np.float32), mask)
        return cast_action(self._spec, jax.device_get(action))
