"""Conformance of environments of the on-device kind; see `conformance`."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tolman.envs import vector
from tolman.envs.actions import Legal, bounds, count_numbers, random_action
from tolman.envs.adapters import DmEnvAdapter
from tolman.envs.checks import (
    check_methods,
    check_structure,
    check_values,
    fail,
    is_same,
    shapes_of,
    spec_leaves,
)
from tolman.envs.environment import FIRST, LAST, TimeStep
from tolman.envs.places import summary

NUM_COPIES = 4
PIXEL_SHARE = 0.02  # Of an image, that two ways to compile may paint differently.
# Of floats, where rounding grows as in bodies that touch: after one step from the same
# state, and where the growth is first seen.
ONE_STEP, GROWN = 3e-3, 1e-2
STEPS_APART = 0.05  # Of all: where bodies just touch, rounding decides whether they do.
METHODS = ("reset", "step", "observation_spec", "action_spec")
SCALARS = {
    "step_type": "int32",
    "reward": "float32",
    "discount": "float32",
    "new_task": "bool",
}


def check_on_device(environment: Any, num_steps: int, seed: int) -> list[str]:
    """See `conformance.check_environment`."""
    checked = [_check_interface(environment), _check_traced(environment)]
    checked.append(_check_pure(environment))
    (actions, first), (_, second) = _play_twice(environment, num_steps, seed)
    checked.append(_check_order(first))
    checked.append(_check_numbers(environment, first))
    checked += _check_legal(environment, first)
    if not is_same(first, second):
        fail(
            "trajectory",
            "another one from the same key and actions",
            "the same",
            "Draw all chance from the key, none from numpy.random or the clock.",
        )
    checked.append("same key, same trajectory")
    checked.append(_note_chance(first))
    checked.append(_check_adapter(environment, first, actions, seed))
    return checked


def _check_interface(environment: Any) -> str:
    check_methods(environment, METHODS, "tolman.envs.environment.Environment")
    for _, leaf in spec_leaves(environment.action_spec()):
        bounds(leaf)
    spec_leaves(environment.observation_spec())
    return "methods and specs are there"


def _check_traced(environment: Any) -> str:
    key = jax.random.PRNGKey(0)
    reset = _trace("reset", environment.reset, key)
    action = _action_shapes(environment)
    starts = {"reset": reset, "step": _trace("step", environment.step, reset[0], action)}
    if hasattr(environment, "next_episode"):
        starts["next_episode"] = _trace(
            "next_episode", environment.next_episode, reset[0], key
        )
    for name, (state, timestep) in starts.items():
        if shapes_of(state) != shapes_of(reset[0]):
            fail(
                f"state after {name}",
                _difference(state, reset[0]),
                "of the same structure, shapes and dtypes as after reset",
                "Cast the leaves that differ.",
            )
        for field, dtype in SCALARS.items():
            leaf = getattr(timestep, field)
            if getattr(leaf, "shape", None) != () or str(leaf.dtype) != dtype:
                fail(
                    f"{name}: TimeStep.{field}",
                    leaf,
                    f"a scalar {dtype} array",
                    "Build it with environment.restart or environment.transition.",
                )
        check_structure(
            f"{name}: observation", environment.observation_spec(), timestep.observation
        )
    return "reset and step can be traced by jit; shapes and dtypes are those of the specs"


def _action_shapes(environment: Any) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype)
        ),
        environment.action_spec(),
    )


def _trace(name: str, function: Any, *arguments: Any) -> tuple[Any, Any]:
    try:
        result = jax.eval_shape(function, *arguments)
    except Exception as error:
        fail(
            f"{name} under jit",
            summary(error),
            "traceable",
            "Use jnp.where and lax.cond instead of Python's if on arrays.",
        )
    if not (
        isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], TimeStep)
    ):
        fail(
            f"result of {name}",
            type(result).__name__,
            "a pair (state, TimeStep)",
            "Return the state and environment.restart(...) or transition(...).",
        )
    return result


def _difference(state: Any, wanted: Any) -> str:
    (structure, leaves), (wanted_structure, wanted_leaves) = (
        shapes_of(state),
        shapes_of(wanted),
    )
    if structure != wanted_structure:
        return str(structure)
    pairs = zip(leaves, wanted_leaves, strict=True)
    return str([f"{got} for {want}" for got, want in pairs if got != want])


def _check_pure(environment: Any) -> str:
    """Traced twice, each function must give the same program with the same constants."""
    key = jax.random.PRNGKey(0)
    state, _ = jax.eval_shape(environment.reset, key)
    action = _action_shapes(environment)
    for name, arguments in (("reset", (key,)), ("step", (state, action))):
        first, second = (_program(getattr(environment, name), arguments) for _ in range(2))
        if first[0] != second[0] or not is_same(first[1], second[1]):
            fail(
                name,
                "different results for the same arguments",
                "pure",
                "Keep nothing on the object, and draw all chance from the key.",
            )
    return "reset and step are pure"


def _program(function: Any, arguments: tuple) -> tuple[str, list[Any]]:
    # A new function each time, as jax would otherwise answer from its cache.
    program = jax.make_jaxpr(lambda *anew: function(*anew))(*arguments)
    return re.sub("0x[0-9a-f]+", "", str(program)), program.consts


def _play_twice(environment: Any, num_steps: int, seed: int) -> list[tuple[Any, TimeStep]]:
    """Random legal actions `[T, N, ...]`, and what came of them `[T + 1, N, ...]`; twice.

    The random numbers that actions are made of are the same for all copies.
    """
    action_spec = environment.action_spec()
    read_mask = Legal(environment.observation_spec(), action_spec).read
    rng = np.random.default_rng(seed)
    numbers = rng.random((num_steps, count_numbers(action_spec)), np.float32)

    def step(carry: Any, numbers: jax.Array) -> Any:
        state, timestep = carry
        draw = partial(random_action, action_spec, numbers)
        mask = read_mask(timestep.observation)
        action = jax.vmap(draw, axis_size=NUM_COPIES)(mask)
        state, timestep = vector.step(environment, state, action)
        return (state, timestep), (action, timestep)

    @jax.jit
    def play(keys: jax.Array, numbers: jax.Array) -> Any:
        state, first = vector.reset(environment, keys)
        actions, rest = lax.scan(step, (state, first), numbers)[1]
        rows = jax.tree.map(
            lambda one, more: jnp.concatenate([one[None], more]), first, rest
        )
        return actions, rows

    try:
        return [jax.device_get(play(_keys(seed), numbers)) for _ in range(2)]
    except Exception as error:
        fail(
            "reset or step under vmap", summary(error), "mappable", "Write it for one copy."
        )


def _keys(seed: int) -> jax.Array:
    """Of the copies that are played."""
    return jnp.stack([jax.random.PRNGKey(seed + copy) for copy in range(NUM_COPIES)])


def _check_legal(environment: Any, played: TimeStep) -> list[str]:
    legal = Legal(environment.observation_spec(), environment.action_spec())
    if not legal.is_told:
        return []
    leaves = jax.tree.leaves(played.observation)
    for index in np.argwhere(played.step_type != LAST):
        legal.check([leaf[tuple(index)] for leaf in leaves])
    return ["some action is legal until an episode ends"]


def _check_order(played: TimeStep) -> str:
    is_first, is_last = played.step_type == FIRST, played.step_type == LAST
    if not is_first[0].all():
        fail(
            "reset: step_type", played.step_type[0].max(), "0 (FIRST)", "Use restart(...)."
        )
    unknown = (played.step_type < FIRST) | (played.step_type > LAST)
    if unknown.any():
        fail("step_type", played.step_type[unknown][0], "0, 1 or 2", "Use transition(...).")
    follows_last = is_last[:-1]
    if (is_first[1:] & ~follows_last).any():
        fail("step: step_type", "0 (FIRST)", "1 (MID) or 2 (LAST)", "Use transition(...).")
    if (~is_first[1:] & follows_last).any():
        fail("step_type after LAST", "no FIRST", "0 (FIRST)", "Use restart(...).")
    if (played.new_task & ~is_first).any():
        fail(
            "new_task", "True on a later step", "True on FIRST only", "Use transition(...)."
        )
    if not played.new_task[0].all():
        fail(
            "reset: new_task", "False", "True, as no task came before", "Use restart(...)."
        )
    if (played.reward[is_first] != 0.0).any():
        reward = played.reward[is_first].max()
        fail("reward on FIRST", reward, "0, as no action came before", "Use restart(...).")
    if (played.discount[is_first] != 1.0).any():
        fail("discount on FIRST", played.discount[is_first].min(), "1", "Use restart(...).")
    if not is_last.any():
        return f"FIRST, then MID; note: no episode ended within {len(is_last) - 1} steps"
    return "FIRST, MID, LAST in order; new_task on FIRST only"


def _check_numbers(environment: Any, played: TimeStep) -> str:
    if not np.isfinite(played.reward).all():
        got = played.reward[~np.isfinite(played.reward)][0]
        fail("reward", got, "finite", "Look for a division by 0.")
    wrong = ~((played.discount >= 0.0) & (played.discount <= 1.0))
    if wrong.any():
        fail("discount", played.discount[wrong][0], "in [0, 1]", "Use transition(...).")
    check_values(
        "observation", environment.observation_spec(), played.observation, num_axes=2
    )
    return "rewards, discounts and observations are finite and within their bounds"


def _note_chance(played: TimeStep) -> str:
    copies = [jax.tree.map(lambda leaf, n=n: leaf[:, n], played) for n in range(NUM_COPIES)]
    if any(not is_same(copies[0], copy) for copy in copies[1:]):
        return "different keys, different trajectories"
    return "note: all keys gave the same trajectory; right only where nothing is random"


def _check_adapter(environment: Any, played: TimeStep, actions: Any, seed: int) -> str:
    """Two copies, each past the end of its first episode, where there is one.

    Where rounding grows, two ways to compile part; then each step alone must be as under
    vmap from the same state, but for few.
    """
    found = "alone through DmEnvAdapter as in many copies under vmap"
    for copy in range(2):
        ends = np.flatnonzero(played.step_type[:, copy] == LAST)
        length = len(played.step_type) - 1
        num_steps = min(length, int(ends[0]) + 3 if len(ends) else length)
        adapter = DmEnvAdapter(environment, seed + copy)
        timestep = adapter.reset()
        for time in range(num_steps + 1):
            if time > 0:
                action = jax.tree.map(lambda leaf, at=(time - 1, copy): leaf[at], actions)
                timestep = adapter.step(action)
            wanted = jax.tree.map(lambda leaf, at=(time, copy): leaf[at], played)
            alone = _as_on_device(timestep, adapter.new_task)
            if is_same(alone, wanted, PIXEL_SHARE):
                continue
            if time > 0 and is_same(alone, wanted, PIXEL_SHARE, GROWN):
                agree = _steps_agree(environment, actions, seed, copy)
                if agree.mean() >= 1.0 - STEPS_APART:
                    few = f", but for {(~agree).sum()} of {len(agree)}"
                    where = "in each step" + ("" if agree.all() else few)
                    found = f"note: alone as under vmap {where}; over many, rounding grows"
                    break
            fail(
                f"step {time}",
                "another time step from DmEnvAdapter, alone, than under vmap",
                "the same",
                "Let a copy read nothing but its own state, action and key.",
            )
    return found


def _steps_agree(environment: Any, actions: Any, seed: int, copy: int) -> np.ndarray:
    """Whether a step of a copy, alone from its state under vmap, gives the same, `[T]`."""

    def step(state: Any, action: Any) -> Any:
        after, timestep = vector.step(environment, state, action)
        return after, (state, timestep)

    @jax.jit
    def play(keys: jax.Array, actions: Any) -> Any:
        # States and time steps of one program, as another one would part from it too.
        state, _ = vector.reset(environment, keys)
        return lax.scan(step, state, actions)[1]

    rows = (*play(_keys(seed), actions), actions)
    before, wanted, own = jax.tree.map(lambda leaf: leaf[:, copy], rows)
    step_alone = jax.jit(partial(lax.map, lambda pair: environment.step(*pair)[1]))
    told = step_alone((before.env, own))
    goes_on = ~np.asarray(before.last)
    told, wanted = jax.tree.map(np.asarray, (told, wanted))

    def at(steps: Any, time: int) -> Any:
        return jax.tree.map(lambda leaf: leaf[time], steps)

    times = np.flatnonzero(goes_on)
    return np.array(
        [is_same(at(told, t), at(wanted, t), PIXEL_SHARE, ONE_STEP) for t in times]
    )


def _as_on_device(timestep: dm_env.TimeStep, new_task: bool) -> TimeStep:
    is_first = timestep.first()
    return TimeStep(
        step_type=jnp.int32(timestep.step_type),
        reward=jnp.float32(0.0 if is_first else timestep.reward),
        discount=jnp.float32(1.0 if is_first else timestep.discount),
        observation=timestep.observation,
        new_task=jnp.bool_(new_task),
    )
