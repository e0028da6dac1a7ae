"""Chess, shogi and Go from zero: what a budget makes of them, in Elo over random play.

The quick setting is a short run with a small tower on one core, Go's of twenty minutes,
those of chess and shogi of an hour and a quarter; strength like the paper's takes its
thousands of accelerators. What must show: losses fall, the rating rises above random play
and the untrained network, and more simulations for a move play better. Players that know
the rules alone, and real engines at set levels where they are installed, are rated in the
same league: they say what the Elo is worth.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
from annotated_types import Ge, MultipleOf

from tolman.agents.alphazero import (
    AlphaZero,
    AlphaZeroConfig,
    GumbelAlphaZeroConfig,
)
from tolman.envs.board.game import HostGame
from tolman.envs.board.openspiel_games import openspiel_game
from tolman.launchers.arena.match import PlayerSide, Side
from tolman.launchers.arena.player import Player
from tolman.launchers.arena.players.uniform import RandomPlayer
from tolman.launchers.arena.ratings import Rating
from tolman.launchers.arena.recorded import RecordedGame
from tolman.launchers.arena.specs import PROTOCOLS, make_player
from tolman.launchers.catalog.games import make_game
from tolman.launchers.studies.alphazero import common, plots
from tolman.launchers.studies.alphazero.league import RANDOM, league, positions_to
from tolman.launchers.studies.alphazero.matches import AgentSide
from tolman.launchers.studies.study import Study

UNTRAINED = "untrained"
SNAPSHOTS = 3  # Beside the untrained network; evenly over training.
SIMULATIONS = (4, 16, 64)  # For a move, of the trained network.
MOST_HOURS = 1e6  # What would take longer is out of reach.


class Setting(NamedTuple):
    """One game's study.

    Attributes:
      game: its name.
      noise_alpha: see `AlphaZeroConfig`.
      paper_games: that the paper's run played.
      quick_positions: that the quick run plays.
      quick_samples: how often the quick run learns from a position.
      quick_value_cost: see `AlphaZeroConfig`.
      quick_games: of each pair of players, even.
      is_faster_on_host: on a CPU, under the rules in C++.
      opponents: names to what `tolman tournament` calls them; engines play where their
        program is found.
      stronger: more of them, for the full setting.
    """

    game: str
    noise_alpha: float
    paper_games: int
    quick_positions: int
    quick_samples: float
    quick_value_cost: float
    quick_games: int
    is_faster_on_host: bool
    opponents: Mapping[str, str]
    stronger: Mapping[str, str]


class Ratings(NamedTuple):
    """Elo, with random play at 0.

    Attributes:
      at: positions played to the rating of the network then; 0 is the untrained one.
      others: in the same league, random play first.
      by_simulations: for a move, of the trained network, in a league of its own.
      over_training: the first two with their intervals, by name.
      thinking: `by_simulations` with intervals.
    """

    at: dict[int, float]
    others: dict[str, float]
    by_simulations: dict[int, float]
    over_training: dict[str, Rating]
    thinking: dict[int, Rating]


@dataclass(frozen=True)
class Options:
    """The budget, where it is not the setting's own.

    Attributes:
      num_positions: to play; 0, here as below, leaves the setting's.
      max_hours: of training, which ends there where it has not come to its end.
      num_simulations: for a move.
      num_filters: of the tower.
      num_blocks: of the tower.
      num_games: of each pair in the leagues; even.
    """

    num_positions: Annotated[int, Ge(0)] = 0
    max_hours: Annotated[float, Ge(0)] = 0.0
    num_simulations: Annotated[int, Ge(0)] = 0
    num_filters: Annotated[int, Ge(0)] = 0
    num_blocks: Annotated[int, Ge(0)] = 0
    num_games: Annotated[int, Ge(0), MultipleOf(2)] = 0


def run_setting(study: Study, setting: Setting, options: Options) -> None:
    """Trains, rates snapshots and numbers of simulations, and says what strength costs."""
    config, num_positions, num_games = _scale(study, setting, options)
    study.settings = {**asdict(config), "positions": num_positions}
    on_host = setting.is_faster_on_host and jax.default_backend() == "cpu"
    start = RecordedGame(openspiel_game(setting.game))  # Engines are told the moves.
    agent = AlphaZero(config, start.inner if on_host else make_game(setting.game))
    marks = [num_positions * n // SNAPSHOTS for n in range(1, SNAPSHOTS)]
    trained = common.train(
        study.folder / "training", agent, num_positions, study.seed,
        options.max_hours * 3600.0 or None, marks,
    )  # fmt: skip
    played = min(round(trained.rows[-1]["env_steps"]), num_positions)
    stages = {**trained.snapshots, played: trained.params}
    agents: dict[int, Side] = {
        when: AgentSide(agent, params, config.num_simulations)
        for when, params in stages.items()
    }
    thinkers: dict[int, Side] = {
        number: AgentSide(agent, trained.params, number) for number in SIMULATIONS
    }
    found = _rate(study, setting, start, agents, thinkers, num_games)
    _check(study, trained.rows, found)
    _report(study, setting, trained, found)


def _rate(
    study: Study,
    setting: Setting,
    start: HostGame,
    agents: Mapping[int, Side],
    thinkers: Mapping[int, Side],
    num_games: int,
) -> Ratings:
    """Plays both leagues."""
    labels = {when: f"{when} positions" if when else UNTRAINED for when in agents}
    random = PlayerSide(RandomPlayer())
    with ExitStack() as engines:
        others: dict[str, Side] = {}
        for name, player in _opponents(study, setting).items():
            others[name] = PlayerSide(player)
            engines.callback(getattr(player, "close", lambda: None))
        sides = {
            RANDOM: random,
            **{labels[when]: agents[when] for when in agents},
            **others,
        }
        file = study.folder / "over_training.json"
        rated = league(sides, start, num_games, study.seed, file)
    words = {number: f"{number} simulations" for number in thinkers}
    sides = {RANDOM: random, **{words[number]: thinkers[number] for number in thinkers}}
    file = study.folder / "by_simulations.json"
    thinking = league(sides, start, num_games, study.seed + 1, file)
    return Ratings(
        {when: rated[label].elo for when, label in labels.items()},
        {name: rated[name].elo for name in (RANDOM, *others)},
        {number: thinking[word].elo for number, word in words.items()},
        {name: rated[name] for name in (*labels.values(), RANDOM, *others)},
        {number: thinking[word] for number, word in words.items()},
    )


def _check(study: Study, rows: list[dict[str, float]], found: Ratings) -> None:
    last = found.at[max(found.at)]
    study.check("Elo over random play", last, "rises", above=100.0)
    claim = "Elo over the untrained network, equal simulations"
    study.check(claim, last - found.at[0], "rises", above=0.0)
    least, most = min(found.by_simulations), max(found.by_simulations)
    gain = found.by_simulations[most] - found.by_simulations[least]
    figure = "2017, figure 2: Elo rises with thinking time"
    study.check(f"Elo of {most} simulations over {least}", gain, figure, above=0.0)
    divergence = _column(rows, "loss/policy_divergence")
    early, late = _ends(divergence, np.ones(len(divergence)))
    claim = "policy divergence, last tenth over first"
    study.check(claim, float(late / early), "falls", below=1.0)
    early, late = _value_error(rows)
    claim = "error of the value in games not learned from yet, last tenth over first"
    study.check(claim, float(late / early), "falls", below=1.0)


def _opponents(study: Study, setting: Setting) -> dict[str, Player]:
    """Those that can play here."""
    players = {}
    specs = {**setting.opponents, **({} if study.quick else setting.stronger)}
    for name, spec in specs.items():
        protocol, _, words = spec.partition(":")
        if protocol in PROTOCOLS:
            program = words.split("?")[0].split()[0]
            path = find_program(program)
            if path is None:
                study.note(f"{name} did not play: {program} is not installed.")
                continue
            spec = f"{protocol}:{path}{words.removeprefix(program)}"
        players[name] = make_player(spec)
    return players


def find_program(name: str) -> str | None:
    """Its path, where it is installed; Debian keeps engines where few shells look."""
    folders = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/games"
    return shutil.which(name, path=folders)


def _scale(
    study: Study, setting: Setting, options: Options
) -> tuple[AlphaZeroConfig, int, int]:
    """The agent, positions to play, and games of each pair."""
    if study.quick:
        num_positions = options.num_positions or setting.quick_positions
        num_games = setting.quick_games
        # One move is worth little more than another in these games: what counts of their
        # values is where they lie between the least and the largest. Where games are long,
        # a tower would sooner remember who won them: there it learns from the policy above
        # all. The last quarter of the updates has a tenth of the rate.
        config: AlphaZeroConfig = replace(
            GumbelAlphaZeroConfig(), num_blocks=2, num_simulations=16,
            num_parallel_games=32, value_cost=setting.quick_value_cost,
            samples_per_position=setting.quick_samples,
            gumbel_scales_values=True, gumbel_value_scale=0.1,
        )  # fmt: skip
        updates = num_positions * config.samples_per_position / config.batch_size
        config = replace(config, learning_rate_drops=(round(0.75 * updates),))
    else:
        config = AlphaZeroConfig(noise_alpha=setting.noise_alpha)
        max_num_moves = make_game(setting.game).info.max_num_moves
        num_positions = setting.paper_games * max_num_moves // 4
        num_positions, num_games = options.num_positions or num_positions, 100
    config = replace(
        config,
        num_simulations=options.num_simulations or config.num_simulations,
        num_filters=options.num_filters or config.num_filters,
        num_blocks=options.num_blocks or config.num_blocks,
    )
    return config, num_positions, options.num_games or num_games


def _column(rows: list[dict[str, float]], name: str) -> np.ndarray:
    """The numbers of the rows that have one."""
    return np.array([row[name] for row in rows if name in row])


def _ends(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The share `part / whole` in the first tenth and the last, `[2]`; NaN of nothing."""
    if not len(part):
        return np.full(2, math.nan)
    tenth = max(len(part) // 10, 1)
    ends = slice(tenth), slice(-tenth, None)
    return np.array([part[end].sum() / whole[end].sum() for end in ends])


def _value_error(rows: list[dict[str, float]]) -> np.ndarray:
    """Over the error of calling every game a draw, early and late, `[2]`."""
    won = 1.0 - _column(rows, "board/draws")
    return _ends(_column(rows, "board/value_error"), won)


def _report(
    study: Study, setting: Setting, trained: common.Trained, found: Ratings
) -> None:
    title = "Elo over training; random play is 0"
    _table(study, title, "player", found.over_training)
    title = "Elo by simulations for a move, at the end; random play is 0"
    _table(study, title, "simulations", found.thinking)
    speed = trained.rows[-1]["env_steps"] / trained.seconds
    lengths = _column(trained.rows, "board/game_length")
    simulations = study.settings["num_simulations"]
    study.note(f"{speed:.1f} positions a second with {simulations} simulations each.")
    if len(lengths):  # Some game has ended.
        hours = setting.paper_games * lengths.mean() / speed / 3600.0
        study.note(
            f"{lengths.mean():.0f} moves a game: as many games as the paper's "
            f"{setting.paper_games / 1e6:.0f} million would take {hours:,.0f} hours here."
        )
        early, late = _value_error(trained.rows)
        study.note(
            f"The value of games not learned from yet erred by {late:.2f} of what it would "
            f"to call them all draws in the last tenth, by {early:.2f} in the first."
        )
    for line in _estimates(found, speed):
        study.note(line)
    plots.ratings(study, found.at, found.others, found.by_simulations)
    plots.losses(study, trained.rows)


def _table(study: Study, title: str, what: str, rated: Mapping[Any, Rating]) -> None:
    rows = [
        [name, f"{r.elo:.0f}", f"{r.low:.0f} to {r.high:.0f}"] for name, r in rated.items()
    ]
    study.table(title, [what, "Elo", "95 % interval"], rows)


def _estimates(found: Ratings, speed: float) -> list[str]:
    """What the strength of those ahead of the network would take, at this speed."""
    trained = {when: elo for when, elo in found.at.items() if when}
    last, lines = trained[max(trained)], []
    for name, elo in found.others.items():
        if elo <= last or len(trained) < 2:
            continue
        hours = positions_to(elo, trained) / speed / 3600.0
        lines.append(
            f"{name}, {elo - last:.0f} Elo ahead: "
            + (
                f"{hours:,.1f} hours of training here, should every doubling of the "
                "positions go on to bring as much."
                if hours < MOST_HOURS
                else "out of reach at this slope."
            )
        )
    return lines
