"""Does a model reason by logic or by what it believes? On any model.

`tolman probe MODEL --study llm_probe/content_effects` asks a model 234 inferences, 144
syllogisms and 216 selections of cards, without and with solved examples before them.
`tolman study llm_probe/content_effects` asks none: it plants effects in answers and checks
that the statistics find those and no others. Then it trains small models on inferences.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tolman.agents.llm_probe.content_effects import statistics
from tolman.agents.llm_probe.content_effects.answers import Answers, ask, from_preferences
from tolman.agents.llm_probe.content_effects.confidence import NAMES as CONFIDENCE_NAMES
from tolman.agents.llm_probe.content_effects.confidence import (
    confidence_design,
    fit_mixed_linear,
)
from tolman.agents.llm_probe.content_effects.few_shot import most_examples, with_examples
from tolman.agents.llm_probe.content_effects.items import Item
from tolman.agents.llm_probe.content_effects.nli import nli_items
from tolman.agents.llm_probe.content_effects.syllogisms import syllogism_items
from tolman.agents.llm_probe.content_effects.wason import wason_items
from tolman.launchers.probe.battery import Block, Findings, ProbeStudy, Row
from tolman.launchers.probe.comparing import NotComparableError, log_probabilities
from tolman.launchers.probe.item_file import read_items
from tolman.launchers.probe.model import ProbedModel, TextTooLongError
from tolman.launchers.studies.llm_probe.content_plots import (
    draw_accuracy,
    draw_called_valid,
)
from tolman.launchers.studies.llm_probe.trained_nli import train_and_ask
from tolman.launchers.studies.study import Study

TITLE = "Content effects: logic against belief"
PAPER = "Dasgupta, Lampinen et al. 2022, arXiv 2207.07051"
TASKS = {"nli": nli_items, "syllogisms": syllogism_items, "wason": wason_items}
NAMES = {"nli": "comparisons", "syllogisms": "syllogisms", "wason": "Wason's cards"}
NUM_EXAMPLES = (0, 2, 5)
BLOCK_SIZE = 48  # Items.
NUM_DRAWS = 2_000  # Of the bootstrap.
NUM_NULL_SETS = 200
SCORINGS = ("corrected", "raw")


def _put(
    task: str, plain: Sequence[Item], num_examples: int, first: int, model: ProbedModel
) -> list[Row]:
    """Puts some items to a model; gives one row for each."""
    items = with_examples(plain, num_examples)[first : first + BLOCK_SIZE]
    rows: list[dict[str, Any]] = [
        {
            "task": task,
            "num_examples": num_examples,
            "group": item.group,
            "condition": item.condition,
            "right": item.right,
            "is_valid": item.is_valid,
            "is_believable": item.is_believable,
            "options": list(item.options),
            "prompt": item.prompt,
        }
        for item in items
    ]
    try:
        found = _answers_to(items, model)
    except (TextTooLongError, NotComparableError):
        # At least one cannot be asked: each is put alone.
        found = []
        for item in items:
            try:
                found += _answers_to([item], model)
            except (TextTooLongError, NotComparableError) as error:
                found.append({"left_out": str(error)})
    return [{**row, **answer} for row, answer in zip(rows, found, strict=True)]


def _answers_to(items: Sequence[Item], model: ProbedModel) -> list[dict[str, Any]]:
    """Log-probabilities of the options, after the prompt and after the baseline."""
    options = [item.options for item in items] * 2
    prompts = [item.prompt for item in items] + [item.baseline for item in items]
    told = [one.tolist() for one in log_probabilities(model, prompts, options)]
    pairs = zip(told[: len(items)], told[len(items) :], strict=True)
    return [{"log_probability": own, "baseline": baseline} for own, baseline in pairs]


def _blocks(tasks: Mapping[str, Sequence[Item]], version: str = "") -> list[Block]:
    """All questions: every item, with as many examples as there are items for."""
    return [
        Block(
            f"{task}{version}, {num_examples} examples, from item {first}",
            functools.partial(_put, task, items, num_examples, first),
        )
        for num_examples in NUM_EXAMPLES
        for task, items in tasks.items()
        if num_examples <= most_examples(items)
        for first in range(0, len(items), BLOCK_SIZE)
    ]


def _own_blocks() -> list[Block]:
    return _blocks({task: make() for task, make in TASKS.items()})


def _with_items(path: Path) -> ProbeStudy:
    """The study on the items of a file."""
    items = read_items(path)
    version = f" of {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    blocks = functools.partial(_blocks, {path.name: items}, version)
    return ProbeStudy(TITLE, PAPER, PROBE.needs, blocks, _summarise)


def _answers(rows: Sequence[Row], scoring: str) -> tuple[list[Item], Answers]:
    """What rows hold, as items and the answers to them."""
    items = [
        Item(
            group=row["group"],
            condition=row["condition"],
            prompt=row["prompt"],
            baseline="",
            options=tuple(row["options"]),
            right=row["right"],
            is_valid=row["is_valid"],
            is_believable=row["is_believable"],
        )
        for row in rows
    ]
    preference = [
        np.array(row["log_probability"])
        - (np.array(row["baseline"]) if scoring == "corrected" else 0.0)
        for row in rows
    ]
    return items, from_preferences(items, preference)


def _summarise(rows: Sequence[Row], findings: Findings) -> None:
    accuracy: list[list[Any]] = []
    called: dict[str, Any] = {}
    fits: list[list[Any]] = []
    sure: list[list[Any]] = []
    asked: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        asked.setdefault((row["num_examples"], row["task"]), []).append(row)
    for (num_examples, task), own in asked.items():
        name = NAMES.get(task, task)
        left_out = [row for row in own if "left_out" in row]
        if left_out:
            findings.note(
                f"{name}, {num_examples} examples: {len(left_out)} of {len(own)} items "
                f"left out; the first: {left_out[0]['left_out']}"
            )
        own = [row for row in own if "left_out" not in row]
        for scoring in SCORINGS if own else ():
            items, answers = _answers(own, scoring)
            accuracy += _accuracy_rows(name, num_examples, scoring, items, answers)
            if scoring == "corrected":
                sure += _confidence_rows(name, num_examples, items, answers)
            crossed = [item for item in items if item.is_believable is not None]
            if len({item.group for item in crossed}) > 1:
                label = f"{scoring}, {num_examples} examples"
                cells = statistics.says_valid_by_cell(items, answers.choice)
                called[label if task in NAMES else f"{name}, {label}"] = cells
                fits += _fit_rows(num_examples, scoring, items, answers)
    columns = ("task", "examples", "scoring", "condition", "items", "accuracy")
    more = ("95 % interval, groups drawn anew", "chance", "mean confidence, nats")
    findings.table("Right answers", (*columns, *more), accuracy)
    findings.table(
        "Syllogisms: what makes a model say valid (mixed-effects logistic regression)",
        ("examples", "scoring", "effect", "log-odds", "95 % interval", "by bootstrap"),
        fits,
    )
    findings.table(
        "What confidence goes with (mixed-effects linear regression, corrected; nats by "
        "which the best answer leads)",
        ("task", "examples", "effect", "nats", "95 % interval"),
        sure,
    )
    findings.note(
        "Corrected: less the log-probability of the answer without the question (Holtzman "
        "et al. 2021). An effect of belief above 0 is what the paper reports of large "
        "models on syllogisms; on comparisons it reports none."
    )
    findings.figure(
        draw_accuracy(accuracy, list(dict.fromkeys(NAMES.get(t, t) for _, t in asked))),
        "accuracy",
        "Right answers by condition with 95 % intervals; the dashed line is chance.",
    )
    if called:
        findings.figure(
            draw_called_valid(called),
            "called_valid",
            "Share of syllogisms that are called valid. Logic alone gives 1, 1, 0, 0.",
        )


def _confidence_rows(
    name: str, num_examples: int, items: list[Item], answers: Answers
) -> list[list[Any]]:
    """How much surer right answers are, and those against belief."""
    predictors, outcome, groups, names = confidence_design(items, answers)
    if len(np.unique(groups)) < 2 or len(outcome) <= len(names):
        return []
    fit = fit_mixed_linear(predictors, outcome, groups, names)
    found = []
    for effect in CONFIDENCE_NAMES:
        if effect not in names:
            found.append([name, num_examples, effect, "-", "cannot be told from others"])
            continue
        low, high = fit.interval(effect)
        value = round(float(fit.coefficients[names.index(effect)]), 3)
        found.append([name, num_examples, effect, value, f"{low:.3f} to {high:.3f}"])
    return found


def _accuracy_rows(
    name: str, num_examples: int, scoring: str, items: list[Item], answers: Answers
) -> list[list[Any]]:
    conditions = np.array([item.condition for item in items])
    _, groups = np.unique([item.group for item in items], return_inverse=True)
    found = []
    for condition, share in statistics.accuracy_by_condition(
        items, answers.is_right
    ).items():
        own = np.flatnonzero(conditions == condition)
        is_right = answers.is_right[own]

        def mean(drawn: np.ndarray, is_right: np.ndarray = is_right) -> float:
            return float(is_right[drawn].mean())

        rng = np.random.default_rng(0)
        low, high = statistics.cluster_bootstrap(groups[own], mean, NUM_DRAWS, rng)
        found.append(
            [
                *(name, num_examples, scoring, condition, len(own)),
                *(round(share, 3), f"{low:.3f} to {high:.3f}"),
                round(1 / len(items[own[0]].options), 3),
                round(float(answers.confidence[own].mean()), 3),
            ]
        )
    return found


def _fit_rows(
    num_examples: int, scoring: str, items: list[Item], answers: Answers
) -> list[list[Any]]:
    design = statistics.belief_design(items, answers.choice)
    if not len(design[1]):
        return []
    fit = statistics.fit_mixed_logistic(*design, statistics.BELIEF_NAMES)
    predictors, outcome, groups = design
    found = []
    for index, name in enumerate(statistics.BELIEF_NAMES):
        by_bootstrap = "-"
        if index:
            # A difference of shares between the two sides of an effect.
            side = predictors[:, index] > 0

            def difference(drawn: np.ndarray, side: np.ndarray = side) -> float:
                return float(
                    outcome[drawn][side[drawn]].mean() - outcome[drawn][~side[drawn]].mean()
                )

            rng = np.random.default_rng(0)
            low, high = statistics.cluster_bootstrap(groups, difference, NUM_DRAWS, rng)
            by_bootstrap = f"share {low:+.3f} to {high:+.3f}"
        low, high = fit.interval(name)
        value = round(float(fit.coefficients[index]), 3)
        interval = f"{low:.2f} to {high:.2f}"
        found.append([num_examples, scoring, name, value, interval, by_bootstrap])
    return found


PROBE = ProbeStudy(
    TITLE, PAPER, frozenset({"first token"}), _own_blocks, _summarise, _with_items
)


def run(study: Study) -> None:
    """Plants effects and looks for them; `--quick` looks through fewer null sets."""
    items, rng = syllogism_items(), np.random.default_rng(study.seed)
    parts = [_planted(items, 2.0, 1.0, rng) for _ in range(10)]
    shift = [part[2] + 24 * copy for copy, part in enumerate(parts)]
    data = (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate(shift),
    )
    fit = statistics.fit_mixed_logistic(*data, statistics.BELIEF_NAMES)
    for name, true in (("validity", 2.0), ("belief", 1.0), ("validity x belief", 0.0)):
        low, high = fit.interval(name)
        claim = f"the 95 % interval of {name} holds the planted {true:g}"
        study.check(claim, true, "planted", above=low, below=high)
    num_sets = NUM_NULL_SETS // 4 if study.quick else NUM_NULL_SETS
    num_found = 0
    for _ in range(num_sets):
        null = _planted(items, 1.5, 0.0, rng)
        fit = statistics.fit_mixed_logistic(*null, statistics.BELIEF_NAMES)
        low, high = fit.interval("belief")
        num_found += not low < 0 < high
    bar = 0.17 if study.quick else 0.09  # Fewer sets, more chance.
    claim = f"an absent effect of belief is found in few of {num_sets} sets of answers"
    study.check(claim, num_found / num_sets, "5 % by construction", below=bar + 1e-9)
    train_and_ask(study)
    study.check(
        "the correction takes an answer's prior away, largest error in nats",
        _largest_rest(items, rng),
        "Holtzman et al. 2021",
        below=1e-6,
    )


def _planted(
    items: list[Item], validity: float, belief: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The design of answers of a model whose log-odds of "valid" are planted."""
    of_group = {name: rng.normal() for name in dict.fromkeys(i.group for i in items)}
    preference = [
        np.array(
            [
                validity * (bool(item.is_valid) - 0.5)
                + belief * (bool(item.is_believable) - 0.5)
                + of_group[item.group]
                + rng.logistic(),
                0.0,
            ]
        )
        for item in items
    ]
    return statistics.belief_design(items, from_preferences(items, preference).choice)


def _largest_rest(items: list[Item], rng: np.random.Generator) -> float:
    """What a prior for answers leaves in corrected preferences, at most."""
    prior = dict(zip(items[0].options, rng.normal(0, 5, 2), strict=True))
    own = {item.prompt: rng.normal() for item in items}

    class Scored:
        def __init__(self, prompts: Sequence[str], continuations: Sequence[str]) -> None:
            pairs = zip(prompts, continuations, strict=True)
            self.log_probability = np.array(
                [
                    prior[answer] + own.get(text, 0.0) * (answer == " valid")
                    for text, answer in pairs
                ]
            )

    answers = ask(items, Scored)
    expected = np.array([own[item.prompt] for item in items])
    found = np.array([one[0] - one[1] for one in answers.preference])
    return float(np.abs(found - expected).max())
