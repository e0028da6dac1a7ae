"""Synth2's claim: pairs that nobody photographed make a better captioner.

In a world of small scenes a tokenizer, a caption writer and a text-to-image generator are
trained, the generator on the captioner's own human pairs. Captioners then learn from human
pairs, from human and synthetic ones, and from controls that must fail. Instruments and the
generator's fidelity are checked first: below the gate no arm is read.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np

from tolman.agents.synth2.pairs import Pairs, make_pairs
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2 import parts, plots
from tolman.launchers.studies.synth2.arms import (
    Arm,
    Exam,
    Ratio,
    Scores,
    deranged,
    ratio_of,
    train_arm,
    true_pairs,
    without_images,
)
from tolman.launchers.studies.synth2.captions import CaptionSet, report_sets, write_sets
from tolman.launchers.studies.synth2.parts import Codec, Drawer, Ground
from tolman.launchers.studies.synth2.setting import FULL, QUICK, Options, Setting

TITLE = "Synth2: human pairs, and pairs that nobody photographed"
PAPER = "Sharifzadeh et al. 2024"
GATE = 0.30  # Share of drawn objects that are right; by chance it is 0.02.
NOT_FOUND = "not found"
__all__ = ["PAPER", "TITLE", "Options", "run"]


class Made(NamedTuple):
    """All that comes before the captioners.

    Attributes:
      ground: what is given.
      codec: the tokenizer.
      human: pairs.
      drawer: the generator.
      sets: captions by style.
      options: of the study.
    """

    ground: Ground
    codec: Codec
    human: Pairs
    drawer: Drawer
    sets: dict[str, CaptionSet]
    options: Options


def run(study: Study, options: Options) -> None:
    """Instruments, parts, gate, arms."""
    run_setting(study, options, QUICK if study.quick else FULL)


def run_setting(study: Study, options: Options, setting: Setting) -> None:
    """`run` with a setting of one's own."""
    if options.num_human:
        setting = replace(setting, num_human=options.num_human)
    study.settings = asdict(setting)
    made = make_parts(study, setting, options)
    fidelity = check_fidelity(study, setting, made)
    if fidelity <= GATE:
        study.note(
            f"The generator's objects are right in {fidelity:.3f}, not above the gate of "
            f"{GATE}: no arm is trained, for none could be read. Train it for longer."
        )
        return
    arms, fidelities = make_arms(study, setting, made)
    capacity = max(
        len(arm.human.tokens) + (0 if arm.other is None else len(arm.other.tokens))
        for arm in arms
    )
    exam = Exam(made.ground, made.codec)
    scores = {
        arm.name: train_arm(study, setting, exam, made.codec, arm, capacity) for arm in arms
    }
    check_arms(study, scores)
    report(study, scores, fidelities)


def make_parts(study: Study, setting: Setting, options: Options) -> Made:
    """Trains tokenizer, generator and caption writer, and checks the instruments."""
    world = setting.world(options.difficulty)
    num_pairs = max(setting.num_human, options.generator_pairs)
    ground = parts.make_ground(study.seed, setting, world, num_pairs)
    check_instruments(study, ground)
    codec, images = parts.train_codec(study, setting, world, "tokenizer")
    blind, _ = parts.train_codec(study, setting, world, "tokenizer_blind", is_blind=True)
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
    return Made(ground, codec, human, drawer, dict(sets.items()), options)


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


def check_codecs(study: Study, ground: Ground, codec: Codec, blind: Codec) -> None:
    """Images after the codec, by the judge; one has not seen the held-out concepts."""
    world, facts = ground.world, ground.world.facts(ground.tested.scenes)
    shares = {}
    for name, one in (("tokenizer", codec), ("blind tokenizer", blind)):
        images = one.decode(one.encode(ground.tested.images))
        is_right = world.agree(world.judge(images), facts)
        for held_out in (False, True):
            shares[name, held_out] = is_right[ground.is_held_out == held_out].mean()
    study.check("images after the tokenizer, seen concepts", shares["tokenizer", False],
                NOT_FOUND, above=0.90)  # fmt: skip
    study.check("images after the tokenizer, held-out concepts",
                shares["tokenizer", True], NOT_FOUND, above=0.90)  # fmt: skip
    lost = shares["tokenizer", True] - shares["blind tokenizer", True]
    study.check("lost on held-out concepts by a tokenizer that has not seen them", lost,
                "must fail", above=0.15)  # fmt: skip
    study.table(
        "Images after the codec, judged right", ("tokenizer", "seen", "held out"),
        [(name, f"{shares[name, False]:.3f}", f"{shares[name, True]:.3f}")
         for name in ("tokenizer", "blind tokenizer")],
    )  # fmt: skip


def check_fidelity(study: Study, setting: Setting, made: Made) -> float:
    """Images of true captions of the tested scenes; returns the share of right objects."""
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
                objects.precision, NOT_FOUND, above=GATE)  # fmt: skip
    study.check("generator: the same, seen concepts (wanted)", float(cells[0][1]),
                NOT_FOUND, above=0.80)  # fmt: skip
    plots.draw_scenes(study, captions, ground.tested.images, images, ground.is_held_out)
    del setting
    return objects.precision


def make_arms(
    study: Study, setting: Setting, made: Made
) -> tuple[list[Arm], dict[str, float]]:
    """All arms, and the fidelity of each set of drawn images."""
    ground, codec, human = made.ground, made.codec, made.human
    fidelities: dict[str, float] = {}

    def drawn(name: str, drawer: Drawer, captions: list[str]) -> Pairs:
        rows = ground.words.encode(captions)
        tokens = parts.draw_images(study, drawer, rows, name.replace(" ", "_"))
        objects, _ = parts.fidelity(ground.world, codec.decode(tokens), captions)
        fidelities[name] = objects.precision
        return make_pairs(tokens, rows)

    captions = made.sets["class-prompted"].captions
    synthetic = drawn("synthetic", made.drawer, captions)
    pixels = synthetic._replace(
        tokens=codec.encode(codec.decode(synthetic.tokens)).astype(np.uint16)
    )
    fidelities["pixels"] = fidelities["synthetic"]
    weak_updates = round(setting.weak_share * setting.generator_updates)
    weaker = {
        name: parts.train_drawer(study, f"generator_{label}", config, codec, human,
                                 ground.words, weak_updates)
        for name, label, config in (
            ("weak generator", "weak", setting.generator),
            ("generator without text", "no_text",
             parts.without_text_config(setting.generator)),
        )
    }  # fmt: skip
    others = {
        "synthetic": synthetic,
        "pixels": pixels,
        "true images": true_pairs(ground, codec, captions, study.seed),
        "deranged captions": deranged(synthetic, captions, ground.world),
        "captions without image": without_images(synthetic),
        **{
            style: drawn(style, made.drawer, made.sets[style].captions)
            for style in ("unprompted", "narrow")
        },
        **{name: drawn(name, drawer, captions) for name, drawer in weaker.items()},
    }
    return [
        Arm("human", human),
        Arm("human, twice the steps", human, times=2),
        *(Arm(f"human + {name}", human, pairs) for name, pairs in others.items()),
        Arm("synthetic alone", synthetic),
        Arm("reads zeros", without_images(human), is_blind=True),
    ], fidelities


def check_arms(study: Study, scores: dict[str, Scores]) -> None:
    """The claims: ratios of CIDEr-D over the captioners of human pairs alone."""
    both = ratio(scores, "human + synthetic", None)
    held_out = ratio(scores, "human + synthetic", True)
    study.check("human + synthetic over human, CIDEr-D", both.value,
                "17 % (v1, COCO)", above=1.10)  # fmt: skip
    study.check("the same, lower end of the interval", both.low, NOT_FOUND, above=1.0)
    study.check("the same on held-out concepts", held_out.value, NOT_FOUND, above=1.3)
    lead = scores["human + synthetic"].on(True).cider.mean(1) - scores[
        "human + captions without image"
    ].on(True).cider.mean(1)
    study.check("synthetic images over captions alone, held out, worst seed", lead.min(),
                NOT_FOUND, above=0.0)  # fmt: skip
    broken = ratio(scores, "human + deranged captions", None)
    study.check("deranged captions over human", broken.value, "must fail", below=0.85)
    mean = {name: one.cider.mean() for name, one in scores.items()}
    same = mean["human + pixels"] / mean["human + synthetic"]
    study.check("pixels over embeddings", same, "comparable", above=0.97, below=1.03)
    rest = [value for name, value in mean.items() if name != "human + true images"]
    study.check("true images over the best other arm", mean["human + true images"] /
                max(rest), "upper bound", above=1.0)  # fmt: skip
    no_text = ratio(scores, "human + generator without text", True)
    study.check("generator without text over human, held out", no_text.value,
                "must fail", below=1.3)  # fmt: skip
    study.check("captioner that reads zeros, exact match",
                scores["reads zeros"].is_exact.mean(), "must fail", below=0.10)  # fmt: skip


def ratio(scores: dict[str, Scores], name: str, held_out: bool | None) -> Ratio:
    """CIDEr-D of an arm over that of human pairs alone."""
    base = scores["human"].on(held_out).cider
    return ratio_of(scores[name].on(held_out).cider, base)


def report(study: Study, scores: dict[str, Scores], fidelities: dict[str, float]) -> None:
    """The main table, and the curve of gain against fidelity."""
    rows = []
    for name, one in scores.items():
        ratios = [ratio(scores, name, held_out) for held_out in (None, True)]
        fidelity = fidelities.get(name.removeprefix("human + "))
        rows.append((
            name, _several(one.is_exact), _several(one.on(False).is_exact),
            _several(one.on(True).is_exact), _several(one.cider),
            _several(one.on(True).cider), *(_interval(r) for r in ratios),
            f"{one.object_f1.mean():.3f}", f"{one.loss:.3f}",
            "" if fidelity is None else f"{fidelity:.3f}",
        ))  # fmt: skip
    study.table(
        "Captioners of equal steps and batches, tested on scenes of all concepts alike "
        "(mean of the seeds, least and largest; CIDEr-D over human with a 95 % bootstrap "
        "of seeds and scenes)",
        ("pairs", "exact match", "seen", "held out", "CIDEr-D", "held out",
         "over human", "over human, held out", "object F1", "training loss",
         "objects right in the images"),
        rows,
    )  # fmt: skip
    gains = {
        name: (fidelity, ratio(scores, f"human + {name}", None),
               ratio(scores, f"human + {name}", True))
        for name, fidelity in fidelities.items()
        if name in ("synthetic", "weak generator", "generator without text")
    }  # fmt: skip
    gains["true images"] = (1.0, ratio(scores, "human + true images", None),
                            ratio(scores, "human + true images", True))  # fmt: skip
    plots.draw_gains(study, gains)
    study.note(
        "The paper's 17 % (first version) and 25 % are of COCO and of models whose tables "
        "are not public to us. A gain here shows the mechanism, not COCO."
    )


def _several(values: np.ndarray) -> str:
    means = values.mean(1)
    return f"{means.mean():.3f} ({means.min():.3f}-{means.max():.3f})"


def _interval(one: Ratio) -> str:
    return f"{one.value:.2f} ({one.low:.2f}-{one.high:.2f})"
