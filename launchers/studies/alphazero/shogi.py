"""Shogi by self-play from zero: Elo over training, and by simulations for a move."""

from __future__ import annotations

from tolman.launchers.studies.alphazero.large_games import Options, Setting, run_setting
from tolman.launchers.studies.study import Study

TITLE = "Shogi from zero: losses, Elo over random play, and thinking time"
PAPER = "Silver et al. 2017, figures 1 and 2, table S3"
SETTING = Setting(
    game="shogi",
    noise_alpha=0.15,
    paper_games=24_000_000,
    quick_positions=300_000,
    quick_samples=1.0,
    quick_value_cost=0.05,
    quick_games=12,
    is_faster_on_host=True,
    opponents={
        "any move but a mate in one": "greedy",
        "Fairy-Stockfish, skill -20, depth 1": (
            "usi:fairy-stockfish?depth=1&option.Skill Level=-20"
        ),
    },
    stronger={
        "Fairy-Stockfish, skill 0, depth 5": (
            "usi:fairy-stockfish?depth=5&option.Skill Level=0"
        ),
        "Fairy-Stockfish, 1000 nodes": "usi:fairy-stockfish?nodes=1000",
    },
)


def run(study: Study, options: Options) -> None:
    """Runs the study of this game; see `large_games`."""
    run_setting(study, SETTING, options)
