"""What comes before any captioner: data, tokenizer, caption writer and generator.

Shapes: P pairs, N tokens of an image, T places of a caption, G concepts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array, Params
from tolman.agents.llm_probe.learner import TokenLearner, TokenLearnerConfig
from tolman.agents.synth2.codes import FrozenCodes
from tolman.agents.synth2.generator import Generator, GeneratorConfig
from tolman.agents.synth2.metrics import ObjectScores, object_scores
from tolman.agents.synth2.pairs import (
    Manifest,
    MixedPairs,
    Pairs,
    check_controlled,
    draw_ahead,
    fingerprint,
    make_pairs,
)
from tolman.agents.synth2.tokenizer import Tokenizer, TokenizerParams
from tolman.agents.synth2.words import Words
from tolman.agents.synth2.writer import Texts, Writer
from tolman.envs.scenes import PictureWorld, zipf_weights
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2.setting import Options, Setting
from tolman.launchers.studies.synth2.stored import stored, trained
from tolman.networks.language import LanguageModelConfig

CHUNK = 200  # Images that are drawn, encoded or decoded at once.
# Fractions of concepts in human pairs fall as rank^-0.7: people write of few things often.
ZIPF = 0.7


@dataclass(frozen=True)
class Images:
    """Images to be learned from; the methods are those of a `Source`.

    Attributes:
      images: `[P, H, W, 3]` uint8.
    """

    images: np.ndarray

    def load(self, split: str) -> Any:
        """Of each split the same."""
        del split
        return jnp.asarray(self.images)

    def sample(self, data: Array, key: Array, batch_size: int) -> Array:
        return data[jax.random.randint(key, (batch_size,), 0, len(data))]


class Scenes(NamedTuple):
    """Scenes with images and captions.

    Attributes:
      scenes: `[P]` of the world's type.
      images: `[P, H, W, 3]`.
      captions: P lists of captions.
    """

    scenes: Any
    images: np.ndarray
    captions: list[list[str]]


class Ground(NamedTuple):
    """What is given.

    Attributes:
      world: of the scenes.
      words: of its captions.
      human: pairs with a caption each, without the held-out concepts.
      tested: scenes of all concepts alike, with references.
      is_held_out: which of those have a held-out concept.
    """

    world: PictureWorld
    words: Words
    human: Scenes
    tested: Scenes
    is_held_out: np.ndarray


class Codec(NamedTuple):
    """A trained tokenizer.

    Attributes:
      agent: its functions.
      params: of one.
    """

    agent: Tokenizer
    params: TokenizerParams

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Tokens `[P, N]`."""
        encode = partial(jax.jit(self.agent.encode), self.params)
        return in_chunks(encode, images, CHUNK)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Images `[P, H, W, 3]`."""
        decode = partial(jax.jit(self.agent.decode), self.params)
        return in_chunks(decode, tokens.astype(np.int32), CHUNK)


class Drawer(NamedTuple):
    """A trained generator.

    Attributes:
      agent: its functions.
      params: of one.
    """

    agent: Generator
    params: FrozenCodes


def make_ground(seed: int, setting: Setting, world: PictureWorld, num_human: int) -> Ground:
    """Draws human pairs and scenes to be tested on."""
    human_rng, test_rng = (np.random.default_rng([seed, part]) for part in (0, 1))
    weights = zipf_weights(human_rng, len(world.concepts)) ** ZIPF * ~world.held_out
    human = world.sample(human_rng, num_human, weights)
    tested = world.sample(test_rng, setting.num_tested)
    sets = [
        [world.caption(scenes, rng) for _ in range(count)]
        for scenes, rng, count in (
            (human, human_rng, 1),
            (tested, test_rng, setting.num_references),
        )
    ]
    captions = [[list(row) for row in zip(*one, strict=True)] for one in sets]
    return Ground(
        world,
        Words(world.vocabulary, world.max_words),
        Scenes(human, world.render(human), captions[0]),
        Scenes(tested, world.render(tested), captions[1]),
        world.is_held_out(tested),
    )


def train_codec(
    study: Study, setting: Setting, world: PictureWorld, label: str, is_blind: bool = False
) -> tuple[Codec, str]:
    """Learns from images without captions, and tells their fingerprint.

    Args:
      study: that trains it.
      setting: how much.
      world: of the images.
      label: of the stage.
      is_blind: no image has a held-out concept.
    """
    rng = np.random.default_rng([study.seed, 2])
    weights = None if not is_blind else (~world.held_out).astype(float)
    images = world.render(world.sample(rng, setting.num_images, weights))
    agent = Tokenizer(setting.tokenizer)
    fit = trained(study, label, agent, Images(images), setting.tokenizer_updates, 1)
    return Codec(agent, one_of(fit.params)), fingerprint(images)


def human_pairs(ground: Ground, codec: Codec) -> Pairs:
    """The human pairs, in codes."""
    captions = ground.words.encode([row[0] for row in ground.human.captions])
    return make_pairs(codec.encode(ground.human.images), captions)


def check_manifest(
    study: Study, options: Options, images: str, generator: Pairs, captioner: Pairs
) -> None:
    """Writes down what each part learns from, and refuses what is not controlled.

    Raises:
      ValueError: if `--controlled` is broken.
    """
    manifest = Manifest(images, fingerprint(*generator), fingerprint(*captioner))
    study.settings["manifest"] = asdict(manifest)
    if options.controlled:
        check_controlled(manifest)
    elif manifest.generator != manifest.captioner:
        study.note(
            f"Not the controlled condition: the generator learned from "
            f"{len(generator.tokens)} pairs, the captioner from {len(captioner.tokens)}."
        )


def train_drawer(
    study: Study,
    label: str,
    config: GeneratorConfig,
    codec: Codec,
    pairs: Pairs,
    words: Words,
    num_updates: int,
) -> Drawer:
    """A generator of these pairs."""
    codebook = jnp.asarray(codec.params.codebook)
    agent = Generator(config, codebook, pairs.tokens.shape[1], words.size)
    fit = trained(study, label, agent, MixedPairs(pairs), num_updates, 1)
    return Drawer(agent, one_of(fit.params))


def train_writer(study: Study, setting: Setting, ground: Ground) -> tuple[Writer, Params]:
    """A caption model of texts without images, all concepts among them."""
    world, words = ground.world, ground.words
    rng = np.random.default_rng([study.seed, 3])
    weights = zipf_weights(rng, len(world.concepts)) ** ZIPF
    scenes = world.sample(rng, setting.num_texts, weights)
    captions = world.caption(scenes, rng)
    named = world.named_objects(world.facts(scenes)) > 0
    # One of those that a scene has.
    concepts = (named * rng.random(named.shape)).argmax(1)
    config = LanguageModelConfig(
        words.size + len(world.concepts), hidden_size=64, num_layers=2, mlp_size=170
    )
    agent = TokenLearner(TokenLearnerConfig(batch_size=48), config)
    texts = Texts(words.encode(captions), concepts.astype(np.int32), words.size)
    fit = trained(study, "writer", agent, texts, setting.writer_updates, 1)
    return Writer(config, words.size, words.length), one_of(fit.params)


def draw_images(
    study: Study, drawer: Drawer, captions: np.ndarray, name: str
) -> np.ndarray:
    """Tokens `[P, N]` of captions `[P, T]`, drawn once."""
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), 4)
    inputs = drawer.params, captions, key
    made = stored(
        study, name, inputs,
        lambda: {"tokens": draw_ahead(*drawer, captions, key, CHUNK)},
    )  # fmt: skip
    return made["tokens"]


def fidelity(
    world: PictureWorld, images: np.ndarray, captions: list[str]
) -> tuple[ObjectScores, np.ndarray]:
    """How many drawn objects have a colour and shape that is named, and which scenes are
    right as a whole, `[P]`.
    """
    said = world.parse(captions)
    objects = object_scores(world.drawn_objects(images), world.named_objects(said))
    return objects, world.agree(said, world.judge(images))


def one_of(params: Params) -> Params:
    """The first member's."""
    return jax.tree.map(lambda leaf: leaf[0], params)


def without_text_config(config: GeneratorConfig) -> GeneratorConfig:
    """Of the twin that never reads a caption."""
    return replace(config, text_dropout=1.0, guidance=0.0)


def in_chunks(
    function: Callable[[np.ndarray], Any], rows: np.ndarray, at_once: int
) -> np.ndarray:
    """What a function makes of rows `[P, ...]`, `[P, ...]`.

    Args:
      function: of so many rows, always as many: what is compiled is compiled once.
      rows: P of them.
      at_once: rows of a chunk; the last is filled up with rows from the beginning.
    """
    num_rows = len(rows)
    filled = np.resize(np.arange(num_rows), -(-num_rows // at_once) * at_once)
    made = [np.asarray(function(rows[part])) for part in filled.reshape(-1, at_once)]
    return np.concatenate(made)[:num_rows]
