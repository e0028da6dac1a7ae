"""How probable answers are to a model: all their tokens, or one where it tells no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tolman.launchers.probe.model import ProbedModel
from tolman.launchers.probe.tokenizer import brief


class NotComparableError(ValueError):
    """What a model tells is not enough to compare answers by."""


def log_probabilities(
    model: ProbedModel, prompts: Sequence[str], options: Sequence[Sequence[str]]
) -> list[np.ndarray]:
    """Of each prompt `[K]` nats, one for each of its K options.

    A model with "score" is asked for whole options. One that tells first tokens alone is
    asked for those: the longest that an option begins with. An option whose token it does
    not tell gets the log-probability of the least likely one that it tells, which is an
    upper bound.

    Raises:
      NotComparableError: where options of one prompt do not differ in their first token.
    """
    if "score" in model.abilities:
        asked = [
            (prompt, option)
            for prompt, own in zip(prompts, options, strict=True)
            for option in own
        ]
        scores = model.score([pair[0] for pair in asked], [pair[1] for pair in asked])
        ends = np.cumsum([len(own) for own in options])[:-1]
        return np.split(np.asarray(scores.log_probability, float), ends)
    told = model.first_token(prompts)
    return [
        first_token_of(likeliest, own) for likeliest, own in zip(told, options, strict=True)
    ]


def first_token_of(told: Mapping[str, float], options: Sequence[str]) -> np.ndarray:
    """`[K]`, the log-probability of the token that each option begins with.

    Args:
      told: tokens and their log-probabilities.
      options: of one prompt.

    Raises:
      NotComparableError: if two options begin with the same token, or no token is told
        that one of them begins with.
    """
    first = [
        max((one for one in told if one and option.startswith(one)), key=len, default="")
        for option in options
    ]
    if not any(first):
        raise NotComparableError(
            f"none of the answers {', '.join(map(brief, options))} begins with one of the "
            f"{len(told)} likeliest tokens, and this model tells no more. Ask a model that "
            "scores prompts."
        )
    for index, token in enumerate(first):
        if token and token in first[:index]:
            other = options[first.index(token)]
            raise NotComparableError(
                f"the answers {brief(other)} and {brief(options[index])} begin with the "
                f"same token {token!r}, and this model tells first tokens alone. Ask a "
                "model that scores prompts."
            )
    least = min(told.values())
    return np.array([told[token] if token else least for token in first])
