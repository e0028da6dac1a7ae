"""Go on 9x9 by self-play from zero: Elo over training, and by simulations for a move."""

from __future__ import annotations

from tolman.launchers.studies.alphazero.large_games import Options, Setting, run_setting
from tolman.launchers.studies.study import Study

TITLE = "Go on 9x9 from zero: losses, Elo over random play, and thinking time"
PAPER = "Silver et al. 2017, figures 1 and 2; on 9x9 the game is ours"
# The rules count every stone that stands: an engine that passes while dead ones are on the
# board loses games to random play.
GNU_GO = (
    "gtp:gnugo --mode gtp --level {} --never-resign --positional-superko --chinese-rules "
    "--capture-all-dead --play-out-aftermath"
)
SETTING = Setting(
    game="go_9x9",
    noise_alpha=0.13,
    paper_games=21_000_000,
    quick_positions=120_000,
    quick_samples=4.0,
    quick_value_cost=1.0,
    quick_games=20,
    is_faster_on_host=False,
    opponents={"100 rollouts": "mcts:100", "GNU Go, level 0": GNU_GO.format(0)},
    stronger={f"GNU Go, level {level}": GNU_GO.format(level) for level in (5, 10)},
)


def run(study: Study, options: Options) -> None:
    """Runs the study of this game; see `large_games`."""
    run_setting(study, SETTING, options)
