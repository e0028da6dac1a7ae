"""What the settings of several agents share; imports no jax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge

from tolman.networks.activations import Activation

Torso = Literal["auto", "mlp", "conv", "deep_conv", "tiles", "flat"]
Bounding = Literal["clip", "squash"]
ImageAxes = Literal["auto", "none", "HW", "HWC", "CHW", "NHWC", "NCHW"]


class Preset(NamedTuple):
    """Settings that belong together, for one family of environments.

    The module of an agent's config declares them: `PRESETS = {"atari": Preset(...)}`.

    Attributes:
      summary: one line.
      settings: flat keys, as in a config file: `{"core": "gru", "agent.discount": 0.9}`.
    """

    summary: str
    settings: Mapping[str, Any]


def of_agent(**settings: Any) -> dict[str, Any]:
    """The agent's own settings as flat keys of a preset."""
    return {f"agent.{key}": value for key, value in settings.items()}


@dataclass(frozen=True)
class InputSettings:
    """How an agent's network takes in what it sees; see `tolman.agents.inputs`.

    Attributes:
      reads: the parts of the observation that policy and value read, such as "rgb" or
        "camera.depth"; none for all that are not targets.
      image_axes: the order of an image's axes, where its shape leaves that open: N stacked
        images, H height, W width, C channels; "none" where there are no images.
      torso: "mlp", "conv", "deep_conv" (three layers, of more filters), "tiles" (small
        pictures side by side), "flat" (no layer), or "auto": conv for images, else mlp.
      torso_size: units of the torso's output, of each tile for "tiles". Mnih et al. 2016,
        section 5.1: 256.
      torso_activation: after a layer of "mlp"; convolutions and tiles have "relu".
      use_previous_action: feed the last action to the core, one-hot where it is numbered.
      use_previous_reward: feed the last reward to the core.
    """

    reads: tuple[str, ...] = ()
    image_axes: ImageAxes = "auto"
    torso: Torso = "auto"
    torso_size: Annotated[int, Ge(1)] = 256
    torso_activation: Activation = "relu"
    use_previous_action: bool = True
    use_previous_reward: bool = True
