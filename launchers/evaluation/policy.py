"""A trained policy for an environment of the user's own: `load(run)`."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import draw_noise
from tolman.agents.greedy import greedy as act_greedily
from tolman.envs.actions import clip_action
from tolman.envs.environment import FIRST, MID, TimeStep
from tolman.launchers.evaluation.evaluate import check_plays_alone
from tolman.launchers.runs.restore import named_checkpoint, restore, stored_job


class Policy:
    """The agent of a run at one checkpoint, with its memory; it learns nothing.

    Attributes:
      env_steps: of the checkpoint.
      observation_spec: of what `act` takes, as the run's environment had it.
      action_spec: of what `act` returns.
    """

    def __init__(self, agent: Any, params: Any, specs: Any, env_steps: int, seed: int):
        """Takes parameters of one agent; `seed` is of all chance in its decisions."""
        self.env_steps = env_steps
        self.observation_spec = specs.observation_spec()
        self.action_spec = specs.action_spec()
        self._agents = {False: agent, True: None}
        self._params = params
        self._key = jax.random.PRNGKey(seed)
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Empties the memory: what is seen next opens an episode of a new task.

        Args:
          seed: of all chance from here on; None goes on with the chance there is.
        """
        if seed is not None:
            self._key = jax.random.PRNGKey(seed)
        self._state = self._agents[False].initial_actor_state(1)
        self._is_first = True

    def act(self, observation: Any, reward: float = 0.0, greedy: bool = False) -> Any:
        """Decides, and remembers.

        Args:
          observation: of one environment, as `observation_spec` says.
          reward: that came with it; 0 at the start of an episode. An agent that is fed its
            last reward needs it.
          greedy: take the action that the policy holds best, in place of sampling.

        Returns:
          The action, a NumPy number or array.

        Raises:
          ValueError: for an observation of another shape, or of what is not finite.
        """
        row: Any = (
            np.array([FIRST if self._is_first else MID], np.int32),
            np.array([0.0 if self._is_first else reward], np.float32),
            np.ones(1, np.float32),
            jax.tree.map(_row, self.observation_spec, observation),
            np.array([self._is_first]),
        )
        timestep = TimeStep(*row)
        if greedy and self._agents[True] is None:
            self._agents[True] = act_greedily(self._agents[False])
        action, self._state, self._key = _act(
            self._agents[greedy], self._params, self._key, timestep, self._state
        )
        self._is_first = False
        action = jax.device_get(clip_action(self.action_spec, action))
        return jax.tree.map(lambda leaf: leaf[0], action)


def load(
    run: Path | str, checkpoint: int | None = None, trust: bool = False, seed: int = 0
) -> Policy:
    """The policy of a run, to act wherever its user wants.

    Args:
      run: the run folder, or RUN@best; see `named_checkpoint`.
      checkpoint: env steps of the one to take; None for the last that is sound.
      trust: whether the run's config may name any code; see `catalog.trust`.
      seed: of all chance in the decisions.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: if no checkpoint is sound, or for an agent that does not act in an
        environment.
    """
    run, checkpoint = named_checkpoint(Path(run), checkpoint)
    job = stored_job(run, trust=trust)
    check_plays_alone(run, job)
    if job.kind != "acts":
        raise ValueError(
            f"{run}: agent {job.config.agent!r} learns from examples, and acts nowhere. "
            "Use evaluate."
        )
    with contextlib.closing(job):
        restored = restore(run, checkpoint, job)
    params = restored.params
    if job.config.launcher == "on-device":
        params = jax.tree.map(lambda leaf: leaf[0], params)
    return Policy(restored.agent, params, job.source, restored.env_steps, seed)


def _row(spec: Any, value: Any) -> np.ndarray:
    """A part of an observation as a batch of one.

    Raises:
      ValueError: if it has another shape than its spec, or holds what is not finite.
    """
    array = np.asarray(value, spec.dtype)
    if array.shape != tuple(spec.shape):
        raise ValueError(
            f"observation {spec.name!r}: got shape {list(array.shape)}; must be "
            f"{list(spec.shape)}, as in the environment that the run was trained on."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(
            f"observation {spec.name!r}: got {array[~np.isfinite(array)][0]}; must be "
            "finite. Look for a division by 0 in the environment."
        )
    return array[None]


@partial(jax.jit, static_argnums=0)
def _act(agent: Any, params: Any, key: Any, timestep: TimeStep, state: Any) -> Any:
    key, noise_key = jax.random.split(key)
    noise = draw_noise(agent, noise_key, 1)
    decision, state = agent.act(params, noise, timestep, state)
    return decision.action, state, jnp.asarray(key)
