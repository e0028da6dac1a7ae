"""Three sets of captions: of concepts that are all alike, of anything, of few concepts.

Shapes: Q captions, T places, G concepts.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

import jax
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.synth2.captions import Style, keep
from tolman.agents.synth2.diversity import Diversity, diversity, word_embeddings
from tolman.agents.synth2.metrics import split_caption
from tolman.agents.synth2.writer import NO_CONCEPT, Writer
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2.parts import Ground
from tolman.launchers.studies.synth2.setting import Setting
from tolman.launchers.studies.synth2.stored import stored

NUM_NARROW, NARROW_TEMPERATURE = 6, 0.7
NUM_CLUSTERS = 20
CHUNK = 200


class CaptionSet(NamedTuple):
    """Captions of one style.

    Attributes:
      captions: Q of them, some repeated where the filters left fewer.
      num_distinct: that the filters left.
      grammatical: share of all answers that can be read.
      named: share of all answers that name what they were asked for.
      named_kept: the same of those that are kept.
      diversity: of all answers that can be read.
    """

    captions: list[str]
    num_distinct: int
    grammatical: float
    named: float
    named_kept: float
    diversity: Diversity


def write_sets(
    study: Study, setting: Setting, ground: Ground, writer: Writer, params: Params
) -> dict[Style, CaptionSet]:
    """One set of each style, of as many captions."""
    return {
        style: write_set(study, setting, ground, writer, params, style)
        for style in get_args(Style)
    }


def write_set(
    study: Study,
    setting: Setting,
    ground: Ground,
    writer: Writer,
    params: Params,
    style: Style,
) -> CaptionSet:
    """Asks, filters and measures; what is asked is asked once."""
    number = get_args(Style).index(style)
    rng = np.random.default_rng([study.seed, 5, number])
    world = ground.world
    asked = ask(style, len(world.concepts), setting.num_asked, rng)
    if style == "narrow":
        writer = Writer(writer.config, writer.vocabulary_size, writer.length,
                        NARROW_TEMPERATURE)  # fmt: skip
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), 6 + number)
    rows = stored(
        study, f"captions-{style}", (params, asked, key, writer.temperature),
        lambda: {"rows": _write(writer, params, asked, key)},
    )["rows"]  # fmt: skip
    captions = ground.words.decode(rows)
    facts = world.parse(captions)
    named = world.named_objects(facts)
    is_named = (asked < 0) | (named[np.arange(len(asked)), asked] > 0)
    is_read = world.is_read(facts)
    kept = keep(captions, is_named & is_read).rows
    _check_enough(style, len(kept), int(is_read.sum()), len(captions))
    readable = [captions[row] for row in np.flatnonzero(is_read)]
    embeddings = word_embeddings([split_caption(one) for one in readable])
    measured = diversity(readable, named[is_read], embeddings, NUM_CLUSTERS, rng)
    chosen = np.resize(kept, setting.num_synthetic)
    return CaptionSet(
        [captions[row] for row in chosen], len(np.unique(chosen)), float(is_read.mean()),
        float(is_named.mean()), float(is_named[kept].mean()), measured,
    )  # fmt: skip


def ask(
    style: Style, num_concepts: int, number: int, rng: np.random.Generator
) -> np.ndarray:
    """`[Q]` int32, the concept of each caption or `NO_CONCEPT`."""
    if style == "unprompted":
        return np.full(number, NO_CONCEPT, np.int32)
    allowed = rng.permutation(num_concepts)
    if style == "narrow":
        allowed = allowed[:NUM_NARROW]
    return allowed[rng.integers(len(allowed), size=number)].astype(np.int32)


def report_sets(study: Study, sets: dict[Style, CaptionSet]) -> None:
    """A table of all sets, and their bars."""
    prompted, unprompted, narrow = (
        sets[style] for style in ("class-prompted", "unprompted", "narrow")
    )
    study.check("captions that can be read", prompted.grammatical, "-", above=0.97)
    study.check("prompted concept named, after filtering", prompted.named_kept, "-",
                above=0.95)  # fmt: skip
    entropies = [one.diversity.concept_entropy for one in (prompted, unprompted, narrow)]
    study.check("normalised entropy of concepts, class-prompted", entropies[0],
                "diversity and balance are key (v2)", above=0.95)  # fmt: skip
    study.check("entropy, class-prompted over unprompted", entropies[0] - entropies[1],
                "-", above=0.0)  # fmt: skip
    study.check("entropy, unprompted over narrow", entropies[1] - entropies[2], "-",
                above=0.0)  # fmt: skip
    study.table(
        "Captions of the small language model",
        ("style", "readable", "concept named", "distinct", "concepts covered",
         "entropy of concepts", f"of {NUM_CLUSTERS} clusters", "distinct and kept"),
        [
            (style, f"{one.grammatical:.3f}", f"{one.named:.3f}",
             *(f"{value:.3f}" for value in one.diversity), one.num_distinct)
            for style, one in sets.items()
        ],
    )  # fmt: skip


def _check_enough(style: Style, num_kept: int, num_read: int, num_asked: int) -> None:
    """Refuses a writer whose captions nothing can be made of."""
    if num_read < NUM_CLUSTERS or not num_kept:
        raise ValueError(
            f"{style} captions: of {num_asked} {num_read} can be read and {num_kept} name "
            f"what was asked for: {NUM_CLUSTERS} and 1 are needed. Train the caption "
            "writer for longer."
        )


def _write(writer: Writer, params: Params, asked: np.ndarray, key: jax.Array) -> np.ndarray:
    write = jax.jit(writer.write)
    filled = np.resize(asked, -(-len(asked) // CHUNK) * CHUNK).reshape(-1, CHUNK)
    parts = [
        np.asarray(write(params, part, jax.random.fold_in(key, number)))
        for number, part in enumerate(filled)
    ]
    return np.concatenate(parts)[: len(asked)].astype(np.int32)
