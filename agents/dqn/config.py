"""Settings of Double DQN."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from tolman.agents.settings import InputSettings, Preset, of_agent


@dataclass(frozen=True)
class DQNConfig(InputSettings):
    """Settings of Double DQN: by default on transitions, for a core without memory.

    A sequence of `unroll_length` decisions begins with `burn_in` ones that only refresh
    the memory. Of the others, those are learned whose `n_step` return lies within the
    sequence: a transition is the sequence in which that is one. For a memory, Kapturowski
    et al. 2019, section 2.3, take sequences of 80 with a burn-in of 40, 40 apart, n_step 5.

    Attributes:
      unroll_length: decisions in one sequence, at least burn_in + n_step.
      burn_in: decisions at its start that carry no gradient.
      n_step: rewards in a return before it bootstraps. Hessel et al. 2018, table 1: 3;
        Mnih et al. 2015: 1.
      period: decisions from the start of one sequence to that of the next. A period above
        unroll_length - burn_in - n_step + 1 leaves decisions that are never learned.
      batch_size: sequences per update. Mnih et al. 2015, table 1: 32.
      replay: "prioritized" (Schaul et al. 2016), or "uniform".
      capacity: sequences kept. Mnih et al. 2015, table 1: 1,000,000.
        Departure: a tenth, for memory's sake.
      min_size: sequences kept before the first update. Hessel et al. 2018, table 1:
        20,000 decisions.
      samples_per_insert: how often a sequence is drawn, on average. Mnih et al. 2015,
        table 1: 32 are drawn every 4 decisions, so 8.
      priority_exponent: Schaul et al. 2016, table 3, proportional: 0.6.
      importance_exponent: of the weights that correct for prioritised sampling, at the
        start. Schaul et al. 2016, table 3: 0.4.
      final_importance_exponent: at the end, reached linearly. Schaul et al. 2016: 1.
      priority_max_share: share of the largest error in a sequence's priority; the mean
        has the rest. Kapturowski et al. 2019, section 2.3: 0.9.
      min_priority: added to every priority, so that none is 0. Schaul et al. 2016,
        section 3.3, give no number.
      discount: per step. Mnih et al. 2015, table 1: 0.99.
      use_value_rescaling: learn values on the scale of their square root. Kapturowski et
        al. 2019, section 2.3.
      huber_threshold: error from which on the loss grows linearly; 0 for squared errors.
        Mnih et al. 2015, methods: 1.
      use_dueling_head: state value and advantages apart. Wang et al. 2016 (dueling).
      target_update_period: updates from one copy of the target network to the next.
        Kapturowski et al. 2019, section 2.3: 2,500; Mnih et al. 2015, table 1: 10,000.
      epsilon: share of random actions at the start. Mnih et al. 2015, table 1: 1.
      final_epsilon: share once it has fallen. Van Hasselt et al. 2016, tuned: 0.01; Mnih
        et al. 2015: 0.1.
      exploration_share: share of the training over which it falls, linearly. Mnih et al.
        2015: 1 of 50 million frames, so 0.02.
      optimizer: "adam", or "rmsprop", centred as in Mnih et al. 2015.
      learning_rate: Kapturowski et al. 2019, appendix: 1e-4 (Adam); Mnih et al. 2015,
        table 1: 2.5e-4 (RMSProp).
      final_learning_rate_scale: the rate falls linearly to this share of itself. None of
        the papers lowers it.
      optimizer_epsilon: Kapturowski et al. 2019, appendix: 1e-3 (Adam, outside the root);
        Mnih et al. 2015, table 1: 0.01 (RMSProp, inside the root).
      rmsprop_decay: Mnih et al. 2015, table 1: 0.95.
      max_gradient_norm: global-norm clip. Wang et al. 2016 (dueling), section 4.2: 10.
      torso_size: units of the torso's output. Mnih et al. 2015: 512.
      use_previous_action: feed the last action, one-hot, to the core. Kapturowski et al.
        2019 feed both to a memory, Mnih et al. 2015 neither.
      use_previous_reward: feed the last reward to the core.
    """

    unroll_length: Annotated[int, Ge(1)] = 3
    burn_in: Annotated[int, Ge(0)] = 0
    n_step: Annotated[int, Ge(1)] = 3
    period: Annotated[int, Ge(0)] = 1
    batch_size: Annotated[int, Ge(1)] = 32
    replay: Literal["uniform", "prioritized"] = "prioritized"
    capacity: Annotated[int, Interval(ge=1, lt=2**31)] = 100_000
    min_size: Annotated[int, Ge(1)] = 20_000
    samples_per_insert: Annotated[float, Gt(0)] = 8.0
    priority_exponent: Annotated[float, Ge(0)] = 0.6
    importance_exponent: Annotated[float, Interval(ge=0, le=1)] = 0.4
    final_importance_exponent: Annotated[float, Interval(ge=0, le=1)] = 1.0
    priority_max_share: Annotated[float, Interval(ge=0, le=1)] = 0.9
    min_priority: Annotated[float, Gt(0)] = 1e-3
    discount: Annotated[float, Interval(ge=0, le=1)] = 0.99
    use_value_rescaling: bool = False
    huber_threshold: Annotated[float, Ge(0)] = 1.0
    use_dueling_head: bool = False
    target_update_period: Annotated[int, Ge(1)] = 2_500
    epsilon: Annotated[float, Interval(ge=0, le=1)] = 1.0
    final_epsilon: Annotated[float, Interval(ge=0, le=1)] = 0.01
    exploration_share: Annotated[float, Interval(ge=0, le=1)] = 0.02
    optimizer: Literal["adam", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Gt(0)] = 1e-4
    final_learning_rate_scale: Annotated[float, Interval(ge=0, le=1)] = 1.0
    optimizer_epsilon: Annotated[float, Gt(0)] = 1e-3
    rmsprop_decay: Annotated[float, Interval(ge=0, le=1)] = 0.95
    max_gradient_norm: Annotated[float, Gt(0)] = 10.0
    torso_size: Annotated[int, Ge(1)] = 512
    use_previous_action: bool = False
    use_previous_reward: bool = False

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        least = self.burn_in + self.n_step
        if self.unroll_length < least:
            yield "unroll_length", f"at least burn_in + n_step = {least}"


PRESETS = {
    "paper": Preset(
        "Mnih et al. 2015, with double Q-learning",
        {
            "core": "feedforward",
            **of_agent(
                unroll_length=1,
                n_step=1,
                replay="uniform",
                optimizer="rmsprop",
                learning_rate=2.5e-4,
                optimizer_epsilon=0.01,
                target_update_period=10_000,
                final_epsilon=0.1,
            ),
        },
    ),
    # Squared errors: values reach 100 here, so that an error clipped at 1 lets the rare
    # step that ends an episode, which is wrong by 90, weigh no more than any other.
    "classic": Preset(
        "CartPole and the like, without a memory",
        {
            "core": "feedforward",
            "core.hidden_size": 128,
            **of_agent(
                unroll_length=5,
                n_step=5,
                batch_size=64,
                replay="uniform",
                capacity=20_000,
                min_size=1_000,
                samples_per_insert=16.0,
                huber_threshold=0.0,
                max_gradient_norm=1_000.0,
                target_update_period=100,
                learning_rate=2e-3,
                final_learning_rate_scale=0.0,
                optimizer_epsilon=1e-5,
                exploration_share=0.2,
                final_epsilon=0.02,
                torso_size=128,
            ),
        },
    ),
    "memory": Preset(
        "short episodes that ask for a memory, on sequences with burn-in",
        {
            "core": "lstm",
            "core.hidden_size": 64,
            **of_agent(
                unroll_length=24,
                burn_in=6,
                n_step=3,
                period=12,
                batch_size=32,
                min_size=200,
                capacity=10_000,
                samples_per_insert=4.0,
                learning_rate=1e-3,
                target_update_period=200,
                exploration_share=0.3,
                torso_size=64,
                use_previous_action=True,
                use_previous_reward=True,
            ),
        },
    ),
}
