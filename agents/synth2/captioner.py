"""A captioner: a resampler over an image's codes, and a decoder that looks at its latents.

Source: Alayrac et al. 2022, "Flamingo", section 2.1, for the resampler. Departure: the
latents look at the image alone, and at each other in a layer of their own.

Shapes: B images, N tokens of an image, M latents, T places of a caption, V words, D
features, K codes, C numbers of a code, W beams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Gt

from tolman.agents.agent import Array, Learned
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.supervised import Answers
from tolman.agents.synth2 import codes
from tolman.agents.synth2.codes import Examples, FrozenCodes, LearnerState
from tolman.agents.synth2.words import END, PAD, START
from tolman.networks.language import Cache, Context, LanguageModel, empty_cache


@dataclass(frozen=True)
class CaptionerConfig:
    """Settings of the captioner.

    Attributes:
      hidden_size: D.
      num_latents: M, what an image is summed up in.
      num_resampler_layers: of the resampler.
      num_layers: of the decoder.
      num_heads: of each.
      batch_size: pairs in one update.
      learning_rate: Adam's largest; it rises over the first 5 % and falls to a tenth.
    """

    hidden_size: Annotated[int, Ge(1)] = 64
    num_latents: Annotated[int, Ge(1)] = 8
    num_resampler_layers: Annotated[int, Ge(1)] = 1
    num_layers: Annotated[int, Ge(1)] = 2
    num_heads: Annotated[int, Ge(1)] = 4
    batch_size: Annotated[int, Ge(1)] = 32
    learning_rate: Annotated[float, Gt(0)] = 2e-3

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.hidden_size % (2 * self.num_heads):
            yield "hidden_size", f"an even multiple of num_heads = {self.num_heads}"


class Captioner:
    """Learns to write the captions of images.

    The methods are those of `tolman.agents.supervised.SupervisedAgent`.
    """

    def __init__(
        self,
        config: CaptionerConfig,
        codebook: Array,
        num_tokens: int,
        vocabulary_size: int,
    ) -> None:
        """Builds the agent.

        Args:
          config: its settings.
          codebook: `[K, C]` of the tokenizer.
          num_tokens: N.
          vocabulary_size: V, special words included.
        """
        self.config, self.num_tokens = config, num_tokens
        self.vocabulary_size, self.codebook = vocabulary_size, codebook
        self.batch_size = config.batch_size
        size, heads = config.hidden_size, config.num_heads
        self._decoder = codes.transformer(
            size, heads, config.num_layers, vocabulary_size,
            is_causal=True, positions="rope",
        )  # fmt: skip
        self._resampler = codes.transformer(
            size, heads, config.num_resampler_layers, is_causal=False, positions="none"
        )
        self._network: hk.MultiTransformed = hk.without_apply_rng(
            hk.multi_transform(self._functions)
        )
        self.gradient_step = GradientStep(optax.scale_by_adam(), 1.0)

    def init(self, key: Array, examples: Examples) -> LearnerState:
        network = self._network.init(key, examples)
        return codes.start(self.gradient_step, network, self.codebook)

    def update(
        self, learner_state: LearnerState, batch: Examples, key: Array, progress: Array
    ) -> Learned:
        """Takes one gradient step on the batch."""
        del key
        loss = partial(self.loss, examples=batch)
        rate = self.config.learning_rate
        return codes.take_step(self.gradient_step, rate, loss, learner_state, progress)

    def answer(self, params: FrozenCodes, examples: Examples, key: Array) -> Answers:
        """Logits of each word from the image and those before it, `[B, T - 1, V]`."""
        del key
        return Answers(self.logits(params, examples), {})

    def loss(self, params: FrozenCodes, examples: Examples) -> Loss:
        """The mean cross-entropy of the words after START, END among them, in nats."""
        logits = self.logits(params, examples)
        wanted = examples.captions[:, 1:].astype(jnp.int32)
        is_word = wanted != PAD
        log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), wanted[..., None], 2)
        total = -(log_p[..., 0] * is_word).sum() / is_word.sum()
        right = ((logits.argmax(-1) == wanted) | ~is_word).all(1).mean()
        return Loss(total, {"loss/total": total, "train/accuracy": right})

    def logits(self, params: FrozenCodes, examples: Examples) -> Array:
        """`[B, T - 1, V]`."""
        look, tell = self._network.apply
        context = look(params.network, examples.tokens, examples.has_image, params.codebook)
        return tell(params.network, examples.captions[:, :-1], None, context)[0]

    def write(
        self, params: FrozenCodes, tokens: Array, has_image: Array, length: int
    ) -> Array:
        """The likeliest word after each word.

        Args:
          params: of the captioner.
          tokens: `[B, N]`.
          has_image: `[B]` bool.
          length: T, of a caption, START and END included.

        Returns:
          captions `[B, T]` int32.
        """
        return self.write_beams(params, tokens, has_image, length, 1)[0][:, 0]

    def write_beams(
        self,
        params: FrozenCodes,
        tokens: Array,
        has_image: Array,
        length: int,
        num_beams: int,
    ) -> tuple[Array, Array]:
        """The likeliest captions that a search with W beams finds; see `write`.

        Returns:
          captions `[B, W, T]` int32, the likeliest first, and their log probabilities
          `[B, W]`. Those that were not at an end after T - 1 words are cut there.
        """
        look, tell = self._network.apply
        context = look(params.network, tokens, has_image, params.codebook)
        batch_size = len(tokens)
        wide = _repeat(context, num_beams)
        rows = batch_size * num_beams

        def step(words: Array, cache: Cache) -> tuple[Array, Cache]:
            logits, cache = tell(params.network, words[:, None], cache, wide)
            return jax.nn.log_softmax(logits[:, 0]), cache

        cache = empty_cache(self._decoder, rows, length)
        return search(step, cache, batch_size, num_beams, length)

    def _functions(self) -> tuple[Any, tuple[Any, Any]]:
        size = self.config.hidden_size
        resampler = LanguageModel(self._resampler, "resampler")
        decoder = LanguageModel(self._decoder, "decoder")

        def look(tokens: Array, has_image: Array, codebook: Array) -> Context:
            """The image, summed up in latents; without one, in what is learned for that."""
            shown = hk.Linear(size, name="code")(codes.standard(codebook)[tokens])
            nothing = codes.learned("no_image", size)
            shown = jnp.where(has_image[:, None, None], shown, nothing)
            shown += codes.learned("places", self.num_tokens, size)
            latents = codes.learned("latents", self.config.num_latents, size)
            latents = jnp.broadcast_to(latents, (len(tokens), *latents.shape))
            image = resampler.context(shown, jnp.ones(shown.shape[:2], bool))
            found = resampler.read(latents, context=image).hidden[-1]
            return decoder.context(found, jnp.ones(found.shape[:2], bool))

        def tell(
            words: Array, cache: Cache | None, context: Context
        ) -> tuple[Array, Cache | None]:
            start = jnp.zeros(len(words), jnp.int32)
            embedded = decoder.embed(words, start)  # Positions are rotated later.
            reading = decoder.read(embedded, cache, context=context)
            return decoder.logits(reading.hidden[-1]), reading.cache

        def both(examples: Examples) -> Array:
            context = look(examples.tokens, examples.has_image, self.codebook)
            return tell(examples.captions, None, context)[0]

        return both, (look, tell)


class Beams(NamedTuple):
    """A search under way.

    Attributes:
      captions: `[B, W, T]`.
      log_p: `[B, W]`; of a beam that is not in use yet, -inf.
      is_done: `[B, W]` bool, it has an END.
      cache: of B W rows.
    """

    captions: Array
    log_p: Array
    is_done: Array
    cache: Any


def search(
    step: Any, cache: Any, batch_size: int, num_beams: int, length: int
) -> tuple[Array, Array]:
    """Beam search; with one beam, the likeliest word after each word.

    Args:
      step: maps words `[B W]` and the cache to log probabilities `[B W, V]` of the next
        word and the cache.
      cache: an empty `Cache` of B W rows.
      batch_size: B.
      num_beams: W.
      length: T.

    Returns:
      captions `[B, W, T]` and log probabilities `[B, W]`, the likeliest first.
    """
    first = jnp.where(jnp.arange(num_beams) == 0, 0.0, -jnp.inf)
    captions = jnp.full((batch_size, num_beams, length), PAD).at[:, :, 0].set(START)
    start = Beams(
        captions,
        jnp.tile(first, (batch_size, 1)),
        jnp.zeros((batch_size, num_beams), bool),
        cache,
    )

    def one_word(beams: Beams, place: Array) -> tuple[Beams, None]:
        words = beams.captions[:, :, place - 1].ravel()
        log_p, cache = step(words, beams.cache)
        log_p = log_p.reshape(batch_size, num_beams, -1)
        num_words = log_p.shape[-1]
        # A beam that is done goes on with PAD alone, for nothing.
        only_pad = jnp.where(jnp.arange(num_words) == PAD, 0.0, -jnp.inf)
        never = jnp.isin(jnp.arange(num_words), jnp.array([PAD, START]))
        log_p = jnp.where(never, -jnp.inf, log_p)
        log_p = jnp.where(beams.is_done[..., None], only_pad, log_p)
        total = (beams.log_p[..., None] + log_p).reshape(batch_size, -1)
        best, index = jax.lax.top_k(total, num_beams)  # [B, W]
        parent, word = index // num_words, index % num_words
        captions = jnp.take_along_axis(beams.captions, parent[..., None], 1)
        captions = captions.at[:, :, place].set(word)
        is_done = jnp.take_along_axis(beams.is_done, parent, 1) | (word == END)
        rows = (jnp.arange(batch_size)[:, None] * num_beams + parent).ravel()
        cache = Cache(cache.keys[:, rows], cache.values[:, rows], cache.length[rows])
        return Beams(captions, best, is_done, cache), None

    beams, _ = jax.lax.scan(one_word, start, jnp.arange(1, length))
    return beams.captions, beams.log_p


def _repeat(context: Context, times: int) -> Context:
    """Each row of the batch so many times, one behind the other."""
    return Context(
        jnp.repeat(context.keys, times, axis=1),
        jnp.repeat(context.values, times, axis=1),
        jnp.repeat(context.is_there, times, axis=0),
    )


__all__ = ["Captioner", "CaptionerConfig", "Examples", "search"]
