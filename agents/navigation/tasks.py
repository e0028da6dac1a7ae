"""What the navigation agent predicts besides: depth, loop closure, its own place.

Shapes: T decisions, B sequences. Row T of predictions `[T + 1, B, ...]` has no loss.

Source: Mirowski et al. 2016, section 3.1 and appendix C.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import haiku as hk
import jax.numpy as jnp
import numpy as np
import optax
from dm_env import specs

from tolman.agents.agent import Array, Metrics, Unroll
from tolman.agents.auxiliary import AuxiliaryTask
from tolman.agents.navigation.config import NavigationConfig
from tolman.agents.recurrent import Features

HIDDEN_SIZE = 128  # Of every head but the probes; appendix C.
Read = Callable[[Features], Array]


def make_tasks(config: NavigationConfig, observation_spec: Any) -> list[AuxiliaryTask]:
    """The tasks whose costs are above 0, and the probes.

    Raises:
      ValueError: if the environment does not deliver what one of them needs.
    """
    tasks = []
    make_depth = _depth_classes if config.depth_target == "classes" else _depth_regression
    for name, cost, read in (
        ("depth_1", config.depth_1_cost, _torso),
        ("depth_2", config.depth_2_cost, _core),
    ):
        if cost > 0.0:
            flag = f"--agent.{name.replace('_', '-')}-cost 0"
            tasks.append(make_depth(name, cost, read, observation_spec, flag))
    if config.loop_cost > 0.0:
        tasks.append(_loop_closure(config.loop_cost, observation_spec))
    if config.decodes_position:
        tasks.append(_position("position", _core, observation_spec))
        tasks.append(_position("position_of_features", _torso, observation_spec))
    return tasks


def _torso(features: Features) -> Array:
    return features.torso


def _core(features: Features) -> Array:
    return features.core


def needed(observation_spec: Any, field: str, flag: str) -> Any:
    """The spec of a field.

    Args:
      observation_spec: of an environment.
      field: that the agent cannot do without.
      flag: with which it can; "" for none.

    Raises:
      ValueError: if the environment has none.
    """
    has = tuple(observation_spec) if isinstance(observation_spec, Mapping) else ()
    if field not in has:
        found = ", ".join(has) or "no named fields"
        ways = [f"set --env.fields {' '.join([*has, field])}"] if has else []
        ways += ["choose another --env"] + ([f"set {flag}"] if flag else [])
        told = ", or ".join([", ".join(ways[:-1]), ways[-1]] if ways[1:] else ways)
        raise ValueError(
            f"the observation has no field {field!r}; it has {found}. "
            f"{told[0].upper()}{told[1:]}."
        )
    return observation_spec[field]


def _check(is_so: Any, field: str, spec: specs.Array, wanted: str, flag: str) -> None:
    """Raises ValueError unless a field of an environment is what a loss can read."""
    if not is_so:
        bound = getattr(spec, "maximum", None)
        maximum = "none" if bound is None else f"{np.max(bound):g}"
        raise ValueError(
            f"field {field!r} of shape {spec.shape}, maximum {maximum}: must be {wanted}. "
            f"Correct the environment's spec, or set {flag}."
        )


def _largest(spec: specs.Array) -> np.ndarray:
    """The bounds of a field from above, `[*shape]`; infinity where it has none."""
    return np.broadcast_to(getattr(spec, "maximum", np.inf), spec.shape)


def _classes(observation_spec: Any, flag: str) -> tuple[tuple[int, ...], int]:
    """The shape of "depth_classes", and how many classes there are.

    Raises:
      ValueError: if there is no such field, or it is none of classes.
    """
    spec = needed(observation_spec, "depth_classes", flag)
    largest = _largest(spec)
    is_so = len(spec.shape) == 2 and largest.size and np.isfinite(largest).all()
    wanted = "[rows, columns], with a maximum that is the number of the last class"
    _check(is_so and largest.max() >= 1, "depth_classes", spec, wanted, flag)
    return spec.shape, int(largest.max()) + 1


def _mlp(name: str, num_outputs: int) -> hk.nets.MLP:
    return hk.nets.MLP([HIDDEN_SIZE, num_outputs], name=f"{name}_head")


def _depth_classes(
    name: str, cost: float, read: Read, observation_spec: Any, flag: str
) -> AuxiliaryTask:
    """Depth by bands: a softmax for each pixel, cross-entropy, a mean over pixels."""
    shape, num_classes = _classes(observation_spec, flag)

    def head(features: Features) -> Array:
        logits = _mlp(name, int(np.prod(shape)) * num_classes)(read(features))
        return logits.reshape(*logits.shape[:-1], *shape, num_classes)

    def labels(unroll: Unroll) -> Array:
        return unroll.timestep.observation["depth_classes"][:-1].astype(jnp.int32)

    def loss(logits: Array, unroll: Unroll) -> Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(
            logits[:-1], labels(unroll)
        )
        return losses.mean(axis=(-2, -1))

    def metrics(logits: Array, unroll: Unroll, mask: Array) -> Metrics:
        is_right = jnp.argmax(logits[:-1], axis=-1) == labels(unroll)
        return {"accuracy": _mean(is_right.mean(axis=(-2, -1)), mask)}

    return AuxiliaryTask(name, cost, head, loss, ("depth_classes",), metrics)


def _depth_regression(
    name: str, cost: float, read: Read, observation_spec: Any, flag: str
) -> AuxiliaryTask:
    """The same pixels as numbers: a band's number over that of the last, squared error."""
    shape, num_classes = _classes(observation_spec, flag)

    def head(features: Features) -> Array:
        numbers = _mlp(name, int(np.prod(shape)))(read(features))
        return numbers.reshape(*numbers.shape[:-1], *shape)

    def loss(numbers: Array, unroll: Unroll) -> Array:
        target = unroll.timestep.observation["depth_classes"][:-1] / (num_classes - 1.0)
        return jnp.square(numbers[:-1] - target).mean(axis=(-2, -1))

    return AuxiliaryTask(name, cost, head, loss, ("depth_classes",))


def _loop_closure(cost: float, observation_spec: Any) -> AuxiliaryTask:
    """Whether the agent has come back to a place, from the core's output."""
    flag = "--agent.loop-cost 0"
    spec = needed(observation_spec, "loop_closure", flag)
    _check(spec.shape == (), "loop_closure", spec, "a single number, 0 or 1", flag)

    def head(features: Features) -> Array:
        return _mlp("loop", 2)(features.core)

    def labels(unroll: Unroll) -> Array:
        return unroll.timestep.observation["loop_closure"][:-1].astype(jnp.int32)

    def loss(logits: Array, unroll: Unroll) -> Array:
        return optax.softmax_cross_entropy_with_integer_labels(logits[:-1], labels(unroll))

    def metrics(logits: Array, unroll: Unroll, mask: Array) -> Metrics:
        told = (jnp.argmax(logits[:-1], axis=-1) == 1).astype(jnp.float32)
        true = labels(unroll).astype(jnp.float32)
        both = 2.0 * jnp.sum(told * true * mask)
        f1 = both / jnp.maximum(jnp.sum((told + true) * mask), 1.0)
        return {"f1": f1, "share": _mean(true, mask)}

    return AuxiliaryTask("loop", cost, head, loss, ("loop_closure",), metrics)


def _position(name: str, read: Read, observation_spec: Any) -> AuxiliaryTask:
    """A linear softmax over the cells of the maze, which changes nothing but itself."""
    flag = "--agent.no-decodes-position"
    spec = needed(observation_spec, "pose", flag)
    largest = _largest(spec)[:2] if len(spec.shape) == 1 else np.zeros(0)
    is_so = largest.size == 2 and np.isfinite(largest).all() and largest.min() >= 1
    wanted = "[x, y, ...] in cells, with the maze's width and height as maxima"
    _check(is_so, "pose", spec, wanted, flag)
    width, height = (int(limit) for limit in largest)

    def head(features: Features) -> Array:
        return hk.Linear(width * height, name=f"{name}_probe")(read(features))

    def labels(unroll: Unroll) -> Array:
        place = jnp.floor(unroll.timestep.observation["pose"][:-1, ..., :2])
        return (width * place[..., 1] + place[..., 0]).astype(jnp.int32)

    def loss(logits: Array, unroll: Unroll) -> Array:
        return optax.softmax_cross_entropy_with_integer_labels(logits[:-1], labels(unroll))

    def metrics(logits: Array, unroll: Unroll, mask: Array) -> Metrics:
        is_right = jnp.argmax(logits[:-1], axis=-1) == labels(unroll)
        return {"accuracy": _mean(is_right, mask)}

    return AuxiliaryTask(name, 1.0, head, loss, ("pose",), metrics, is_probe=True)


def _mean(values: Array, mask: Array) -> Array:
    """Over the decisions that count."""
    return jnp.sum(values * mask) / jnp.maximum(mask.sum(), 1.0)
