"""Is this an environment that agents can rely on? Names the first violation in one line.

Shapes in this module: T steps.
"""

from __future__ import annotations

from typing import Any

import dm_env

from tolman.envs.checks import fail
from tolman.envs.conformance_host import check_dm_env, check_gymnasium
from tolman.envs.conformance_on_device import check_on_device


def check_environment(environment: Any, num_steps: int = 200, seed: int = 0) -> list[str]:
    """Plays an environment at random and checks what the framework relies on.

    Args:
      environment: on-device, `dm_env.Environment` or `gymnasium.Env`; an instance.
      num_steps: T, the steps that are played.
      seed: of the play.

    Returns:
      What was checked and found in order, a line each; a line that starts with "note:"
      is an observation rather than a promise.

    Raises:
      ConformanceError: at the first violation.
    """
    if isinstance(environment, type):
        fail(
            "environment",
            f"the class {environment.__name__}",
            "an instance",
            "Call it, with its settings.",
        )
    if isinstance(environment, dm_env.Environment):
        return check_dm_env(environment, num_steps, seed)
    if hasattr(environment, "observation_space"):
        return check_gymnasium(environment, num_steps, seed)
    return check_on_device(environment, num_steps, seed)
