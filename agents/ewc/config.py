"""Settings of elastic weight consolidation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from tolman.agents.dqn.config import DQNConfig
from tolman.agents.settings import Preset, of_agent

Estimator = Literal["exact", "sampled", "empirical", "batch"]
Form = Literal["separate", "online"]


@dataclass(frozen=True)
class ElasticConfig:
    """How an agent holds on to the weights of earlier tasks.

    Attributes:
      strength: lambda, of the penalty lambda / 2 sum F (w - w*)^2. Kirkpatrick et al. 2017
        give none for permuted MNIST; 400 for Atari. It goes with the scale of F, and so
        with the estimator.
      step_size: of the proximal step; None for that of the agent's own optimizer step.
      form: "separate" keeps a penalty around the weights of every task, section 2.1;
        "online" one, around the newest weights, with the sum of all Fishers.
      decay: of the older Fishers at every new task; of the form "online" only.
      max_tasks: tasks whose own terms are kept, so that one that returns has its term
        replaced; 0 where none returns. Each costs two copies of the weights.
      logs_penalty: whether `loss/elastic`, the penalty, is among the metrics. It reads all
        weights once more in every update.
      estimator: of the Fisher diagonal; see `tolman.agents.ewc.fisher`. The paper names
        none.
    """

    strength: Annotated[float, Ge(0)] = 20.0
    step_size: Annotated[float, Gt(0)] | None = None
    form: Form = "separate"
    decay: Annotated[float, Interval(ge=0, le=1)] = 1.0
    max_tasks: Annotated[int, Ge(0)] = 0
    logs_penalty: bool = True
    estimator: Estimator = "exact"

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        """What relates two of them; see `tolman.launchers.settings.bounds`."""
        if self.form == "separate" and self.decay != 1.0:
            yield "decay", "1 where form is separate"
        if self.form == "online" and self.max_tasks:
            yield "max_tasks", "0 where form is online, which keeps no task apart"


@dataclass(frozen=True)
class SequentialConfig(DQNConfig):
    """Settings of Double DQN on tasks in turn; those of `DQNConfig` are of each task.

    Attributes:
      strength: lambda of EWC; 0 holds on to nothing. Kirkpatrick et al. 2017, table S2:
        400. It goes with the scale of the action values, as their Fisher does.
      num_fisher_batches: batches of a task's replay that its Fisher is taken of. Table S2:
        100.
      max_tasks: that there is room for, in biases, gains and penalties: three copies of
        the weights' size each.
    """

    strength: Annotated[float, Ge(0)] = 400.0
    num_fisher_batches: Annotated[int, Ge(1)] = 100
    max_tasks: Annotated[int, Ge(1)] = 10


PRESETS = {
    "small": Preset(
        "the conflicting games, without a memory",
        {
            "core": "feedforward",
            "core.hidden_size": 100,
            **of_agent(
                unroll_length=1,
                n_step=1,
                replay="uniform",
                capacity=20_000,
                min_size=500,
                samples_per_insert=8.0,
                batch_size=32,
                target_update_period=200,
                learning_rate=1e-3,
                optimizer_epsilon=1e-8,
                exploration_share=0.5,
                final_epsilon=0.05,
                image_axes="none",
                torso_size=100,
                strength=100.0,
                num_fisher_batches=16,
                max_tasks=3,
            ),
        },
    ),
}
