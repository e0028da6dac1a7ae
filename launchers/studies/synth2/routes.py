"""What it costs to go through pixels: two routes from a caption to a captioner's update.

By the first the captioner reads the codes that the generator draws; by the second these
become pixels, and the pixels codes again. Each route is one compiled program with the
frozen generator inside. Its speed does not hang on its weights: none is trained here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from tolman.agents.agent import Array
from tolman.agents.synth2.captioner import Captioner, CaptionerConfig
from tolman.agents.synth2.codes import Examples
from tolman.agents.synth2.generator import Generator, GeneratorConfig, num_hidden
from tolman.agents.synth2.pairs import MadePairs, make_pairs
from tolman.agents.synth2.tokenizer import Tokenizer, TokenizerConfig
from tolman.launchers.measuring.turns import take_turns
from tolman.launchers.studies.study import Study

TITLE = "Synth2: through embeddings, or through pixels"
PAPER = "Sharifzadeh et al. 2024"
NOT_FOUND = "not found"
NUM_TIMED = 30
NUM_CAPTIONS, CAPTION_LENGTH, VOCABULARY = 256, 16, 40
__all__ = ["PAPER", "TITLE", "Options", "run"]


@dataclass(frozen=True)
class Options:
    """Flags of this study.

    Attributes:
      batch_size: pairs of an update, all of them drawn by the generator.
    """

    batch_size: Annotated[int, Ge(1)] = 32


@dataclass(frozen=True)
class Sizes:
    """Of the models.

    Attributes:
      tokenizer, generator, captioner: configs.
    """

    tokenizer: TokenizerConfig
    generator: GeneratorConfig
    captioner: CaptionerConfig


QUICK = Sizes(
    TokenizerConfig(image_size=24, patch_size=6), GeneratorConfig(), CaptionerConfig()
)
# 256 pixels, 16 by 16 tokens, 8192 codes; a wide MLP on patches in place of convolutions.
FULL = Sizes(
    TokenizerConfig(image_size=256, patch_size=16, num_codes=8192, hidden_size=4096),
    GeneratorConfig(hidden_size=1024, num_layers=16, num_text_layers=4, num_heads=16),
    CaptionerConfig(hidden_size=512, num_latents=32, num_layers=6, num_heads=8),
)


class Models(NamedTuple):
    """Agents, and parameters of those that are frozen.

    Attributes:
      codec: agent.
      codec_params: of it.
      generator: agent.
      generator_params: of it.
      captioner: agent.
      captions: `[Q, T]`.
    """

    codec: Tokenizer
    codec_params: Any
    generator: Generator
    generator_params: Any
    captioner: Captioner
    captions: np.ndarray


class Route(NamedTuple):
    """One way from captions to an update.

    Attributes:
      step: compiled: state, data and key to the next state and the loss.
      state: of the captioner.
      data: what `step` reads.
    """

    step: Any
    state: Any
    data: Any

    def repeat(self, count: int) -> None:
        """So many updates, one after the other; what they give is waited for."""
        state, key = self.state, jax.random.PRNGKey(0)
        for _ in range(count):
            state, loss = self.step(state, self.data, key)
        jax.block_until_ready((state, loss))


def run(study: Study, options: Options) -> None:
    """Two routes, their parts, and what the compiler says of them."""
    run_sizes(study, options, QUICK if study.quick else FULL, NUM_TIMED)


def run_sizes(study: Study, options: Options, sizes: Sizes, num_timed: int) -> None:
    """`run` with models of one's own sizes, each part timed so many times."""
    batch_size = options.batch_size
    study.settings = {**asdict(sizes), **asdict(options), "device": str(jax.devices()[0])}
    models = make_models(sizes, batch_size)
    routes = {
        "embeddings": make_route(models, batch_size, with_pixels=False),
        "pixels": make_route(models, batch_size, with_pixels=True),
    }
    parts: dict[str, Callable[[int], None]] = {
        name: route.repeat for name, route in routes.items()
    }
    parts |= make_parts(models, batch_size)
    seconds = take_turns(parts, least=1, num_rounds=num_timed)
    check_programs(study, models, routes)
    report(study, routes, seconds, batch_size, num_timed)
    check_overheads(study, seconds)


def make_models(sizes: Sizes, batch_size: int) -> Models:
    """Models of random weights, and captions of random words."""
    keys = jax.random.split(jax.random.PRNGKey(0), 4)
    config, num_tokens = sizes.tokenizer, sizes.tokenizer.num_tokens
    codec = Tokenizer(config)
    image = jnp.zeros((1, config.image_size, config.image_size, 3), jnp.uint8)
    codec_params = jax.jit(codec.init)(keys[0], image).params
    shape = codec_params.codebook.shape
    codec_params = codec_params._replace(codebook=jax.random.normal(keys[1], shape))
    captions = np.asarray(
        jax.random.randint(keys[2], (NUM_CAPTIONS, CAPTION_LENGTH), 3, VOCABULARY)
    )
    generator = Generator(
        replace(sizes.generator, batch_size=batch_size),
        codec_params.codebook, num_tokens, VOCABULARY,
    )  # fmt: skip
    examples = _examples(captions[:1], num_tokens)
    generator_params = jax.jit(generator.init)(keys[3], examples).params
    captioner = Captioner(
        replace(sizes.captioner, batch_size=batch_size),
        codec_params.codebook, num_tokens, VOCABULARY,
    )  # fmt: skip
    return Models(codec, codec_params, generator, generator_params, captioner, captions)


def make_route(models: Models, batch_size: int, with_pixels: bool) -> Route:
    """Compiles one route. Both are handed the codec; one has no use for it."""
    codec, codec_params, generator, generator_params, captioner, captions = models
    num_tokens = generator.num_tokens
    human = make_pairs(np.zeros((1, num_tokens), int), captions[:1])
    key = jax.random.PRNGKey(1)
    source = MadePairs(
        human, captions, generator, generator_params, key, share=1.0,
        codec=codec if with_pixels else None, codec_params=codec_params,
    )  # fmt: skip
    data = source.load("train")
    state = jax.jit(captioner.init)(key, _examples(captions[:1], num_tokens))

    def step(state: Any, data: Any, key: Array) -> Any:
        batch = source.sample(data, key, batch_size)
        learned = captioner.update(state, batch, key, jnp.float32(0.5))
        return learned.learner_state, learned.metrics["loss/total"]

    return Route(jax.jit(step).lower(state, data, key).compile(), state, data)


def make_parts(models: Models, batch_size: int) -> dict[str, Callable[[int], None]]:
    """Generator, codec and captioner alone, and the bare passes of two of them."""
    codec, codec_params, generator, generator_params, captioner, known = models
    captions = jnp.asarray(np.resize(known, (batch_size, CAPTION_LENGTH)))
    keys = jax.random.split(jax.random.PRNGKey(2), batch_size)
    draw = jax.jit(generator.generate)
    tokens = draw(generator_params, captions, keys)
    examples = Examples(tokens, captions, jnp.ones(batch_size, bool))
    state = jax.jit(captioner.init)(jax.random.PRNGKey(3), examples)

    def through_pixels(params: Any, tokens: Array) -> Array:
        return codec.encode(params, codec.decode(params, tokens))

    def update(state: Any, examples: Examples) -> Any:
        return captioner.update(state, examples, keys[0], jnp.float32(0.5))

    def both_ways(params: Any, examples: Examples) -> Any:
        def loss(network: Any) -> Array:
            return captioner.loss(params._replace(network=network), examples).total

        return jax.value_and_grad(loss)(params.network)

    return {
        "generator": _again(draw, generator_params, captions, keys),
        "codec": _again(jax.jit(through_pixels), codec_params, tokens),
        "captioner": _again(jax.jit(update), state, examples),
        "generator's passes": _again(
            jax.jit(partial(bare_passes, generator)), generator_params, captions
        ),
        "captioner's passes": _again(jax.jit(both_ways), state.params, examples),
    }


def bare_passes(generator: Generator, params: Any, captions: Array) -> Array:
    """As many forward passes as drawing takes, of as many rows, and not a thing more."""
    config = generator.config
    if config.guidance:
        captions = jnp.tile(captions, (2, 1))
    rows = (len(captions), generator.num_tokens)
    start = jnp.zeros(rows, jnp.int32)
    read, tell = generator.functions
    context = read(params.network, captions)

    def one_pass(tokens: Array, done: Array) -> tuple[Array, None]:
        hidden = num_hidden(done, config.num_rounds, generator.num_tokens)
        is_hidden = jnp.arange(generator.num_tokens) < hidden
        logits = tell(
            params.network, tokens, jnp.broadcast_to(is_hidden, rows), context,
            params.codebook,
        )  # fmt: skip
        # Each pass hangs on all of the one before: else parts of it would be left out.
        return tokens + (logits.sum(-1) > 1e9), None

    return jax.lax.scan(one_pass, start, jnp.arange(config.num_rounds))[0]


def check_programs(study: Study, models: Models, routes: dict[str, Route]) -> None:
    """The embedding route holds no weight of the decoder; the pixel route has all."""
    shapes = decoder_shapes(models)
    held = {
        name: share_held(route.step.as_text(), shapes) for name, route in routes.items()
    }
    study.check("weights of the decoder in the embedding route's program",
                held["embeddings"], "-", below=1e-9)  # fmt: skip
    study.check("the same in the pixel route's", held["pixels"], "-", above=0.999)


def decoder_shapes(models: Models) -> set[tuple[int, ...]]:
    """Of the decoder's weights, those that no other array of the routes has."""
    network = models.codec_params.network
    of_decoder = {name: part for name, part in network.items() if "decoder" in name}
    rest = {name: part for name, part in network.items() if name not in of_decoder}
    others = rest, models.codec_params.codebook, models.generator_params
    shapes = {leaf.shape for leaf in jax.tree.leaves(of_decoder)}
    return shapes - {leaf.shape for leaf in jax.tree.leaves(others)}


def share_held(program: str, shapes: set[tuple[int, ...]]) -> float:
    """How many of these shapes a compiled program takes as an argument.

    Args:
      program: XLA's text of it.
      shapes: of weights.
    """
    entry = program[program.index("\nENTRY") :]
    taken = {
        tuple(int(size) for size in found.split(",") if size)
        for found in re.findall(r"= f32\[([\d,]*)\]\S* parameter\(", entry)
    }
    return len(shapes & taken) / len(shapes)


def report(
    study: Study,
    routes: dict[str, Route],
    seconds: dict[str, float],
    batch_size: int,
    num_timed: int,
) -> None:
    """Times, throughput, memory and shares, and the paper's number beside them."""
    memory = {name: peak_bytes(route.step) for name, route in routes.items()}
    rows = []
    for name in routes:
        total = seconds[name]
        codec = seconds["codec"] / total if name == "pixels" else 0.0
        rows.append((
            name, f"{1e3 * total:.2f}", f"{batch_size / total:.0f}",
            f"{memory[name] / 2**20:.2f}", f"{seconds['generator'] / total:.2f}",
            f"{codec:.2f}", f"{seconds['captioner'] / total:.2f}",
        ))  # fmt: skip
    study.table(
        f"Updates of {batch_size} pairs, generator inside (medians of {num_timed} samples, "
        "the parts taking turns; generator, codec and captioner timed alone)",
        ("route", "ms an update", "pairs a second", "compiler's peak memory, MiB",
         "share of the generator", "share of the codec", "share of the captioner"),
        rows,
    )  # fmt: skip
    time = seconds["pixels"] / seconds["embeddings"]
    paper = "25 % faster (abstract; of what is not said)"
    study.table(
        "Pixels beside embeddings", ("what", "measured", "paper"),
        [("time of pixels over that of embeddings", f"{time:.3f}", paper),
         ("time that embeddings save", f"{1 - 1 / time:.1%}", paper),
         ("throughput of embeddings over that of pixels, less 1", f"{time - 1:.1%}", paper),
         ("memory of pixels over that of embeddings",
          f"{memory['pixels'] / memory['embeddings']:.3f}", NOT_FOUND)],
    )  # fmt: skip
    study.note(
        "The paper's tables are not public to us: of which models, and of which part of "
        "the work, its 25 % are, is not found. The share here is that of this codec beside "
        "this generator, and says nothing of another codec."
    )


def check_overheads(study: Study, seconds: dict[str, float]) -> None:
    """Drawing beside bare passes, and a captioner's update beside its own."""
    claims = {
        "generator": "drawing images over bare forward passes",
        "captioner": "captioner's update over forward and backward",
    }
    for name, claim in claims.items():
        over = seconds[name] / seconds[f"{name}'s passes"]
        study.check(claim, over, "-", below=1.2)


def peak_bytes(program: Any) -> int:
    """Arguments, results and what lies between them, as the compiler plans it."""
    memory = program.memory_analysis()
    arrays = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return int(arrays + memory.temp_size_in_bytes - memory.alias_size_in_bytes)


def _examples(captions: np.ndarray, num_tokens: int) -> Examples:
    rows = len(captions)
    tokens = jnp.zeros((rows, num_tokens), jnp.int32)
    return Examples(tokens, jnp.asarray(captions), jnp.ones(rows, bool))


def _again(function: Any, *arguments: Any) -> Callable[[int], None]:
    def repeat(count: int) -> None:
        for _ in range(count):
            result = function(*arguments)
        jax.block_until_ready(result)

    return repeat
