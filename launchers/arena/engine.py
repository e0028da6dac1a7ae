"""A player as an engine: a protocol of board games on standard input and output."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tolman.launchers.arena.host_games import make_host_game
from tolman.launchers.arena.player import Player
from tolman.launchers.arena.serving import check_protocol, serve
from tolman.launchers.arena.specs import make_player
from tolman.launchers.report.parsing import parse_yaml
from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.launchers.runs.folder import CONFIG, open_run

RUNS = Path("runs")
ON_HOST = "openspiel/"  # Before the name of a game: the same game under other rules.


def serve_engine(game: str, protocol: str, player: str | None = None) -> None:
    """Plays until "quit" or the end of input.

    Args:
      game: its name, or module:attribute.
      protocol: "uci", "usi" or "gtp".
      player: as `tolman.launchers.arena.specs` spells it; None for the newest run of
        that game in `runs/`.

    Raises:
      FileNotFoundError: if there is no such run.
      ValueError: for a game, protocol or player that is unknown, or does not fit.
    """
    start = make_host_game(game.removeprefix(ON_HOST))
    check_protocol(protocol, start.info.name)
    spec = player or newest_run(game)
    if "@" in spec and ":" not in spec:
        open_run(Path(spec.rpartition("@")[0]))  # Before a greeting, if there is none.

    def make() -> Player:
        return make_player(spec)

    with protected_output() as answers:
        serve(protocol, start, make, spec, sys.stdin, answers)


def newest_run(game: str) -> str:
    """The run of that game in `runs/` that was saved last, as a player.

    Raises:
      ValueError: if there is none.
    """
    saved = {}
    for config in RUNS.glob(f"*/{CONFIG}"):
        folder = config.parent / "checkpoints"
        latest = Checkpoints(folder).latest()
        if latest is not None and _plays(config, game):
            saved[(folder / str(latest)).stat().st_mtime] = config.parent
    if not saved:
        raise ValueError(
            f"player: there is no run of {game} with a checkpoint in {RUNS}/. Set "
            "--player, such as RUN@last, random or mcts:100."
        )
    return f"{saved[max(saved)]}@last"


def _plays(config: Path, game: str) -> bool:
    """Whether a file of settings is of a run of that game; a broken one is of none."""
    settings: object = None
    with contextlib.suppress(OSError, ValueError):
        settings = parse_yaml(config.read_text(), config)
    if not isinstance(settings, dict):
        return False
    env = str(settings.get("env", ""))
    return env.removeprefix(ON_HOST) == game.removeprefix(ON_HOST)


@contextlib.contextmanager
def protected_output() -> Iterator[TextIO]:
    """Standard output for one writer alone: what others print goes to standard error."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    stdout, sys.stdout = sys.stdout, sys.stderr
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")  # No byte may stop the reader.
    answers = os.fdopen(own, "w")
    try:
        yield answers
    finally:
        sys.stdout = stdout
        os.dup2(own, 1)
        with contextlib.suppress(BrokenPipeError):
            answers.close()
