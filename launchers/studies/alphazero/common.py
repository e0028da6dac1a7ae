"""What the AlphaZero studies share: training that resumes, and matches side by side.

Shapes: N games.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.alphazero import AlphaZero
from tolman.envs.board.game import Game, HostGame
from tolman.launchers.arena.player import Player
from tolman.launchers.checkpoints import Checkpoints
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
      max_seconds: stop earlier where they are used up; None never does.
      snapshot_at: positions played after which the parameters are kept too.
    """
    runner = SelfPlayRunner(agent, folder / "replay", num_to_keep=1)
    state = runner.init(jax.random.PRNGKey(seed))
    first = jax.device_get(runner.params(state))
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
        if max_seconds is not None and seconds() > max_seconds:
            break
        done = runner.counts(state).updates
        state, metrics = runner.train(state, min(step, total - done))
        env_steps = runner.counts(state).env_steps
        values = {name: float(value[0]) for name, value in metrics.items()}
        rows.append({"env_steps": env_steps, "seconds": round(seconds(), 1), **values})
        for due in kept:
            if due not in reached and env_steps >= due:
                kept[due] = jax.device_get(runner.params(state))
                reached.append(due)
        if time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
            save()
            saved_at = time.monotonic()
            print(_line(rows[-1]), flush=True)
    save()
    params = jax.device_get(runner.params(state))
    snapshots = {when: kept[when] for when in reached}
    return Trained(params, snapshots, rows, seconds())


@dataclass(frozen=True)
class AgentSide:
    """An agent that plays many games at once, without noise.

    Attributes:
      agent: of a game in JAX.
      params: of its network.
      num_simulations: for each move; 0 plays the network's policy.
    """

    agent: AlphaZero
    params: Params
    num_simulations: int

    def moves(self, state: Any) -> np.ndarray:
        """An action in each of `[N, ...]` positions, none of them over."""
        return np.asarray(_choose(self.agent, self.num_simulations)(self.params, state))


def _choose(agent: AlphaZero, num_simulations: int) -> Callable[..., Any]:
    game = agent.game
    assert isinstance(game, Game)

    def searched(params: Params, state: Any) -> Any:
        batch_size = len(jax.tree.leaves(state)[0])
        move_number = jnp.zeros(batch_size, jnp.int32)
        key = jax.random.PRNGKey(0)  # Nothing is drawn outside self-play.
        search: Any = agent.search
        return search(params, key, state, move_number, False, num_simulations).action

    def by_policy(params: Params, state: Any) -> Any:
        logits = agent.network.apply(params, jax.vmap(game.observe)(state)).logits
        legal = jax.vmap(game.legal)(state)
        return jnp.where(legal, logits, -jnp.inf).argmax(-1)

    key = (id(agent), num_simulations)
    if key not in _COMPILED:
        _COMPILED[key] = (agent, jax.jit(searched if num_simulations else by_policy))
    return _COMPILED[key][1]


_COMPILED: dict[tuple[int, int], tuple[AlphaZero, Callable[..., Any]]] = {}


def play_match(
    side: AgentSide,
    opponent: Player,
    start: HostGame,
    num_games: int,
    seed: int,
    num_random_moves: int = 0,
) -> np.ndarray:
    """Plays N games at once; in each pair the agent has both colours from one opening.

    Args:
      side: the agent.
      opponent: plays one game after another.
      start: the same game under rules on the host, at its start.
      num_games: N, even.
      seed: of openings and opponent.
      num_random_moves: drawn uniformly at the start of each pair; not beyond the end.

    Returns:
      `[N]`: 1, 0 or -1 for the agent.
    """
    game = side.agent.game
    assert isinstance(game, Game)
    rng = np.random.default_rng(seed)
    step, init = _stepper(game)
    state = init(jax.random.split(jax.random.PRNGKey(0), num_games))
    hosts = [start.new() for _ in range(num_games)]
    colour = np.arange(num_games) % 2  # Of the agent.
    forced = [_opening(start, num_random_moves, rng) for _ in range(num_games // 2)]
    opponent.reset(seed)
    move_number = 0
    while not all(host.is_over() for host in hosts):
        own = side.moves(state)
        action = np.zeros(num_games, np.int32)
        for index, host in enumerate(hosts):
            if host.is_over():
                continue
            opening = forced[index // 2]
            if move_number < len(opening):
                action[index] = opening[move_number]
            elif host.to_play() == colour[index]:
                action[index] = own[index]
            else:
                action[index] = opponent.choose(host)
            host.step(int(action[index]))
        state = step(state, action)
        move_number += 1
    return np.array([host.outcome()[c] for host, c in zip(hosts, colour, strict=True)])


def score(results: np.ndarray) -> float:
    """Points a game: 1 for a win, a half for a draw."""
    return float((results.mean() + 1.0) / 2.0)


def _opening(start: HostGame, num_moves: int, rng: np.random.Generator) -> list[int]:
    game, actions = start.new(), []
    for _ in range(num_moves):
        action = int(rng.choice(game.legal_actions()))
        game.step(action)
        if game.is_over():
            break
        actions.append(action)
    return actions


def _stepper(game: Game) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return jax.jit(jax.vmap(game.step)), jax.jit(jax.vmap(game.init))


def _line(row: dict[str, float]) -> str:
    shown = {"loss/policy_divergence": "divergence", "loss/value": "value loss"}
    words = [f"{label} {row[name]:.3f}" for name, label in shown.items() if name in row]
    return f"  {row['env_steps']:,.0f} positions in {row['seconds']:.0f} s  " + "  ".join(
        words
    )
