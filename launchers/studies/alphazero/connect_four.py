"""Connect four by self-play: from nothing to beating rollouts and minimax.

Every figure stands beside that of the untrained network with as many simulations, for a
search alone makes any network look able. The judge of single moves is a solver: how often
does the agent keep the value of a position in which one can lose it?

Minimax of depth 4 plays twice: without an evaluation, where all it knows is who wins within
four moves, and with one that counts the open fours of both sides, which makes it a far
stronger player (0.89 points a game against 100 rollouts).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.alphazero import AlphaZero, GumbelAlphaZeroConfig
from tolman.envs.board.game import Game
from tolman.envs.board.openspiel_games import openspiel_game
from tolman.envs.board.small import ConnectFour
from tolman.launchers.arena.match import PlayerSide
from tolman.launchers.arena.player import Player
from tolman.launchers.arena.players.heuristics import nothing
from tolman.launchers.arena.players.minimax import MinimaxPlayer
from tolman.launchers.arena.players.rollouts import RolloutPlayer
from tolman.launchers.arena.players.solved_positions import load_positions
from tolman.launchers.studies.alphazero import common, plots
from tolman.launchers.studies.alphazero.league import rate_over
from tolman.launchers.studies.alphazero.matches import AgentSide, play_match, score
from tolman.launchers.studies.study import Study

TITLE = "Connect four: self-play against rollouts, minimax and a solver"
PAPER = "Silver et al. 2017; the game is ours, the search Danihelka et al. 2022"

NUM_GAMES, NUM_RANDOM_MOVES = 100, 2
SIMULATIONS = (0, 8, 32, 128)  # For a move; 0 is the policy alone.
OPPONENTS: dict[str, Player] = {
    "100 rollouts": RolloutPlayer(100),
    "minimax 4": MinimaxPlayer(4, nothing),
    "minimax 4, open fours": MinimaxPlayer(4),
}
BARRED = ("100 rollouts", "minimax 4")
KEEPING = "value kept"
Games = dict[str, np.ndarray]  # Results against each opponent, of the agent.
Measured = dict[str, float]  # Points a game against each opponent; and `KEEPING`.


class Setting(NamedTuple):
    """Attributes:
    config: of the agent.
    num_positions: to play.
    num_simulations: for a move, when it is judged.
    score_bar: against each of `BARRED`.
    """

    config: GumbelAlphaZeroConfig
    num_positions: int
    num_simulations: int
    score_bar: float


# Random openings keep games from becoming alike; the last quarter of the updates has a
# tenth of the learning rate.
QUICK = Setting(
    replace(
        GumbelAlphaZeroConfig(), num_random_moves=16, learning_rate_drops=(1_050,)
    ),
    120_000,
    32,
    0.70,
)  # fmt: skip
FULL = Setting(
    replace(
        GumbelAlphaZeroConfig(), num_filters=64, num_random_moves=16,
        window_games=10_000, learning_rate_drops=(5_300, 6_500),
    ),
    600_000,
    128,
    0.90,
)  # fmt: skip


def run(study: Study) -> None:
    """Trains, measures snapshots, more and fewer simulations, and checks the claims."""
    setting = QUICK if study.quick else FULL
    config, num_positions = setting.config, setting.num_positions
    study.settings = {**asdict(config), "positions": num_positions}
    agent = AlphaZero(config, ConnectFour())
    parts = 2 if study.quick else 8
    marks = [num_positions * part // parts for part in range(1, parts)]
    trained = common.train(
        study.folder / "training", agent, num_positions, study.seed, snapshot_at=marks
    )
    simulations = setting.num_simulations
    snapshots = {**trained.snapshots, num_positions: trained.params}
    games = {
        when: play_all(agent, params, simulations, study.seed)
        for when, params in snapshots.items()
    }
    curve = {
        when: measure(games[when], AgentSide(agent, params, simulations))
        for when, params in snapshots.items()
    }
    by_simulations = {
        number: measure(
            play_all(agent, trained.params, number, study.seed),
            AgentSide(agent, trained.params, number),
        )
        for number in SIMULATIONS
    }
    last, untrained = curve[num_positions], curve[0]
    _check(study, setting, last, untrained, by_simulations)
    if not study.quick:
        player = RolloutPlayer(1000)
        far = _against(agent, trained.params, simulations, player, study.seed)
        study.check("points a game against 1000 rollouts", score(far), "none", above=0.599)
        most = SIMULATIONS[-1]
        kept = by_simulations[most][KEEPING]
        claim = f"value kept by {most} simulations"
        study.check(claim, kept, "none; 1000 rollouts: 0.83", above=0.899)
    _report(study, trained, curve, by_simulations, games)


def play_all(agent: AlphaZero, params: Params, num_simulations: int, seed: int) -> Games:
    """Plays all opponents."""
    return {
        name: _against(agent, params, num_simulations, opponent, seed)
        for name, opponent in OPPONENTS.items()
    }


def measure(games: Games, side: AgentSide) -> Measured:
    """Counts the points, and goes through the solved positions."""
    points = {name: score(results) for name, results in games.items()}
    return {**points, KEEPING: keeping_share(side)}


def keeping_share(side: AgentSide) -> float:
    """The share of the solved positions in which the agent's move keeps the value."""
    solved = load_positions()
    game = side.agent.game
    assert isinstance(game, Game)
    play = jax.jit(game.step)
    states = []
    for position in solved:
        state = game.init(jax.random.PRNGKey(0))
        for column in position.moves:
            state = play(state, jnp.int32(int(column) - 1))
        states.append(state)
    batch: Any = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    actions = side.moves(batch).tolist()
    kept = [a in position.keeping for a, position in zip(actions, solved, strict=True)]
    return float(np.mean(kept))


def _against(
    agent: AlphaZero, params: Params, num_simulations: int, player: Player, seed: int
) -> np.ndarray:
    return play_match(
        AgentSide(agent, params, num_simulations),
        PlayerSide(player),
        openspiel_game("connect_four"),
        NUM_GAMES,
        seed,
        NUM_RANDOM_MOVES,
    )


def _check(
    study: Study,
    setting: Setting,
    last: Measured,
    untrained: Measured,
    by_simulations: dict[int, Measured],
) -> None:
    bar = setting.score_bar - 1e-3  # At least, not more than.
    simulations = f"{setting.num_simulations} simulations"
    for opponent in BARRED:
        claim = f"points a game against {opponent}, {simulations}"
        study.check(claim, last[opponent], "none", above=bar)
        claim = f"the same, untrained: {opponent}"
        study.check(claim, untrained[opponent], "none", below=0.3)
    study.check(
        "value kept: trained less untrained network", last[KEEPING] - untrained[KEEPING],
        "none", above=0.1,
    )  # fmt: skip
    most, least = SIMULATIONS[-1], SIMULATIONS[0]
    gain = by_simulations[most]["100 rollouts"] - by_simulations[least]["100 rollouts"]
    study.check(
        f"points against 100 rollouts: {most} simulations less {least}", gain,
        "2017, figure 2: strength rises with thinking time", above=0.0,
    )  # fmt: skip


def _report(
    study: Study,
    trained: common.Trained,
    curve: dict[int, Measured],
    by_simulations: dict[int, Measured],
    games: dict[int, Games],
) -> None:
    columns = [*OPPONENTS, KEEPING]
    study.table(
        "Over training",
        ["positions", *columns],
        [[when, *measured.values()] for when, measured in curve.items()],
    )
    study.table(
        "By simulations for a move, at the end",
        ["simulations", *columns],
        [[number, *measured.values()] for number, measured in by_simulations.items()],
    )
    rated = [
        (when, name, rate_over([float(result) for result in results]))
        for when, played in games.items()
        for name, results in played.items()
    ]
    study.table(
        f"Elo above each opponent, from {NUM_GAMES} games",
        ["positions", "opponent", "Elo", "95 % interval"],
        [
            [when, name, f"{r.elo:.0f}", f"{r.low:.0f} to {r.high:.0f}"]
            for when, name, r in rated
        ],
    )
    speed = trained.rows[-1]["env_steps"] / trained.seconds
    study.note(f"{trained.seconds:.0f} s of training, {speed:.0f} positions a second.")
    plots.strength(study, curve, by_simulations)
    plots.losses(study, trained.rows)
