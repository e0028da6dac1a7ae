"""How a model of `transformers` goes on with texts, a token of every text at a time.

Keys and values are kept in the model's own cache. Shapes: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


@dataclass
class Row:
    """A text that is gone on with.

    Attributes:
      text: its tokens.
      noise: what draws the next; None for the most probable ones.
      new: tokens that follow.
    """

    text: list[int]
    noise: np.random.Generator | None
    new: list[int] = field(default_factory=list)


class Writing(NamedTuple):
    """How rows are gone on with.

    Attributes:
      read: the model without what makes logits, called as `transformers` calls it.
      logits: `[B, D]` to `[B, V]`.
      has_padding: rows may be of unlike lengths, for the model is told of padding.
      keeps: the model keeps keys and values, and takes them back. One with another memory
        reads each text anew.
      max_new_tokens: of a row.
      max_length: a row that is longer than this ends.
      stops: tokens that end a row and are not part of it.
      temperature: of drawn tokens.
    """

    read: Callable[..., Any]
    logits: Callable[[Any], Any]
    has_padding: bool
    keeps: bool
    max_new_tokens: int
    max_length: int
    stops: tuple[int, ...]
    temperature: float


def write(writing: Writing, rows: list[Row], tokens: Any, mask: Any) -> None:
    """Adds to every row the tokens that follow.

    Args:
      writing: how.
      rows: of a batch.
      tokens: `[B, T]`, theirs, padded on the right.
      mask: `[B, T]`, 1 where there is a token.
    """
    import torch

    kept = None
    while rows:
        sizes = torch.tensor([len(row.text) + len(row.new) for row in rows])
        last = sizes.to(tokens.device) - 1
        asked: dict[str, Any] = {"input_ids": tokens}
        if writing.has_padding:
            place = torch.arange(tokens.shape[1], device=tokens.device)[None]
            position = place if kept is None else last[:, None]
            asked |= {"attention_mask": mask, "position_ids": position}
        if writing.keeps:
            asked["use_cache"] = True
        if kept is not None:
            asked["past_key_values"] = kept
            last = torch.zeros_like(last)  # What was read before is not read again.
        read = writing.read(**asked)
        kept = read.past_key_values if writing.keeps else None
        final = read[0][torch.arange(len(rows), device=tokens.device), last]
        new = _choose(writing, rows, writing.logits(final))
        going_on = [i for i, row in enumerate(rows) if _add(writing, row, new[i])]
        if len(going_on) < len(rows):
            rows = [rows[i] for i in going_on]
            which = torch.tensor(going_on, dtype=torch.long, device=tokens.device)
            tokens, mask = tokens[which], mask[which]
            if rows and kept is not None:
                kept.batch_select_indices(which)
        chosen = torch.tensor([row.new[-1] for row in rows]).to(tokens)[:, None]
        mask = torch.cat([mask, torch.ones_like(chosen)], 1)
        tokens = torch.cat([tokens, chosen], 1) if kept is None else chosen


def _choose(writing: Writing, rows: list[Row], logits: Any) -> list[int]:
    """The next token of each row."""
    import torch

    if rows[0].noise is not None:  # The largest of these is a draw.
        noise = [row.noise.gumbel(scale=writing.temperature, size=logits.shape[1])
                 for row in rows if row.noise is not None]  # fmt: skip
        logits = logits.double() + torch.tensor(np.stack(noise), device=logits.device)
    return [int(token) for token in logits.argmax(-1).tolist()]


def _add(writing: Writing, row: Row, token: int) -> bool:
    """Adds a token to its row, unless it ends it; whether the row goes on."""
    if token in writing.stops:
        return False
    row.new.append(token)
    fits = len(row.text) + len(row.new) <= writing.max_length
    return fits and len(row.new) < writing.max_new_tokens
