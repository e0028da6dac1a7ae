"""Learners whose way of generalising is known, and the score that must tell them apart.

Shapes: B sequences, N examples of a context, S numbers of a feature, C labels.
"""

from __future__ import annotations

import numpy as np

from tolman.agents.llm_probe.rule_exemplar.stimuli import Examples

CERTAIN = 50.0  # Logits apart.
STEEPNESS = 10.0  # Of likeness.


def p_target(logits: np.ndarray, examples: Examples) -> np.ndarray:
    """`[B]`: the probability of the target among the two labels of the task.

    Where the combination is held out, this is P(rule).

    Args:
      logits: `[B, C]`.
      examples: that were asked.
    """
    rows = np.arange(len(logits))
    target = logits[rows, np.asarray(examples.target)].astype(float)
    other = logits[rows, np.asarray(examples.other)].astype(float)
    return 1.0 / (1.0 + np.exp(np.clip(other - target, -700.0, 700.0)))


def rule_learner(examples: Examples) -> np.ndarray:
    """Logits `[B, C]` by the one feature that tells the labels of the context apart.

    That is the feature in which stimuli of a label are nearest to each other, measured by
    those of different labels.
    """
    distance = _distances(examples)  # [B, 2, N + 1, N + 1]
    labels = np.asarray(examples.labels)
    is_same = labels[:, None, :, None] == labels[:, None, None, :]
    inner = distance[:, :, :-1, :-1]
    within = np.where(is_same, inner, -np.inf).max((2, 3))
    between = np.where(is_same, np.inf, inner).min((2, 3))
    decides = (within - between).argmin(1)
    return _nearest(distance[np.arange(len(labels)), decides, -1, :-1], labels)


def exemplar_learner(examples: Examples) -> np.ndarray:
    """Logits `[B, C]`: the label of the nearest stimulus of the context, all considered."""
    square = _distances(examples) ** 2
    labels = np.asarray(examples.labels)
    return _nearest(square.sum(1)[:, -1, :-1], labels)


def similarity_learner(examples: Examples) -> np.ndarray:
    """Logits `[B, C]`: every stimulus of the context speaks for its label by its likeness.

    Likeness falls off exponentially with the distance, measured by the longest one from
    the stimulus that is asked. Unlike `exemplar_learner` it counts: in `stimuli.CONTEXT`
    four share B with BX and three X, so that P(rule) is above a half without any rule, 4/7
    at most where all features are equally far apart.

    Source: Nosofsky 1986, equations 2 to 5, without weights of features.
    """
    distance = np.sqrt((_distances(examples) ** 2).sum(1))[:, -1, :-1]  # [B, N]
    likeness = np.exp(-STEEPNESS * distance / distance.max(1, keepdims=True))
    labels = np.asarray(examples.labels)
    summed = np.zeros((len(labels), int(labels.max()) + 1))
    np.add.at(summed, (np.arange(len(labels))[:, None], labels), likeness)
    return np.log(summed + 1e-300)


def _distances(examples: Examples) -> np.ndarray:
    """`[B, 2, N + 1, N + 1]`, between all stimuli, by feature."""
    stimuli = np.asarray(examples.stimuli)
    features = np.moveaxis(stimuli.reshape(*stimuli.shape[:2], 2, -1), 2, 1)
    return np.linalg.norm(features[:, :, :, None] - features[:, :, None], axis=-1)


def _nearest(distance: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Logits of the labels of the nearest of N, `[B, C]`."""
    found = labels[np.arange(len(labels)), distance.argmin(1)]
    return CERTAIN * np.eye(labels.max() + 1)[found]
