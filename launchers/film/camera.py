"""Where the picture of an environment comes from, and what films it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

import dm_env
import jax
import numpy as np

from tolman.envs.adapters import GymnasiumAdapter
from tolman.envs.checks import fail
from tolman.launchers.catalog import names
from tolman.launchers.film.writer import Film

RENDER_MODE = "rgb_array"
# Gymnasium's simplest environments draw by pygame, which looks for a screen and a speaker.
HEADLESS = {
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


class Camera(dm_env.Environment):
    """An environment whose first episodes are filmed; it plays as it would without.

    A picture is taken after every `reset` and `step`, in the thread that calls them.

    Attributes:
      environment: what is filmed.
    """

    def __init__(
        self,
        name: str,
        environment: dm_env.Environment,
        film: Film,
        num_episodes: int,
    ) -> None:
        """Finds out where pictures come from.

        Args:
          name: of the environment, in errors.
          environment: what is filmed; `make_drawing` makes it.
          film: takes the pictures; gets the environment's own speed if it has none yet.
          num_episodes: to film.

        Raises:
          ValueError: if there is nothing to see.
        """
        self.environment = environment
        picture = _find_picture(environment)
        if picture is None:
            environment.close()
            raise nothing_to_see(name)
        self._picture, self._film, self._num_left = picture, film, num_episodes
        self._shape: tuple[int, ...] | None = None
        film.fps = film.fps or _find_speed(environment)

    @property
    def new_task(self) -> bool:
        """The latest time step opened a new task; by default every FIRST does."""
        return getattr(self.environment, "new_task", True)

    def reset(self) -> dm_env.TimeStep:
        return self._filmed(self.environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._filmed(self.environment.step(action))

    def observation_spec(self) -> Any:
        return self.environment.observation_spec()

    def action_spec(self) -> Any:
        return self.environment.action_spec()

    def close(self) -> None:
        self.environment.close()

    def _filmed(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        if self._num_left:
            self._film.add(self._checked(self._picture(timestep)))
            self._num_left -= timestep.last()
        return timestep

    def _checked(self, picture: Any) -> np.ndarray:
        picture = np.asarray(picture)
        self._shape = self._shape or picture.shape
        is_coloured = picture.ndim == 3 and picture.shape[-1] == 3
        if picture.dtype != np.uint8 or not is_coloured or picture.shape != self._shape:
            fail(
                "picture",
                f"{picture.dtype} {[*picture.shape]}",
                "uint8 [height, width, 3], of one size throughout",
                "Correct its rendering.",
            )
        return picture


def make_drawing(name: str, settings: Any, seed: int) -> dm_env.Environment:
    """Builds an environment of the host that draws pictures, if it can.

    A Gymnasium environment has to be told when it is made, by its `render_mode`.

    Args:
      name: of the environment.
      settings: of `names.settings_type(name)`.
      seed: of its chance.

    Raises:
      ValueError: if it cannot be built from these settings, or is no environment.
    """
    for variable, value in HEADLESS.items():
        os.environ.setdefault(variable, value)
    environment = names.make_host_environment(name, settings, seed)
    if isinstance(environment, GymnasiumAdapter):
        modes = _metadata(environment).get("render_modes") or ()
        drawing = _drawing_settings(settings)
        if RENDER_MODE in modes and drawing != settings:
            environment.close()
            return names.make_host_environment(name, drawing, seed)
    return environment


def observed_picture(spec: Any) -> Callable[[Any], Any] | None:
    """Takes the picture out of an observation, or of `[..., H, W, 3]` rows of them.

    Args:
      spec: of the observation, a nest.

    Returns:
      A function of the observation; None if none of its arrays is `[H, W, 3]` uint8.
    """
    indices = [
        index
        for index, leaf in enumerate(jax.tree.leaves(spec))
        if leaf.dtype == np.uint8 and len(leaf.shape) == 3 and leaf.shape[-1] == 3
    ]
    if not indices:
        return None
    return lambda observation: jax.tree.leaves(observation)[indices[0]]


def nothing_to_see(name: str) -> ValueError:
    """The error of an environment without a picture."""
    return ValueError(
        f"env {name!r}: there is nothing to see. Give it a method render() that returns "
        "uint8 [height, width, 3] (in Gymnasium: render_mode 'rgb_array' in "
        "metadata['render_modes']), or such an observation; `tolman eval` plays it blind."
    )


def _find_picture(
    environment: dm_env.Environment,
) -> Callable[[dm_env.TimeStep], Any] | None:
    """What makes the picture after a time step; None if nothing does."""
    if isinstance(environment, GymnasiumAdapter):
        is_drawn = getattr(environment.environment, "render_mode", None) == RENDER_MODE
        methods = [environment.environment.render] if is_drawn else []
    else:
        physics = getattr(environment, "physics", None)  # As dm_control has it.
        found = [
            getattr(environment, "frame", None),
            getattr(physics, "render", None),
            getattr(environment, "render", None),
        ]
        methods = [method for method in found if callable(method)]
    if methods:
        return lambda _: methods[0]()
    observed = observed_picture(environment.observation_spec())
    return None if observed is None else lambda timestep: observed(timestep.observation)


def _find_speed(environment: dm_env.Environment) -> float | None:
    """Steps a second at which the environment is itself; None if it does not tell."""
    if isinstance(environment, GymnasiumAdapter):
        return _metadata(environment).get("render_fps")
    return getattr(environment, "frames_per_second", None)


def _metadata(environment: GymnasiumAdapter) -> dict[str, Any]:
    return getattr(environment.environment, "metadata", None) or {}


def _drawing_settings(settings: Any) -> Any:
    """The settings with the render mode, or the same where they cannot say it."""
    from tolman.envs.gymnasium_ids import GymnasiumSettings

    if isinstance(settings, GymnasiumSettings):
        keywords = {**settings.parsed_keywords(), "render_mode": RENDER_MODE}
        return dataclasses.replace(settings, keywords=json.dumps(keywords))
    if any(item.name == "render_mode" for item in dataclasses.fields(settings)):
        return dataclasses.replace(settings, render_mode=RENDER_MODE)
    return settings
