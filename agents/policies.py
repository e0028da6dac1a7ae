"""The policy over a whole action: the distributions of its parts, side by side.

Shapes: `...` is `[B]` for one step and `[T, B]` for an unroll; N numbers of a network, F
numbers that are learned directly, L entries of a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array
from tolman.agents.distributions import of_spec
from tolman.agents.settings import Bounding
from tolman.envs.checks import spec_leaves


class Policy:
    """Pure functions of a policy's parameters, a pytree like the action spec.

    Attributes:
      num_outputs: N, that a network gives.
      num_free: F, that are learned directly and that no observation changes.
      num_legal: L, values of all numbered parts of an action.
    """

    def __init__(self, action_spec: Any, bounding: Bounding = "clip") -> None:
        """Makes the distribution of each part.

        Args:
          action_spec: a `dm_env.specs.Array`, or a nest of them.
          bounding: how continuous actions are kept within their bounds.

        Raises:
          ValueError: for actions of which there is no policy; see `of_spec`.
        """
        leaves = spec_leaves(action_spec)
        self._names = [name for name, _ in leaves]
        self._parts = [of_spec(spec, bounding, name) for name, spec in leaves]
        self._structure: Any = jax.tree.structure(action_spec)
        self.num_outputs = sum(part.num_outputs for part in self._parts)
        self.num_free = sum(part.num_free for part in self._parts)
        self.num_legal = sum(part.num_legal for part in self._parts)

    def parameters(self, outputs: Array, free: Array, legal: Array | None = None) -> Any:
        """The policy, from `[..., N]` and `[F]`; no share for what is not `legal`.

        `legal` is `[..., L]` bool, from `tolman.envs.actions.Legal`.
        """
        policies = []
        first = np.zeros(3, int)
        for part in self._parts:
            sizes = np.array([part.num_outputs, part.num_free, part.num_legal])
            own = [slice(*ends) for ends in zip(first, first + sizes, strict=True)]
            mask = None if legal is None or not part.num_legal else legal[..., own[2]]
            policies.append(part.parameters(outputs[..., own[0]], free[own[1]], mask))
            first = first + sizes
        return self._structure.unflatten(policies)

    def draw_noise(self, key: Array, batch_size: int) -> Any:
        """What `sample` needs: of numbered actions, Gumbel noise like the logits."""
        keys = [key] if len(self._parts) == 1 else jax.random.split(key, len(self._parts))
        pairs = zip(self._parts, keys, strict=True)
        return self._structure.unflatten(
            [part.draw_noise(key, batch_size) for part, key in pairs]
        )

    def sample(self, policy: Any, noise: Any) -> Any:
        """An action `[B, ...]` from a policy `[B, ...]`; `noise` is from `draw_noise`."""
        return self._structure.unflatten(
            [part.sample(*own) for part, *own in self._each(policy, noise)]
        )

    def greedy_noise(self, batch_size: int) -> Any:
        """Zeros, with which `sample` takes the likeliest values and the means."""
        noise = self.draw_noise(jax.random.PRNGKey(0), batch_size)
        return jax.tree.map(jnp.zeros_like, noise)

    def log_probability(self, policy: Any, action: Any) -> Array:
        """`[...]`, of an action; with continuous parts, a log density."""
        return _sum(
            [part.log_probability(*own) for part, *own in self._each(policy, action)]
        )

    def entropy(self, policy: Any) -> Array:
        """`[...]`, in nats."""
        return _sum([part.entropy(*own) for part, *own in self._each(policy)])

    def describe(self) -> list[str]:
        """How each part of an action is chosen, a line each."""
        pairs = zip(self._names, self._parts, strict=True)
        return [f"action{name}: {part.how}" for name, part in pairs]

    def _each(self, *trees: Any) -> Any:
        return zip(self._parts, *map(self._structure.flatten_up_to, trees), strict=True)


def _sum(terms: Sequence[Array]) -> Array:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
