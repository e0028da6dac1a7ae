"""A masked-token text-to-image generator, read top to bottom.

Some tokens of an image are hidden, and a Transformer that reads the caption tells them.
An image is drawn in a few rounds: each settles the tokens that the network is surest of.

Source: Chang et al. 2022, "MaskGIT", section 3; text and guidance: Chang et al. 2023,
"Muse", sections 2.5 to 2.8.

Shapes: B images, N tokens of an image, T places of a caption, K codes, C numbers of a code,
D features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Gt, Interval

from tolman.agents.agent import Array, Learned
from tolman.agents.gradient import GradientStep, Loss
from tolman.agents.supervised import Answers
from tolman.agents.synth2 import codes
from tolman.agents.synth2.codes import Examples, FrozenCodes, LearnerState
from tolman.agents.synth2.words import END, PAD, START
from tolman.networks.language import Context, LanguageModel


@dataclass(frozen=True)
class GeneratorConfig:
    """Settings of the generator; those of Muse are larger by far.

    Attributes:
      hidden_size: D, of the text encoder too.
      num_layers: of the Transformer over image tokens.
      num_text_layers: of the text encoder.
      num_heads: of each.
      output: how a code is told. "tied": by how near its codebook vector is to what the
        network tells, so that a code that no pair holds is told like its neighbours;
        "free": by a row of its own.
      text_dropout: share of the captions that are left out in training, for guidance;
        Muse, section 2.7: 0.1. With 1 the text is never read.
      guidance: t; logits are (1 + t) with text - t without; 0 for none.
      num_rounds: of drawing an image.
      temperature: of drawing tokens.
      choice_temperature: of the noise on how sure the network is, in the first round; it
        falls to 0 in the last.
      batch_size: images in one update.
      learning_rate: Adam's largest; it rises over the first 5 % and falls to a tenth.
    """

    hidden_size: Annotated[int, Ge(1)] = 64
    num_layers: Annotated[int, Ge(1)] = 2
    num_text_layers: Annotated[int, Ge(1)] = 1
    num_heads: Annotated[int, Ge(1)] = 4
    output: Literal["tied", "free"] = "tied"
    text_dropout: Annotated[float, Interval(ge=0, le=1)] = 0.1
    guidance: Annotated[float, Ge(0)] = 1.0
    num_rounds: Annotated[int, Ge(1)] = 8
    temperature: Annotated[float, Gt(0)] = 1.0
    choice_temperature: Annotated[float, Ge(0)] = 1.0
    batch_size: Annotated[int, Ge(1)] = 32
    learning_rate: Annotated[float, Gt(0)] = 2e-3

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.hidden_size % (2 * self.num_heads):
            yield "hidden_size", f"an even multiple of num_heads = {self.num_heads}"
        if self.guidance and not self.text_dropout:
            yield "text_dropout", "above 0, for guidance"


class Generator:
    """Learns to tell hidden tokens from the others and the caption.

    The methods are those of `tolman.agents.supervised.SupervisedAgent`.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        codebook: Array,
        num_tokens: int,
        vocabulary_size: int,
    ) -> None:
        """Builds the agent.

        Args:
          config: its settings.
          codebook: `[K, C]` of the tokenizer.
          num_tokens: N.
          vocabulary_size: of captions, special words included.
        """
        self.config, self.num_tokens = config, num_tokens
        self.vocabulary_size, self.codebook = vocabulary_size, codebook
        self.batch_size = config.batch_size
        self._network: hk.MultiTransformed = hk.without_apply_rng(
            hk.multi_transform(self._functions)
        )
        self.gradient_step = GradientStep(optax.scale_by_adam(), 1.0)

    def init(self, key: Array, examples: Examples) -> LearnerState:
        network = self._network.init(key, examples.tokens, examples.captions)
        return codes.start(self.gradient_step, network, self.codebook)

    def update(
        self, learner_state: LearnerState, batch: Examples, key: Array, progress: Array
    ) -> Learned:
        """Takes one gradient step; `key` draws what is hidden and which captions."""
        loss = partial(self.loss, examples=batch, key=key)
        rate = self.config.learning_rate
        return codes.take_step(self.gradient_step, rate, loss, learner_state, progress)

    def answer(self, params: FrozenCodes, examples: Examples, key: Array) -> Answers:
        """Logits of tokens that are hidden at random, `[B, N, K]`, and `is_hidden`."""
        is_hidden = draw_hidden(key, examples.tokens.shape)
        logits = self.logits(params, examples.tokens, is_hidden, examples.captions)
        return Answers(logits, {"is_hidden": is_hidden})

    def loss(self, params: FrozenCodes, examples: Examples, key: Array) -> Loss:
        """The mean cross-entropy of the hidden tokens, in nats."""
        hide_key, drop_key = jax.random.split(key)
        is_hidden = draw_hidden(hide_key, examples.tokens.shape)
        is_dropped = jax.random.bernoulli(
            drop_key, self.config.text_dropout, examples.captions.shape[:1]
        )
        captions = without_text(examples.captions, is_dropped)
        logits = self.logits(params, examples.tokens, is_hidden, captions)
        log_p = jnp.take_along_axis(
            jax.nn.log_softmax(logits), examples.tokens[..., None].astype(jnp.int32), 2
        )[..., 0]
        total = -(log_p * is_hidden).sum() / is_hidden.sum()
        right = (logits.argmax(-1) == examples.tokens) & is_hidden
        accuracy = right.sum() / is_hidden.sum()
        return Loss(total, {"loss/total": total, "train/accuracy": accuracy})

    def logits(
        self, params: FrozenCodes, tokens: Array, is_hidden: Array, captions: Array
    ) -> Array:
        """`[B, N, K]` of tokens `[B, N]`, hidden or not, with captions `[B, T]`."""
        read, tell = self.functions
        context = read(params.network, captions)
        return tell(params.network, tokens, is_hidden, context, params.codebook)

    def generate(self, params: FrozenCodes, captions: Array, keys: Array) -> Array:
        """Draws an image for each caption.

        Args:
          params: of the generator.
          captions: `[B, T]`.
          keys: `[B, 2]`, of the chance in each image.

        Returns:
          tokens `[B, N]` int32.
        """
        guidance = self.config.guidance
        read, tell = self.functions
        if guidance:
            nothing = without_text(captions, jnp.ones(len(captions), bool))
            captions = jnp.concatenate([captions, nothing])
        context = read(params.network, captions)

        def logits(tokens: Array, is_hidden: Array) -> Array:
            if not guidance:
                return tell(params.network, tokens, is_hidden, context, params.codebook)
            both = jnp.tile(tokens, (2, 1)), jnp.tile(is_hidden, (2, 1))
            pair = tell(params.network, *both, context, params.codebook)
            with_text, without = jnp.split(pair, 2)
            return guide(with_text, without, guidance)

        config = self.config
        return decode_in_parallel(
            logits, keys, self.num_tokens, config.num_rounds, config.temperature,
            config.choice_temperature,
        )  # fmt: skip

    @property
    def functions(self) -> tuple[Any, Any]:
        """What reads captions, and what tells tokens; see `TextContext` and `logits`.

        The first maps weights and captions `[B, T]` to a context; the second weights,
        tokens, is_hidden `[B, N]`, context and codebook to logits `[B, N, K]`.
        """
        return self._network.apply

    def _functions(self) -> tuple[Any, tuple[Any, Any]]:
        config = self.config
        size = config.hidden_size
        text = codes.transformer(
            size, config.num_heads, config.num_text_layers, self.vocabulary_size,
            is_causal=False, positions="rope",
        )  # fmt: skip
        image = codes.transformer(
            size, config.num_heads, config.num_layers, is_causal=False, positions="none"
        )
        encoder = LanguageModel(text, "text_encoder")
        model = LanguageModel(image, "image_model")

        def read(captions: Array) -> TextContext:
            start = jnp.zeros(len(captions), jnp.int32)
            reading = encoder.read(
                encoder.embed(captions, start), num_new=(captions != PAD).sum(1)
            )
            rows, is_there = reading.hidden[-1], captions != PAD
            context = model.context(rows, is_there)
            mean = (rows * is_there[..., None]).sum(1) / is_there.sum(1, keepdims=True)
            return TextContext(context, hk.Linear(size, name="summary")(mean))

        def tell(
            tokens: Array, is_hidden: Array, context: TextContext, codebook: Array
        ) -> Array:
            vectors = codes.standard(codebook)
            shown = hk.Linear(size, name="code")(vectors[tokens])
            hidden = codes.learned("hidden", size)
            embedded = jnp.where(is_hidden[..., None], hidden, shown)
            embedded += codes.learned("places", self.num_tokens, size)
            embedded += context.summary[:, None]
            final = model.read(embedded, context=context.context).hidden[-1]
            if config.output == "free":
                return hk.Linear(len(codebook), name="free_output")(final)
            told = hk.Linear(vectors.shape[1], name="tied_output")(final)
            nearness = told @ vectors.T - 0.5 * (vectors**2).sum(1)
            return nearness / math.sqrt(vectors.shape[1])

        def both(tokens: Array, captions: Array) -> Array:
            is_hidden = jnp.ones(tokens.shape, bool)
            return tell(tokens, is_hidden, read(captions), self.codebook)

        return both, (read, tell)


class TextContext(NamedTuple):
    """A caption, as image tokens look at it.

    Attributes:
      context: of its words.
      summary: `[B, D]`, of all of them.
    """

    context: Context
    summary: Array


def draw_hidden(key: Array, shape: tuple[int, ...]) -> Array:
    """Which tokens are hidden, `[B, N]` bool: a share cos(pi r / 2), r uniform in [0, 1).

    Source: Chang et al. 2022, section 3.3; at least one is hidden.
    """
    share_key, order_key = jax.random.split(key)
    share = jnp.cos(0.5 * jnp.pi * jax.random.uniform(share_key, shape[:1]))
    count = jnp.maximum(jnp.ceil(share * shape[1]), 1)
    order = jax.random.uniform(order_key, shape).argsort(-1).argsort(-1)
    return order < count[:, None]


def num_hidden(done: Array, num_rounds: int, num_tokens: int) -> Array:
    """Tokens that stay hidden after `done` of the rounds, rounded down; 0 at the end.

    Source: Chang et al. 2022, section 3.3, the cosine schedule.
    """
    share = jnp.cos(0.5 * jnp.pi * done / num_rounds)
    left = jnp.floor(share * num_tokens + 1e-4)
    # Each round settles one token at least, and none is left by the last.
    return jnp.clip(left, 0, jnp.maximum(num_tokens - done, 0)) * (done < num_rounds)


def guide(with_text: Array, without: Array, guidance: float) -> Array:
    """(1 + t) with text - t without. Source: Chang et al. 2023, section 2.7."""
    return (1.0 + guidance) * with_text - guidance * without


def without_text(captions: Array, is_dropped: Array) -> Array:
    """Captions `[B, T]`, of which those `is_dropped` `[B]` have no word."""
    empty = jnp.full(captions.shape[1], PAD).at[0].set(START).at[1].set(END)
    return jnp.where(is_dropped[:, None], empty, captions)


def draw_tokens(keys: Array, probabilities: Array) -> Array:
    """`[B, N]` int32, drawn from probabilities `[B, N, K]` with keys `[B, 2]`.

    By one uniform number a token: K of Gumbel noise take as long as the network.
    """
    draw = jax.vmap(lambda key: jax.random.uniform(key, probabilities.shape[1:2]))
    reached = probabilities.cumsum(-1)
    level = draw(keys)[..., None] * reached[..., -1:]
    return (reached <= level).sum(-1).clip(0, probabilities.shape[-1] - 1)


def decode_in_parallel(
    logits: Callable[[Array, Array], Array],
    keys: Array,
    num_tokens: int,
    num_rounds: int,
    temperature: float,
    choice_temperature: float,
) -> Array:
    """Draws all tokens in a few rounds, the surest of each round staying.

    Args:
      logits: of tokens and `is_hidden`, both `[B, N]`, to `[B, N, K]`.
      keys: `[B, 2]`.
      num_tokens: N.
      num_rounds: after which none is hidden.
      temperature: of drawing tokens.
      choice_temperature: of Gumbel noise on log probabilities, falling to 0.

    Returns:
      `[B, N]` int32.

    Source: Chang et al. 2022, section 3.2.
    """

    def one_round(
        state: tuple[Array, Array], done: Array
    ) -> tuple[tuple[Array, Array], None]:
        tokens, is_hidden = state
        round_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, done)
        draw_keys, choice_keys = jnp.moveaxis(jax.vmap(jax.random.split)(round_keys), 1, 0)
        warm = logits(tokens, is_hidden) / temperature
        log_p = jax.nn.log_softmax(warm)
        drawn = draw_tokens(draw_keys, jnp.exp(log_p))
        log_p = jnp.take_along_axis(log_p, drawn[..., None], 2)[..., 0]
        noise = jax.vmap(lambda key: jax.random.gumbel(key, (num_tokens,)))(choice_keys)
        heat = choice_temperature * (1.0 - done / num_rounds)
        sureness = jnp.where(is_hidden, log_p + heat * noise, jnp.inf)
        tokens = jnp.where(is_hidden, drawn, tokens)
        rank = sureness.argsort(-1).argsort(-1)  # 0 for the least sure.
        return (tokens, rank < num_hidden(done, num_rounds, num_tokens)), None

    start = jnp.zeros((len(keys), num_tokens), jnp.int32)
    state = start, jnp.ones(start.shape, bool)
    (tokens, _), _ = jax.lax.scan(one_round, state, jnp.arange(1, num_rounds + 1))
    return tokens
