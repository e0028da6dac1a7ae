"""Sizes of the models that MEMO is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Interval


@dataclass(frozen=True)
class MemoryNetworkConfig:
    """Settings of the end-to-end memory network.

    Attributes:
      size: D, units of embedded facts and of the query.
      num_hops: N, always taken. Sukhbaatar et al. 2015, section 4: 3; MEMO's are 4 here.
      hidden_size: units of the answer's hidden layer.
      use_fact_order: tell each fact's place in the memory, from the last one back.
        Sukhbaatar et al. 2015, section 4.1: temporal encoding.
    """

    size: Annotated[int, Ge(1)] = 128
    num_hops: Annotated[int, Ge(1)] = 4
    hidden_size: Annotated[int, Ge(1)] = 128
    use_fact_order: bool = False


@dataclass(frozen=True)
class DNCReaderConfig:
    """Settings of the differentiable neural computer that reads facts one by one.

    Attributes:
      item_size: units of an item's embedding.
      hidden_size: units of the controller, and of the answer's hidden layer.
      num_slots: of the memory. A state holds their square of links.
      slot_size: units of a slot.
      num_read_heads: of the memory.
      num_thinking_steps: without input, after the query and before the answer.
    """

    item_size: Annotated[int, Ge(1)] = 32
    hidden_size: Annotated[int, Ge(1)] = 128
    num_slots: Annotated[int, Ge(1)] = 64
    slot_size: Annotated[int, Ge(1)] = 32
    num_read_heads: Annotated[int, Ge(1)] = 4
    num_thinking_steps: Annotated[int, Ge(0)] = 3


@dataclass(frozen=True)
class UniversalTransformerConfig:
    """Settings of the universal transformer with adaptive computation time.

    Attributes:
      item_size: units of an item's embedding.
      num_heads: of the self-attention.
      head_size: units of a head; the tokens have `num_heads` times as many.
      transition_size: units of the hidden layer between two attentions.
      max_steps: the most applications of the shared layer.
      hidden_size: units of the answer's hidden layer.
      halting_threshold: a token halts when its probabilities of it sum to this. Graves
        2016, section 2: 1 less 0.01.
      halting_bias: initial logit of halting after a step. Departure: Graves' is 1, with
        which a token takes two steps; here it begins with about four.
      use_fact_order: tell each fact's place in the memory, from the last one back.
    """

    item_size: Annotated[int, Ge(1)] = 32
    num_heads: Annotated[int, Ge(1)] = 4
    head_size: Annotated[int, Ge(1)] = 32
    transition_size: Annotated[int, Ge(1)] = 256
    max_steps: Annotated[int, Ge(1)] = 6
    hidden_size: Annotated[int, Ge(1)] = 128
    halting_threshold: Annotated[float, Interval(gt=0, le=1)] = 0.99
    halting_bias: float = -1.0
    use_fact_order: bool = False
