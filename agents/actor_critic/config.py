"""Settings of the actor-critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from tolman.agents.settings import InputSettings


@dataclass(frozen=True)
class ActorCriticConfig(InputSettings):
    """Settings of advantage actor-critic; losses are sums over time, means over the batch.

    Attributes:
      unroll_length: decisions per sequence and update. Mnih et al. 2016 use 5 or 20.
      batch_size: sequences per update, and parallel environments on the device.
      discount: per step. Mnih et al. 2016, section 8: 0.99.
      gae_lambda: 1 gives n-step returns that reach to the end of the unroll
        (Mnih et al. 2016, algorithm S3); below 1 generalised advantage estimation
        (Schulman et al. 2016, equation 16).
      off_policy_correction: "vtrace" when the unrolls come from older parameters
        (Espeholt et al. 2018, section 4.1), "none" when acting and learning share them;
        "auto" is "vtrace" over Ray, where they always do, and "none" elsewhere.
      entropy_cost: weight of the entropy bonus at the start. Mnih et al. 2016: 0.01.
      final_entropy_cost: its weight at the end of training, reached linearly; negative
        keeps `entropy_cost` throughout.
      value_cost: weight of the value loss. Mnih et al. 2016: 0.5.
      optimizer: "rmsprop" as Mnih et al. 2016, section 4; or "adam" (Kingma & Ba 2015, with
        their decays), whose momentum learns from pixels in far fewer steps.
      learning_rate: Mnih et al. 2016, section 8: 1e-4 to 1e-2, log-uniform, of RMSProp.
      final_learning_rate_scale: the rate falls linearly to this share of itself. Mnih
        et al. 2016: 0.
      rmsprop_decay: Mnih et al. 2016, section 8: 0.99.
      rmsprop_epsilon: inside the root. Mnih et al. 2016 code: 0.1.
      adam_epsilon: outside the root. Huang et al. 2022, "The 37 implementation details of
        PPO", detail 3: 1e-5.
      max_gradient_norm: global-norm clip. Mnih et al. 2016 code: 40.
      auxiliary_tasks: further losses on the network's features, by name or
        module:attribute; see `tolman.agents.auxiliary`.
      auxiliary_costs: their weights; none for each task's own.
    """

    unroll_length: Annotated[int, Ge(1)] = 20
    batch_size: Annotated[int, Ge(1)] = 16
    discount: Annotated[float, Interval(ge=0, le=1)] = 0.99
    gae_lambda: Annotated[float, Interval(ge=0, le=1)] = 1.0
    off_policy_correction: Literal["auto", "none", "vtrace"] = "auto"
    entropy_cost: Annotated[float, Ge(0)] = 0.01
    final_entropy_cost: float = -1.0
    value_cost: Annotated[float, Ge(0)] = 0.5
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    learning_rate: Annotated[float, Gt(0)] = 7e-4
    final_learning_rate_scale: Annotated[float, Interval(ge=0, le=1)] = 0.0
    rmsprop_decay: Annotated[float, Interval(ge=0, le=1)] = 0.99
    rmsprop_epsilon: Annotated[float, Gt(0)] = 0.1
    adam_epsilon: Annotated[float, Gt(0)] = 1e-5
    max_gradient_norm: Annotated[float, Gt(0)] = 40.0
    auxiliary_tasks: tuple[str, ...] = ()
    auxiliary_costs: tuple[Annotated[float, Ge(0)], ...] = ()
