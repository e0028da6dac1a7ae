"""Copying: is the last of many digits harder to tell than the first?

Small models are trained to tell the first or the last digit of short sequences whose other
digits are ones, and are asked longer ones. Any model that scores text is asked the paper's
question, with and without its hint and separators.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from tolman.agents.llm_probe.glasses.prompts import (
    copying,
    ones_and_zero,
    separated,
    zero_and_ones,
)
from tolman.launchers.probe.battery import Block, Findings, ProbeStudy, Row
from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.probe.model import ProbedModel
from tolman.launchers.studies.figures import COLOURS, GREY, axes
from tolman.launchers.studies.llm_probe import lengths
from tolman.launchers.studies.llm_probe.glasses import (
    pretrained_model,
    tell_merging,
    tokens_added,
)
from tolman.launchers.studies.study import Study

TITLE = "Copying: the last digit and the first, by length"
PAPER = "Barbero et al. 2024, section 3 and figure 2"
MARKS = {"first": "<", "last": ">"}
PROBE_LENGTHS = (5, 10, 20, 40, 80)
VARIANTS = ("plain", "hint", "commas")
ANSWER = " The answer to your question is:"
PLACES = (
    "What these models learn need not be what large ones do: they are trained on the "
    "question, and the last digit stands one token before the mark that asks for it, "
    "however long the sequence; the first moves farther away than it ever was in training."
)


def run(study: Study) -> None:
    """Trains, asks, checks, draws."""
    budget = lengths.QUICK if study.quick else lengths.FULL
    models = lengths.train(study, budget, "copy")
    study.note(PLACES)
    digits = np.array(budget.lengths)
    shares = {
        (name, which): zero_by_length(model, digits, lengths.ARMS[name][1], which)
        for name, model in models.items()
        for which in MARKS
    }
    is_trained = digits <= budget.max_trained
    for (name, which), share in shares.items():
        study.check(f"{name}: P(the {which} digit) within the trained lengths",
                    share[is_trained].mean(), "fine while short", above=0.9)  # fmt: skip
    lead = (shares["RoPE", "first"] - shares["RoPE", "last"])[~is_trained].mean()
    study.check("RoPE: first over last beyond the trained lengths", lead,
                "the last digit is lost first", above=-0.01)  # fmt: skip
    rows = [
        (int(length), *(f"{share[number]:.3f}" for share in shares.values()))
        for number, length in enumerate(digits)
    ]
    study.table(
        "P(0) of the two digits where the one that is asked is 0 and all others are 1",
        ("digits", *(f"{name}: {which}" for name, which in shares)),
        rows,
    )
    draw(study, digits, shares, budget.max_trained)
    if (model := pretrained_model()) is not None:
        _summarise([row for block in _blocks() for row in block.ask(model)], study)


def zero_by_length(
    model: HaikuModel, digits: np.ndarray, has_commas: bool, which: str
) -> np.ndarray:
    """`[C]`: the probability of "0" among the two digits, where 0 is right."""
    texts = [_sequence(int(length), which) for length in digits]
    prompts = [(separated(text) if has_commas else text) + MARKS[which] for text in texts]
    return _p_zero(model, prompts, "0", "1")


def _sequence(num_digits: int, which: str) -> str:
    make = zero_and_ones if which == "first" else ones_and_zero
    return make(num_digits - 1)


def _p_zero(model: ProbedModel, prompts: list[str], zero: str, one: str) -> np.ndarray:
    twice = [prompt for prompt in prompts for _ in range(2)]
    log_p = model.score(twice, [zero, one] * len(prompts)).log_probability.reshape(-1, 2)
    return 1.0 / (1.0 + np.exp(np.clip(log_p[:, 1] - log_p[:, 0], -700.0, 700.0)))


def draw(
    study: Study,
    digits: np.ndarray,
    shares: dict[tuple[lengths.Arm, str], np.ndarray],
    max_trained: int,
) -> None:
    """Draws P(0) by length, solid for the first digit and dotted for the last."""
    figure, (one,) = axes(width=5.4)
    colours = dict(zip(lengths.ARMS, COLOURS, strict=False))
    for (name, which), values in shares.items():
        style = "-" if which == "first" else ":"
        one.plot(digits, values, style, color=colours[name], label=f"{name}: {which}")
    one.axvline(max_trained, color=GREY, lw=0.8, ls="--")
    one.set_xscale("log")
    one.set_ylim(-0.02, 1.02)
    one.set_xlabel("digits")
    one.set_ylabel("P(the digit that is right)")
    one.legend(frameon=False, fontsize=8)
    study.figure(
        figure, "copying", "The first or last of many digits; dashed: the longest trained."
    )


def _ask(length: int, model: ProbedModel) -> list[Row]:
    rows, prompts = [], []
    tokens = tokens_added(model, _sequence(length, "last"))
    for which in MARKS:
        for variant in VARIANTS:
            digits = _sequence(length, which)
            digits = separated(digits) if variant == "commas" else digits
            prompts.append(copying(digits, which, variant == "hint") + ANSWER)
            rows.append({"length": length, "which": which, "variant": variant,
                         "tokens": tokens})  # fmt: skip
    p_zero = _p_zero(model, prompts, " 0", " 1")
    return [{**row, "p": float(p)} for row, p in zip(rows, p_zero, strict=True)]


def _blocks() -> list[Block]:
    return [Block(f"{length} digits", partial(_ask, length)) for length in PROBE_LENGTHS]


def _summarise(rows: Sequence[Row], findings: Findings) -> None:
    tell_merging(rows, findings)
    found = {(row["length"], row["which"], row["variant"]): row["p"] for row in rows}
    columns = [(which, variant) for which in MARKS for variant in VARIANTS]
    findings.table(
        "The model given: P(0) of 0 and 1, where the digit that is asked is the only 0",
        ("digits", *(f"{which}, {variant}" for which, variant in columns)),
        [
            (length, *(f"{found[length, *column]:.3f}" for column in columns))
            for length in PROBE_LENGTHS
        ],
    )


PROBE = ProbeStudy(TITLE, PAPER, {"score"}, _blocks, _summarise)
