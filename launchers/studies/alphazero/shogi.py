"""Shogi by self-play from zero: Elo over training, and by simulations for a move."""

from __future__ import annotations

from tolman.launchers.studies.alphazero.large_games import Setting, run_setting
from tolman.launchers.studies.study import Study

TITLE = "Shogi from zero: losses, Elo over random play, and thinking time"
PAPER = "Silver et al. 2017, figures 1 and 2, table S3"
SETTING = Setting("shogi", 0.15, 24_000_000, 40_000, 16)


def run(study: Study) -> None:
    """Runs the study of this game; see `large_games`."""
    run_setting(study, SETTING)
