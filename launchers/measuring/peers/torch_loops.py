"""PPO and DQN in PyTorch in the shape of CleanRL's one-file scripts, written plainly.

Tensors of a rollout are made once; environments step in Gymnasium's own vector, in one
process, and games of Atari in EnvPool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn

from tolman.launchers.measuring.peers.settings import DQNSettings, PPOSettings

Part = Callable[[int], None]


def trunk(num_inputs: int, units: int) -> nn.Sequential:
    """Two ReLU layers."""
    layers = nn.Linear(num_inputs, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU()
    return nn.Sequential(*layers)


def screen_trunk(units: int) -> nn.Sequential:
    """Mnih et al. 2016's convolutions of four grey screens, and two ReLU layers."""
    convolutions = (
        nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(),
        nn.Flatten(),
    )  # fmt: skip
    return nn.Sequential(*convolutions, *trunk(32 * 9 * 9, units))


class PolicyValue(nn.Module):
    """A policy and a value on one trunk."""

    def __init__(self, trunk: nn.Module, units: int, num_actions: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.policy = nn.Linear(units, num_actions)
        self.value = nn.Linear(units, 1)

    def forward(self, x: torch.Tensor) -> tuple[Any, torch.Tensor]:
        hidden = self.trunk(x / 255.0 if x.dtype == torch.uint8 else x)
        policy = torch.distributions.Categorical(logits=self.policy(hidden))
        return policy, self.value(hidden)[:, 0]


def make_environments(name: str, number: int) -> gymnasium.vector.SyncVectorEnv:
    """So many copies, with the sum of rewards of each episode."""

    def make() -> gymnasium.Env:
        return gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make(name))

    # No row between two episodes: the next one's first observation stands for the last.
    return gymnasium.vector.SyncVectorEnv(
        [make] * number, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP
    )


def sizes(envs: gymnasium.vector.SyncVectorEnv) -> tuple[int, int]:
    """The numbers of inputs and of actions."""
    seen: Any = envs.single_observation_space
    done: Any = envs.single_action_space
    return int(np.prod(seen.shape)), int(done.n)


def count(module: nn.Module) -> int:
    """The number of weights."""
    return sum(leaf.numel() for leaf in module.parameters())


def ppo(environment: str, settings: PPOSettings) -> tuple[Part, int]:
    """Returns what takes so many updates of PPO, and the number of weights."""
    envs = make_environments(environment, settings.num_envs)
    num_inputs, num_actions = sizes(envs)
    network = PolicyValue(trunk(num_inputs, settings.units), settings.units, num_actions)
    return learner(envs, envs.reset(seed=0)[0], network, settings)


def screens_ppo(environment: str, settings: PPOSettings) -> tuple[Part, int]:
    """The same of a game of Atari, in EnvPool.

    Args:
      environment: `ALE/Name-v5`; EnvPool calls it `Name-v5`.
      settings: of both sides.
    """
    import envpool

    envs = envpool.make(
        environment.removeprefix("ALE/"), env_type="gymnasium",
        num_envs=settings.num_envs, reward_clip=True, seed=0,
    )  # fmt: skip
    network = PolicyValue(
        screen_trunk(settings.units), settings.units, int(envs.action_space.n)
    )
    return learner(envs, envs.reset()[0], network, settings)


def learner(
    envs: Any, start: np.ndarray, network: PolicyValue, settings: PPOSettings
) -> tuple[Part, int]:
    """Returns what takes so many updates of PPO, and the number of weights."""
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate, eps=1e-5)
    length, number = settings.unroll_length, settings.num_envs
    first = torch.tensor(start)
    seen = torch.zeros(length, *first.shape, dtype=first.dtype)
    actions, logs, rewards, dones, values = torch.zeros(5, length, number)
    rng = np.random.default_rng(0)
    now = {"x": first, "done": torch.zeros(number)}

    def collect() -> tuple[torch.Tensor, torch.Tensor]:
        for step in range(length):
            seen[step], dones[step] = now["x"], now["done"]
            with torch.no_grad():
                policy, values[step] = network(now["x"])
                action = policy.sample()
                logs[step] = policy.log_prob(action)
            actions[step] = action
            x, reward, terminated, truncated, _ = envs.step(action.numpy())
            rewards[step] = torch.tensor(reward)
            now["x"] = torch.tensor(x)
            now["done"] = torch.tensor(terminated | truncated, dtype=torch.float32)
        with torch.no_grad():
            after, advantage = network(now["x"])[1], torch.zeros(number)
        advantages = torch.zeros_like(rewards)
        for step in reversed(range(length)):
            goes_on = 1.0 - (now["done"] if step == length - 1 else dones[step + 1])
            after = after if step == length - 1 else values[step + 1]
            error = rewards[step] + settings.discount * after * goes_on - values[step]
            advantage = error + settings.discount * 0.95 * goes_on * advantage
            advantages[step] = advantage
        return advantages, advantages + values

    def learn(advantages: torch.Tensor, targets: torch.Tensor) -> None:
        flat = [seen.reshape(-1, *seen.shape[2:])]
        flat += [leaf.reshape(-1) for leaf in (actions, logs, values, advantages, targets)]
        indices, size = np.arange(length * number), settings.minibatch_size
        for _ in range(settings.num_epochs):
            rng.shuffle(indices)
            for begin in range(0, len(indices), size):
                one = [leaf[indices[begin : begin + size]] for leaf in flat]
                descend(*one)

    def descend(
        x: Any, action: Any, log: Any, value: Any, advantage: Any, target: Any
    ) -> None:
        policy, told = network(x)
        ratio = (policy.log_prob(action) - log).exp()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        clipped = torch.clamp(ratio, 0.8, 1.2)
        policy_loss = torch.max(-advantage * ratio, -advantage * clipped).mean()
        near = value + torch.clamp(told - value, -0.2, 0.2)
        value_loss = torch.max((told - target) ** 2, (near - target) ** 2).mean() / 2
        loss = policy_loss - 0.01 * policy.entropy().mean() + 0.5 * value_loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()

    def take(count: int) -> None:
        for _ in range(count):
            learn(*collect())

    return take, count(network)


def dqn(environment: str, settings: DQNSettings) -> tuple[Part, int]:
    """Returns what steps all environments so often, with double DQN's updates, and the
    number of weights.
    """
    envs = make_environments(environment, settings.num_envs)
    num_inputs, num_actions = sizes(envs)

    def make() -> nn.Sequential:
        return nn.Sequential(
            trunk(num_inputs, settings.units), nn.Linear(settings.units, num_actions)
        )

    network, target = make(), make()
    target.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    capacity, number = settings.capacity, settings.num_envs
    shape = capacity // number, number
    seen, after = np.zeros((2, *shape, num_inputs), np.float32)
    actions, rewards, ends = np.zeros(shape, np.int64), *np.zeros((2, *shape), np.float32)
    rng = np.random.default_rng(0)
    x, _ = envs.reset(seed=0)
    now = {"x": x, "rows": 0, "updates": 0}

    def act() -> None:
        row = now["rows"] % shape[0]
        with torch.no_grad():
            best = network(torch.tensor(now["x"])).argmax(-1).numpy()
        is_random = rng.random(number) < settings.epsilon
        action = np.where(is_random, rng.integers(0, num_actions, number), best)
        x, reward, terminated, _, _ = envs.step(action)
        seen[row], after[row], actions[row] = now["x"], x, action
        rewards[row], ends[row] = reward, terminated
        now["x"], now["rows"] = x, now["rows"] + 1

    def learn() -> None:
        rows = rng.integers(0, min(now["rows"], shape[0]), settings.batch_size)
        copies = rng.integers(0, number, settings.batch_size)
        batch = [leaf[rows, copies] for leaf in (seen, after, actions, rewards, ends)]
        x, y, action, reward, end = map(torch.from_numpy, batch)
        with torch.no_grad():
            best = network(y).argmax(-1, keepdim=True)
            later = target(y).gather(1, best)[:, 0]
            goal = reward + settings.discount * later * (1.0 - end)
        value = network(x).gather(1, action[:, None])[:, 0]
        loss = nn.functional.smooth_l1_loss(value, goal)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        now["updates"] += 1
        if now["updates"] % settings.target_update_period == 0:
            target.load_state_dict(network.state_dict())

    while now["rows"] * number < settings.min_size:
        act()

    def take(count: int) -> None:
        for _ in range(count):
            act()
            for _ in range(settings.updates_per_row):
                learn()

    return take, count(network)
