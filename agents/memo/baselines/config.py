"""Sizes of the models that MEMO is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from tolman.agents.settings import require


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

    size: int = 128
    num_hops: int = 4
    hidden_size: int = 128
    use_fact_order: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "num_hops", "hidden_size"):
            require(self, name, getattr(self, name) >= 1, "at least 1")


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

    item_size: int = 32
    hidden_size: int = 128
    num_slots: int = 64
    slot_size: int = 32
    num_read_heads: int = 4
    num_thinking_steps: int = 3

    def __post_init__(self) -> None:
        for name in (
            "item_size",
            "hidden_size",
            "num_slots",
            "slot_size",
            "num_read_heads",
        ):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        least = self.num_thinking_steps >= 0
        require(self, "num_thinking_steps", least, "at least 0")


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

    item_size: int = 32
    num_heads: int = 4
    head_size: int = 32
    transition_size: int = 256
    max_steps: int = 6
    hidden_size: int = 128
    halting_threshold: float = 0.99
    halting_bias: float = -1.0
    use_fact_order: bool = False

    def __post_init__(self) -> None:
        for name in (
            "item_size",
            "num_heads",
            "head_size",
            "transition_size",
            "max_steps",
            "hidden_size",
        ):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        threshold = self.halting_threshold
        require(self, "halting_threshold", 0.0 < threshold <= 1.0, "in (0, 1]")
