"""Rules versus exemplars: how what was learned is carried over to a combination unseen.

Source: Chan et al. 2022, "Transformers generalize differently from information stored in
context vs in weights"; the paradigm is Dasgupta et al. 2022, "Distinguishing rule- and
exemplar-based generalization in learning systems".
"""

from tolman.agents.llm_probe.rule_exemplar.agent import (
    RuleExemplarConfig,
    RuleExemplarLearner,
)
from tolman.agents.llm_probe.rule_exemplar.stimuli import Examples, InContext, InWeights

__all__ = [
    "Examples",
    "InContext",
    "InWeights",
    "RuleExemplarConfig",
    "RuleExemplarLearner",
]
