"""A trained agent of a run as a player: `RUN@CHECKPOINT?simulations=N&name=NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tolman.agents.alphazero import AlphaZero
from tolman.launchers.runs.restore import restore
from tolman.launchers.self_play.agent_player import AgentPlayer

KEYS = ("simulations", "name")


def make_run_player(
    run: str, checkpoint: int | None, keys: Mapping[str, str], spec: str
) -> AgentPlayer:
    """The agent of a run.

    Args:
      run: the run folder.
      checkpoint: its env steps; None for the last that is sound.
      keys: `simulations`, for each move, and `name`.
      spec: the player's name, unless `keys` have one.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: if its agent plays no games, or for an unknown key.
    """
    for key in keys:
        if key not in KEYS:
            raise ValueError(
                f"player {spec!r}: key {key!r} is unknown: use one of {', '.join(KEYS)}."
            )
    simulations = keys.get("simulations", "0")
    if not simulations.isdigit():
        raise ValueError(
            f"player {spec!r}: simulations={simulations!r} must be a whole number."
        )
    restored = restore(Path(run), checkpoint)
    agent = restored.runner.agent
    if not isinstance(agent, AlphaZero):
        raise ValueError(
            f"player {spec!r}: agent {restored.config.agent!r} plays no board games."
        )
    return AgentPlayer(agent, restored.params, int(simulations), keys.get("name", spec))
