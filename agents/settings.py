"""What the settings of several agents share; imports no jax."""

from __future__ import annotations

from typing import Literal, Protocol

Torso = Literal["auto", "mlp", "conv", "tiles", "flat"]


class InputSettings(Protocol):
    """The settings that `tolman.agents.recurrent` reads from an agent's config."""

    @property
    def torso(self) -> Torso:
        """What turns an observation into features; "auto": conv for images, else mlp."""
        ...

    @property
    def torso_size(self) -> int:
        """Units of the torso's output, of each tile for "tiles"."""
        ...

    @property
    def use_previous_action(self) -> bool:
        """The last action, one-hot, enters the core."""
        ...

    @property
    def use_previous_reward(self) -> bool:
        """The last reward enters the core."""
        ...
