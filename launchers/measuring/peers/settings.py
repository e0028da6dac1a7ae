"""What ours and its peers have in common, so that each does the same work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What all agents share.

    Attributes:
      num_envs: copies of the environment.
      units: of two ReLU layers, shared by all heads.
      discount: per step.
    """

    num_envs: int
    units: int = 64
    discount: float = 0.99

    def words(self) -> str:
        """The same for `tolman train`."""
        return f"""--core feedforward --core.hidden-size {self.units}
        --agent.torso-size {self.units} --num-envs {self.num_envs}
        --agent.discount {self.discount}"""


@dataclass(frozen=True)
class PPOSettings(Settings):
    """Attributes:
    unroll_length: decisions of each environment between two updates.
    num_epochs: passes over them.
    minibatch_size: decisions in a gradient step.
    learning_rate: of Adam.
    """

    num_envs: int = 8
    unroll_length: int = 128
    num_epochs: int = 4
    minibatch_size: int = 256
    learning_rate: float = 1e-3

    def words(self) -> str:
        minibatches = self.num_envs * self.unroll_length // self.minibatch_size
        return f"""{super().words()} --agent.batch-size {self.num_envs}
        --agent.unroll-length {self.unroll_length} --agent.num-epochs {self.num_epochs}
        --agent.num-minibatches {minibatches} --agent.learning-rate {self.learning_rate}
        --agent.no-normalize-observations --agent.no-normalize-rewards"""


@dataclass(frozen=True)
class ScreensPPOSettings(PPOSettings):
    """Of a game of Atari."""

    num_envs: int = 16
    units: int = 256
    minibatch_size: int = 512
    learning_rate: float = 2.5e-4


@dataclass(frozen=True)
class A2CSettings(Settings):
    """Attributes:
    unroll_length: decisions of each environment between two updates.
    learning_rate: of RMSProp.
    """

    num_envs: int = 16
    unroll_length: int = 5
    learning_rate: float = 7e-4

    def words(self) -> str:
        return f"""{super().words()} --agent.batch-size {self.num_envs}
        --agent.unroll-length {self.unroll_length}
        --agent.learning-rate {self.learning_rate} --agent.optimizer rmsprop
        --agent.off-policy-correction none --agent.no-use-previous-action
        --agent.no-use-previous-reward"""


@dataclass(frozen=True)
class DQNSettings(Settings):
    """Attributes:
    steps_per_update: environment steps to a gradient step.
    batch_size: transitions in one.
    learning_rate: of Adam.
    epsilon: share of random actions.
    capacity: transitions kept.
    min_size: transitions before the first update.
    target_update_period: updates.
    """

    num_envs: int = 16
    steps_per_update: int = 4
    batch_size: int = 32
    learning_rate: float = 1e-4
    epsilon: float = 0.05
    capacity: int = 100_000
    min_size: int = 1_600
    target_update_period: int = 1_000

    @property
    def updates_per_row(self) -> int:
        """Gradient steps to one step of all environments."""
        return self.num_envs // self.steps_per_update

    def words(self) -> str:
        samples = self.batch_size / self.steps_per_update
        return f"""{super().words()} --agent.unroll-length 1 --agent.n-step 1
        --agent.replay uniform --agent.batch-size {self.batch_size}
        --agent.samples-per-insert {samples} --agent.learning-rate {self.learning_rate}
        --agent.capacity {self.capacity} --agent.min-size {self.min_size}
        --agent.epsilon {self.epsilon} --agent.final-epsilon {self.epsilon}
        --agent.target-update-period {self.target_update_period} --replay memory"""
