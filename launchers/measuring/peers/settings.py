"""What ours and its peers have in common, so that each does the same work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PPOSettings:
    """Attributes:
    num_envs: copies of the environment.
    unroll_length: decisions of each between two updates.
    num_epochs: passes over them.
    minibatch_size: decisions in a gradient step.
    units: of two ReLU layers that policy and value share.
    learning_rate: of Adam.
    discount: per step.
    """

    num_envs: int = 8
    unroll_length: int = 128
    num_epochs: int = 4
    minibatch_size: int = 256
    units: int = 64
    learning_rate: float = 1e-3
    discount: float = 0.99

    def words(self) -> str:
        """The same for `tolman train ppo`."""
        minibatches = self.num_envs * self.unroll_length // self.minibatch_size
        return f"""--core feedforward --core.hidden-size {self.units}
        --agent.torso-size {self.units} --num-envs {self.num_envs}
        --agent.batch-size {self.num_envs} --agent.unroll-length {self.unroll_length}
        --agent.num-epochs {self.num_epochs} --agent.num-minibatches {minibatches}
        --agent.learning-rate {self.learning_rate} --agent.discount {self.discount}
        --agent.no-normalize-observations --agent.no-normalize-rewards"""


@dataclass(frozen=True)
class A2CSettings:
    """Attributes:
    num_envs: copies of the environment.
    unroll_length: decisions of each between two updates.
    units: of two ReLU layers that policy and value share.
    learning_rate: of RMSProp.
    discount: per step.
    """

    num_envs: int = 16
    unroll_length: int = 5
    units: int = 64
    learning_rate: float = 7e-4
    discount: float = 0.99

    def words(self) -> str:
        """The same for `tolman train actor_critic`."""
        return f"""--core feedforward --core.hidden-size {self.units}
        --agent.torso-size {self.units} --num-envs {self.num_envs}
        --agent.batch-size {self.num_envs} --agent.unroll-length {self.unroll_length}
        --agent.learning-rate {self.learning_rate} --agent.discount {self.discount}
        --agent.optimizer rmsprop --agent.off-policy-correction none
        --agent.no-use-previous-action --agent.no-use-previous-reward"""


@dataclass(frozen=True)
class DQNSettings:
    """Attributes:
    num_envs: copies of the environment.
    steps_per_update: environment steps to a gradient step.
    batch_size: transitions in one.
    units: of two ReLU layers.
    learning_rate: of Adam.
    discount: per step.
    epsilon: share of random actions.
    capacity: transitions kept.
    min_size: transitions before the first update.
    target_update_period: updates.
    """

    num_envs: int = 16
    steps_per_update: int = 4
    batch_size: int = 32
    units: int = 64
    learning_rate: float = 1e-4
    discount: float = 0.99
    epsilon: float = 0.05
    capacity: int = 100_000
    min_size: int = 1_600
    target_update_period: int = 1_000

    @property
    def updates_per_row(self) -> int:
        """Gradient steps to one step of all environments."""
        return self.num_envs // self.steps_per_update

    def words(self) -> str:
        """The same for `tolman train dqn`."""
        samples = self.batch_size / self.steps_per_update
        return f"""--core feedforward --core.hidden-size {self.units}
        --agent.torso-size {self.units} --num-envs {self.num_envs}
        --agent.unroll-length 1 --agent.n-step 1 --agent.replay uniform
        --agent.batch-size {self.batch_size} --agent.samples-per-insert {samples}
        --agent.learning-rate {self.learning_rate} --agent.discount {self.discount}
        --agent.capacity {self.capacity} --agent.min-size {self.min_size}
        --agent.epsilon {self.epsilon} --agent.final-epsilon {self.epsilon}
        --agent.target-update-period {self.target_update_period} --replay memory"""
