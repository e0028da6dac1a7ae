"""Paired associative inference: who can join facts that were never seen together?

MEMO is trained on memories of 16 sequences and judged by distance: how many facts lead from
the cue to the match. With a single hop it must fail where two facts are to be joined, and
nowhere else. Another run decides for itself how often to hop. The paper's baselines learn
the same task in the same harness.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.memo import (
    DNCReaderConfig,
    MemoConfig,
    MemoryNetworkConfig,
    ModelConfig,
    Reasoner,
    TrainingConfig,
    UniversalTransformerConfig,
)
from tolman.agents.memo.reading import Mode
from tolman.envs.reasoning.associative_inference import LETTERS, AssociativeInference
from tolman.launchers.studies.memo import plots
from tolman.launchers.studies.memo.attention import part_names, what_hops_read
from tolman.launchers.studies.memo.common import Asked, ask, percent
from tolman.launchers.studies.study import Fit, Study

TITLE = "Paired associative inference: joining facts that were never seen together"
PAPER = "Banino et al. 2020, section 4.1"
NUM_QUESTIONS = 12_000  # 600 and more of every kind.

TRAINING = TrainingConfig()

# Per cent of A-B, B-C, A-C: Banino et al. 2021, tables 2 and 7.
PAPER_VALUES = {
    "MEMO": ("99.82 (0.30)", "99.76 (0.38)", "98.26 (0.67)"),
    "universal transformer": ("97.43", "98.28", "85.60"),
}


@dataclass(frozen=True)
class Entry:
    """One model on one length of sequences.

    Attributes:
      name: of the model, as it is shown.
      chain_length: of the task.
      model: its sizes.
      num_updates: of a member.
      num_members: trained side by side, each from a seed of its own.
      training: what is learned from how.
    """

    name: str
    chain_length: int
    model: ModelConfig
    num_updates: int
    num_members: int
    training: TrainingConfig = TRAINING

    @property
    def label(self) -> str:
        """Of the training stage."""
        return f"{self.name.replace(' ', '_').lower()}_{self.chain_length}"

    def describe(self) -> dict[str, Any]:
        """For `result.json`."""
        sizes = {**asdict(self.training), **asdict(self.model)}
        return {"updates": self.num_updates, "members": self.num_members, **sizes}

    def task(self) -> AssociativeInference:
        """What it learns from."""
        return AssociativeInference(self.chain_length, min_sequences=2)


LEARNED = TrainingConfig(hop_cost=0.05)
WIDE_NETWORK = MemoryNetworkConfig(size=256)
TRANSFORMER = UniversalTransformerConfig(head_size=16, transition_size=128, max_steps=4)
QUICK = (
    Entry("MEMO", 3, MemoConfig(max_hops=3), 3_000, 2),
    Entry("one hop", 3, MemoConfig(max_hops=1), 2_000, 2),
    Entry("halting", 3, MemoConfig(max_hops=3, halting="learned"), 4_000, 2, LEARNED),
    Entry("memory network", 3, WIDE_NETWORK, 3_000, 2),
)
FULL = (
    Entry("MEMO", 3, MemoConfig(max_hops=3), 6_000, 4),
    Entry("one hop", 3, MemoConfig(max_hops=1), 4_000, 4),
    Entry("halting", 3, MemoConfig(max_hops=3, halting="learned"), 6_000, 4, LEARNED),
    Entry("MEMO", 4, MemoConfig(max_hops=4), 12_000, 4),
    Entry("halting", 4, MemoConfig(max_hops=4, halting="learned"), 18_000, 2, LEARNED),
    Entry("MEMO", 5, MemoConfig(max_hops=5), 14_000, 2),
    Entry("memory network", 3, WIDE_NETWORK, 6_000, 2),
    Entry("universal transformer", 3, TRANSFORMER, 6_000, 2),
    Entry("DNC", 3, DNCReaderConfig(num_slots=32), 4_000, 2),
)


class Trained(NamedTuple):
    """What came of one entry.

    Attributes:
      entry: what was trained.
      agent: its functions.
      fit: its members.
      greedy: their answers when they stop where stopping is the likelier.
    """

    entry: Entry
    agent: Reasoner
    fit: Fit
    greedy: Asked

    def accuracy(self, distance: int) -> np.ndarray:
        """`[P]`, of the questions of a distance."""
        return self.greedy.accuracy(_kinds(self.entry, distance))

    def hops(self, distance: int) -> np.ndarray:
        """`[P]`, mean hops of the questions of a distance."""
        return self.greedy.mean_hops(_kinds(self.entry, distance))

    @property
    def farthest(self) -> np.ndarray:
        """`[P]`, accuracy of the questions from one end of a sequence to the other."""
        return self.accuracy(self.entry.chain_length - 1)


def run(study: Study) -> None:
    """Trains MEMO, its ablation and its baselines, asks all of them, checks the claims."""
    entries = QUICK if study.quick else FULL
    study.settings = {
        "questions": NUM_QUESTIONS,
        "task": asdict(entries[0].task()),
        **{entry.label: entry.describe() for entry in entries},
    }
    trained = {entry.label: _train(study, entry) for entry in entries}
    _check(study, trained)
    _tabulate(study, trained)
    _draw(study, trained)


def _train(study: Study, entry: Entry) -> Trained:
    agent = Reasoner(entry.training, entry.model, entry.task())
    fit = study.fit(entry.label, agent, entry.task(), entry.num_updates, entry.num_members)
    return Trained(entry, agent, fit, _ask(study, entry, agent, fit, "greedy"))


def _ask(study: Study, entry: Entry, agent: Reasoner, fit: Fit, mode: Mode) -> Asked:
    return ask(agent, _judged_by(entry), fit.params, study.seed, NUM_QUESTIONS, mode)


def _judged_by(entry: Entry) -> AssociativeInference:
    """The task with memories of full size only, as the paper's are."""
    task = entry.task()
    return replace(task, min_sequences=task.num_sequences)


def _kinds(entry: Entry, distance: int) -> list[int]:
    """The kinds of question of a distance."""
    distances = entry.task().distances
    return [kind for kind, other in enumerate(distances) if other == distance]


def _check(study: Study, trained: dict[str, Trained]) -> None:
    """Bars are for the worst member, in the ablation for the best."""
    memo, one_hop = trained["memo_3"], trained["one_hop_3"]
    bar = 0.93 if study.quick else 0.97
    paper = "0.983 (0.007)"
    study.check("length 3, A-C", memo.farthest.min(), paper, above=bar)
    study.check("length 3, direct", memo.accuracy(1).min(), "0.998", above=0.93)
    study.check("one hop, A-C is a guess", one_hop.farthest.max(), "0.5", below=0.6)
    study.check("one hop, direct", one_hop.accuracy(1).min(), "-", above=0.9)
    for length, level, paper in ((4, 0.93, "0.97"), (5, 0.85, "0.85 (0.06)")):
        if f"memo_{length}" in trained:
            farthest = trained[f"memo_{length}"].farthest.min()
            kind = f"A-{LETTERS[length - 1]}"
            study.check(f"length {length}, {kind}", farthest, paper, above=level)
    _check_halting(study, trained, bar)


def _check_halting(study: Study, trained: dict[str, Trained], bar: float) -> None:
    """As right as with a fixed number of hops, in no more of them, fewer for what is near.

    With 3 items one cannot see after a hop whether it was enough: attention has moved to
    the cue's fact, whether the match stands in it or not. With more items attention that
    stays where it was tells that the match has been found.
    """
    for length, level in ((3, bar), (4, 0.93)):
        if f"halting_{length}" not in trained:
            continue
        halting, fixed = trained[f"halting_{length}"], trained[f"memo_{length}"]
        name = f"halting, length {length}"
        kind = f"A-{LETTERS[length - 1]}"
        study.check(f"{name}, {kind}", halting.farthest.min(), "-", above=level)
        share = halting.greedy.hops.mean(1).max() / fixed.greedy.hops.mean()
        study.check(f"{name}: hops, share of the fixed number", share, "-", below=1.001)
        if length > 3:
            rise = (halting.hops(length - 1) - halting.hops(1)).min()
            study.check(f"{name}: more hops for {kind} than direct", rise, "> 0", above=0.1)


def _tabulate(study: Study, trained: dict[str, Trained]) -> None:
    lengths = sorted({one.entry.chain_length for one in trained.values()})
    for length in lengths:
        of_length = [one for one in trained.values() if one.entry.chain_length == length]
        kinds = of_length[0].entry.task().kinds
        rows: list[list[Any]] = []
        for one in of_length:
            scores = [percent(one.greedy.accuracy([kind])) for kind in range(len(kinds))]
            hops = f"{one.greedy.hops.mean():.2f}"
            rows.append([one.entry.name, one.entry.num_members, *scores, hops])
            if one.entry.name in PAPER_VALUES and length == 3:
                rows.append(["the paper's", "-", *PAPER_VALUES[one.entry.name], "-"])
        title = (
            f"Sequences of {length}: per cent right on the test split, mean of the members "
            "(standard deviation); hops"
        )
        study.table(title, ["model", "members", *kinds, "hops"], rows)

    study.table(
        "The run that decides how often to hop, by the distance of cue and match",
        ["length", "halting", "distance", "per cent right", "mean hops of each member"],
        [row for one in trained.values() for row in _halting_rows(study, one)],
    )


def _halting_rows(study: Study, one: Trained) -> list[list[Any]]:
    """A row for every distance and way of halting, of a run that has learned to halt."""
    if one.entry.name != "halting":
        return []
    sampled = _ask(study, one.entry, one.agent, one.fit, "sampled")
    rows: list[list[Any]] = []
    for way, asked in (("greedy", one.greedy), ("sampled", sampled)):
        for distance in range(1, one.entry.chain_length):
            kinds = _kinds(one.entry, distance)
            hops = " ".join(f"{hops:.2f}" for hops in asked.mean_hops(kinds))
            right = percent(asked.accuracy(kinds))
            rows.append([one.entry.chain_length, way, distance, right, hops])
    return rows


def _draw(study: Study, trained: dict[str, Trained]) -> None:
    def by_distance(one: Trained, what: str) -> dict[int, np.ndarray]:
        distances = range(1, one.entry.chain_length)
        return {distance: getattr(one, what)(distance) for distance in distances}

    names = {
        f"{one.entry.name}, length {one.entry.chain_length}": one
        for one in trained.values()
    }
    accuracy = {name: by_distance(one, "accuracy") for name, one in names.items()}
    plots.by_distance(
        study, accuracy, "accuracy", {"guess": 0.5}, "accuracy_by_distance",
        "Accuracy on memories of 16 sequences by how many facts lead from the cue to the "
        "match: mean of the members (line), and each of them.",
    )  # fmt: skip
    hops = {
        name: by_distance(one, "hops")
        for name, one in names.items()
        if one.entry.name in ("MEMO", "halting")
    }
    plots.by_distance(
        study, hops, "mean hops", {}, "hops_by_distance",
        "Hops taken by how many facts lead from the cue to the match: mean of the members "
        "(line), and each of them.",
    )  # fmt: skip
    shown = {
        one.entry.name: one.fit for one in trained.values() if one.entry.chain_length == 3
    }
    plots.learning_curves(study, shown, trained["memo_3"].entry.task().kinds)
    for label, one in trained.items():
        if one.entry.name in ("MEMO", "halting"):
            best = int(one.farthest.argmax())
            params = jax.tree.map(lambda leaf, best=best: leaf[best], one.fit.params)
            task = _judged_by(one.entry)
            read = what_hops_read(one.agent, task, params, study.seed)
            farthest = task.kinds[-1]
            kinds = task.kinds if task.chain_length == 3 else (task.kinds[0], farthest)
            panels = {kind: read[kind] for kind in kinds}
            plots.what_hops_read(study, panels, part_names(task), f"attention_{label}")
