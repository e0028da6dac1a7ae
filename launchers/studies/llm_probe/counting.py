"""Counting: does the error grow with the number of things that are counted?

Small models are trained to count the ones among short sequences of digits, and are asked
longer ones, with and without commas, with and without positions. Any model that continues
text is asked the paper's four questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from tolman.agents.llm_probe.glasses.paths import spearman
from tolman.agents.llm_probe.glasses.prompts import counting, number_in, separated
from tolman.launchers.probe.battery import Block, Findings, ProbeStudy, Row
from tolman.launchers.probe.model import ProbedModel
from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.llm_probe import lengths
from tolman.launchers.studies.llm_probe.glasses import (
    pretrained_model,
    tell_merging,
    tokens_added,
)
from tolman.launchers.studies.study import Study

TITLE = "Counting: how the error grows with length"
PAPER = "Barbero et al. 2024, section 5 and figure 3"
NUM_ASKED = 32  # Sequences of a length.
UNITS = {"sum": "+1", "ones": ",1", "bits": ",1", "words": " car"}  # Of each task.
TASKS = tuple(UNITS)
PROBE_LENGTHS = (5, 10, 20, 40, 80)
PROBE_REPEATS = 5  # Of the tasks in which something is drawn.


def run(study: Study) -> None:
    """Trains, asks, checks, draws."""
    budget = lengths.QUICK if study.quick else lengths.FULL
    models = lengths.train(study, budget, "count")
    digits = np.array(budget.lengths)
    errors: dict[str, np.ndarray] = {
        name: error_by_length(model, budget.lengths, lengths.ARMS[name][1], study.seed)
        for name, model in models.items()
    }
    narrow = lengths.in_dtype(models["RoPE"], "bfloat16")
    errors["RoPE in bfloat16"] = error_by_length(narrow, budget.lengths, False, study.seed)
    apart: dict[str, np.ndarray] = {
        name: state_gaps(model, budget.lengths, lengths.ARMS[name][1])
        for name, model in models.items()
    }
    is_trained = digits <= budget.max_trained
    for name in models:
        error = errors[name]
        study.check(f"{name}: mean error within the trained lengths",
                    error[is_trained].mean(), "learned first", below=0.5)  # fmt: skip
        study.check(f"{name}: rank correlation of error and length",
                    spearman(error, digits), "grows with length", above=0.8)  # fmt: skip
    study.check("no positions: rank correlation of length and of how far the last states "
                "of n and n - 1 are apart", spearman(apart["no positions"], digits),
                "collapse, theorem 4.2", below=-0.8)  # fmt: skip
    for title, columns, digits_shown in (
        ("Mean absolute error of a count, by digits; 70 % of the digits are ones", errors,
         "{:.2f}"),
        ("How far the last states of n ones and of n - 1 are apart, in parts of their norm",
         apart, "{:.2g}"),
    ):  # fmt: skip
        rows = [
            (length, *(digits_shown.format(of_arm[number]) for of_arm in columns.values()))
            for number, length in enumerate(budget.lengths)
        ]
        study.table(title, ("digits", *columns), rows)
    draw(study, digits, errors, apart, budget.max_trained)
    if (model := pretrained_model()) is not None:
        _summarise([row for block in _blocks() for row in block.ask(model)], study)


def error_by_length(
    model: ProbedModel, digits: Sequence[int], has_commas: bool, seed: int
) -> np.ndarray:
    """`[C]`: mean absolute error of the ones among digits of which 0.7 are ones."""
    rng = np.random.default_rng(seed)
    means = []
    for length in digits:
        bits = rng.random((NUM_ASKED, length)) < 0.7
        texts = ["".join("01"[int(bit)] for bit in row) for row in bits]
        texts = [separated(text) if has_commas else text for text in texts]
        answers = model.generate([f"{text}=" for text in texts], 3)
        found = [number_in(answer) or 0 for answer in answers]
        means.append(np.abs(np.array(found) - bits.sum(1)).mean())
    return np.array(means)


def state_gaps(model: ProbedModel, digits: Sequence[int], has_commas: bool) -> np.ndarray:
    """`[C]`: distance of the last states of n ones and n - 1, over the first's norm.

    In multiples of three digits, as many commas stand in both texts.
    """
    gaps = []
    for length in digits:
        texts = ["1" * length, "1" * (length - 1)]
        texts = [separated(text) if has_commas else text for text in texts]
        states = model.hidden_states([f"{text}=" for text in texts])
        last, other = (state[-1, -1] for state in states)
        gaps.append(np.linalg.norm(last - other) / np.linalg.norm(last))
    return np.array(gaps)


def draw(
    study: Study,
    digits: np.ndarray,
    errors: dict[str, np.ndarray],
    apart: dict[str, np.ndarray],
    max_trained: int,
) -> None:
    """Draws errors and distances by length."""
    figure, row = axes(2, width=4.6)
    for one, curves in zip(row, (errors, apart), strict=True):
        for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
            style = ":" if name == "RoPE in bfloat16" else "-"
            one.plot(digits, values, style, color=colour, label=name, marker="o", ms=3)
        one.axvline(max_trained, color=GREY, lw=0.8, ls="--")
        one.set_xscale("log")
        one.set_xlabel("digits")
    row[0].set_yscale("symlog", linthresh=1.0)
    row[1].set_yscale("log")
    row[0].set_ylim(bottom=-0.05)
    row[0].set_ylabel("mean absolute error")
    row[1].set_ylabel("distance of last states, relative")
    row[0].legend(frameon=False, fontsize=8)
    study.figure(
        figure,
        "counting",
        "Left: error of a count by length. Right: how far apart the last states of n and "
        "n - 1 ones are. Dashed: the longest sequence trained on.",
    )


def _ask(task: str, length: int, model: ProbedModel) -> list[Row]:
    rng = np.random.default_rng(length)
    repeats = PROBE_REPEATS if task in ("bits", "words") else 1
    asked = [counting(task, length, rng) for _ in range(repeats)]
    answers = model.generate([prompt for prompt, _ in asked], 8)
    tokens = tokens_added(model, UNITS[task] * length)
    return [
        {"task": task, "length": length, "right": right, "answer": answer,
         "number": number_in(answer), "tokens": tokens}
        for (_, right), answer in zip(asked, answers, strict=True)
    ]  # fmt: skip


def _blocks() -> list[Block]:
    return [
        Block(f"{task} {length}", partial(_ask, task, length))
        for task in TASKS
        for length in PROBE_LENGTHS
    ]


def _summarise(rows: Sequence[Row], findings: Findings) -> None:
    tell_merging(rows, findings)
    cells = []
    for task in TASKS:
        for length in PROBE_LENGTHS:
            own = [row for row in rows if (row["task"], row["length"]) == (task, length)]
            numbers = [row for row in own if row["number"] is not None]
            off = [abs(row["number"] - row["right"]) for row in numbers]
            error = f"{np.mean(off):.1f}" if off else "-"
            cells.append((task, length, f"{len(numbers)}/{len(own)}", error,
                          own[0]["answer"].strip()[:24]))  # fmt: skip
    findings.table(
        "The model given: mean absolute error of a count",
        ("task", "length", "answers with a number", "error", "the first answer"),
        cells,
    )
    if not any(row["number"] is not None for row in rows):
        findings.note("The model gave no number at all: nothing can be said of counting.")


PROBE = ProbeStudy(TITLE, PAPER, {"generate"}, _blocks, _summarise)
