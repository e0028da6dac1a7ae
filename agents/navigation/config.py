"""Settings of the navigation agent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from tolman.agents.actor_critic.config import ActorCriticConfig


@dataclass(frozen=True)
class NavigationConfig(ActorCriticConfig):
    """The actor-critic's settings with the defaults of Mirowski et al. 2016.

    Only what differs from `ActorCriticConfig` stands here. The paper's agents:

        FF A3C     --core feedforward --agent.wiring plain --agent.depth-2-cost 0
        LSTM A3C   --core lstm --agent.wiring plain --agent.depth-2-cost 0
        Nav A3C    --core lstm --agent.depth-2-cost 0
        + D1 D2 L  --agent.depth-1-cost 3.33 --agent.depth-2-cost 3.33 --agent.loop-cost 1

    each with `--core.hidden-size 256`.

    Attributes:
      wiring: "nav": an LSTM on features and last reward below the core, which sees
        features, that LSTM, velocity and last action (section 3). "plain": the core sees
        the image alone.
      first_hidden_size: units of the LSTM below; section 3 and appendix C: 64.
      depth_1_cost: of predicting depth from the features; 0 for no such head. Appendix C:
        3.33, 10 or 33.
      depth_2_cost: of predicting depth from the core's output; 0 for no such head. Appendix
        C: 1, 3.33 or 10.
      depth_target: "classes": the 8 bands of section 3.1, cross-entropy; "regression": the
        same quantity as a number, squared error, the paper's ablation. Losses are means
        over the 4 x 16 pixels.
      is_depth_input: depth is a fourth channel of the image, the paper's other ablation.
      loop_cost: of predicting whether a loop is closed; 0 for no such head. Appendix C: 1,
        3.33 or 10.
      decodes_position: a linear probe of the core's output and one of the features tell the
        agent's cell; no gradient of theirs reaches the network (section 5.3).
      unroll_length: appendix C: 50 or 75.
      batch_size: Departure: 16 workers act asynchronously there.
      entropy_cost: appendix C: 1e-4 to 1e-3, log-uniform.
      learning_rate: appendix C: 1e-4 to 5e-4, log-uniform.
      gae_lambda, value_cost, use_value_rescaling, optimizer, max_gradient_norm:
        those of Mnih et al. 2016; see `ActorCriticConfig`.
      rmsprop_epsilon: see `ActorCriticConfig`.
    """

    wiring: Literal["nav", "plain"] = "nav"
    first_hidden_size: Annotated[int, Ge(1)] = 64
    depth_1_cost: Annotated[float, Ge(0)] = 0.0
    depth_2_cost: Annotated[float, Ge(0)] = 3.33
    depth_target: Literal["classes", "regression"] = "classes"
    is_depth_input: bool = False
    loop_cost: Annotated[float, Ge(0)] = 0.0
    decodes_position: bool = False
    unroll_length: Annotated[int, Ge(1)] = 50
    batch_size: Annotated[int, Ge(1)] = 16
    entropy_cost: Annotated[float, Ge(0)] = 1e-3
    learning_rate: float = 3e-4
    gae_lambda: float = 1.0
    value_cost: float = 0.5
    use_value_rescaling: bool = False
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    max_gradient_norm: float = 40.0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        """What the image, the action and the reward enter by is settled by `wiring`."""
        if self.reads:
            yield "reads", "left out: wiring and is_depth_input say what is read"
        for name in ("use_previous_action", "use_previous_reward"):
            if not getattr(self, name):
                yield name, "left out: both enter with wiring nav, neither with plain"
