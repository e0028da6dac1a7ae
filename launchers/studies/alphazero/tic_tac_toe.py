"""Tic-tac-toe from self-play: perfect play is learned, and not by a broken search.

The network has to draw against a perfect player that picks uniformly among its best moves
(one that always picks the same proves nothing), and its policy alone has to find a best
move in most of the positions where one can go wrong. Two broken twins must fail: in one the
sign of what comes up the tree is lost, in the other the network is asked how a finished
game ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array, Params
from tolman.agents.alphazero import AlphaZero, AlphaZeroConfig, Search
from tolman.agents.alphazero.search import Step, score_step
from tolman.envs.board.openspiel_games import openspiel_game
from tolman.envs.board.small import TicTacToe
from tolman.launchers.arena.match import PlayerSide
from tolman.launchers.arena.players.perfect import PerfectTicTacToe
from tolman.launchers.studies.alphazero import common
from tolman.launchers.studies.alphazero.league import rate_over
from tolman.launchers.studies.alphazero.matches import AgentSide, play_match
from tolman.launchers.studies.alphazero.tic_tac_toe_positions import solve
from tolman.launchers.studies.study import Study

TITLE = "Tic-tac-toe: perfect play from self-play, and two broken searches"
PAPER = "Silver et al. 2017, section 'Methods'; the game is ours"

CONFIG = AlphaZeroConfig(
    num_filters=16, num_blocks=1, value_units=32, num_simulations=25, noise_alpha=1.0,
    num_exploring_moves=9, batch_size=128, optimizer="adam", learning_rate=3e-3,
    learning_rate_drops=(1000,), num_parallel_games=64, moves_per_iteration=9,
    samples_per_position=3.0, window_games=1000, min_positions=1000, use_symmetries=True,
)  # fmt: skip
NUM_SIMULATIONS, NUM_GAMES = 100, 100
QUICK, FULL = (3, 50_000), (5, 200_000)  # Seeds, and positions of each.

Score = Callable[..., Step]


def without_sign(*arguments: Array) -> Step:
    """A broken `score_step`: what is good for one player is good for the other."""
    step = score_step(*arguments)
    return step._replace(discount=jnp.abs(step.discount))


def by_network(
    mover: Array, player: Array, is_over: Array, outcome: Array, value: Array
) -> Step:
    """A broken `score_step`: the network says how a game ended."""
    del is_over, outcome
    discount = jnp.where(mover == player, 1.0, -1.0)
    return Step(jnp.zeros_like(value), discount, value)


TWINS: dict[str, Score] = {"sign lost": without_sign, "ends by network": by_network}


def run(study: Study) -> None:
    """Trains all seeds and a twin of each kind, and plays them."""
    num_seeds, num_positions = QUICK if study.quick else FULL
    study.settings = {**asdict(CONFIG), "positions": num_positions, "seeds": num_seeds}
    players = [(f"seed {n}", n, score_step) for n in range(num_seeds)]
    players += [(name, num_seeds, score) for name, score in TWINS.items()]
    rows, found = [], {}
    for name, number, score in players:
        agent, trained = learn(study, name, study.seed + number, score, num_positions)
        for label, params in (("untrained", trained.snapshots[0]), ("", trained.params)):
            results = against_perfect(agent, params, study.seed)
            draws, losses = int((results == 0).sum()), int((results < 0).sum())
            share = optimal_share(agent, params)
            found[f"{name} {label}".strip()] = (draws, share)
            r = rate_over([float(result) for result in results])
            row = [name, label or "trained", draws, losses, f"{share:.3f}"]
            rows.append([*row, f"{r.elo:.0f}", f"{r.low:.0f} to {r.high:.0f}"])
    study.table(
        f"Against perfect play, {NUM_SIMULATIONS} simulations, {NUM_GAMES} games",
        [
            *("player", "network", "draws", "losses", "best moves of the policy alone"),
            *("Elo, perfect play at 0", "95 % interval"),
        ],
        rows,
    )
    seeds = [found[f"seed {n}"] for n in range(num_seeds)]
    fresh = [found[f"seed {n} untrained"] for n in range(num_seeds)]
    draws, share = np.median(seeds, axis=0)
    study.check("draws of 100 against perfect play", draws, "calibrated", above=95)
    study.check("best moves of the policy alone", share, "calibrated", above=0.8)
    _, before = np.median(fresh, axis=0)
    study.check("the same, untrained; 0.40 is chance", before, "calibrated", below=0.5)
    for name in TWINS:
        draws, share = found[name]
        study.check(f"twin, {name}: draws of 100", draws, "must fail", below=95)
        study.check(f"twin, {name}: best moves", share, "must fail", below=0.8)


def learn(
    study: Study, name: str, seed: int, score: Score, num_positions: int
) -> tuple[AlphaZero, common.Trained]:
    """Trains one agent whose search scores moves by `score`."""
    game = TicTacToe()
    agent = AlphaZero(CONFIG, game)
    if score is not score_step:
        agent.search = Search(game, agent.network.apply, CONFIG, score)
    print(f"Training {name}", flush=True)
    folder = study.folder / "training" / name.replace(" ", "_")
    return agent, common.train(folder, agent, num_positions, seed)


def against_perfect(agent: AlphaZero, params: Params, seed: int) -> np.ndarray:
    """Results of `NUM_GAMES` against perfect play, half of them with each colour."""
    side = AgentSide(agent, params, NUM_SIMULATIONS)
    start = openspiel_game("tic_tac_toe")
    return play_match(side, PlayerSide(PerfectTicTacToe()), start, NUM_GAMES, seed)


def optimal_share(agent: AlphaZero, params: Params) -> float:
    """Of the positions where one can go wrong, those where the policy does not."""
    solved = solve()
    logits = jax.jit(partial(agent.network.apply))(params, solved.observation).logits
    legal = solved.observation.sum(-1).reshape(-1, 9) == 0.0
    best = np.where(legal, np.asarray(logits), -np.inf).argmax(-1)
    return float(solved.optimal[np.arange(len(best)), best].mean())
