"""What the Synth2 studies make before any captioner, and what is checked of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tolman.agents.synth2.metrics import CiderD, split_caption
from tolman.agents.synth2.pairs import Pairs, make_pairs
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2 import parts, plots
from tolman.launchers.studies.synth2.captions import CaptionSet, report_sets, write_sets
from tolman.launchers.studies.synth2.parts import Codec, Drawer, Ground
from tolman.launchers.studies.synth2.setting import Options, Setting

NOT_FOUND = "not found"


class Made(NamedTuple):
    """All that comes before the captioners.

    Attributes:
      ground: what is given.
      codec: the tokenizer.
      human: pairs.
      drawer: the generator.
      sets: captions by style.
    """

    ground: Ground
    codec: Codec
    human: Pairs
    drawer: Drawer
    sets: dict[str, CaptionSet]

    def draw(
        self, study: Study, name: str, captions: list[str], drawer: Drawer | None = None
    ) -> tuple[Pairs, float]:
        """The captions with images, and the share of objects in these that are named.

        Args:
          study: that keeps them.
          name: of them.
          captions: in words.
          drawer: another generator than `drawer`.
        """
        rows = self.ground.words.encode(captions)
        tokens = parts.draw_images(
            study, drawer or self.drawer, rows, name.replace(" ", "_")
        )
        images = self.codec.decode(tokens)
        objects, _ = parts.fidelity(self.ground.world, images, captions)
        return make_pairs(tokens, rows), objects.precision


def make_parts(
    study: Study, setting: Setting, options: Options, with_blind: bool = False
) -> Made:
    """Trains tokenizer, generator and caption writer, and checks the instruments.

    Args:
      study: that trains them.
      setting: how much.
      options: of the study.
      with_blind: trains a tokenizer that has not seen the held-out concepts too.
    """
    if options.stages:
        study.stages = Path(options.stages)
    world = setting.world(options.difficulty)
    num_pairs = max(setting.num_human, options.generator_pairs)
    ground = parts.make_ground(study.seed, setting, world, num_pairs)
    check_instruments(study, ground)
    codec, images = parts.train_codec(study, setting, world, "tokenizer")
    blind = None
    if with_blind:
        blind, _ = parts.train_codec(study, setting, world, "tokenizer_blind", True)
    check_codecs(study, ground, codec, blind)
    pairs = parts.human_pairs(ground, codec)
    human = Pairs(*(column[: setting.num_human] for column in pairs))
    drawn = Pairs(*(column[: options.generator_pairs or setting.num_human]
                    for column in pairs))  # fmt: skip
    parts.check_manifest(study, options, images, drawn, human)
    writer, params = parts.train_writer(study, setting, ground)
    sets = write_sets(study, setting, ground, writer, params)
    report_sets(study, sets)
    drawer = parts.train_drawer(
        study, "generator", setting.generator, codec, drawn, ground.words,
        setting.generator_updates,
    )  # fmt: skip
    return Made(ground, codec, human, drawer, dict(sets.items()))


def check_instruments(study: Study, ground: Ground) -> None:
    """The judge on true images, and captions that say what is true."""
    world = ground.world
    rng = np.random.default_rng([study.seed, 8])
    scenes = world.sample(rng, 2_000)
    is_right = world.agree(world.judge(world.render(scenes)), world.facts(scenes))
    study.check("judge on 2,000 true images", is_right.mean(), "-", above=0.9999)
    tested = ground.tested.scenes
    exact = world.caption(tested, rng, is_exact=True)
    agree = world.agree(world.parse(exact), world.facts(tested)).mean()
    study.check("captions of the grammar, exact match", agree, "-", above=0.9999)
    cider = CiderD([[split_caption(one) for one in row] for row in ground.tested.captions])
    ceiling = cider.scores([split_caption(one) for one in exact])
    study.table(
        "Ceiling of this world: true captions of the grammar, by CIDEr-D",
        ("tested scenes", "seen concepts", "held-out concepts"),
        [[f"{ceiling[rows].mean():.3f}" for rows in
          (slice(None), ~ground.is_held_out, ground.is_held_out)]],
    )  # fmt: skip


def check_codecs(study: Study, ground: Ground, codec: Codec, blind: Codec | None) -> None:
    """Images after the codec, by the judge; one has not seen the held-out concepts."""
    codecs = {"tokenizer": codec}
    if blind is not None:
        codecs["blind tokenizer"] = blind
    world, facts = ground.world, ground.world.facts(ground.tested.scenes)
    shares = {}
    for name, one in codecs.items():
        images = one.decode(one.encode(ground.tested.images))
        is_right = world.agree(world.judge(images), facts)
        for held_out in (False, True):
            shares[name, held_out] = is_right[ground.is_held_out == held_out].mean()
    study.check("images after the tokenizer, seen concepts", shares["tokenizer", False],
                NOT_FOUND, above=0.90)  # fmt: skip
    study.check("images after the tokenizer, held-out concepts",
                shares["tokenizer", True], NOT_FOUND, above=0.90)  # fmt: skip
    if blind is not None:
        lost = shares["tokenizer", True] - shares["blind tokenizer", True]
        study.check("lost on held-out concepts by a tokenizer that has not seen them",
                    lost, "must fail", above=0.15)  # fmt: skip
        study.note(
            f"A tokenizer that has not seen the held-out concepts redraws "
            f"{shares['blind tokenizer', True]:.3f} of their scenes rightly: what is lost "
            "there is lost by the tokenizer, before any generator."
        )
    study.table(
        "Images after the codec, judged right", ("tokenizer", "seen", "held out"),
        [(name, f"{shares[name, False]:.3f}", f"{shares[name, True]:.3f}")
         for name in codecs],
    )  # fmt: skip


def is_readable(study: Study, setting: Setting, made: Made) -> bool:
    """Images of captions of the tested scenes, and whether any arm can be read."""
    ground, world = made.ground, made.ground.world
    captions = [row[0] for row in ground.tested.captions]
    rows = ground.words.encode(captions)
    tokens = parts.draw_images(study, made.drawer, rows, "tested")
    images = made.codec.decode(tokens)
    objects, is_right = parts.fidelity(world, images, captions)
    cells = []
    for name, held_out in (("seen", False), ("held out", True)):
        chosen = np.flatnonzero(ground.is_held_out == held_out)
        own, _ = parts.fidelity(world, images[chosen], [captions[i] for i in chosen])
        cells.append((name, f"{own.precision:.3f}", f"{own.recall:.3f}",
                      f"{is_right[chosen].mean():.3f}"))  # fmt: skip
    study.table(
        "Images that the generator draws of people's captions of the tested scenes",
        ("concepts", "drawn objects that are named", "named objects that are drawn",
         "whole scenes"),
        cells,
    )  # fmt: skip
    study.check("generator: drawn objects with a named colour and shape (gate)",
                objects.precision, NOT_FOUND, above=setting.gate)  # fmt: skip
    study.check("generator: the same, seen concepts (wanted)", float(cells[0][1]),
                NOT_FOUND, above=0.80)  # fmt: skip
    plots.draw_scenes(study, captions, ground.tested.images, images, ground.is_held_out)
    if objects.precision > setting.gate:
        return True
    study.note(
        f"The generator's objects are right in {objects.precision:.3f}, not above the "
        f"gate of {setting.gate}: no arm is trained, for none could be read. Train it for "
        "longer."
    )
    return False
