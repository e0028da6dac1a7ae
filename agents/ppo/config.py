"""Settings of PPO."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from tolman.agents.settings import Bounding, InputSettings, Preset, of_agent


@dataclass(frozen=True)
class PPOConfig(InputSettings):
    """Settings of proximal policy optimisation; losses are means over decisions.

    "Detail n" is of Huang et al. 2022, "The 37 implementation details of PPO"; "continuous
    detail n" is one of those that it adds for continuous actions.

    Attributes:
      unroll_length: decisions per sequence. Schulman et al. 2017, table 5: 128.
      batch_size: sequences per update, and parallel environments on the device. Detail 1.
      num_epochs: passes over the batch in one update.
      num_minibatches: parts of the batch, as large as each other, with a gradient step
        each. Detail 6; Departure: of whole sequences, so that any memory core is run over
        what it lived through.
      piece_length: decisions in each of the pieces that minibatches are drawn from; 0 for
        whole sequences. 1 is as published. For cores without memory.
      discount: per step. Schulman et al. 2017, table 5: 0.99.
      gae_lambda: of generalised advantage estimation. Detail 5; table 5: 0.95.
      clip_range: epsilon, how far the probability of an action may move. Detail 8; section
        6.1: 0.2.
      value_clip_range: how far a value may move in one update; 0 for any. Detail 9.
      normalize_advantages: to mean 0 and deviation 1 in each minibatch. Detail 7.
      target_kl: once the policy has moved further than this in the mean, the rest of the
        update is left out; 0 for never. Detail 12.
      off_policy_correction: "vtrace" when the unrolls come from older parameters: the
        policy is then held near that of the update's start, and V-trace (Espeholt et al.
        2018, section 4.1) corrects for the age (the decoupled objective of Hilton et al.
        2022, section 3). "none" when acting and learning share them; "auto" is "vtrace"
        over Ray, where they never do, and "none" elsewhere.
      entropy_cost: weight of the entropy bonus. Detail 10; 0 suits continuous actions.
      value_cost: weight of the value loss. Detail 10: 0.5.
      action_bounds: how continuous actions are kept within their bounds: "clip" has a
        Gaussian's samples clipped (continuous details 1, 2, 4 and 5), "squash" takes the
        hyperbolic tangent of one, and needs finite bounds.
      learning_rate: of Adam.
      final_learning_rate_scale: the rate falls linearly to this share of itself. Detail 4:
        0.
      adam_epsilon: Detail 3: 1e-5.
      max_gradient_norm: global-norm clip. Detail 11: 0.5.
      use_orthogonal_init: of the torso, the feedforward core and the heads, with gains of
        the root of 2, and of 0.01 for the policy and 1 for the value. Detail 2.
      normalize_observations: continuous parts to mean 0 and deviation 1 over all training
        so far. Continuous details 6 and 7.
      observation_clip: in deviations. Continuous detail 7: 10.
      normalize_rewards: divided by the deviation of the discounted return over all training
        so far. Continuous details 8 and 9.
      reward_clip: after that. Continuous detail 9: 10.
      value_network: "shared" with the policy, but for the heads, or the value's "own" torso
        and core. Continuous detail 3; detail 13.
      auxiliary_tasks: see `ActorCriticConfig`.
      auxiliary_costs: likewise.
      torso_size: 64 units, as Huang et al. 2022 for all but images.
      use_previous_action: not of PPO as published; helps a memory.
      use_previous_reward: likewise.
    """

    unroll_length: Annotated[int, Ge(1)] = 128
    batch_size: Annotated[int, Ge(1)] = 8
    num_epochs: Annotated[int, Ge(1)] = 4
    num_minibatches: Annotated[int, Ge(1)] = 4
    piece_length: Annotated[int, Ge(0)] = 0
    discount: Annotated[float, Interval(ge=0, le=1)] = 0.99
    gae_lambda: Annotated[float, Interval(ge=0, le=1)] = 0.95
    clip_range: Annotated[float, Gt(0)] = 0.2
    value_clip_range: Annotated[float, Ge(0)] = 0.2
    normalize_advantages: bool = True
    target_kl: Annotated[float, Ge(0)] = 0.0
    off_policy_correction: Literal["auto", "none", "vtrace"] = "auto"
    entropy_cost: Annotated[float, Ge(0)] = 0.01
    value_cost: Annotated[float, Ge(0)] = 0.5
    action_bounds: Bounding = "clip"
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    final_learning_rate_scale: Annotated[float, Interval(ge=0, le=1)] = 0.0
    adam_epsilon: Annotated[float, Gt(0)] = 1e-5
    max_gradient_norm: Annotated[float, Gt(0)] = 0.5
    use_orthogonal_init: bool = True
    normalize_observations: bool = True
    observation_clip: Annotated[float, Gt(0)] = 10.0
    normalize_rewards: bool = True
    reward_clip: Annotated[float, Gt(0)] = 10.0
    value_network: Literal["shared", "own"] = "shared"
    auxiliary_tasks: tuple[str, ...] = ()
    auxiliary_costs: tuple[Annotated[float, Ge(0)], ...] = ()
    torso_size: Annotated[int, Ge(1)] = 64
    use_previous_action: bool = False
    use_previous_reward: bool = False

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        """What relates two of them; see `tolman.launchers.settings.bounds`."""
        length = self.unroll_length
        if self.piece_length and length % self.piece_length:
            yield "piece_length", f"0, or a divisor of unroll_length = {length}"
        elif self.num_pieces % self.num_minibatches:
            of = f"the {self.num_pieces} pieces of a batch"
            whole = f"batch_size = {self.batch_size}"
            yield "num_minibatches", f"a divisor of {of if self.piece_length else whole}"

    @property
    def num_pieces(self) -> int:
        """What minibatches are drawn from."""
        if not self.piece_length:
            return self.batch_size
        return self.batch_size * self.unroll_length // self.piece_length


PRESETS = {
    "mujoco": Preset(
        "robots with continuous actions (Schulman et al. 2017, section 6.1 and table 3)",
        {
            "core": "feedforward",
            "core.hidden_size": 64,
            "core.activation": "tanh",
            **of_agent(
                torso_activation="tanh",
                value_network="own",
                batch_size=16,
                piece_length=1,
                num_minibatches=32,
                num_epochs=10,
                value_clip_range=0.0,
                learning_rate=3e-4,
                entropy_cost=0.0,
            ),
        },
    ),
    "long_episodes": Preset(
        "episodes of hundreds of steps whose outcome comes late, such as LunarLander-v3",
        {
            "core": "feedforward",
            "core.hidden_size": 64,
            **of_agent(batch_size=16, discount=0.999, gae_lambda=0.98),
        },
    ),
}
