"""Settings of the actor-critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tolman.agents.settings import InputSettings, Torso, require


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
        (Espeholt et al. 2018, section 4.1), "none" when acting and learning share them.
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

    unroll_length: int = 20
    batch_size: int = 16
    discount: float = 0.99
    gae_lambda: float = 1.0
    off_policy_correction: Literal["none", "vtrace"] = "none"
    entropy_cost: float = 0.01
    final_entropy_cost: float = -1.0
    value_cost: float = 0.5
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    learning_rate: float = 7e-4
    final_learning_rate_scale: float = 0.0
    rmsprop_decay: float = 0.99
    rmsprop_epsilon: float = 0.1
    adam_epsilon: float = 1e-5
    max_gradient_norm: float = 40.0
    auxiliary_tasks: tuple[str, ...] = ()
    auxiliary_costs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("unroll_length", "batch_size", "torso_size"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in (
            "discount",
            "gae_lambda",
            "rmsprop_decay",
            "final_learning_rate_scale",
        ):
            require(self, name, 0.0 <= getattr(self, name) <= 1.0, "in [0, 1]")
        for name in (
            "learning_rate",
            "rmsprop_epsilon",
            "adam_epsilon",
            "max_gradient_norm",
        ):
            require(self, name, getattr(self, name) > 0.0, "above 0")
        for name in ("entropy_cost", "value_cost"):
            require(self, name, getattr(self, name) >= 0.0, "at least 0")
        for name, allowed in (
            ("off_policy_correction", ("none", "vtrace")),
            ("optimizer", ("rmsprop", "adam")),
            ("torso", get_args(Torso)),
        ):
            require(
                self, name, getattr(self, name) in allowed, "one of " + ", ".join(allowed)
            )
