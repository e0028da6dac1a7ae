"""What the comparison of cores trains on, and the agents that it trains.

Everything but the core is the same for all of them, the learning settings included: each
tries the same few learning rates, and shows the one that did best in training.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.actor_critic import ActorCritic, ActorCriticConfig, Hyperparameters
from tolman.envs.environment import Environment
from tolman.envs.memory import AssociativeRecall, MemoryLength, TMaze
from tolman.envs.meta_rl import HarlowChoice, IndependentBandit
from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.measuring.matching import match_parameters
from tolman.networks.cores import LSTMConfig

REFERENCE = "lstm"  # Whose network says how many parameters all others get.
REFERENCE_CONFIG = LSTMConfig(hidden_size=48)  # Wang et al. 2016, table 1.

# What the agents of all tasks share. Gradients are clipped because those of thirty steps
# burst at the moment when a memory is found; no schedule, so that curves can be compared.
# One row of an episode pays, so a gradient averaged over all rows is small, and smaller the
# longer the delay: an epsilon that is not far below it decides the size of the step. 1e-5
# inside the root of RMSProp stops all learning at length 300.
AGENT: dict[str, Any] = {
    "batch_size": 32, "gae_lambda": 1.0, "value_cost": 0.5, "entropy_cost": 0.01,
    "final_learning_rate_scale": 1.0, "use_value_rescaling": False,
    "optimizer": "adam", "adam_epsilon": 1e-8, "max_gradient_norm": 1.0, "torso": "flat",
}  # fmt: skip
# No decision but the last has an effect: what earlier ones "earn" is noise, so the
# discount is 0. Without these inputs no action can serve as a notepad.
RECALL = {"discount": 0.0, "use_previous_action": False, "use_previous_reward": False}


@dataclass(frozen=True)
class Task:
    """One task, and how it is learnt and scored.

    Attributes:
      name: shown in tables and figures.
      environment: what is trained on.
      test: what is tested on; None for the same.
      span: steps back that the best policy must look.
      num_decisions: of an episode, the closing row counted.
      num_env_steps: of one member.
      num_episodes: of the test.
      unit: of the score.
      offset: of the score: `offset + scale * return`.
      scale: see `offset`.
      chance: the score of a policy without memory; NaN where it is not known exactly.
      solved: the score from which on the task counts as learnt.
      agent: settings beside `AGENT`.
    """

    name: str
    environment: Environment
    span: int
    num_decisions: int
    num_env_steps: int
    unit: str = "return"
    test: Environment | None = None
    num_episodes: int = 1000
    offset: float = 0.0
    scale: float = 1.0
    chance: float = 0.0
    solved: float = 0.9
    agent: dict[str, Any] = field(default_factory=dict)

    def score(self, episode_return: np.ndarray) -> np.ndarray:
        """What is shown in place of the return."""
        return self.offset + self.scale * episode_return


def t_maze(length: int, num_env_steps: int, num_episodes: int = 1000) -> Task:
    """The corridor of `length` steps."""
    return Task(
        f"T-maze {length}", TMaze(length), length, length + 2, num_env_steps,
        num_episodes=num_episodes, agent=RECALL,
    )  # fmt: skip


def memory_length(length: int, num_env_steps: int, num_episodes: int = 1000) -> Task:
    """The memory chain of `length` steps."""
    return Task(
        f"memory length {length}", MemoryLength(length), length, length + 2, num_env_steps,
        num_episodes=num_episodes, agent=RECALL,
    )  # fmt: skip


def associative_recall(num_env_steps: int) -> Task:
    """Three pairs, six distractors, one question."""
    environment = AssociativeRecall()
    length = environment.num_pairs + environment.num_distractors
    return Task(
        "associative recall", environment, length, length + 2, num_env_steps,
        unit="share right", chance=1 / environment.num_values, agent=RECALL,
    )  # fmt: skip


def bandit(num_env_steps: int, num_arms: int = 5, num_trials: int = 40) -> Task:
    """Arms that must be tried before the best can be held on to."""
    return Task(
        f"bandit of {num_arms} arms", IndependentBandit(num_trials, num_arms), num_trials,
        num_trials + 1, num_env_steps, unit="reward per trial", scale=1 / num_trials,
        chance=float("nan"), solved=0.65, num_episodes=500,
        # Wang et al. 2016, table 1.
        agent={"discount": 0.8, "entropy_cost": 0.05, "value_cost": 0.05},
    )  # fmt: skip


def harlow(num_env_steps: int, num_trials: int = 10) -> Task:
    """Two new pictures an episode; tested on pictures of classes not met in training."""
    environment = HarlowChoice(num_trials)
    return Task(
        "Harlow", environment, num_trials, num_trials + 1, num_env_steps,
        test=replace(environment, split="held_out"), unit="share right", offset=0.5,
        scale=1 / (2 * num_trials), chance=float("nan"), solved=0.85,
        # As in the study of Harlow's task itself.
        agent={
            "discount": 0.3, "entropy_cost": 0.05, "value_cost": 0.4, "batch_size": 16,
            "max_gradient_norm": 40.0, "torso": "tiles", "torso_size": 16,
        },
    )  # fmt: skip


def tasks(quick: bool) -> list[Task]:
    """All tasks of a setting."""
    if quick:
        return [
            t_maze(10, 200_000),
            t_maze(30, 600_000),
            associative_recall(800_000),
            memory_length(20, 400_000),
            bandit(1_000_000),
            harlow(800_000),
        ]
    return [
        t_maze(10, 500_000),
        t_maze(30, 1_500_000),
        t_maze(100, 4_000_000, 500),
        t_maze(300, 9_000_000, 500),
        associative_recall(3_000_000),
        memory_length(10, 500_000),
        memory_length(30, 1_500_000),
        memory_length(100, 4_000_000, 500),
        bandit(3_000_000),
        harlow(3_000_000),
    ]


def core_settings(core: str, span: int) -> Any:
    """A core's settings but for its widths: what it needs to look `span` steps back.

    Gates of `lstm` and `gru` start so that a content decays in `span` steps (Tallec and
    Ollivier 2018), the decays of linear recurrences in times around that;
    windows and stores hold `span` steps.
    """
    config, log_span = find(CORE, core).default_settings(), math.log(span)
    reach: dict[str, dict[str, Any]] = {
        "lstm": {"forget_bias": log_span, "input_bias": -log_span},
        "gru": {"update_bias": -log_span},
        "lru": {"radius_min": span / (span + 3), "radius_max": 1 - 0.03 / span},
        "s5": {"time_step_min": 0.2 / span, "time_step_max": 20 / span},
        "mingru": {"longest_memory": 3 * span},
        "ffm": {"longest_memory": 4 * span},
        "linear_attention": {"shortest_memory": span / 3, "longest_memory": 3 * span},
        "mamba": {"shortest_memory": span / 3, "longest_memory": 3 * span},
        "shm": {"typical_memory": 3 * span},
        "slstm": {"longest_memory": 3 * span},
        "delta_net": {"shortest_memory": span / 3, "longest_memory": 3 * span},
        "attention": {"window": span},
        "stack": {"layers": (f"mingru?longest_memory={3 * span}",) * 2},
        # One layer looks the whole span back; two heads leave more sizes to choose from.
        "gtrxl": {"memory_length": span, "num_layers": 1, "num_heads": 2},
    }
    if core == "memo":
        # Two hops: no task here asks for more than one fact at a time.
        return replace(config, capacity=max(span, config.items_per_fact), max_hops=2)
    return replace(config, **reach.get(core, {}))


class Player(NamedTuple):
    """Attributes:
    agent: the actor-critic with a core.
    config: of the core.
    num_parameters: of the network.
    """

    agent: ActorCritic
    config: Any
    num_parameters: int


def make_player(task: Task, core: str) -> Player:
    """The agent with the named core, as large as with the reference core.

    Raises:
      ValueError: if the name stands for no core, or its size cannot be matched.
    """
    target = _count(_make_agent(task, REFERENCE, REFERENCE_CONFIG))
    matched = match_parameters(
        core,
        core_settings(core, task.span),
        lambda config: _count(_make_agent(task, core, config)),
        target,
    )
    agent = _make_agent(task, core, matched.config)
    return Player(agent, matched.config, matched.num_parameters)


def _make_agent(task: Task, core: str, config: Any) -> ActorCritic:
    settings = {**AGENT, "unroll_length": task.num_decisions, **task.agent}
    return ActorCritic(
        ActorCriticConfig(**settings),
        task.environment.observation_spec(),
        task.environment.action_spec(),
        make_core(core, config),
    )


def _count(agent: ActorCritic) -> int:
    params = jax.eval_shape(agent.network.init, jax.random.PRNGKey(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def make_hyperparameters(
    agent: ActorCritic, learning_rates: tuple[float, ...], num_seeds: int
) -> Hyperparameters:
    """Every learning rate with every seed, `[P]`; member p has rate `p // num_seeds`."""
    rates = jnp.repeat(jnp.float32(learning_rates), num_seeds)
    full = functools.partial(jnp.full_like, rates)
    return Hyperparameters(
        rates, full(agent.config.discount), full(agent.config.entropy_cost)
    )
