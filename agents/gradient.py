"""The gradient step that every agent learns by: an objective goes in, parameters come out.

An agent states its objective; a wrapper of any agent adds to it, or corrects the step, by a
`Hook`; see `with_hooks`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import jax
import optax

from tolman.agents.agent import Array, Metrics, Params

AnyAgent = TypeVar("AnyAgent")


class Loss(NamedTuple):
    """What an objective returns.

    Attributes:
      total: `[]`, what is differentiated.
      metrics: of the batch.
      extra: anything else that the agent's update needs, such as priorities.
    """

    total: Array
    metrics: Metrics
    extra: Any = None


Objective = Callable[[Params], Loss]


class Hook(NamedTuple):
    """What a wrapper changes in a gradient step.

    Attributes:
      objective: maps the objective to another, such as itself plus a penalty.
      step: `step(new, old, step_size)` maps the parameters after the optimizer's step to
        others; `old` are those before it.
    """

    objective: Callable[[Objective], Objective] = lambda objective: objective
    step: Callable[[Params, Params, Array], Params] = lambda new, old, step_size: new


class Stepped(NamedTuple):
    """Parameters and the optimizer's state after a step; metrics and extra of the loss.

    `grad/global_norm` among the metrics is that of the gradient before any clipping.
    """

    params: Params
    optimizer_state: optax.OptState
    metrics: Metrics
    extra: Any


@dataclass(frozen=True)
class GradientStep:
    """Gradient, clip, optimizer, step: w <- w - step_size scaling(clip(gradient)).

    Attributes:
      scaling: the optimizer but for the step size.
      max_gradient_norm: global-norm clip; None for none.
      hooks: applied in order.
    """

    scaling: optax.GradientTransformation
    max_gradient_norm: float | None = None
    hooks: tuple[Hook, ...] = ()

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """The clip and the scaling."""
        if self.max_gradient_norm is None:
            return self.scaling
        return optax.chain(optax.clip_by_global_norm(self.max_gradient_norm), self.scaling)

    def init(self, params: Params) -> optax.OptState:
        """The optimizer's state before the first step."""
        return self.optimizer.init(params)

    def __call__(
        self,
        objective: Objective,
        params: Params,
        optimizer_state: optax.OptState,
        step_size: Array,
    ) -> Stepped:
        """Takes one step down the gradient of the objective."""
        for hook in self.hooks:
            objective = hook.objective(objective)

        def total(params: Params) -> tuple[Array, Loss]:
            loss = objective(params)
            return loss.total, loss

        gradients, loss = jax.grad(total, has_aux=True)(params)
        steps, optimizer_state = self.optimizer.update(gradients, optimizer_state, params)
        new = jax.tree.map(lambda p, s: p - step_size * s, params, steps)
        for hook in self.hooks:
            new = hook.step(new, params, step_size)
        metrics = {**loss.metrics, "grad/global_norm": optax.global_norm(gradients)}
        return Stepped(new, optimizer_state, metrics, loss.extra)


class Wrapper:
    """An agent around another, `inner`, with all attributes of that one but its own."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # Not set yet, as in a copy under way.
            raise AttributeError(name)
        return getattr(self.inner, name)


def with_hooks(agent: AnyAgent, *hooks: Hook) -> AnyAgent:
    """A copy of the agent, or of a `Wrapper` of one, whose steps have these hooks too.

    A hook may close over traced arrays: call this inside the wrapper's `update`, with what
    the wrapper's own state holds. docs/agents.md has an example.

    Args:
      agent: one that learns by its attribute `gradient_step`, a `GradientStep`.
      hooks: applied after those that it has.
    """
    changed: Any = copy.copy(agent)
    if isinstance(agent, Wrapper):
        changed.inner = with_hooks(agent.inner, *hooks)
    else:
        step = changed.gradient_step
        changed.gradient_step = replace(step, hooks=(*step.hooks, *hooks))
    return changed
