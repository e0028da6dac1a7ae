"""The settings of Gymnasium's environments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge

from tolman.envs.settings import parse_object


@dataclass(frozen=True)
class GymnasiumSettings:
    """What `gymnasium.make` is called with.

    Attributes:
      max_episode_steps: after which an episode is truncated; None for the id's own
        limit.
      keywords: of the environment itself, as a JSON object: {"sutton_barto_reward": true}.
      reset_options: the `options` of every `reset`, as a JSON object.
      log_info: names of numbers in the last `info` of an episode that become metrics,
        beside `is_success` and `episode`.
      vectorized: step all copies as one, by the environment's own `vector_entry_point`,
        as CartPole-v1 has.
      use_action_mask: only take actions that `info["action_mask"]` tells to be legal, as
        Taxi-v4 does.
    """

    max_episode_steps: Annotated[int, Ge(1)] | None = None
    keywords: str = "{}"
    reset_options: str = "{}"
    log_info: tuple[str, ...] = ()
    vectorized: bool = False
    use_action_mask: bool = False

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        self.parsed_keywords()
        self.parsed_reset_options()
        if self.vectorized and self.use_action_mask:
            yield "use_action_mask", "off where env.vectorized is on"

    def parsed_keywords(self) -> dict[str, Any]:
        """`keywords` as a dictionary."""
        return parse_object("keywords", self.keywords)

    def parsed_reset_options(self) -> dict[str, Any]:
        """`reset_options` as a dictionary."""
        return parse_object("reset_options", self.reset_options)
