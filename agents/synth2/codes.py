"""What networks that read a tokenizer's codes share: examples, parameters and their step.

Shapes: B pairs, N tokens of an image, T places of a caption, K codes, C numbers of a code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import haiku as hk
import jax.numpy as jnp
import optax

from tolman.agents.agent import Array, Learned, Params
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.schedules import rise_and_cosine
from tolman.networks.language import LanguageModelConfig


class Examples(NamedTuple):
    """Pairs of image and caption.

    Attributes:
      tokens: `[B, N]` integers, of the image.
      captions: `[B, T]` integers; see `tolman.agents.synth2.words.Words`.
      has_image: `[B]` bool; without, there is the caption alone.
    """

    tokens: Array
    captions: Array
    has_image: Array


class FrozenCodes(NamedTuple):
    """Parameters of a network that reads codes of a tokenizer that is trained already.

    Attributes:
      network: what is learned.
      codebook: `[K, C]`, what stays.
    """

    network: Params
    codebook: Array


class LearnerState(NamedTuple):
    """Attributes:
    params: with the codebook.
    optimizer_state: Adam's moments, of what is learned.
    """

    params: FrozenCodes
    optimizer_state: optax.OptState


def transformer(
    size: int,
    num_heads: int,
    num_layers: int,
    vocabulary_size: int = 1,
    *,
    is_causal: bool,
    positions: Literal["none", "rope"],
) -> LanguageModelConfig:
    """Of D = `size` features; its gated MLPs have as many weights as plain ones of 4 D."""
    return LanguageModelConfig(
        vocabulary_size,
        hidden_size=size,
        num_layers=num_layers,
        num_heads=num_heads,
        num_key_value_heads=num_heads,
        mlp_size=8 * size // 3,
        positions=positions,
        is_causal=is_causal,
    )


def start(step: GradientStep, network: Params, codebook: Array) -> LearnerState:
    """Of a fresh network."""
    return LearnerState(FrozenCodes(network, codebook), step.init(network))


def take_step(
    step: GradientStep,
    learning_rate: float,
    loss: Callable[[FrozenCodes], Loss],
    learner_state: LearnerState,
    progress: Array,
) -> Learned:
    """One step of the network; the rate rises over the first 5 % and falls to a tenth."""
    params, optimizer_state = learner_state
    stepped = step(
        lambda network: loss(params._replace(network=network)),
        params.network,
        optimizer_state,
        rise_and_cosine(learning_rate, 0.05, 0.1, progress),
    )
    params = params._replace(network=stepped.params)
    return Learned(LearnerState(params, stepped.optimizer_state), stepped.metrics)


def standard(codebook: Array) -> Array:
    """Codes `[K, C]` about 0, with a mean square of 1."""
    centred = codebook - codebook.mean(0)
    return centred / jnp.sqrt((centred**2).mean() + 1e-8)


def learned(name: str, *shape: int) -> Array:
    """A parameter of small numbers."""
    draw = hk.initializers.TruncatedNormal(0.02)
    return hk.get_parameter(name, shape, jnp.float32, init=draw)
