"""Settings of MEMO, and of how it and its baselines are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval


@dataclass(frozen=True)
class TrainingConfig:
    """How a reasoner learns, whichever its model is.

    Attributes:
      batch_size: questions in one update. Banino et al. 2021, appendix C: 128.
        Departure: half of that, so that a CPU takes more updates.
      learning_rate: of Adam, the largest. The paper's is not known.
      warmup_share: share of the training over which the rate rises from 0, linearly.
      final_learning_rate_scale: the rate falls, along a cosine, to this share of itself.
      max_gradient_norm: global-norm clip.
      hop_cost: weight of a further hop in the loss, beta of appendix A; of a step of
        pondering for the universal transformer. The paper's is not known.
      halting_start: share of the training before which the decision when to stop is not
        learned, and no hop costs. Both teach to stop after one hop as long as more hops
        have not paid, and then they never do.
      discount: of the reward, a hop. Departure: 1, for less is a second cost of hops.
      value_cost: weight of the value baseline's loss, alpha of appendix A.
      entropy_cost: weight of the bonus on the decisions' entropy. Departure: the paper
        names none; without it the number of hops is soon the same for every question.
    """

    batch_size: Annotated[int, Ge(1)] = 64
    learning_rate: Annotated[float, Gt(0)] = 2e-3
    warmup_share: Annotated[float, Interval(ge=0, le=1)] = 0.0
    final_learning_rate_scale: Annotated[float, Interval(ge=0, le=1)] = 0.05
    max_gradient_norm: Annotated[float, Gt(0)] = 1.0
    hop_cost: Annotated[float, Ge(0)] = 0.01
    halting_start: Annotated[float, Interval(ge=0, le=1)] = 0.4
    discount: Annotated[float, Interval(ge=0, le=1)] = 1.0
    value_cost: Annotated[float, Ge(0)] = 0.5
    entropy_cost: Annotated[float, Ge(0)] = 0.01


@dataclass(frozen=True)
class MemoConfig:
    """Settings of MEMO's network. The paper's table of sizes is not known.

    Attributes:
      item_size: d_c, units of an item's embedding.
      num_heads: H, of the attention to the facts.
      head_size: d, units of a head's query.
      max_hops: N, the most hops; without halting, the number of hops.
      hidden_size: units of the answer's hidden layer.
      halting: "fixed" takes `max_hops` hops; "learned" decides after each one by
        REINFORCE, section 3.1.
      halting_size: units of the halting network.
      continue_bias: initial logit of another hop; above 0 it begins by hopping.
      attention_dropout: share of the attention left out while training, section 3.
      answer_dropout: share of the answer's hidden layer left out while training.
      use_fact_order: tell each fact's place in the memory, from the last one back; for
        stories. Departure: an embedding, an item of the fact, in place of a weight for
        each pair of slots.
      short_facts: while training, three quarters of a batch, those with the fewest facts,
        have so many slots for their newest facts; 0 for as many as the others. It saves
        time where long memories are rare, and changes nothing where the longest quarter
        holds all that have more facts.
    """

    item_size: Annotated[int, Ge(1)] = 32
    num_heads: Annotated[int, Ge(1)] = 4
    head_size: Annotated[int, Ge(1)] = 64
    max_hops: Annotated[int, Ge(1)] = 4
    hidden_size: Annotated[int, Ge(1)] = 128
    halting: Literal["fixed", "learned"] = "fixed"
    halting_size: Annotated[int, Ge(1)] = 32
    continue_bias: float = 2.0
    attention_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    answer_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    use_fact_order: bool = False
    short_facts: Annotated[int, Ge(0)] = 0
