"""Where the picture of an environment comes from, and what films it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import dm_env
import jax
import numpy as np

from tolman.envs.adapters import DmEnvAdapter, GymnasiumAdapter
from tolman.envs.checks import fail
from tolman.envs.serial_vector import SerialVector
from tolman.launchers.catalog.environments import EnvironmentSource
from tolman.launchers.catalog.names import Named
from tolman.launchers.film.writer import Film

RENDER_MODE = "rgb_array"
# Gymnasium's simplest environments draw by pygame, which looks for a screen and a speaker,
# and takes SIGTERM for a window that is closed.
HEADLESS = {
    "SDL_NO_SIGNAL_HANDLERS": "1",
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


class Camera(dm_env.Environment):
    """An environment whose first episodes are filmed; it plays as it would without.

    A picture is taken after every `reset` and `step`, in the thread that calls them.

    Attributes:
      environment: what is filmed.
      film: takes the pictures; None for nobody yet.
      fps: steps a second at which the environment is itself; None if it does not tell.
    """

    def __init__(
        self, name: str, environment: dm_env.Environment, num_episodes: int
    ) -> None:
        """Finds out where pictures come from.

        Args:
          name: of the environment, in errors.
          environment: what is filmed.
          num_episodes: to film.

        Raises:
          ValueError: if there is nothing to see.
        """
        self.environment = environment
        picture = find_picture(environment)
        if picture is None:
            environment.close()
            raise nothing_to_see(name)
        self._draw, self._num_left = picture, num_episodes
        self._shape: tuple[int, ...] | None = None
        self.film: Film | None = None
        self.fps = find_speed(environment)

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
        if self._num_left and self.film is not None:
            self.film.add(self.picture(timestep))
            self._num_left -= timestep.last()
        return timestep

    def picture(self, timestep: dm_env.TimeStep) -> np.ndarray:
        """The picture after a time step, `[H, W, 3]` uint8.

        Raises:
          ConformanceError: if it is none, or has another size than the first.
        """
        picture = np.asarray(self._draw(timestep))
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


class FilmedSource:
    """One environment of the host that draws pictures, if it can, behind a camera.

    Attributes:
      camera: in front of it.
    """

    def __init__(
        self, source: EnvironmentSource, seed: int, num_episodes: int, timeout: float = 60.0
    ) -> None:
        """Builds the environment.

        Args:
          source: of it; see `make_drawing`.
          seed: of its chance.
          num_episodes: to film.
          timeout: seconds until a step counts as hung.

        Raises:
          ValueError: if it cannot be built from its settings, or if there is nothing to
            see.
        """
        self._source, self._num_episodes = source, num_episodes
        self.camera: Any = None
        name = source.named.name
        self._vector = SerialVector(self._make, 1, seed, name, timeout_seconds=timeout)

    def observation_spec(self) -> Any:
        return self._vector.observation_spec()

    def action_spec(self) -> Any:
        return self._vector.action_spec()

    def roll(self, film: Film) -> SerialVector:
        """The vector of that environment, filmed from now on at its own speed."""
        self.camera.film = film
        film.fps = film.fps or self.camera.fps
        return self._vector

    def close(self) -> None:
        """Closes the environment."""
        self._vector.close()

    def _make(self, seed: int) -> Camera:
        name, environment = self._source.named.name, make_drawing(self._source, seed)
        self.camera = Camera(name, environment, self._num_episodes)
        return self.camera


def make_drawing(source: EnvironmentSource, seed: int) -> dm_env.Environment:
    """Builds one environment of a source, made to draw pictures where its class can.

    Args:
      source: of it. A Gymnasium environment is made with another `render_mode`.
      seed: of its chance.

    Raises:
      ValueError: if it cannot be built from its settings.
    """
    for variable, value in HEADLESS.items():
        os.environ.setdefault(variable, value)
    named, settings = source.named, source.settings
    if RENDER_MODE in _render_modes(named):
        settings = _drawing_settings(settings)
    return EnvironmentSource(named, settings).host_environment(seed)


def _render_modes(named: Named) -> Sequence[str]:
    """In which the environment can draw, as its class says without being built."""
    from tolman.envs.families import Member

    made = named.thing
    if isinstance(made, Member):
        import gymnasium

        gymnasium_id = named.name.rpartition(":")[2]
        spec = gymnasium.registry.get(gymnasium_id)
        made = None if spec is None else spec.entry_point
        if isinstance(made, str):
            made = gymnasium.envs.registration.load_env_creator(made)
    elif not isinstance(made, type):
        made = get_type_hints(made).get("return")
    return (getattr(made, "metadata", None) or {}).get("render_modes") or ()


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


def find_picture(
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


def find_speed(environment: dm_env.Environment) -> float | None:
    """Steps a second at which the environment is itself; None if it does not tell."""
    if isinstance(environment, GymnasiumAdapter):
        return _metadata(environment).get("render_fps")
    if isinstance(environment, DmEnvAdapter):
        return getattr(environment.environment, "frames_per_second", None)
    return getattr(environment, "frames_per_second", None)


def _metadata(environment: GymnasiumAdapter) -> dict[str, Any]:
    return getattr(environment.environment, "metadata", None) or {}


def _drawing_settings(settings: Any) -> Any:
    """The settings with the render mode, or the same where they cannot say it."""
    from tolman.envs.gymnasium_settings import GymnasiumSettings

    if isinstance(settings, GymnasiumSettings):
        keywords = {**settings.parsed_keywords(), "render_mode": RENDER_MODE}
        return dataclasses.replace(settings, keywords=json.dumps(keywords))
    if any(item.name == "render_mode" for item in dataclasses.fields(settings)):
        return dataclasses.replace(settings, render_mode=RENDER_MODE)
    return settings
