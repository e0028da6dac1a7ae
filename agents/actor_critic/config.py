"""Settings of the actor-critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval

from tolman.agents.settings import Bounding, InputSettings, Preset, of_agent


@dataclass(frozen=True)
class ActorCriticConfig(InputSettings):
    """Settings of advantage actor-critic; losses are sums over time, means over the batch.

    Where the defaults depart from Mnih et al. 2016, it is because they are to learn without
    a search, with a memory as well as without; the preset `paper` has the paper's own, and
    `classic` what learns fastest without a memory (README).

    Attributes:
      unroll_length: decisions per sequence and update. Mnih et al. 2016: 5 or 20.
      batch_size: sequences per update, and parallel environments on the device.
      discount: per step. Mnih et al. 2016, section 8: 0.99.
      gae_lambda: 1 gives n-step returns that reach to the end of the unroll
        (Mnih et al. 2016, algorithm S3); below 1 generalised advantage estimation
        (Schulman et al. 2016, equation 16); Huang et al. 2022, detail 5: 0.95.
        Departure: 0.9, which a memory learns better with.
      off_policy_correction: "vtrace" when the unrolls come from older parameters
        (Espeholt et al. 2018, section 4.1), "none" when acting and learning share them;
        "auto" is "vtrace" over Ray, where they always do, and "none" elsewhere.
      entropy_cost: weight of the entropy bonus at the start. Mnih et al. 2016: 0.01, for
        advantages on the scale of rewards.
      final_entropy_cost: its weight at the end of training, reached linearly; negative
        keeps `entropy_cost` throughout.
      action_bounds: how continuous actions are kept within their bounds: "clip" has a
        Gaussian's samples clipped, with deviations that are the same in every state;
        "squash" takes the hyperbolic tangent of one, and needs finite bounds.
      value_cost: weight of the value loss. Mnih et al. 2016: 0.5.
      use_value_rescaling: learn values on the scale of their square root (Kapturowski et
        al. 2019, section 2.3), and measure advantages there. Departure from Mnih et al.
        2016: a memory's output lies in [-1, 1], so that returns of 100 take large weights,
        with which its changes are large errors of the value; and the entropy weighs as
        much beside small returns as beside large ones.
      optimizer: "rmsprop" as Mnih et al. 2016, section 4; or "adam" (Kingma & Ba 2015, with
        their decays), whose momentum learns from pixels in far fewer steps.
      learning_rate: Mnih et al. 2016, section 8: 1e-4 to 1e-2, log-uniform, of RMSProp.
        Of Adam, one gradient an update allows more than is usual with several.
      final_learning_rate_scale: the rate falls linearly to this share of itself. Mnih
        et al. 2016: 0.
      rmsprop_decay: Mnih et al. 2016, section 8: 0.99.
      rmsprop_epsilon: inside the root. Mnih et al. 2016 code: 0.1.
      adam_epsilon: outside the root. Huang et al. 2022, "The 37 implementation details of
        PPO", detail 3: 1e-5.
      max_gradient_norm: global-norm clip. Mnih et al. 2016 code: 40; Huang et al. 2022,
        detail 11: 0.5.
      auxiliary_tasks: further losses on the network's features, by name or
        module:attribute; see `tolman.agents.auxiliary`.
      auxiliary_costs: their weights; none for each task's own.
    """

    unroll_length: Annotated[int, Ge(1)] = 16
    batch_size: Annotated[int, Ge(1)] = 32
    discount: Annotated[float, Interval(ge=0, le=1)] = 0.99
    gae_lambda: Annotated[float, Interval(ge=0, le=1)] = 0.9
    off_policy_correction: Literal["auto", "none", "vtrace"] = "auto"
    entropy_cost: Annotated[float, Ge(0)] = 0.003
    final_entropy_cost: float = -1.0
    value_cost: Annotated[float, Ge(0)] = 0.5
    use_value_rescaling: bool = True
    action_bounds: Bounding = "clip"
    optimizer: Literal["rmsprop", "adam"] = "adam"
    learning_rate: Annotated[float, Gt(0)] = 4e-3
    final_learning_rate_scale: Annotated[float, Interval(ge=0, le=1)] = 0.0
    rmsprop_decay: Annotated[float, Interval(ge=0, le=1)] = 0.99
    rmsprop_epsilon: Annotated[float, Gt(0)] = 0.1
    adam_epsilon: Annotated[float, Gt(0)] = 1e-5
    max_gradient_norm: Annotated[float, Gt(0)] = 0.5
    auxiliary_tasks: tuple[str, ...] = ()
    auxiliary_costs: tuple[Annotated[float, Ge(0)], ...] = ()


PAPER: dict[str, Any] = {
    "unroll_length": 20,
    "batch_size": 16,
    "gae_lambda": 1.0,
    "entropy_cost": 0.01,
    "value_cost": 0.5,
    "use_value_rescaling": False,
    "optimizer": "rmsprop",
    "learning_rate": 7e-4,
    "rmsprop_epsilon": 0.1,
    "max_gradient_norm": 40.0,
}
CLASSIC: dict[str, Any] = {
    "unroll_length": 16,
    "batch_size": 16,
    "gae_lambda": 0.95,
    "entropy_cost": 0.01,
    "value_cost": 0.25,
    "use_value_rescaling": False,
    "optimizer": "adam",
    "learning_rate": 4e-3,
    "max_gradient_norm": 0.5,
}
MEMORY: dict[str, Any] = {
    "off_policy_correction": "vtrace",
    "unroll_length": 20,
    "batch_size": 32,
    "gae_lambda": 0.95,
    "entropy_cost": 0.01,
    "value_cost": 0.5,
    "use_value_rescaling": False,
    "optimizer": "rmsprop",
    "learning_rate": 2e-3,
    "rmsprop_epsilon": 1e-5,
    "max_gradient_norm": 5.0,
    "torso_size": 64,
}
ATARI: dict[str, Any] = {
    "off_policy_correction": "vtrace",
    "unroll_length": 10,
    "batch_size": 8,
    "gae_lambda": 0.95,
    "entropy_cost": 0.002,
    "value_cost": 0.5,
    "use_value_rescaling": False,
    "optimizer": "adam",
    "learning_rate": 3e-4,
    "final_learning_rate_scale": 0.1,
    "max_gradient_norm": 0.5,
}


PRESETS = {
    "paper": Preset("Mnih et al. 2016, a learning rate within theirs", of_agent(**PAPER)),
    "classic": Preset(
        "CartPole and the like, without a memory",
        {"core": "feedforward", "core.hidden_size": 128, **of_agent(**CLASSIC)},
    ),
    "memory": Preset("short episodes that ask for a memory: bsuite", of_agent(**MEMORY)),
    "atari": Preset(
        "Atari from pixels on a few cores",
        {
            "core": "feedforward",
            "core.hidden_size": 256,
            "num_envs": 16,
            **of_agent(**ATARI),
        },
    ),
}
