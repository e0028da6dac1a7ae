"""Over-squashing: does the last token's state still depend on what stood early?

Attention is taken as constant, as in the theorem; the derivative of the last state by each
token's embedding is set beside the sum over causal paths from that token, and beside the
bound that the sum gives. The derivative of the whole network stands next to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.llm_probe.glasses.paths import (
    LayerWeights,
    path_constant,
    path_sums,
    spearman,
)
from tolman.launchers.probe.battery import Block, Findings, ProbeStudy, Row
from tolman.launchers.probe.haiku_model import HaikuModel
from tolman.launchers.probe.model import ProbedModel
from tolman.launchers.studies.figures import COLOURS, axes
from tolman.launchers.studies.llm_probe.glasses import pretrained_model, random_model
from tolman.launchers.studies.study import Study
from tolman.networks.language import LanguageModel, LanguageModelConfig

TITLE = "Over-squashing: what of each token reaches the last"
PAPER = "Barbero et al. 2024, theorem 5.1"
CONFIG = LanguageModelConfig(vocabulary_size=15, max_length=128, num_layers=6)
STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside"
PROBE_TEXTS = (STORY, "110100111011010111100101")


class Reach(NamedTuple):
    """Of each token, `[T]`.

    Attributes:
      frozen: spectral norm of the derivative with attention held constant.
      whole: of the whole derivative.
      paths: sums over causal paths.
      bound: the constant times these.
    """

    frozen: np.ndarray
    whole: np.ndarray
    paths: np.ndarray
    bound: np.ndarray


def run(study: Study) -> None:
    """Measures random networks and the pretrained one, checks, draws."""
    num_tokens = 24 if study.quick else 96
    rng = np.random.default_rng(study.seed)
    bits = "".join(rng.choice(["0", "1"], num_tokens))
    models: dict[str, tuple[HaikuModel, str]] = {}
    for positions in ("none", "rope"):
        model = random_model(replace(CONFIG, positions=positions), study.seed)
        models[f"random, {positions}"] = model, bits
    if (pretrained := pretrained_model()) is not None:
        models["stories260K"] = pretrained, STORY
    study.settings = {"num_tokens": num_tokens, "num_layers": CONFIG.num_layers}
    found = {name: measure(*asked) for name, asked in models.items()}
    check(study, found)
    draw(study, found)


def measure(model: HaikuModel, text: str) -> Reach:
    """All of a text's tokens."""
    [attention], [states] = model.attention([text]), model.hidden_states([text])
    paths = path_sums(attention)
    layers, final_scale = weights_of(model)
    constant = path_constant(layers, final_scale, attention, states[:-1])
    frozen, whole = frozen_jacobian(model, text), model.jacobian([text])[0]
    return Reach(_norms(frozen), _norms(whole), paths, constant * paths)


def frozen_jacobian(model: HaikuModel, text: str) -> np.ndarray:
    """`[T, D, D]`, as `ProbedModel.jacobian`, with attention held constant."""
    config, tokens = model.config, jnp.array([model.tokenizer.encode(text).tokens])

    def embed() -> jax.Array:
        return LanguageModel(config).embed(tokens, jnp.zeros(1, jnp.int32))

    def last(embedded: jax.Array) -> jax.Array:
        network = LanguageModel(config, attention_is_constant=True)
        return network.read(embedded).hidden[-1][0, -1]

    with jax.default_matmul_precision("highest"):
        embedded = hk.transform(embed).apply(model.params, None)
        final: hk.Transformed = hk.without_apply_rng(hk.transform(last))
        by_token = jax.jit(jax.jacrev(final.apply, argnums=1))(model.params, embedded)
    return np.moveaxis(np.asarray(by_token)[:, 0], 1, 0)


def weights_of(model: HaikuModel) -> tuple[list[LayerWeights], np.ndarray]:
    """The parameters as the bound takes them, each head with a value map of its own."""
    config, params = model.config, jax.device_get(model.params)
    heads, groups, size = config.num_heads, config.num_key_value_heads, config.head_size
    layers = []
    for number in range(config.num_layers):
        own: Any = params[f"language_model/~/layer_{number}"]
        value = own["value"].reshape(groups, size, -1)
        attended = own["attended"].reshape(-1, heads, size)
        layers.append(
            LayerWeights(
                own["attention_scale"], np.repeat(value, heads // groups, axis=0),
                np.moveaxis(attended, 1, 0), own["mlp_scale"], own["gate"], own["up"],
                own["down"],
            )
        )  # fmt: skip
    return layers, params["language_model"]["final_scale"]


def _norms(jacobian: np.ndarray) -> np.ndarray:
    return np.linalg.norm(jacobian, 2, axis=(1, 2))


def check(study: Study, found: dict[str, Reach]) -> None:
    """The bound holds everywhere, and the sums order what reaches the last token."""
    rows = []
    for name, reach in found.items():
        largest = float((reach.frozen / reach.bound).max())
        study.check(f"{name}: norm over bound, largest", largest, "at most 1 (theorem 5.1)",
                    below=1.0)  # fmt: skip
        order = spearman(reach.frozen, reach.paths)
        if name.startswith("random"):
            study.check(f"{name}: rank correlation of norm and paths", order,
                        "early tokens have more paths", above=0.6)  # fmt: skip
        share = reach.frozen / reach.frozen.sum()
        middle = share[len(share) // 2]
        rows.append((
            name, len(share), f"{100 * share[0]:.1f}", f"{100 * middle:.1f}",
            f"{100 * share[-1]:.1f}", f"{order:.2f}",
            f"{spearman(reach.whole, reach.paths):.2f}", f"{largest:.2g}",
        ))  # fmt: skip
    study.table(
        "Shares of the norm of the derivative, attention held constant, in per cent",
        ("network", "tokens", "first", "middle", "last", "rank correlation with paths",
         "of the whole derivative", "norm over bound"),
        rows,
    )  # fmt: skip


def draw(study: Study, found: dict[str, Reach]) -> None:
    """Draws norms and path sums by token, a panel each network."""
    figure, row = axes(len(found), width=3.8)
    for one, (name, reach) in zip(row, found.items(), strict=True):
        curves = {
            "derivative, attention constant": reach.frozen,
            "whole derivative": reach.whole, "path sum": reach.paths,
        }  # fmt: skip
        for colour, (label, values) in zip(COLOURS, curves.items(), strict=False):
            one.semilogy(values / values.sum(), color=colour, label=label)
        one.set_title(name, fontsize=10)
        one.set_xlabel("token")
    row[0].set_ylabel("share of the sum over tokens")
    row[0].legend(frameon=False, fontsize=8)
    study.figure(figure, "over_squashing", "What of each token reaches the last state.")


def _ask(text: str, model: ProbedModel) -> list[Row]:
    norms, paths = _norms(model.jacobian([text])[0]), path_sums(model.attention([text])[0])
    return [{"text": text, "norm": norms.tolist(), "paths": paths.tolist()}]


def _blocks() -> list[Block]:
    return [Block(text, partial(_ask, text)) for text in PROBE_TEXTS]


def _summarise(rows: Sequence[Row], findings: Findings) -> None:
    figure, all_axes = axes(len(rows), width=4.2)
    cells = []
    for one, row in zip(all_axes, rows, strict=True):
        norm, paths = np.array(row["norm"]), np.array(row["paths"])
        share = norm / norm.sum()
        cells.append((
            row["text"][:24], len(share), f"{100 * share[0]:.1f}",
            f"{100 * share[len(share) // 2]:.1f}", f"{100 * share[-1]:.1f}",
            f"{spearman(norm, paths):.2f}",
        ))  # fmt: skip
        one.semilogy(share, color=COLOURS[0], label="derivative")
        one.semilogy(paths / paths.sum(), color=COLOURS[1], label="path sum")
        one.set_xlabel("token")
        one.legend(frameon=False, fontsize=8)
    all_axes[0].set_ylabel("share of the sum over tokens")
    findings.table(
        "The model given: shares of the norm of the derivative, in per cent",
        ("text", "tokens", "first", "middle", "last", "rank correlation with paths"),
        cells,
    )
    findings.figure(figure, "reach_of_the_model", "What of each token reaches the last.")


PROBE = ProbeStudy(TITLE, PAPER, {"jacobian", "attention"}, _blocks, _summarise)
