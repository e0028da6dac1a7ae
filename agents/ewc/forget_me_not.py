"""Which task is this? The recogniser of Kirkpatrick et al. 2017, after Forget-Me-Not.

A hidden Markov model over contexts, each a generative model of screens: every pixel of a
small screen is an independent categorical with a Dirichlet prior. A window of screens goes
to the context that explains it best, and to that alone. One more, the hold-out, has seen
nothing: where it wins, a new context is opened.

Shapes: C contexts that there is room for, D pixels, L grey levels, W screens a window. The
hold-out stands last, at index C.

Source: Kirkpatrick et al. 2017, appendix, "task recognition"; Milan et al. 2016,
  "The Forget-me-not process", is what the name is of.
  Departure: the hold-out must win `wins_to_open` windows running, as a window that holds
  the end of one task and the beginning of another is like neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, Gt

BYTE_VALUES = 256


@dataclass(frozen=True)
class ForgetMeNotConfig:
    """How contexts are told apart.

    Attributes:
      window: screens that are judged together. Kirkpatrick et al. 2017, table S2: 4.
      downscale: pixels of a screen, a side, that one number stands for. Table S2: 2, of 84.
      num_levels: of grey. The paper gives none; with 4 games are taken for each other.
      prior_mass: of the Dirichlet prior of a pixel, all levels together.
      max_contexts: that there is room for.
      wins_to_open: windows running that the hold-out must win; 1 as in the paper.
    """

    window: Annotated[int, Ge(1)] = 4
    downscale: Annotated[int, Ge(1)] = 2
    num_levels: Annotated[int, Ge(2)] = 16
    prior_mass: Annotated[float, Gt(0)] = 1.0
    max_contexts: Annotated[int, Ge(1)] = 10
    wins_to_open: Annotated[int, Ge(1)] = 2


class Recognition(NamedTuple):
    """What a recogniser knows; arrays, so that a checkpoint holds it.

    Attributes:
      counts: `[C + 1, D, L]` float32, screens of a context with that level there.
      log_weight: `[C + 1]`, log-probability of each context after the last window; -inf of
        those that are not open.
      num_contexts: open so far.
      num_windows: seen so far.
      wins: windows running that the hold-out has won.
      label: of the last window, -1 before there is one.
    """

    counts: np.ndarray
    log_weight: np.ndarray
    num_contexts: int
    num_windows: int
    wins: int
    label: int


def start(config: ForgetMeNotConfig, num_pixels: int) -> Recognition:
    """A recogniser that has seen nothing."""
    size = config.max_contexts + 1
    counts = np.zeros((size, num_pixels, config.num_levels), np.float32)
    log_weight = np.full(size, -np.inf)
    log_weight[-1] = 0.0
    return Recognition(counts, log_weight, 0, 0, 0, -1)


def levels_of(config: ForgetMeNotConfig, screens: np.ndarray) -> np.ndarray:
    """`[..., D]` grey levels of `[..., H, W]` bytes, each a mean over a square of pixels.

    Raises:
      ValueError: if the screens are no bytes, or their sides do not divide.
    """
    height, width = screens.shape[-2:]
    side = config.downscale
    if screens.dtype != np.uint8 or height % side or width % side:
        raise ValueError(
            f"screens {screens.dtype}{list(screens.shape)}: must be uint8 [..., H, W] with "
            f"sides that downscale = {side} divides."
        )
    cut = screens.reshape(*screens.shape[:-2], height // side, side, width // side, side)
    grey = cut.mean((-3, -1))
    levels = (grey * (config.num_levels / BYTE_VALUES)).astype(np.intp)
    return levels.reshape(*screens.shape[:-2], -1)


def observe(
    config: ForgetMeNotConfig, known: Recognition, window: np.ndarray
) -> Recognition:
    """Takes one window, and labels it.

    Args:
      config: of the recogniser.
      known: so far.
      window: `[W, D]` levels, from `levels_of`.

    Returns:
      What is known now; `label` is that of the window. While the hold-out has not won often
      enough, the label stays what it was.

    Raises:
      ValueError: if a new context is needed and there is no room for it.
    """
    log_weight = _posterior(config, known, window)
    known = known._replace(log_weight=log_weight, num_windows=known.num_windows + 1)
    winner = int(np.argmax(log_weight))
    if winner < config.max_contexts:
        return _learn(known._replace(wins=0), winner, window)
    # The very first window has no other label that it could keep.
    if known.wins + 1 < config.wins_to_open and known.num_contexts:
        return known._replace(wins=known.wins + 1)
    return _learn(_open(config, known), known.num_contexts, window)


def _posterior(
    config: ForgetMeNotConfig, known: Recognition, window: np.ndarray
) -> np.ndarray:
    """`[C + 1]`, log-probabilities of the contexts, given this window too."""
    there = np.flatnonzero(_is_there(known))
    before = np.exp(known.log_weight[there])
    switch = 1.0 / (known.num_windows + 1) if len(there) > 1 else 0.0
    others = (before.sum() - before) / max(len(there) - 1, 1)
    prior = (1.0 - switch) * before + switch * others
    with np.errstate(divide="ignore"):
        log_joint = np.log(prior) + log_likelihood(config, known.counts[there], window)
    largest = log_joint.max()
    log_weight = np.full(len(known.counts), -np.inf)
    log_weight[there] = log_joint - largest - np.log(np.exp(log_joint - largest).sum())
    return log_weight


def log_likelihood(
    config: ForgetMeNotConfig, counts: np.ndarray, window: np.ndarray
) -> np.ndarray:
    """`[N]`, of a window in each of N contexts, `counts` `[N, D, L]`.

    A Dirichlet-multinomial: each screen of the window counts for those after it.
    """
    each = config.prior_mass / config.num_levels
    pixel = np.arange(window.shape[1])
    seen = counts[:, 0].sum(-1, dtype=np.float64)  # [N], the same of every pixel.
    ratio = np.ones((len(counts), len(pixel)), np.float64)
    log_total = np.zeros(len(counts))
    for number, levels in enumerate(window):
        within = (window[:number] == levels).sum(0)  # [D]
        ratio *= counts[:, pixel, levels] + (within + each)
        log_total += np.log(seen + number + config.prior_mass)
    return np.log(ratio).sum(1) - len(pixel) * log_total


def _is_there(known: Recognition) -> np.ndarray:
    """`[C + 1]`: the contexts that are open, and the hold-out."""
    there = np.arange(len(known.counts)) < known.num_contexts
    there[-1] = True
    return there


def _open(config: ForgetMeNotConfig, known: Recognition) -> Recognition:
    """The hold-out becomes a context, and another takes its place."""
    number = known.num_contexts
    if number == config.max_contexts:
        raise ValueError(
            f"max_tasks={number}: a further task was seen, and there is no room for it. "
            "Set --agent.max-tasks."
        )
    log_weight = known.log_weight.copy()
    log_weight[number], log_weight[-1] = log_weight[-1], -np.inf
    return known._replace(num_contexts=number + 1, log_weight=log_weight, wins=0)


def _learn(known: Recognition, winner: int, window: np.ndarray) -> Recognition:
    """The winner's counts with the window in them; it is its label."""
    counts, pixel = known.counts.copy(), np.arange(window.shape[1])
    for levels in window:
        counts[winner, pixel, levels] += 1.0
    return known._replace(counts=counts, label=winner)
