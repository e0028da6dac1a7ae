"""Representational collapse: does the last token still tell n tokens from n + 1?

One random layer, random networks of several layers in three dtypes, and a pretrained model
read two texts that differ by one repetition. How far apart their last states are is
followed by length, by positions and by dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.llm_probe.glasses import layer
from tolman.agents.llm_probe.glasses.prompts import ones_and_zero, separated
from tolman.launchers.probe.battery import Block, Findings, ProbeStudy, Row
from tolman.launchers.probe.model import ProbedModel
from tolman.launchers.studies.figures import COLOURS, axes
from tolman.launchers.studies.llm_probe.glasses import (
    draw_params,
    pretrained_model,
    random_model,
)
from tolman.launchers.studies.study import Study
from tolman.networks.language import LanguageModelConfig

TITLE = "Representational collapse: the last token of n and of n + 1"
PAPER = "Barbero et al. 2024, theorem 4.2 and figures 5, 9, 10"
DTYPES = (jnp.bfloat16, jnp.float16, jnp.float32)
NUM_NOISY = 200  # Tokens of figure 9 whose logits are disturbed.
PROBE_LENGTHS = (7, 13, 25, 49, 97, 193)  # Digits: one more than multiples of three, so
# that as many commas stand in both texts of a pair.


@dataclass(frozen=True)
class Budget:
    """Attributes:
    max_exponent: one random layer reads up to 2 to this many tokens.
    num_seeds: of one random layer.
    num_networks: of several layers.
    max_digits: that these read.
    """

    max_exponent: int
    num_seeds: int
    num_networks: int
    max_digits: int


QUICK = Budget(12, 20, 3, 768)
FULL = Budget(13, 50, 5, 3072)
CONFIG = LanguageModelConfig(
    vocabulary_size=15, max_length=4400, num_layers=6, positions="none"
)


def run(study: Study) -> None:
    """Measures, checks the claims, draws."""
    budget = QUICK if study.quick else FULL
    study.settings = {**asdict(budget), "network": asdict(CONFIG)}
    lengths, curves = one_layer(study, budget)
    sizes, variations = total_variation(study)
    digits, gaps = networks(study, budget)
    draw(study, [(lengths, curves), (sizes, {"total variation": variations}),
                 (digits, gaps)])  # fmt: skip
    if (model := pretrained_model()) is not None:
        rows = [row for block in _blocks() for row in block.ask(model)]
        _summarise(rows, study)


def one_layer(study: Study, budget: Budget) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Figure 10: mean L1 distance by length, for four kinds of positions."""
    lengths = 2 ** np.arange(3, budget.max_exponent + 1)
    keys = jax.random.split(jax.random.PRNGKey(study.seed), budget.num_seeds)
    curves, rows = {}, []
    for positions in get_args(layer.Positions):
        gaps, num_same = [], 0
        for length in lengths.tolist():
            gap = jax.jit(jax.vmap(partial(layer.repeat_gap, num_tokens=length,
                                           positions=positions)))  # fmt: skip
            short, long = gap(keys)
            gaps.append(float(jnp.abs(short - long).sum(-1).mean()))
            is_same = short.astype(jnp.bfloat16) == long.astype(jnp.bfloat16)
            num_same = int(is_same.all(-1).sum())
        curves[positions] = np.array(gaps)
        far = lengths >= 64
        fall = layer.slope(lengths[far], curves[positions][far])
        if positions == "none":
            study.check("one layer without positions, slope", fall, "falls", below=-1.0)
            study.check(
                "pairs that are identical in bfloat16 at the longest, share",
                num_same / len(keys), "below machine precision", above=0.3,
            )  # fmt: skip
        elif positions != "alibi":
            study.check(f"one layer, {positions}, slope", fall, "falls", below=-0.25)
        rows.append((positions, f"{fall:.2f}", f"{gaps[3]:.3g}", f"{gaps[-1]:.3g}",
                     f"{num_same}/{len(keys)}"))  # fmt: skip
    study.table(
        "One random layer (figure 10): L1 distance of the last states of n and n + 1",
        ("positions", "slope of log distance over log n, n >= 64", "n = 64",
         f"n = {lengths[-1]}", f"identical in bfloat16 at n = {lengths[-1]}"),
        rows,
    )  # fmt: skip
    study.note("ALiBi does not collapse here: its last token hears its neighbours alone.")
    return lengths, curves


def total_variation(study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Figure 9: softmax distributions of which a fixed number of entries differ."""
    sizes = 200 * 2 ** np.arange(8)
    rng = np.random.default_rng(study.seed)
    found = [
        np.mean([
            layer.softmax_variation(rng.random(size), 0.1 * rng.random(NUM_NOISY))
            for _ in range(5)
        ])
        for size in sizes
    ]  # fmt: skip
    variations = np.array(found)
    late = (variations * sizes)[sizes >= 3200]
    spread = float(np.abs(late / late.mean() - 1.0).max())
    study.check(
        "total variation times n, largest departure from its mean", spread,
        "to 0 as 1 / n (lemma B.2)", below=0.15,
    )  # fmt: skip
    return sizes, variations


def networks(study: Study, budget: Budget) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Random networks without positions: by dtype, and with commas beside without."""
    powers = range(1, 12)
    counts = [3 * 2**power + 1 for power in powers if 3 * 2**power < budget.max_digits]
    digits = np.array(counts)
    model, turned = random_model(CONFIG), random_model(replace(CONFIG, positions="rope"))
    narrow = random_model(replace(CONFIG, dtype="bfloat16"))
    found: dict[str, list[list[float]]] = {}
    same_from: dict[str, list[float]] = {dtype.__name__: [] for dtype in DTYPES}
    for number in range(budget.num_networks):
        draw_params([model, turned, narrow], study.seed * budget.num_networks + number)
        pairs = [state_pair(model, count, False) for count in counts]
        for dtype in DTYPES:
            of_dtype = [distance(pair.astype(dtype).astype(float)) for pair in pairs]
            same_from[dtype.__name__].append(first_identical(digits, np.array(of_dtype)))
        curves = {
            "plain": [distance(pair) for pair in pairs],
            "commas": [distance(state_pair(model, count, True)) for count in counts],
            "rope": [distance(state_pair(turned, count, False)) for count in counts],
            "narrow": [distance(state_pair(narrow, count, False)) for count in counts],
        }
        for name, values in curves.items():
            found.setdefault(name, []).append(values)
    gaps = {name: np.mean(values, 0) for name, values in found.items()}
    check_networks(study, digits, gaps, same_from)
    return digits, gaps


def check_networks(
    study: Study,
    digits: np.ndarray,
    gaps: dict[str, np.ndarray],
    same_from: dict[str, list[float]],
) -> None:
    """Where each dtype is blind, and what commas do."""
    medians = {dtype: float(np.median(found)) for dtype, found in same_from.items()}
    study.table(
        "Random networks of six layers without positions, run in float32: digits from "
        "which on the last states of n and n + 1, rounded to a dtype, are bit-identical; "
        f"median of the networks (inf: not up to {digits[-1]})",
        ("dtype", "digits"),
        [(dtype, str(found)) for dtype, found in medians.items()],
    )
    study.check(
        "networks, digits from which bfloat16 is blind", medians["bfloat16"],
        "collapse below machine precision", above=0.0, below=digits[-1] + 1.0,
    )  # fmt: skip
    later = medians["float32"] > medians["bfloat16"]
    study.check("float32 sees farther than bfloat16", later, "precision sets the length",
                above=0.5)  # fmt: skip
    study.note(
        "Run in bfloat16 throughout, a network's states do not become identical: attention "
        "weights near 1 / n are rounded too, which moves the state by more than the token "
        f"does. At {digits[-1]} digits the distance is {gaps['narrow'][-1]:.2g}, in "
        f"float32 {gaps['plain'][-1]:.2g}."
    )
    long = digits >= 256
    ratio = float(np.mean(gaps["commas"][long] / gaps["plain"][long]))
    study.check("commas hold states apart, times, from 256 digits on", ratio,
                "figure 5d", above=2.0)  # fmt: skip


def state_pair(model: ProbedModel, num_digits: int, has_commas: bool) -> np.ndarray:
    """The last states after n digits and n + 1, `[2, D]`."""
    texts = [ones_and_zero(num_digits - 1), ones_and_zero(num_digits)]
    if has_commas:
        texts = [separated(text) for text in texts]
    return np.stack([model.hidden_states([text])[0][-1, -1] for text in texts])


def distance(pair: np.ndarray) -> float:
    """L1, of two states `[2, D]`."""
    return float(np.abs(pair[0] - pair[1]).sum())


def first_identical(digits: np.ndarray, gaps: np.ndarray) -> float:
    """The number of digits from which on all gaps are exactly 0; infinite if none is."""
    is_apart = np.flatnonzero(gaps > 0.0)
    first = is_apart[-1] + 1 if len(is_apart) else 0
    return float(digits[first]) if first < len(digits) else float("inf")


def draw(study: Study, panels: list[tuple[np.ndarray, dict[str, np.ndarray]]]) -> None:
    """Draws distances by length on logarithmic axes."""
    figure, row = axes(3, width=4.0)
    names = {"plain": "no positions", "commas": "no positions, commas", "rope": "RoPE",
             "narrow": "no positions, in bfloat16",
             "none": "no positions", "alibi": "ALiBi"}  # fmt: skip
    titles = ("one random layer", "two softmax distributions", "random networks, 6 layers")
    for one, title, (lengths, curves) in zip(row, titles, panels, strict=True):
        for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
            one.loglog(lengths, values, color=colour, label=names.get(name, name))
        one.set_title(title, fontsize=10)
        one.set_xlabel("tokens")
        one.legend(frameon=False, fontsize=8)
    row[2].set_xlabel("digits")
    row[0].set_ylabel("L1 distance of the last states")
    row[1].set_ylabel("total variation")
    study.figure(
        figure, "collapse",
        "How far apart the last states of n and n + 1 tokens are (left, right), and two "
        "softmax distributions whose first 200 logits differ (middle).",
    )  # fmt: skip


def _ask(num_digits: int, model: ProbedModel) -> list[Row]:
    rows: list[Row] = []
    for has_commas in (False, True):
        texts = [ones_and_zero(num_digits - 1), ones_and_zero(num_digits)]
        if has_commas:
            texts = [separated(text) for text in texts]
        states = model.hidden_states(texts)
        pair = np.stack([state[-1, -1] for state in states])
        rows.append({
            "digits": num_digits, "commas": has_commas,
            "tokens": [state.shape[1] for state in states],
            "l1": distance(pair), "max": float(np.abs(pair[0] - pair[1]).max()),
        })  # fmt: skip
    return rows


def _blocks() -> list[Block]:
    return [Block(f"{count} digits", partial(_ask, count)) for count in PROBE_LENGTHS]


def _summarise(rows: Sequence[Row], findings: Findings) -> None:
    findings.table(
        "The model given: distance of the last states of n digits and n + 1, 1...10",
        ("digits", "commas", "tokens", "L1", "largest of a feature"),
        [(row["digits"], "yes" if row["commas"] else "no", str(row["tokens"]),
          f"{row['l1']:.4g}", f"{row['max']:.4g}") for row in rows],
    )  # fmt: skip
    figure, (one,) = axes()
    for colour, has_commas in zip(COLOURS, (False, True), strict=False):
        chosen = [row for row in rows if row["commas"] == has_commas]
        label = "commas" if has_commas else "no commas"
        one.loglog([row["digits"] for row in chosen], [row["l1"] for row in chosen],
                   color=colour, label=label, marker="o")  # fmt: skip
    one.set_xlabel("digits")
    one.set_ylabel("L1 distance of the last states")
    one.legend(frameon=False, fontsize=8)
    findings.figure(figure, "collapse_of_the_model", "The last states of the model given.")
    merged = [row for row in rows if row["tokens"][1] - row["tokens"][0] != 1]
    if merged:
        findings.note(
            f"In {len(merged)} of {len(rows)} pairs the tokenizer makes other than one "
            "more token of one more digit: compare these with care."
        )


PROBE = ProbeStudy(TITLE, PAPER, {"hidden states"}, _blocks, _summarise)
