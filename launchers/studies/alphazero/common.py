"""What the AlphaZero studies share: training that resumes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.alphazero import AlphaZero
from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.launchers.self_play.runner import SelfPlayRunner

SECONDS_BETWEEN_CHECKPOINTS = 60.0


class Trained(NamedTuple):
    """What a training came to.

    Attributes:
      params: of the network, at the end.
      snapshots: positions played so far to parameters, the untrained ones at 0 first.
      rows: one row of metrics for each tenth of a percent of the way, at the most.
      seconds: of training, compilation included.
    """

    params: Params
    snapshots: dict[int, Params]
    rows: list[dict[str, float]]
    seconds: float


def train(
    folder: Path,
    agent: AlphaZero,
    num_positions: int,
    seed: int,
    max_seconds: float | None = None,
    snapshot_at: Sequence[int] = (),
) -> Trained:
    """Trains by self-play, or takes up where an interrupted training stood.

    Args:
      folder: for checkpoints.
      agent: what learns.
      num_positions: to play.
      seed: of all chance.
      max_seconds: stop earlier where they are used up, after a first row of metrics; None
        never does.
      snapshot_at: positions played after which the parameters are kept too.
    """
    runner = SelfPlayRunner(agent, folder / "replay", num_to_keep=1)
    state = runner.init(jax.random.PRNGKey(seed))
    first = _copy(runner.params(state))
    kept = {0: first, **dict.fromkeys(sorted(snapshot_at), first)}
    checkpoints = Checkpoints(folder / "checkpoints", keep=1)
    rows: list[dict[str, float]] = []
    spent, reached = 0.0, [0]
    if checkpoints.latest() is not None:
        restored = checkpoints.restore((state, kept))
        state, kept = restored.state
        state, rows = runner.place(state), restored.metadata["rows"]
        spent, reached = restored.metadata["seconds"], restored.metadata["reached"]
    total = runner.total_updates(num_positions)
    state = runner.prepare(state, total)
    began = saved_at = time.monotonic()

    def seconds() -> float:
        return spent + time.monotonic() - began

    def save() -> None:
        runner.save_replay()
        metadata = {"rows": rows, "seconds": seconds(), "reached": reached}
        checkpoints.save(runner.counts(state).env_steps, (state, kept), metadata)

    step = max(total // 1000, 1)
    while runner.counts(state).updates < total:
        if rows and max_seconds is not None and seconds() > max_seconds:
            break
        done = runner.counts(state).updates
        state, metrics = runner.train(state, min(step, total - done))
        env_steps = runner.counts(state).env_steps
        values = {name: float(value[0]) for name, value in metrics.items()}
        rows.append({"env_steps": env_steps, "seconds": round(seconds(), 1), **values})
        for due in kept:
            if due not in reached and env_steps >= due:
                kept[due] = _copy(runner.params(state))
                reached.append(due)
        if time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
            save()
            saved_at = time.monotonic()
            print(_line(rows[-1]), flush=True)
    save()
    params = _copy(runner.params(state))
    snapshots = {when: kept[when] for when in reached}
    return Trained(params, snapshots, rows, seconds())


def _copy(params: Params) -> Params:
    """In memory of its own: the runner gives away that of its state."""
    return jax.tree.map(np.array, params)


def _line(row: dict[str, float]) -> str:
    shown = {"loss/policy_divergence": "divergence", "loss/value": "value loss"}
    words = [f"{label} {row[name]:.3f}" for name, label in shown.items() if name in row]
    return f"  {row['env_steps']:,.0f} positions in {row['seconds']:.0f} s  " + "  ".join(
        words
    )
