"""What a supervised agent is: pure functions that learn from examples and answer them.

It draws no examples itself: a runner hands it a batch and takes back a learner state, so
that any source of examples can be behind it.

Shapes: B examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from tolman.agents.agent import Array, Learned, LearnerState, Params

Examples = Any  # Pytree of `[B, ...]`: questions and their right answers.


class Answers(NamedTuple):
    """Attributes:
    logits: `[B, ...]`, unnormalised log probabilities, the classes last.
    diagnostics: name to `[B, ...]`, how the answers came about.
    """

    logits: Array
    diagnostics: Mapping[str, Array]


class SupervisedAgent(Protocol):
    """A learner from examples as pure functions. Every method may be jitted and vmapped."""

    @property
    def batch_size(self) -> int:
        """B, examples in one update."""
        ...

    def init(self, key: Array, examples: Examples) -> LearnerState:
        """Returns a fresh learner state, with a field `params`.

        Args:
          key: `[2]`.
          examples: of the shapes that are to be learned from; nothing else of them counts.
        """
        ...

    def update(
        self, learner_state: LearnerState, batch: Examples, key: Array, progress: Array
    ) -> Learned:
        """Learns from one batch.

        Args:
          learner_state: as returned by `init` or the last `update`.
          batch: B examples.
          key: `[2]`, of all chance in the update.
          progress: `[]`, the share of the planned training that is done, in [0, 1];
            schedules read it.

        Returns:
          The new state and metrics, scalars. One that this batch says nothing about is NaN.
        """
        ...

    def answer(self, params: Params, examples: Examples, key: Array) -> Answers:
        """Answers without learning; the right answers in `examples` are not read."""
        ...


__all__ = ["Answers", "Examples", "Learned", "SupervisedAgent"]
