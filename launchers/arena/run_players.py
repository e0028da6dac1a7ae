"""A trained agent of a run as a player: `RUN@CHECKPOINT?simulations=N&name=NAME`."""

from __future__ import annotations

from pathlib import Path

from tolman.launchers.arena.agent_player import AgentPlayer
from tolman.launchers.arena.player import register_player, split_keys
from tolman.launchers.runs.restore import restore, stored_job

KEYS = ("simulations", "name")


@register_player("RUN@CHECKPOINT")
def make_run_player(spec: str, rest: str) -> AgentPlayer:
    """RUN@CHECKPOINT?KEY=VALUE: a trained agent; the checkpoint's env steps, or last.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: if its agent plays no games, or for an unknown key.
    """
    del rest
    run, _, after = spec.rpartition("@")
    checkpoint, keys = split_keys(spec, after)
    is_number = checkpoint.isascii() and checkpoint.isdigit()
    if not run or not (is_number or checkpoint in ("", "last")):
        raise ValueError(
            f"player {spec!r}: must be RUN@CHECKPOINT with the checkpoint's env steps, or "
            "RUN@last."
        )
    for key in keys:
        if key not in KEYS:
            raise ValueError(
                f"player {spec!r}: key {key!r} is unknown: use one of {', '.join(KEYS)}."
            )
    simulations = keys.get("simulations", "")
    is_count = simulations.isascii() and simulations.isdigit() and len(simulations) < 7
    if "simulations" in keys and not (is_count and int(simulations)):
        raise ValueError(
            f"player {spec!r}: simulations={simulations!r} must be a whole number, "
            "at least 1 and below 1e6."
        )
    job = stored_job(Path(run))
    if job.kind != "plays":
        raise ValueError(
            f"player {spec!r}: agent {job.config.agent!r} plays no board games."
        )
    restored = restore(Path(run), int(checkpoint) if is_number else None, job)
    name = keys.get("name", spec)
    return AgentPlayer(restored.agent, restored.params, int(simulations or 0), name)
