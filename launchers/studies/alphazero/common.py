"""What the AlphaZero studies share: training that resumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from tolman.agents.agent import Params
from tolman.agents.alphazero import AlphaZero
from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.launchers.runs.protocol import Counts
from tolman.launchers.self_play.runner import SelfPlayRunner, SelfPlayState
from tolman.launchers.studies.stages import run_stage

NUM_ROWS = 1000


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
      folder: of the training.
      agent: what learns.
      num_positions: to play.
      seed: of all chance.
      max_seconds: stop earlier where they are used up, after a first row of metrics; None
        never does.
      snapshot_at: positions played after which the parameters are kept too.
    """
    runner, key = SelfPlayRunner(agent), jax.random.PRNGKey(seed)[None]
    untrained = jax.device_get(runner.params(runner.init(key)))
    snapshots = Checkpoints(folder / "snapshots", keep=len(snapshot_at) + 1)
    budget = math.inf if max_seconds is None else max_seconds

    def after_row(state: SelfPlayState, counts: Counts, seconds: float) -> bool:
        for due in snapshot_at:
            if counts.units >= due and due not in snapshots.steps():
                snapshots.save(due, runner.params(state), {})
        return seconds > budget

    done = run_stage(
        folder, runner, key, num_positions, after_row=after_row, num_rows=NUM_ROWS
    )
    kept = {due: snapshots.restore(untrained, due).state for due in snapshots.steps()}
    return Trained(done.params, {0: untrained, **kept}, done.rows, done.seconds)
