"""What the meta-RL studies share: agents, hyper-parameter samples, selection, baselines.

Shapes: P members of a population, E evaluation episodes, T steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.actor_critic import ActorCritic, Hyperparameters
from tolman.agents.meta_rl import MetaRLConfig, make_meta_rl
from tolman.envs.environment import Environment
from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.device.episodes import Trajectory, play_episodes
from tolman.launchers.evaluation.episodes import EVALUATION
from tolman.launchers.studies.study import Study, Training

CONTROLS: dict[str, dict[str, Any]] = {
    "no reward input": {"use_previous_reward": False},
    "no memory": {"core": "feedforward", "use_previous_action": False},
    "action as notepad": {"core": "feedforward"},
}
EVALUATION_EPISODES = 300  # Section 3.1: "for 300 episodes", weights frozen.


@dataclass(frozen=True)
class Sweep:
    """A hyper-parameter sample, and how much of it is shown.

    In the paper's protocol 100 settings are drawn at random and trained; the best five on
    one half of the evaluation episodes are shown on the other half.

    Attributes:
      num_members: settings drawn, each with a seed of its own.
      num_shown: how many of the best are shown.
      learning_rate: low and high, log-uniform.
      discount: low and high, uniform.
      entropy_cost: low and high, log-uniform.
    """

    num_members: int
    num_shown: int
    learning_rate: tuple[float, float]
    discount: tuple[float, float]
    entropy_cost: tuple[float, float]

    def draw(self, seed: int) -> Hyperparameters:
        """`[P]` of each, from an even cover of each range (Latin hypercube)."""
        rng = np.random.default_rng(seed)

        def cover(low: float, high: float) -> np.ndarray:
            cells = (rng.permutation(self.num_members) + rng.random(self.num_members)) / (
                self.num_members
            )
            return low + cells * (high - low)

        return Hyperparameters(
            learning_rate=jnp.float32(np.exp(cover(*np.log(self.learning_rate)))),
            discount=jnp.float32(cover(*self.discount)),
            entropy_cost=jnp.float32(np.exp(cover(*np.log(self.entropy_cost)))),
        )

    def describe(self) -> dict[str, Any]:
        """For `result.json`."""
        return {
            "settings_drawn": self.num_members,
            "settings_shown": self.num_shown,
            "learning_rate": list(self.learning_rate),
            "discount": list(self.discount),
            "entropy_cost": list(self.entropy_cost),
        }


# Small enough to learn by, and it binds; the studies' ranges of learning rates go with it.
MEASURED_WITH: dict[str, Any] = {"rmsprop_epsilon": 1e-5}


def make_agent(
    environment: Environment, core: str = "lstm", core_size: int = 48, **settings: Any
) -> ActorCritic:
    """The meta-RL agent with a core of `core_size` units; `settings` as in MetaRLConfig."""
    core_config = find(CORE, core).settings_type(hidden_size=core_size)
    return make_meta_rl(
        MetaRLConfig(**{**MEASURED_WITH, **settings}),
        environment.observation_spec(),
        environment.action_spec(),
        make_core(core, core_config),
    )


def train(
    study: Study,
    label: str,
    agent: ActorCritic,
    environment: Environment,
    num_env_steps: int,
    sweep: Sweep,
    num_members: int | None = None,
) -> Training:
    """Trains the settings of a sweep as one population.

    Args:
      study: that it is a stage of.
      label: of the stage, in words.
      agent: of all members.
      environment: that they learn.
      num_env_steps: of each member.
      sweep: of which the settings are drawn.
      num_members: how many of the settings, the first ones; None for all.
    """
    settings = jax.tree.map(lambda drawn: drawn[:num_members], sweep.draw(study.seed))
    name = label.replace(" ", "_").lower()
    count = num_members or sweep.num_members
    return study.train(name, agent, environment, num_env_steps, count, settings)


def evaluate(
    study: Study,
    agent: ActorCritic,
    environment: Environment,
    training: Training,
    record: Callable[[Any], Any] | None = None,
    num_episodes: int = EVALUATION_EPISODES,
) -> Trajectory:
    """Plays held-out tasks with frozen weights; the key is no training key's."""
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), EVALUATION)
    return play_episodes(agent, environment, training.params, key, num_episodes, record)


def select(score: np.ndarray, num_shown: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses members on the first half of the episodes, to be shown on the second.

    Args:
      score: `[P, E]`, larger is better.
      num_shown: members to keep.

    Returns:
      Their indices, best first, and the `[E / 2]` indices of the episodes to show.
    """
    half = score.shape[1] // 2
    first_half = np.nan_to_num(score[:, :half].mean(1), nan=-np.inf)
    return np.argsort(-first_half)[:num_shown], np.arange(half, score.shape[1])
