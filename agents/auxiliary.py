"""Auxiliary tasks: further losses on the network's features, chosen by name.

A task is a head on what the network computes and a loss over the unroll, whose time steps
hold the whole observation, its targets too. `--agent.auxiliary-tasks depth my_pkg:loop
--agent.auxiliary-costs 0.33 1` chooses and weighs them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array, Metrics, Unroll
from tolman.agents.recurrent import Features
from tolman.envs.places import summary
from tolman.envs.registry import Registry


@dataclass(frozen=True)
class AuxiliaryTask:
    """One further loss.

    Attributes:
      name: of its metric, `loss/<name>`.
      cost: weight in the total loss.
      head: called inside the network; maps `Features` to a prediction.
      loss: maps that prediction over `[T + 1, B]` rows and the unroll to `[T, B]` losses.
      targets: parts of the observation that it predicts. Policy and value do not read them,
        unless the agent's `reads` names them.
      metrics: maps the prediction, the unroll and the mask `[T, B]` of decisions that count
        to further metrics, a number each, `<name>/<metric>`; None for none.
      is_probe: it measures what the features hold and does not change them: no gradient of
        it reaches the network.
    """

    name: str
    cost: float
    head: Callable[[Features], Any]
    loss: Callable[[Any, Unroll], Array]
    targets: tuple[str, ...] = ()
    metrics: Callable[[Any, Unroll, Array], Metrics] | None = None
    is_probe: bool = False

    def predict(self, features: Features) -> Any:
        """The head's prediction."""
        if self.is_probe:
            features = jax.tree.map(jax.lax.stop_gradient, features)
        return self.head(features)


Factory = Callable[[Any], AuxiliaryTask]  # From the observation's spec.

AUXILIARY_TASKS = Registry("auxiliary task")
# A decorator: makes a factory, which takes the observation's spec, known by a name.
register_auxiliary_task = AUXILIARY_TASKS.register


def make_auxiliary_tasks(
    names: Sequence[str],
    costs: Sequence[float],
    observation_spec: Any,
    made: Sequence[AuxiliaryTask] = (),
) -> tuple[AuxiliaryTask, ...]:
    """Builds the named tasks, and puts them before those that were made already.

    Args:
      names: registered ones, or module:attribute of a registered factory.
      costs: their weights; none for each task's own.
      observation_spec: what the factories get.
      made: tasks that need no building.

    Raises:
      ValueError: for an unknown name, two tasks of one name, or costs that do not fit.
    """
    if costs and len(costs) != len(names):
        raise ValueError(
            f"auxiliary_costs={tuple(costs)}: must be as many as auxiliary_tasks, "
            f"{len(names)}, or none. Set --agent.auxiliary-costs."
        )
    tasks = [_find(name)(observation_spec) for name in names]
    if costs:
        pairs = zip(tasks, costs, strict=True)
        tasks = [replace(task, cost=cost) for task, cost in pairs]
    tasks += made
    for number, task in enumerate(tasks):
        if task.name in {other.name for other in tasks[:number]}:
            raise ValueError(
                f"auxiliary task {task.name!r} is chosen twice. Set "
                "--agent.auxiliary-tasks."
            )
    return tuple(tasks)


def auxiliary_loss(
    tasks: Sequence[AuxiliaryTask],
    predictions: Mapping[str, Any],
    unroll: Unroll,
    mask: Array,
) -> tuple[Array | float, Metrics]:
    """The weighted sum of the tasks' losses, over time, a mean over the batch.

    Args:
      tasks: with different names.
      predictions: of each task's head, by its name.
      unroll: what was learned from.
      mask: `[T, B]`, 1 where the decision counts.

    Returns:
      `[]` loss, `loss/<name>` of each task, a mean over decisions, and its own metrics.
    """
    total: Array | float = 0.0
    metrics = {}
    for task in tasks:
        losses = task.loss(predictions[task.name], unroll) * mask  # [T, B]
        total += task.cost * losses.sum() / losses.shape[1]
        metrics[f"loss/{task.name}"] = losses.sum() / jnp.maximum(mask.sum(), 1.0)
        if task.metrics is not None:
            told = task.metrics(predictions[task.name], unroll, mask)
            metrics |= {f"{task.name}/{name}": value for name, value in told.items()}
    return total, metrics


def _find(name: str) -> Factory:
    if name in AUXILIARY_TASKS:
        return AUXILIARY_TASKS[name]
    module_name, _, attribute = name.partition(":")
    if not attribute:
        raise ValueError(
            f"auxiliary task {name!r} is unknown: use one of "
            f"{', '.join(sorted(AUXILIARY_TASKS))}, or module:attribute for your own. "
            "Set --agent.auxiliary-tasks."
        )
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:
        reason = summary(error)
        raise ValueError(f"auxiliary task {name!r}: not found ({reason}).") from error
    if factory not in AUXILIARY_TASKS.values():
        raise ValueError(
            f"auxiliary task {name!r}: is not registered. Put "
            "@register_auxiliary_task(NAME) above it."
        )
    return factory


@register_auxiliary_task("ponder")
def ponder(observation_spec: Any) -> AuxiliaryTask:
    """The hops that the core `memo` expects to take at each decision, as a cost."""
    del observation_spec

    def head(features: Features) -> Array:
        if "expected_hops" not in features.diagnostics:
            raise ValueError(
                "auxiliary task 'ponder': this core takes no hops. Set --core memo."
            )
        return features.diagnostics["expected_hops"]

    return AuxiliaryTask("ponder", 0.01, head, lambda hops, unroll: hops[:-1])
