"""Small language models that are trained here on inferences, and asked `nli_items`."""

from __future__ import annotations

import jax
import numpy as np

from tolman.agents.llm_probe.content_effects.answers import from_preferences
from tolman.agents.llm_probe.content_effects.nli import nli_items
from tolman.agents.llm_probe.content_effects.small_nli import (
    SmallNLI,
    rows_of,
    vocabulary,
)
from tolman.agents.llm_probe.content_effects.statistics import accuracy_by_condition
from tolman.agents.llm_probe.learner import TokenLearner, TokenLearnerConfig
from tolman.launchers.studies.study import Study
from tolman.networks.language import LanguageModelConfig

NUM_UPDATES = 300
NUM_MEMBERS = 2
WORLDS = {"with facts": 0.5, "without facts": 0.0}


def train_and_ask(study: Study) -> None:
    """Trains models with and without facts of the world, and asks what they infer."""
    items, rows = nli_items(), rows_of(nli_items())
    tokens, is_asked = np.asarray(rows.tokens), np.asarray(rows.is_asked)
    size = len(vocabulary())
    config = LanguageModelConfig(vocabulary_size=size, max_length=16, num_layers=2)
    agent = TokenLearner(TokenLearnerConfig(), config)
    answer = jax.jit(jax.vmap(agent.answer, (0, None, None)))
    cells, passed = [], []
    for world, share in WORLDS.items():
        label = f"nli_{world.replace(' ', '_')}"
        fit = study.fit(label, agent, SmallNLI(share), NUM_UPDATES, NUM_MEMBERS)
        logits = answer(fit.params, rows, jax.random.PRNGKey(0)).logits
        log_p = np.asarray(jax.nn.log_softmax(logits))  # [P, 2 N, T - 1, W]
        of_word = np.take_along_axis(log_p, tokens[None, :, 1:, None], 3)[..., 0]
        score = (of_word * is_asked[:, 1:]).sum(-1).reshape(NUM_MEMBERS, -1, 2)
        found = [from_preferences(items, list(one)) for one in score]
        shares = [accuracy_by_condition(items, one.is_right) for one in found]
        conditions = np.array([item.condition for item in items])
        for condition in shares[0]:
            least = min(share[condition] for share in shares)
            claim = f"small model {world}, {condition}: right inferences"
            ceiling = "near ceiling in all conditions"
            passed.append(study.check(claim, least, ceiling, above=0.99))
            sure = [one.confidence[conditions == condition].mean() for one in found]
            cells.append((world, condition, _several([s[condition] for s in shares]),
                          _several(sure)))  # fmt: skip
    study.table(
        "Small language models trained here on comparisons, no pair of which is asked",
        ("world", "condition", "right, each member", "mean confidence, nats"),
        cells,
    )
    if all(passed):
        study.note(
            "The small models infer right whatever they believe: no content effect, as in "
            "the paper on comparisons. Nothing about people or larger models follows."
        )


def _several(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
