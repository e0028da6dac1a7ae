"""Acting without exploring: noise with which an agent takes what it holds best."""

from __future__ import annotations

from typing import Any

from tolman.agents.agent import Array
from tolman.agents.gradient import Wrapper


class Greedy(Wrapper):
    """An agent that acts greedily wherever it is played; it learns as before."""

    def draw_noise(self, key: Array, batch_size: int) -> Any:
        """Not drawn: `greedy_noise` of the agent."""
        del key
        return self.inner.greedy_noise(batch_size)


def greedy(agent: Any) -> Greedy:
    """The agent, acting greedily.

    Args:
      agent: with a method `greedy_noise(batch_size)`, which returns what `draw_noise`
        might, with which `act` takes the action that the policy holds best.

    Raises:
      ValueError: if it has none.
    """
    if not callable(getattr(agent, "greedy_noise", None)):
        raise ValueError(
            f"agent {type(agent).__name__}: has no greedy_noise(batch_size), and so acts "
            "as in training only. Leave --greedy out, or give it that method."
        )
    return Greedy(agent)
