"""The network that agents with a memory share: torso, last action and reward, core, heads.

Shapes: `...` is `[B]` for one step and `[T, B]` for an unroll; D torso output, H core
output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import haiku as hk
import jax
import jax.numpy as jnp
from dm_env import specs

from tolman.agents.agent import ActorState, Array, Params, Unroll
from tolman.agents.inputs import Part, encode_actions, make_torso, plan_inputs
from tolman.agents.settings import InputSettings
from tolman.envs.actions import Legal, is_continuous
from tolman.envs.environment import TimeStep
from tolman.networks.core import Diagnostics, Input, MemoryCore, State, run_core

OWN_INPUTS = ("features", "previous_action", "previous_reward")  # Beside the parts.

Output = TypeVar("Output")


class RecurrentState(NamedTuple):
    """Attributes:
    core: the state of the memory core of each trunk.
    previous_action: `[B, ...]`, like the action spec; not read at FIRST.
    """

    core: State
    previous_action: Any


class Features(NamedTuple):
    """What a head may read.

    Attributes:
      torso: `[..., D]`, the torso's output.
      core: `[..., H]`, the memory core's output.
      value_core: `[..., H]`, what a value is read from: the output of a core of its own, or
        `core`.
      core_state: the core's state after the last step.
      diagnostics: `[..., ...]` by name, what the core tells of each step, such as its
        hops; empty for most cores.
      legal: `[..., L]` bool, the mask of legal actions; None where the environment tells
        none. See `tolman.envs.actions`.
    """

    torso: Array
    core: Array
    value_core: Array
    core_state: State
    diagnostics: Diagnostics
    legal: Array | None


class _Trunk(NamedTuple):
    """Attributes:
    core: a memory core.
    inputs: maps time steps and previous actions to the torso's output and the core's input.
    """

    core: MemoryCore
    inputs: Callable[[TimeStep, Any], tuple[Array, Input]]


class _Ran(NamedTuple):
    """What a trunk gives; see `Features`."""

    torso: Array
    core: Array
    core_state: State
    diagnostics: Diagnostics


class Network(NamedTuple, Generic[Output]):
    """Pure functions of parameters.

    Attributes:
      init: draws parameters from a key.
      initial_state: of a batch of actors that have seen nothing yet.
      step: maps `[B]` time steps and the actors' state to outputs and the cores' states.
      unroll: maps an unroll of T + 1 rows to outputs `[T + 1, B]`, from its stored actor
        state on. With `burn_in=n` the first n rows only bring the memory up to date: no
        output is computed there and no gradient reaches them.
    """

    init: Callable[[Array], Params]
    initial_state: Callable[[int], ActorState]
    step: Callable[[Params, TimeStep, ActorState], tuple[Output, State]]
    unroll: Callable[..., Output]


def count_actions(action_spec: Any) -> int:
    """The number of actions.

    Raises:
      ValueError: if they are not numbered, such as the continuous ones of a robot.
    """
    if not isinstance(action_spec, specs.DiscreteArray):
        raise ValueError(
            f"action spec {action_spec!r}: this agent needs numbered actions (a "
            "DiscreteArray). Train ppo, choose another --env, or number the actions in a "
            "wrapper."
        )
    return action_spec.num_values


def make_recurrent_network(
    settings: InputSettings,
    observation_spec: Any,
    action_spec: Any,
    make_core: Callable[[], MemoryCore],
    make_heads: Callable[[], Callable[[Features], Output]],
    targets: Sequence[str] = (),
    has_value_trunk: bool = False,
) -> Network[Output]:
    """Builds the network; `step` and `unroll` share every layer and every input.

    Args:
      settings: the agent's config.
      observation_spec: a `dm_env.specs.Array`, or a nest of them.
      action_spec: likewise.
      make_core: builds the memory core; called inside the Haiku transform.
      make_heads: builds what maps `Features` to the agent's outputs; called there too.
      targets: parts of the observation that only losses read.
      has_value_trunk: whether values are read from a torso and a core of their own.

    Raises:
      ValueError: if the observation cannot be read as the settings say, or its mask does
        not suit the actions.
    """
    parts = plan_inputs(observation_spec, settings, targets)
    legal = Legal(observation_spec, action_spec).read

    def build() -> tuple[Callable[[TimeStep], Output], tuple[Callable[..., Any], ...]]:
        cores = [make_core() for _ in range(1 + has_value_trunk)]
        encode = encode_actions(action_spec)
        trunks = [_Trunk(c, _make_inputs(settings, parts, encode, c)) for c in cores]
        heads = make_heads()

        def initial_state(batch_size: int) -> RecurrentState:
            states = tuple(core.initial_state(batch_size) for core in cores)
            return RecurrentState(states, no_actions(action_spec, batch_size))

        def step(timestep: TimeStep, state: RecurrentState) -> tuple[Output, State]:
            pairs = zip(trunks, state.core, strict=True)
            ran = [_run(*pair, timestep, state.previous_action) for pair in pairs]
            output = heads(_features(ran, legal(timestep.observation)))
            return output, tuple(one.core_state for one in ran)

        def unroll(unroll: Unroll, burn_in: int = 0) -> Output:
            timestep, previous_actions = unroll.timestep, _previous_actions(unroll)
            pairs = zip(trunks, unroll.actor_state.core, strict=True)
            ran = [_run(*pair, timestep, previous_actions, burn_in) for pair in pairs]
            seen = jax.tree.map(lambda leaf: leaf[burn_in:], timestep.observation)
            return heads(_features(ran, legal(seen)))

        def init(timestep: TimeStep) -> Output:
            return step(timestep, initial_state(1))[0]

        return init, (initial_state, step, unroll)

    transformed = hk.without_apply_rng(hk.multi_transform(build))
    apply_initial_state, apply_step, apply_unroll = transformed.apply

    return Network(
        init=lambda key: transformed.init(key, _example_timestep(observation_spec)),
        initial_state=lambda batch_size: apply_initial_state({}, batch_size),
        step=apply_step,
        unroll=apply_unroll,
    )


def _run(
    trunk: _Trunk,
    core_state: State,
    timestep: TimeStep,
    previous_action: Any,
    burn_in: int = 0,
) -> _Ran:
    """Runs a step, or an unroll: all rows from `burn_in` on."""
    features, x = trunk.inputs(timestep, previous_action)
    new_task = timestep.new_task
    if burn_in:
        first = jax.tree.map(lambda leaf: leaf[:burn_in], x)
        _, core_state = trunk.core.unroll(first, new_task[:burn_in], core_state)
        core_state = jax.lax.stop_gradient(core_state)
        rest = (features, x, new_task)  # [T + 1, B, ...]
        features, x, new_task = jax.tree.map(lambda leaf: leaf[burn_in:], rest)
    return _Ran(features, *run_core(trunk.core, x, new_task, core_state))


def _features(ran: Sequence[_Ran], legal: Array | None) -> Features:
    """What heads read, of one trunk, or of the policy's and the value's."""
    torso, core, core_state, diagnostics = ran[0]
    return Features(torso, core, ran[-1].core, core_state, diagnostics, legal)


def _previous_actions(unroll: Unroll) -> Any:
    """`[T + 1, B, ...]`: what was done before each row."""
    return jax.tree.map(
        lambda first, rest: jnp.concatenate([first[None], rest]),
        unroll.actor_state.previous_action,
        unroll.action,
    )


def _make_inputs(
    settings: InputSettings,
    parts: Sequence[Part],
    encode_action: Callable[[Any], Array],
    core: MemoryCore,
) -> Callable[[TimeStep, Any], tuple[Array, Input]]:
    """Returns what maps time steps and previous actions to features and core input."""
    core_inputs = tuple(getattr(core, "inputs", ()))
    torso = make_torso(settings, parts, [n for n in core_inputs if n not in OWN_INPUTS])

    def inputs(timestep: TimeStep, previous_action: Any) -> tuple[Array, Input]:
        given = torso(timestep.observation)  # [..., D] by name.
        features = given.get("features", jnp.zeros((*timestep.reward.shape, 0)))
        if settings.use_previous_action:
            action = encode_action(previous_action)
            is_first = timestep.is_first()[..., None]
            given["previous_action"] = jnp.where(is_first, 0.0, action)
        if settings.use_previous_reward:
            given["previous_reward"] = timestep.reward[..., None]
        if core_inputs:
            return features, _choose(given, core_inputs)
        return features, jnp.concatenate(list(given.values()), axis=-1)

    return inputs


def _choose(given: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """The inputs that a core names; none may be missing, and none left over."""
    for name in names:
        if name not in given:
            is_own = name in OWN_INPUTS and name != "features"
            flag = f"use-{name.replace('_', '-')}" if is_own else "reads"
            raise ValueError(
                f"core input {name!r}: the agent gives {', '.join(given)}. Set "
                f"--agent.{flag}, or name other inputs in the core's settings."
            )
    for name in given:
        if name not in names:
            raise ValueError(
                f"core inputs {', '.join(names)}: {name!r}, which the agent reads, would "
                "reach no layer of the core. Name it there, or have the agent not read it."
            )
    return {name: given[name] for name in names}


def no_actions(action_spec: Any, batch_size: int) -> Any:
    """Zeros `[B, ...]` like actions, for actors that have taken none."""

    def zeros(spec: specs.Array) -> Array:
        dtype = jnp.float32 if is_continuous(spec) else jnp.int32
        return jnp.zeros((batch_size, *spec.shape), dtype)

    return jax.tree.map(zeros, action_spec)


def _example_timestep(observation_spec: Any) -> TimeStep:
    """A time step of zeros with batch size 1."""
    observation = jax.tree.map(
        lambda spec: jnp.zeros((1, *spec.shape), spec.dtype), observation_spec
    )
    zeros = jnp.zeros(1)
    return TimeStep(zeros.astype(jnp.int32), zeros, zeros, observation, zeros.astype(bool))
