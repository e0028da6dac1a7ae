"""How much the Synth2 studies train, on what, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Interval

from tolman.agents.synth2.captioner import CaptionerConfig
from tolman.agents.synth2.generator import GeneratorConfig
from tolman.agents.synth2.tokenizer import TokenizerConfig
from tolman.envs.scenes import World
from tolman.envs.scenes.facts import Difficulty

MOST_PAIRS = 1_000_000  # A few GB of pictures.


@dataclass(frozen=True)
class Options:
    """Flags of these studies.

    Attributes:
      difficulty: of the scenes.
      controlled: generator and captioner must learn from the same human pairs.
      generator_pairs: human pairs that the generator learns from; 0 for those of the
        captioner. Other numbers need --no-controlled.
      num_human: human pairs of the captioner; 0 for the setting's number.
      stages: folder of trained parts and drawn images, kept by what went into them;
        studies that are given the same one share them. None for the study's own.
    """

    difficulty: Difficulty = "groups"
    controlled: bool = True
    generator_pairs: Annotated[int, Interval(ge=0, le=MOST_PAIRS)] = 0
    num_human: Annotated[int, Interval(ge=0, le=MOST_PAIRS)] = 0
    stages: str | None = None

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.controlled and self.generator_pairs not in (0, self.num_human):
            yield "generator_pairs", "0 or num_human, or give --no-controlled"


@dataclass(frozen=True)
class ShareOptions(Options):
    """Flags of the study of human shares.

    Attributes:
      own_generators: each share of the human pairs has a generator that learned from that
        share alone; else one has learned from all of them.
    """

    own_generators: bool = False


@dataclass(frozen=True)
class Setting:
    """A setting of the studies.

    Attributes:
      cell_pixels: 12 or 16, of a quarter of a scene.
      num_images: without captions, for the tokenizer.
      num_texts: without images, for the caption writer.
      num_human: human pairs.
      num_asked: captions that each style is asked for.
      num_synthetic: of them that become pairs; few are repeated to make so many.
      num_tested: scenes, concepts all alike.
      num_references: captions of each of these.
      num_members: captioners of each arm.
      tokenizer, generator, captioner: configs.
      tokenizer_updates, writer_updates, generator_updates, captioner_updates: of each.
      weak_share: of the generator's updates that the weaker generators get.
      gate: share of drawn objects that must be right, else no arm is trained; by chance
        it is 0.02.
    """

    cell_pixels: int
    num_images: int
    num_texts: int
    num_human: int
    num_asked: int
    num_synthetic: int
    num_tested: int
    num_references: int
    num_members: int
    tokenizer: TokenizerConfig
    generator: GeneratorConfig
    captioner: CaptionerConfig
    tokenizer_updates: int
    writer_updates: int
    generator_updates: int
    captioner_updates: int
    weak_share: float = 0.25
    gate: float = 0.30

    def world(self, difficulty: Difficulty) -> World:
        """Of these scenes."""
        return World(difficulty, cell_pixels=12 if self.cell_pixels == 12 else 16)


def as_asked(setting: Setting, options: Options) -> Setting:
    """The setting with what the flags say in place of its own."""
    if not options.num_human:
        return setting
    return replace(setting, num_human=options.num_human)


QUICK = Setting(
    cell_pixels=12, num_images=8_000, num_texts=12_000, num_human=400, num_asked=1_600,
    num_synthetic=1_200, num_tested=400, num_references=5, num_members=3,
    tokenizer=TokenizerConfig(image_size=24, patch_size=6),
    generator=GeneratorConfig(), captioner=CaptionerConfig(),
    tokenizer_updates=1_500, writer_updates=600, generator_updates=3_200,
    captioner_updates=400,
)  # fmt: skip
FULL = replace(
    QUICK,
    num_images=50_000, num_texts=50_000, num_human=2_000, num_asked=12_000,
    num_synthetic=10_000, num_tested=2_000,
    generator=GeneratorConfig(hidden_size=128, num_layers=4, batch_size=128,
                              learning_rate=1e-3),
    captioner=CaptionerConfig(hidden_size=128, batch_size=64, learning_rate=1e-3),
    tokenizer_updates=10_000, writer_updates=5_000, generator_updates=40_000,
    captioner_updates=5_000,
)  # fmt: skip
