"""Recurrent A2C on the device in the shape of PureJaxRL's recurrent PPO, written plainly.

One scan acts and stores what it saw, a second one runs the network over that again for the
loss, and a scan from behind makes the advantages. Nothing of Tolman's agents is in it; the
environments are the same.

Shapes: T decisions, B environments, D inputs, H units, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from tolman.envs import vector
from tolman.envs.environment import Array, Environment


class Row(NamedTuple):
    """Attributes:
    x: `[B, D]`, what the network read.
    begins: `[B]` bool, whether the memory was emptied before.
    action: `[B]`.
    value: `[B]`.
    reward: `[B]`.
    discount: `[B]`, 0 at an end.
    """

    x: Array
    begins: Array
    action: Array
    value: Array
    reward: Array
    discount: Array


class Carry(NamedTuple):
    """Attributes:
    params: weights by name.
    optimizer: its state.
    state: of the environments.
    x: `[B, D]`, the next input.
    begins: `[B]`.
    memory: the LSTM's two vectors, `[B, H]` each.
    key: of all that is drawn.
    earned: `[B]`, of the episode so far.
    """

    params: dict[str, Array]
    optimizer: Any
    state: Any
    x: Array
    begins: Array
    memory: tuple[Array, Array]
    key: Array
    earned: Array


class Settings(NamedTuple):
    """Attributes:
    batch_size: B.
    unroll_length: T.
    hidden_size: H.
    discount: per step.
    gae_lambda: of generalised advantages.
    entropy_cost: weight of the entropy.
    value_cost: weight of the value loss.
    learning_rate: of RMSProp.
    max_gradient_norm: global-norm clip.
    """

    batch_size: int
    unroll_length: int
    hidden_size: int = 48
    discount: float = 0.8
    gae_lambda: float = 1.0
    entropy_cost: float = 0.5
    value_cost: float = 0.05
    learning_rate: float = 1e-3
    max_gradient_norm: float = 40.0


def initial_params(key: Array, num_inputs: int, units: int, actions: int) -> dict[str, Any]:
    """An LSTM, a policy and a value, one matrix each."""
    keys = jax.random.split(key, 3)

    def draw(key: Array, rows: int, columns: int) -> Array:
        return jax.random.normal(key, (rows, columns)) / jnp.sqrt(rows)

    return {
        "lstm": draw(keys[0], num_inputs + units, 4 * units),
        "lstm_bias": jnp.zeros(4 * units),
        "policy": 0.01 * draw(keys[1], units, actions),
        "policy_bias": jnp.zeros(actions),
        "value": draw(keys[2], units, 1),
        "value_bias": jnp.zeros(1),
    }


def apply(
    params: dict[str, Array], memory: tuple[Array, Array], x: Array, begins: Array
) -> tuple[tuple[Array, Array], Array, Array]:
    """One step of the network: memory, logits `[B, A]`, value `[B]`."""
    hidden, cell = (jnp.where(begins[:, None], 0.0, leaf) for leaf in memory)
    gates = jnp.concatenate([x, hidden], -1) @ params["lstm"] + params["lstm_bias"]
    i, g, f, o = jnp.split(gates, 4, -1)
    cell = jax.nn.sigmoid(f + 1.0) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
    logits = hidden @ params["policy"] + params["policy_bias"]
    value = (hidden @ params["value"] + params["value_bias"])[:, 0]
    return (hidden, cell), logits, value


def loss(
    params: dict[str, Array],
    settings: Settings,
    memory: tuple[Array, Array],
    rows: Row,
    advantage: Array,
    target: Array,
) -> Array:
    """Of rows `[T, B]`, the network run over them again."""

    def again(memory: Any, row: Row) -> Any:
        memory, logits, value = apply(params, memory, row.x, row.begins)
        return memory, (logits, value)

    _, (logits, value) = lax.scan(again, memory, rows)
    logs = jax.nn.log_softmax(logits)
    taken = jnp.take_along_axis(logs, rows.action[..., None], -1)[..., 0]
    entropy = -(jnp.exp(logs) * logs).sum(-1).mean()
    policy_loss = -(taken * advantage).mean()
    value_loss = jnp.square(value - target).mean()
    costs = settings.value_cost, settings.entropy_cost
    return policy_loss + costs[0] * value_loss - costs[1] * entropy


def advantages(rows: Row, last: Array, settings: Settings) -> Array:
    """Generalised advantages `[T, B]`; `last` `[B]` is the value after the last row."""

    def backward(carried: Any, row: Row) -> Any:
        advantage, after = carried
        error = row.reward + row.discount * after - row.value
        advantage = error + row.discount * settings.gae_lambda * advantage
        return (advantage, row.value), advantage

    first = (jnp.zeros_like(last), last)
    return lax.scan(backward, first, rows, reverse=True)[1]


def see(timestep: Any, action: Array, num_actions: int) -> Array:
    """The network's input `[B, D]`: observation, last action, last reward."""
    observation = timestep.observation.reshape(len(action), -1).astype(jnp.float32)
    before = jax.nn.one_hot(action, num_actions)
    before = jnp.where(timestep.is_first()[:, None], 0.0, before)
    return jnp.concatenate([observation, before, timestep.reward[:, None]], -1)


def _begin(
    environment: Environment, settings: Settings, optimizer: Any, key: Array
) -> Carry:
    num_envs, units = settings.batch_size, settings.hidden_size
    num_actions = environment.action_spec().num_values
    keys = jax.random.split(key, num_envs + 2)
    state, first = vector.reset(environment, keys[2:])
    x = see(first, jnp.zeros(num_envs, jnp.int32), num_actions)
    params = initial_params(keys[0], x.shape[1], units, num_actions)
    empty = jnp.zeros((num_envs, units))
    return Carry(
        params=params,
        optimizer=optimizer.init(params),
        state=state,
        x=x,
        begins=first.new_task,
        memory=(empty, empty),
        key=keys[1],
        earned=jnp.zeros(num_envs),
    )


def make(environment: Environment, settings: Settings) -> tuple[Callable[[int], None], int]:
    """Returns what takes so many updates, and the number of its weights."""
    num_actions = environment.action_spec().num_values
    length = settings.unroll_length
    optimizer = optax.chain(
        optax.clip_by_global_norm(settings.max_gradient_norm),
        optax.rmsprop(settings.learning_rate, decay=0.99, eps=1e-8),
    )

    def act(carry: Carry, _: None) -> tuple[Carry, tuple[Row, Any]]:
        key, own = jax.random.split(carry.key)
        memory, logits, value = apply(carry.params, carry.memory, carry.x, carry.begins)
        action = jax.random.categorical(own, logits)
        state, timestep = vector.step(environment, carry.state, action)
        row = Row(
            carry.x,
            carry.begins,
            action,
            value,
            timestep.reward,
            settings.discount * timestep.discount,
        )
        total = carry.earned + timestep.reward
        told = (jnp.where(timestep.is_last(), total, 0.0).sum(), timestep.is_last().sum())
        carry = carry._replace(
            state=state,
            x=see(timestep, action, num_actions),
            begins=timestep.new_task,
            memory=memory,
            key=key,
            earned=jnp.where(timestep.is_last(), 0.0, total),
        )
        return carry, (row, told)

    def update(carry: Carry, _: None) -> tuple[Carry, Any]:
        before = carry.memory
        carry, (rows, told) = lax.scan(act, carry, None, length=length)
        last = apply(carry.params, carry.memory, carry.x, carry.begins)[2]

        advantage = advantages(rows, last, settings)
        target = advantage + rows.value
        gradients = jax.grad(loss)(carry.params, settings, before, rows, advantage, target)
        changes, state = optimizer.update(gradients, carry.optimizer, carry.params)
        params = optax.apply_updates(carry.params, changes)
        return carry._replace(params=params, optimizer=state), jax.tree.map(jnp.sum, told)

    @partial(jax.jit, static_argnums=1, donate_argnums=0)
    def updates(carry: Carry, count: int) -> tuple[Carry, Any]:
        return lax.scan(update, carry, None, length=count)

    begin = partial(_begin, environment, settings, optimizer)
    carry: Carry = jax.jit(begin)(jax.random.PRNGKey(0))
    weights = sum(leaf.size for leaf in carry.params.values())

    def take(count: int) -> None:
        nonlocal carry
        carry, told = updates(carry, count)
        jax.block_until_ready(told)

    return take, weights
