"""An image tokenizer: a VQ-VAE on patches, read top to bottom.

Each patch of an image becomes the number of a code. The codebook follows the encoder by
moving averages and takes no gradient.

Source: van den Oord et al. 2017, "Neural Discrete Representation Learning", sections 3.1
and 3.2, appendix A.1.
Departure: patches are encoded and decoded on their own, by an MLP: on a CPU, convolutions
take several times as long, and pictures of small scenes don't need them.

Shapes: B images, H by W pixels, N patches of an image, C numbers of a code, K codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Gt, Interval

from tolman.agents.agent import Array, Learned, Params
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.schedules import rise_and_cosine
from tolman.agents.supervised import Answers


@dataclass(frozen=True)
class TokenizerConfig:
    """Settings of the tokenizer.

    Attributes:
      image_size: H = W, pixels.
      patch_size: pixels of a side of a patch; it divides the image's.
      num_codes: K.
      code_size: C.
      hidden_size: units of the hidden layers of encoder and decoder.
      commitment_cost: weight of the encoder's distance to its code; section 3.2: 0.25.
      decay: of the moving averages; appendix A.1: 0.99.
      dead_below: a code that is chosen less often in an update, on average, is put onto a
        patch of the batch. Patches with large errors are preferred, or the noise of empty
        patches would take all codes.
      batch_size: images in one update.
      learning_rate: Adam's largest; it rises over the first 5 % and falls to a tenth.
    """

    image_size: Annotated[int, Ge(1)] = 32
    patch_size: Annotated[int, Ge(1)] = 4
    num_codes: Annotated[int, Interval(ge=2, le=2**16)] = 512
    code_size: Annotated[int, Ge(1)] = 32
    hidden_size: Annotated[int, Ge(1)] = 128
    commitment_cost: Annotated[float, Ge(0)] = 0.25
    decay: Annotated[float, Interval(gt=0, lt=1)] = 0.99
    dead_below: Annotated[float, Ge(0)] = 0.03
    batch_size: Annotated[int, Ge(1)] = 64
    learning_rate: Annotated[float, Gt(0)] = 2e-3

    @property
    def num_tokens(self) -> int:
        """N."""
        return (self.image_size // self.patch_size) ** 2

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.image_size % self.patch_size:
            yield "image_size", f"a multiple of patch_size = {self.patch_size}"


class TokenizerParams(NamedTuple):
    """Attributes:
    network: of encoder and decoder.
    codebook: `[K, C]`.
    """

    network: Params
    codebook: Array


class Averages(NamedTuple):
    """What the codebook is made of.

    Attributes:
      size: `[K]`, of patches that chose a code in an update.
      total: `[K, C]`, of what the encoder made of them.
    """

    size: Array
    total: Array


class LearnerState(NamedTuple):
    """Attributes:
    params: of network and codebook.
    optimizer_state: Adam's moments, of the network.
    averages: of the codebook.
    """

    params: TokenizerParams
    optimizer_state: optax.OptState
    averages: Averages


class Tokenizer:
    """Learns to write images in codes, and to read them.

    The methods are those of `tolman.agents.supervised.SupervisedAgent`; examples are images
    `[B, H, W, 3]` uint8.
    """

    def __init__(self, config: TokenizerConfig) -> None:
        self.config = config
        self.batch_size = config.batch_size
        self._network: hk.MultiTransformed = hk.without_apply_rng(
            hk.multi_transform(self._functions)
        )
        self.gradient_step = GradientStep(optax.scale_by_adam(), 1.0)

    def init(self, key: Array, examples: Array) -> LearnerState:
        """The codebook begins with patches of the examples, as the encoder sees them."""
        network_key, code_key = jax.random.split(key)
        patches = to_patches(examples, self.config.patch_size)
        network = self._network.init(network_key, patches)
        encode, _ = self._network.apply
        codes = encode(network, patches).reshape(-1, self.config.code_size)
        chosen = jax.random.randint(code_key, (self.config.num_codes,), 0, len(codes))
        codebook = codes[chosen]
        averages = Averages(jnp.ones(len(codebook)), codebook)
        params = TokenizerParams(network, codebook)
        return LearnerState(params, self.gradient_step.init(network), averages)

    def update(
        self, learner_state: LearnerState, batch: Array, key: Array, progress: Array
    ) -> Learned:
        """A gradient step of the network, then one of the codebook's averages."""
        params, optimizer_state, averages = learner_state
        rate = rise_and_cosine(self.config.learning_rate, 0.05, 0.1, progress)
        stepped = self.gradient_step(
            lambda network: self.loss(params._replace(network=network), batch),
            params.network,
            optimizer_state,
            rate,
        )
        codes, tokens, errors = stepped.extra
        averages, codebook = follow(
            averages, codes, tokens, errors, key, self.config.decay, self.config.dead_below
        )
        params = TokenizerParams(stepped.params, codebook)
        learned = LearnerState(params, stepped.optimizer_state, averages)
        return Learned(learned, stepped.metrics)

    def answer(self, params: TokenizerParams, examples: Array, key: Array) -> Answers:
        """Minus the squared distance to each code, `[B, N, K]`."""
        del key
        encode, _ = self._network.apply
        codes = encode(params.network, to_patches(examples, self.config.patch_size))
        return Answers(-_distances(codes, params.codebook), {})

    def encode(self, params: TokenizerParams, images: Array) -> Array:
        """Tokens `[B, N]` int32 of images `[B, H, W, 3]` uint8."""
        encode, _ = self._network.apply
        codes = encode(params.network, to_patches(images, self.config.patch_size))
        return _distances(codes, params.codebook).argmin(-1)

    def decode(self, params: TokenizerParams, tokens: Array) -> Array:
        """Images `[B, H, W, 3]` uint8 of tokens `[B, N]`."""
        _, decode = self._network.apply
        patches = decode(params.network, params.codebook[tokens])
        levels = jnp.clip(jnp.round(255.0 * patches), 0, 255).astype(jnp.uint8)
        return from_patches(levels, self.config.patch_size)

    def loss(self, params: TokenizerParams, images: Array) -> Loss:
        """The squared error of a pixel, in units of white, and the cost of commitment.

        Source: van den Oord et al. 2017, equation 3, without its second term, which the
          moving averages take the place of.
        """
        encode, decode = self._network.apply
        patches = to_patches(images, self.config.patch_size)
        codes = encode(params.network, patches)  # [B, N, C]
        tokens = _distances(jax.lax.stop_gradient(codes), params.codebook).argmin(-1)
        nearest = params.codebook[tokens]
        # Forward the nearest code, backward as if it were what the encoder gave.
        straight = codes + jax.lax.stop_gradient(nearest - codes)
        error = (decode(params.network, straight) - patches) ** 2
        commitment = ((codes - nearest) ** 2).mean()
        total = error.mean() + self.config.commitment_cost * commitment
        metrics = {
            "loss/total": total,
            "loss/pixels": error.mean(),
            "loss/commitment": commitment,
            "train/psnr": -10.0 * jnp.log10(error.mean()),
        }
        size = codes.shape[-1]
        told = codes.reshape(-1, size), tokens.ravel(), error.sum(-1).ravel()
        return Loss(total, metrics, told)

    def _functions(self) -> tuple[Any, tuple[Any, Any]]:
        config = self.config
        encoder = hk.nets.MLP([config.hidden_size, config.code_size], name="encoder")
        pixels = 3 * config.patch_size**2
        decoder = hk.nets.MLP([config.hidden_size] * 2 + [pixels], name="decoder")

        def both(patches: Array) -> Array:
            return decoder(encoder(patches))

        return both, (encoder, decoder)


def follow(
    averages: Averages,
    codes: Array,
    tokens: Array,
    errors: Array,
    key: Array,
    decay: float,
    dead_below: float,
) -> tuple[Averages, Array]:
    """Moves the codebook towards what chose its codes, and restarts dead codes.

    Args:
      averages: before.
      codes: `[M, C]`, what the encoder made of M patches.
      tokens: `[M]`, the code that each has chosen.
      errors: `[M]`, how badly each was drawn; dead codes are put onto patches that are
        drawn in proportion to it.
      key: of that.
      decay: of the averages.
      dead_below: a smaller count is dead.

    Returns:
      the averages, and the codebook `[K, C]` that follows from them.

    Source: van den Oord et al. 2017, equations 6 to 8; dead codes: Dhariwal et al. 2020,
      "Jukebox", section 3.1.
    """
    num_codes = len(averages.size)
    chosen = jax.nn.one_hot(tokens, num_codes)  # [M, K]
    count = decay * averages.size + (1.0 - decay) * chosen.sum(0)
    total = decay * averages.total + (1.0 - decay) * (chosen.T @ codes)
    is_dead = count < dead_below
    reached = jnp.cumsum(errors)
    drawn = jnp.searchsorted(reached, reached[-1] * jax.random.uniform(key, (num_codes,)))
    drawn = jnp.minimum(drawn, len(codes) - 1)
    count = jnp.where(is_dead, 1.0, count)
    total = jnp.where(is_dead[:, None], codes[drawn], total)
    return Averages(count, total), total / count[:, None]


def to_patches(images: Array, size: int) -> Array:
    """Patches `[B, N, 3 size^2]` in rows from the top, bytes scaled to [0, 1]."""
    batch, height, width, channels = images.shape
    rows, columns = height // size, width // size
    cut = images.reshape(batch, rows, size, columns, size, channels)
    patches = cut.swapaxes(2, 3).reshape(batch, rows * columns, -1)
    return patches.astype(jnp.float32) / 255.0 if images.dtype == jnp.uint8 else patches


def from_patches(patches: Array, size: int) -> Array:
    """Square images `[B, H, W, 3]` of patches `[B, N, 3 size^2]`, which keep their type."""
    batch, num_patches, _ = patches.shape
    side = round(num_patches**0.5)
    cut = patches.reshape(batch, side, side, size, size, -1)
    return cut.swapaxes(2, 3).reshape(batch, side * size, side * size, -1)


def _distances(codes: Array, codebook: Array) -> Array:
    """`[..., K]`, squared, of codes `[..., C]` to those of the codebook."""
    squares = (codes**2).sum(-1, keepdims=True) + (codebook**2).sum(-1)
    return squares - 2.0 * codes @ codebook.T
