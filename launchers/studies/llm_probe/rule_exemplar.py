"""Rules or exemplars: what a Transformer makes of a combination that it never saw.

Small Transformers learn from context or in weights, or are pretrained on rules, and are
then asked for the held-out combination. A learner of pure rules and one of pure exemplars
check the instrument. Nonsense words put the same question to a language model.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from tolman.agents.llm_probe.rule_exemplar import (
    InContext,
    InWeights,
    RuleExemplarConfig,
    RuleExemplarLearner,
)
from tolman.agents.llm_probe.rule_exemplar.oracles import (
    exemplar_learner,
    p_target,
    rule_learner,
    similarity_learner,
)
from tolman.agents.llm_probe.rule_exemplar.words import Question, bootstrap, questions
from tolman.launchers.probe.battery import Block, Findings, ProbeStudy, Row
from tolman.launchers.probe.model import ProbedModel
from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.llm_probe.glasses import pretrained_model
from tolman.launchers.studies.study import Study

TITLE = "Rules versus exemplars: partial exposure, in context and in weights"
PAPER = "Chan et al. 2022"
NUM_ASKED = 4_000  # Sequences of a test; in half of them the combination is held out.


def arms(seed: int) -> dict[str, InContext | InWeights]:
    """What each arm learns from; another seed draws other tasks to be kept in weights."""
    return {
        "in context": InContext(),
        "in weights": InWeights(seed=seed),
        "rule pretraining": InContext(held_out_share=0.25),
    }


@dataclass(frozen=True)
class Budget:
    """Attributes:
    num_updates: of each member.
    num_members: of each arm.
    """

    num_updates: int
    num_members: int


QUICK = Budget(2_000, 3)
FULL = Budget(10_000, 3)


class Tested(NamedTuple):
    """Attributes:
    accuracy: `[P]`, on combinations that were seen, over all labels.
    p_rule: `[P, Q]`, on the one that was not.
    updates: `[C]`, of training.
    curve: `[C, P]`, accuracy in training.
    """

    accuracy: np.ndarray
    p_rule: np.ndarray
    updates: np.ndarray
    curve: np.ndarray


def run(study: Study) -> None:
    """Checks the instrument, trains every arm, asks, and draws."""
    budget = QUICK if study.quick else FULL
    config = RuleExemplarConfig()
    study.settings = {**asdict(budget), **asdict(config), "asked": NUM_ASKED}
    check_instrument(study)
    tested = {
        name: test_arm(study, name, source, budget, config)
        for name, source in arms(study.seed).items()
    }
    check(study, tested)
    draw(study, tested)
    if (model := pretrained_model()) is not None:
        rows = [row for block in _blocks() for row in block.ask(model)]
        _summarise(rows, study)


def check_instrument(study: Study) -> None:
    """Both oracles answer noiseless questions, so that no label has nearer copies."""
    source = InContext(noise=0.0)
    key = jax.random.PRNGKey(study.seed)
    examples = jax.device_get(source.sample(source.load("test"), key, 20_000))
    is_held_out = examples.is_held_out
    rule = p_target(rule_learner(examples), examples)[is_held_out].mean()
    study.check("oracle of rules, P(rule)", rule, "1", above=0.999)
    nearest = p_target(exemplar_learner(examples), examples)
    study.check("oracle of exemplars, P(rule)", nearest[is_held_out].mean(), "0.5",
                above=0.48, below=0.52)  # fmt: skip
    study.check("oracle of exemplars, seen combinations", nearest[~is_held_out].mean(),
                "1", above=0.999)  # fmt: skip
    summed = p_target(similarity_learner(examples), examples)[is_held_out].mean()
    study.note(
        f"A learner without rules that sums likeness over the context has P(rule) "
        f"{summed:.3f}: labels are balanced there, and so four stimuli share a feature "
        "with BX on the side of the rule, three on the other. In context, only what is "
        "above that speaks for a rule."
    )


def test_arm(
    study: Study,
    name: str,
    source: InContext | InWeights,
    budget: Budget,
    config: RuleExemplarConfig,
) -> Tested:
    """Trains the members of one arm, and asks them all the same questions."""
    agent = RuleExemplarLearner(config, source.num_labels)
    label = name.replace(" ", "_")
    fit = study.fit(label, agent, source, budget.num_updates, budget.num_members)
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), 1)
    examples = jax.jit(source.sample, static_argnums=2)(source.load("test"), key, NUM_ASKED)
    answer = jax.jit(jax.vmap(agent.answer, (0, None, None)))
    logits = np.asarray(answer(fit.params, examples, key).logits)  # [P, Q, C]
    examples = jax.device_get(examples)
    is_held_out = examples.is_held_out
    right = logits.argmax(-1) == examples.target
    p_rule = np.array([p_target(one, examples)[is_held_out] for one in logits])
    curve = fit.curves["train/accuracy"]
    return Tested(right[:, ~is_held_out].mean(1), p_rule, fit.updates, curve)


def check(study: Study, tested: dict[str, Tested]) -> None:
    """Bars are for the member that is farthest from what is claimed."""
    for name, arm in tested.items():
        study.check(f"{name}: seen combinations, accuracy", arm.accuracy.min(),
                    "learned first", above=0.97)  # fmt: skip
    means = {name: arm.p_rule.mean(1) for name, arm in tested.items()}
    study.check("in context: P(rule) beside 0.5", np.abs(means["in context"] - 0.5).max(),
                "exemplar-based", below=0.10)  # fmt: skip
    study.check("in weights: P(rule)", means["in weights"].min(), "rule-based", above=0.75)
    study.check("rule pretraining: P(rule), new features",
                means["rule pretraining"].min(), "more rule-based", above=0.85)  # fmt: skip
    lead = means["in weights"].min() - means["in context"].max()
    study.check("in weights over in context", lead, "the dissociation", above=0.25)
    study.table(
        "Members of each arm",
        ("arm", "seen combinations", "P(rule)", "answers with P between 0.1 and 0.9"),
        [
            (name, _several(arm.accuracy), _several(arm.p_rule.mean(1)),
             f"{100 * ((arm.p_rule > 0.1) & (arm.p_rule < 0.9)).mean():.0f} %")
            for name, arm in tested.items()
        ],
    )  # fmt: skip


def _several(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def draw(study: Study, tested: dict[str, Tested]) -> None:
    """Draws how sure the answers to the held-out combination are, and the training."""
    figure, (left, right) = axes(2)
    for colour, (name, arm) in zip(COLOURS, tested.items(), strict=False):
        left.hist(arm.p_rule.ravel(), bins=np.linspace(0, 1, 21).tolist(), histtype="step",
                  density=True, color=colour, label=name, lw=1.5)  # fmt: skip
        right.plot(arm.updates, arm.curve.mean(1), color=colour, label=name)
    left.axvline(0.5, color=GREY, lw=0.8, ls="--")
    left.set_xlabel("P(rule) of an answer")
    left.set_ylabel("density")
    right.set_xlabel("updates")
    right.set_ylabel("accuracy in training")
    left.legend(frameon=False, fontsize=8)
    study.figure(
        figure, "rule_exemplar",
        "Left: answers to the held-out combination, all members. Right: training.",
    )  # fmt: skip


def _ask(asked: Sequence[Question], model: ProbedModel) -> list[Row]:
    prompts = [one.prompt for one in asked for _ in range(2)]
    options = [option for one in asked for option in (one.target, one.other)]
    log_p = model.score(prompts, options).log_probability.reshape(-1, 2)
    p_rule = 1.0 / (1.0 + np.exp(log_p[:, 1] - log_p[:, 0]))
    return [
        {"set": one.number, "held out": one.is_held_out, "place": one.place,
         "is swapped": one.is_swapped, "p": float(p)}
        for one, p in zip(asked, p_rule, strict=True)
    ]  # fmt: skip


def _blocks() -> list[Block]:
    by_set = itertools.groupby(questions(), key=lambda one: one.number)
    return [Block(f"words {number}", partial(_ask, list(one))) for number, one in by_set]


def _summarise(rows: Sequence[Row], findings: Findings) -> None:
    cells = []
    for is_held_out in (False, True):
        chosen = [row for row in rows if row["held out"] == is_held_out]
        values = np.array([row["p"] for row in chosen])
        low, high = bootstrap(values, np.array([row["set"] for row in chosen]))
        name = "BX, P(rule)" if is_held_out else "seen, P(right)"
        cells.append((name, len(values), f"{values.mean():.3f}", f"{low:.3f}-{high:.3f}"))
        if not is_held_out and low <= 0.5:
            findings.note(
                "The model does not label what it has seen better than by chance: its "
                "P(rule) says nothing about rules or exemplars."
            )
    findings.table(
        "The model given: nonsense words, two labels, both features and orders balanced "
        "(95 % bootstrap of the sets of words)",
        ("combination", "questions", "mean", "interval"),
        cells,
    )


PROBE = ProbeStudy(TITLE, PAPER, {"score"}, _blocks, _summarise)
