"""The actor-critic's network: torso, previous action and reward, core, heads.

Shapes: `...` is `[B]` for one step and `[T, B]` for an unroll; A actions, H core output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from dm_env import specs

from tolman.agents.actor_critic.config import ActorCriticConfig
from tolman.agents.agent import ActorState, Array, Params, Unroll
from tolman.envs.environment import TimeStep
from tolman.networks.core import Diagnostics, MemoryCore, State, run_core
from tolman.networks.heads import PolicyValueHead
from tolman.networks.torsos import ConvTorso, MLPTorso, TileTorso, flatten

NO_ACTION = -1  # Its one-hot is all zeros: at FIRST no action precedes.


class RecurrentState(NamedTuple):
    """Attributes:
    core: the memory core's state.
    previous_action: `[B]` int32, or NO_ACTION.
    """

    core: State
    previous_action: Array


class Output(NamedTuple):
    """Attributes:
    logits: `[..., A]`.
    value: `[...]`.
    auxiliary: name of an auxiliary task to its head's prediction.
    """

    logits: Array
    value: Array
    auxiliary: dict[str, Any]


class Features(NamedTuple):
    """What an auxiliary head may read.

    Attributes:
      torso: `[..., D]`, the torso's output.
      core: `[..., H]`, the memory core's output.
      core_state: the core's state after the last step.
      diagnostics: `[..., ...]` by name, what the core tells of each step, such as its
        hops; empty for most cores.
    """

    torso: Array
    core: Array
    core_state: State
    diagnostics: Diagnostics


@dataclass(frozen=True)
class AuxiliaryTask:
    """A further loss on the network's features: the seam for depth, loop closure, ponder.

    Attributes:
      name: of its metric, `loss/<name>`.
      cost: weight in the total loss.
      head: called inside the network; maps `Features` to a prediction.
      loss: maps that prediction over `[T + 1, B]` rows and the unroll to `[T, B]` losses.
    """

    name: str
    cost: float
    head: Callable[[Features], Any]
    loss: Callable[[Any, Unroll], Array]


class Network(NamedTuple):
    """Pure functions of parameters; see `make_network`."""

    init: Callable[[Array], Params]
    initial_state: Callable[[int], ActorState]
    step: Callable[[Params, TimeStep, ActorState], tuple[Output, ActorState]]
    unroll: Callable[[Params, Unroll], Output]


def make_network(
    config: ActorCriticConfig,
    observation_spec: Any,
    action_spec: specs.DiscreteArray,
    make_core: Callable[[], MemoryCore],
    auxiliary_tasks: Sequence[AuxiliaryTask] = (),
) -> Network:
    """Builds the network; `step` and `unroll` share every layer and every input."""
    num_actions = action_spec.num_values

    def build() -> tuple[Callable[[TimeStep], Output], tuple[Callable[..., Any], ...]]:
        torso = make_torso(config, observation_spec)
        core = make_core()
        policy_value = PolicyValueHead(num_actions, name="heads")

        def inputs(timestep: TimeStep, previous_action: Array) -> tuple[Array, Array]:
            features = torso(timestep.observation)  # [..., D]
            extras = [features]
            if config.use_previous_action:
                action = jnp.where(timestep.is_first(), NO_ACTION, previous_action)
                extras.append(jax.nn.one_hot(action, num_actions))
            if config.use_previous_reward:
                extras.append(timestep.reward[..., None])
            return features, jnp.concatenate(extras, axis=-1)

        def heads(features: Features) -> Output:
            predictions = {task.name: task.head(features) for task in auxiliary_tasks}
            return Output(*policy_value(features.core), predictions)

        def initial_state(batch_size: int) -> RecurrentState:
            no_action = jnp.full(batch_size, NO_ACTION, jnp.int32)
            return RecurrentState(core.initial_state(batch_size), no_action)

        def step(timestep: TimeStep, state: RecurrentState) -> tuple[Output, State]:
            features, x = inputs(timestep, state.previous_action)
            ran = run_core(core, x, timestep.new_task, state.core)
            hidden, core_state, diagnostics = ran
            output = heads(Features(features, hidden, core_state, diagnostics))
            return output, core_state

        def unroll(unroll: Unroll) -> Output:
            timestep, state = unroll.timestep, unroll.actor_state
            previous_action = jnp.concatenate([state.previous_action[None], unroll.action])
            features, x = inputs(timestep, previous_action)  # [T + 1, B, ...]
            ran = run_core(core, x, timestep.new_task, state.core)
            hidden, core_state, diagnostics = ran
            return heads(Features(features, hidden, core_state, diagnostics))

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


def make_torso(config: ActorCriticConfig, observation_spec: Any) -> Callable[[Any], Array]:
    """Returns the torso that `config.torso` names, for one array or a nest of arrays.

    Every array of a nest gets a torso of its own; their outputs are joined.
    """

    def one(spec: specs.Array) -> Callable[[Array], Array]:
        kind = config.torso
        if kind == "auto":
            kind = "conv" if len(spec.shape) == 3 else "mlp"
        if kind in ("conv", "tiles"):
            if len(spec.shape) != 3:
                raise ValueError(
                    f"torso={kind!r} needs images [height, width, channels], got shape "
                    f"{spec.shape}. Set --agent.torso auto."
                )
            image_torso = ConvTorso if kind == "conv" else TileTorso
            return image_torso(config.torso_size)
        num_axes = len(spec.shape)
        if kind == "flat":
            return lambda observation: flatten(observation, num_axes)
        mlp = MLPTorso([config.torso_size])
        return lambda observation: mlp(flatten(observation, num_axes))

    torsos = jax.tree.map(one, observation_spec)

    def torso(observation: Any) -> Array:
        outputs = jax.tree.map(lambda apply, leaf: apply(leaf), torsos, observation)
        return jnp.concatenate(jax.tree.leaves(outputs), axis=-1)

    return torso


def _example_timestep(observation_spec: Any) -> TimeStep:
    """A time step of zeros with batch size 1."""
    observation = jax.tree.map(
        lambda spec: jnp.zeros((1, *spec.shape), spec.dtype), observation_spec
    )
    zeros = jnp.zeros(1)
    return TimeStep(zeros.astype(jnp.int32), zeros, zeros, observation, zeros.astype(bool))
