"""How a game is played and seen, and which games there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Interval

from tolman.envs.spelling import suggest

# These need two players; ale-py holds them, and registers no id for one player.
TWO_PLAYER_ROMS = {"combat", "joust", "maze_craze", "warlords"}


@dataclass(frozen=True)
class AtariSettings:
    """How a game is played and seen: square grey frames, the last few stacked.

    Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning",
    Methods; Machado et al. 2018, "Revisiting the Arcade Learning Environment: Evaluation
    Protocols and Open Problems for General Agents".
      Departure: the no-op starts of the first and the sticky actions of the second are
      both on: ids ending in -v5 have sticky actions, and the published human scores are
      from no-op starts.

    Attributes:
      frame_skip: frames an action is held for; one step. Mnih 2015: 4.
      max_pool: each pixel is the brighter of the step's last two frames, as some sprites
        are drawn in every other frame only. Mnih 2015.
      side: pixels of a frame, both ways. Mnih 2015: 84.
      stack: frames in an observation, the latest last. Mnih 2015: 4.
      sticky_action_probability: that a frame repeats the action before. Machado 2018:
        0.25; Mnih 2015: 0.
      max_noops: frames without action that a game opens with, drawn from 0 to this.
        Mnih 2015: 30.
      life_loss_ends_episode: a lost life is LAST with discount 0, and the next episode
        goes on in the same game. Mnih 2015: in training only; Machado 2018: never.
      clip_rewards: to -1, 0 and 1. Mnih 2015: in training only.
      full_action_set: all 18 actions rather than those that the game uses.
      max_episode_frames: after which a game is truncated. Mnih 2015: 18,000 (five
        minutes) in evaluation; tables of human scores: 108,000 (thirty).
    """

    frame_skip: Annotated[int, Ge(1)] = 4
    max_pool: bool = True
    side: Annotated[int, Interval(ge=8, le=160)] = 84
    stack: Annotated[int, Ge(1)] = 4
    sticky_action_probability: Annotated[float, Interval(ge=0, le=1)] = 0.25
    max_noops: Annotated[int, Ge(0)] = 30
    life_loss_ends_episode: bool = False
    clip_rewards: bool = True
    full_action_set: bool = False
    max_episode_frames: Annotated[int, Ge(1)] = 108_000

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.max_pool and self.frame_skip < 2:
            yield "frame_skip", "at least 2 with max_pool, which takes two frames a step"

    def for_evaluation(self) -> AtariSettings:
        """The same game, with whole games as episodes and true scores as rewards."""
        return dataclasses.replace(self, life_loss_ends_episode=False, clip_rewards=False)


def check_atari_id(name: str) -> str:
    """The name of the ROM that an id stands for: `ms_pacman` for `ALE/MsPacman-v5`.

    Raises:
      ValueError: for an id that ale-py has no game for.
    """
    from ale_py import roms

    roms_by_id = {
        f"ALE/{rom.title().replace('_', '')}-v5": rom
        for rom in roms.get_all_rom_ids()
        if rom not in TWO_PLAYER_ROMS
    }
    if name not in roms_by_id:
        hint = suggest(name, roms_by_id)
        raise ValueError(
            f"env {name!r} is unknown{hint}: ale-py has {len(roms_by_id)} games, spelled "
            "as ALE/MsPacman-v5."
        )
    return roms_by_id[name]


def rom_path(rom: str) -> str:
    """Where ale-py keeps a ROM."""
    import ale_py
    from ale_py import roms

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return str(roms.get_rom_path(rom))
