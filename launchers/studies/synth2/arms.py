"""Captioners of several sorts of pairs, trained alike and asked alike.

Shapes: M captioners, Q scenes, P pairs, N tokens, T places of a caption.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.synth2.captioner import Captioner
from tolman.agents.synth2.metrics import CiderD, object_scores, split_caption
from tolman.agents.synth2.pairs import MixedPairs, Pairs, make_pairs
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2.parts import Codec, Ground, in_chunks
from tolman.launchers.studies.synth2.setting import Setting
from tolman.launchers.studies.synth2.stored import trained

CHUNK = 100  # Scenes that are written of at once.
NUM_DRAWS = 1_000  # Of a bootstrap.


@dataclass(frozen=True)
class Arm:
    """One sort of pairs.

    Attributes:
      name: of it.
      human: pairs of people, or what is learned from in their place.
      other: the other half of each batch; None for human pairs alone.
      times: as many updates as the other arms.
      is_blind: the captioner is shown no image in the test either.
    """

    name: str
    human: Pairs
    other: Pairs | None = None
    times: int = 1
    is_blind: bool = False


class Scores(NamedTuple):
    """What the captioners of an arm wrote of the tested scenes.

    Attributes:
      is_exact: `[M, Q]` bool, all that is said is true and enough.
      cider: `[M, Q]`, CIDEr-D.
      object_f1: `[M]`.
      captions: `[M][Q]`.
      is_held_out: `[Q]` bool.
      loss: at the end of training.
    """

    is_exact: np.ndarray
    cider: np.ndarray
    object_f1: np.ndarray
    captions: list[list[str]]
    is_held_out: np.ndarray
    loss: float

    def on(self, held_out: bool | None) -> Scores:
        """Of scenes with a held-out concept, without one, or of all (None)."""
        rows = np.ones(len(self.is_held_out), bool)
        if held_out is not None:
            rows = self.is_held_out == held_out
        return self._replace(
            is_exact=self.is_exact[:, rows],
            cider=self.cider[:, rows],
            is_held_out=self.is_held_out[rows],
        )


class Exam:
    """The tested scenes, and how captions of them are scored."""

    def __init__(self, ground: Ground, codec: Codec) -> None:
        """Reads the scenes into tokens, and counts the words of the references."""
        self.ground = ground
        self.tokens = codec.encode(ground.tested.images)
        self._facts = ground.world.facts(ground.tested.scenes)
        self._cider = CiderD(
            [[split_caption(one) for one in row] for row in ground.tested.captions]
        )

    def score(self, captions: list[list[str]], loss: float = np.nan) -> Scores:
        """Of the captions `[M][Q]` of each captioner."""
        world = self.ground.world
        exact, cider, f1 = [], [], []
        for own in captions:
            said = world.parse(own)
            exact.append(world.agree(said, self._facts))
            cider.append(self._cider.scores([split_caption(one) for one in own]))
            named, true = world.named_objects(said), world.named_objects(self._facts)
            f1.append(object_scores(named, true).f1)
        return Scores(np.array(exact), np.array(cider), np.array(f1), captions,
                      self.ground.is_held_out, loss)  # fmt: skip

    def write(self, agent: Captioner, params: Params, is_blind: bool) -> list[list[str]]:
        """What captioners `[M, ...]` write of the tested scenes."""
        length = self.ground.words.length

        has_image = jnp.full(CHUNK, not is_blind)

        @jax.jit
        def write(params: Params, tokens: Any) -> Any:
            one = lambda own: agent.write(own, tokens, has_image, length)  # noqa: E731
            return jax.vmap(one, out_axes=1)(params)  # [Q, M, T]

        rows = in_chunks(partial(write, params), self.tokens, CHUNK)
        return [self.ground.words.decode(rows[:, own]) for own in range(rows.shape[1])]


def train_arm(
    study: Study, setting: Setting, exam: Exam, codec: Codec, arm: Arm, capacity: int
) -> Scores:
    """Trains the captioners of an arm, and asks them.

    Args:
      study: that trains them.
      setting: how much.
      exam: that they are put to.
      codec: whose codes they read.
      arm: what they learn from.
      capacity: pairs of the largest arm; all arms are then one compiled program.
    """
    codebook = jnp.asarray(codec.params.codebook)
    words = exam.ground.words
    agent = Captioner(setting.captioner, codebook, exam.tokens.shape[1], words.size)
    source = MixedPairs(arm.human, arm.other, capacity=capacity)
    label = "captioner_" + "_".join(arm.name.replace("+", "and").split())
    updates = arm.times * setting.captioner_updates
    fit = trained(study, label, agent, source, updates, setting.num_members)
    loss = float(np.nanmean(fit.curves["loss/total"][-1]))
    return exam.score(exam.write(agent, fit.params, arm.is_blind), loss)


def deranged(pairs: Pairs, captions: list[str], world: Any) -> Pairs:
    """Each image with the caption of another concept, none with its own.

    Args:
      pairs: images and captions.
      captions: in words.
      world: tells their concepts.
    """
    concept = world.named_objects(world.parse(captions)).argmax(1)
    order = np.argsort(concept, kind="stable")
    # Sorted by concept, half the way round is another concept.
    moved = np.empty_like(order)
    moved[order] = np.roll(order, len(order) // 2)
    return pairs._replace(captions=pairs.captions[moved])


def without_images(pairs: Pairs) -> Pairs:
    """The captions alone."""
    return pairs._replace(has_image=np.zeros(len(pairs.tokens), bool))


def true_pairs(ground: Ground, codec: Codec, captions: list[str], seed: int) -> Pairs:
    """The captions with images of scenes that are as they say."""
    world = ground.world
    rng = np.random.default_rng([seed, 9])
    images = world.render(world.arrange(world.parse(captions), rng))
    return make_pairs(codec.encode(images), ground.words.encode(captions))


class Ratio(NamedTuple):
    """A ratio of means, and its 95 % interval."""

    value: float
    low: float
    high: float


def ratio_of(scores: np.ndarray, base: np.ndarray) -> Ratio:
    """Mean over mean, captioners and scenes drawn again with replacement.

    Args:
      scores: `[M, Q]`.
      base: `[M, Q]`, of the same scenes.
    """
    rng = np.random.default_rng(0)
    num_members, num_scenes = scores.shape
    values = np.empty(NUM_DRAWS)
    for draw in range(NUM_DRAWS):
        scenes = rng.integers(num_scenes, size=num_scenes)
        first, second = rng.integers(num_members, size=(2, num_members))
        top = scores[first][:, scenes].mean()
        values[draw] = top / max(base[second][:, scenes].mean(), 1e-9)
    low, high = np.quantile(values, [0.025, 0.975])
    return Ratio(float(scores.mean() / max(base.mean(), 1e-9)), float(low), float(high))


def several(values: np.ndarray) -> str:
    """The mean of captioners `[M, Q]`, the least and the largest."""
    means = values.mean(1)
    return f"{means.mean():.3f} ({means.min():.3f}-{means.max():.3f})"


def interval(one: Ratio) -> str:
    """A ratio and its interval."""
    return f"{one.value:.2f} ({one.low:.2f}-{one.high:.2f})"
