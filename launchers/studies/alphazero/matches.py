"""Matches of many games side by side, for agents that search them all at once.

Shapes: N games.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.alphazero import AlphaZero, HostSearch
from tolman.envs.board.game import Game, HostGame
from tolman.launchers.arena.player import Player, PlayerFault, Resigned

FORFEIT = -1  # In place of an action: the game is lost.


class Side(Protocol):
    """Whoever makes the moves of one side in N games."""

    def start(self, num_games: int, seed: int) -> None:
        """N games begin."""
        ...

    def choose(self, hosts: Sequence[HostGame], which: np.ndarray) -> np.ndarray:
        """Actions `[N]`, of which those of the games `which` count; or `FORFEIT`."""
        ...

    def follow(self, action: np.ndarray) -> None:
        """Hears what has been played, `[N]`; of finished games it is of no account."""
        ...


class AgentSide:
    """An agent, without noise."""

    def __init__(self, agent: AlphaZero, params: Params, num_simulations: int) -> None:
        """The agent of one game.

        Args:
          agent: of a game in JAX or on the host.
          params: of its network.
          num_simulations: for each move; 0 plays the network's policy, in JAX only.
        """
        self.agent = agent
        self.params = params
        self.num_simulations = num_simulations
        self._state: Any = None

    def start(self, num_games: int, seed: int) -> None:
        del seed
        if isinstance(self.agent.game, Game):
            keys = jax.random.split(jax.random.PRNGKey(0), num_games)
            self._state = _compiled(self.agent, "init")(keys)

    def choose(self, hosts: Sequence[HostGame], which: np.ndarray) -> np.ndarray:
        action = np.zeros(len(hosts), np.int32)
        if not len(which):
            return action
        # Of a pair one game at most is this side's to move. The batch keeps its size: the
        # first of these games stands in for those that are over.
        index = np.full(max(len(hosts) // 2, len(which)), which[0])
        index[: len(which)] = which
        if self._state is not None:
            chosen = self.moves(jax.tree.map(lambda leaf: leaf[index], self._state))
            action[which] = chosen[: len(which)]
        else:
            search = self.agent.search
            assert isinstance(search, HostSearch)
            games, rng = [hosts[i] for i in index], np.random.default_rng(0)
            moves = np.zeros(len(games), np.int32)
            found = search(self.params, rng, games, moves, False, self.num_simulations)
            action[which] = found.action[: len(which)]
        return action

    def follow(self, action: np.ndarray) -> None:
        if self._state is not None:
            self._state = _compiled(self.agent, "step")(self._state, action)

    def moves(self, state: Any) -> np.ndarray:
        """An action in each of `[N, ...]` positions of a game in JAX."""
        compiled = _compiled(self.agent, self.num_simulations)
        return np.asarray(compiled(self.params, state))


@dataclass(frozen=True)
class PlayerSide:
    """A player of the arena, that plays one game after another."""

    player: Player

    def start(self, num_games: int, seed: int) -> None:
        del num_games
        self.player.reset(seed)

    def choose(self, hosts: Sequence[HostGame], which: np.ndarray) -> np.ndarray:
        action = np.zeros(len(hosts), np.int32)
        for index in which:
            try:
                action[index] = self.player.choose(hosts[index])
            except (PlayerFault, Resigned) as fault:  # An engine that hangs, say.
                print(
                    f"{self.player.name} lost a game: {str(fault) or 'resigned'}",
                    flush=True,
                )
                action[index] = FORFEIT
        return action

    def follow(self, action: np.ndarray) -> None:
        """Does nothing: the games are asked anew each time."""


def play_match(
    side: Side,
    opponent: Side,
    start: HostGame,
    num_games: int,
    seed: int,
    num_random_moves: int = 0,
) -> np.ndarray:
    """Plays N games at once; in each pair both sides have both colours of one opening.

    Args:
      side: whose results these are.
      opponent: the other.
      start: the game under rules on the host, at its start.
      num_games: N, even.
      seed: of openings and chance.
      num_random_moves: drawn uniformly at the start of each pair; not beyond the end.

    Returns:
      `[N]`: 1, 0 or -1 for `side`.
    """
    rng = np.random.default_rng(seed)
    hosts = [start.new() for _ in range(num_games)]
    for one in (side, opponent):
        one.start(num_games, seed)
    colour = np.arange(num_games) % 2  # Of `side`.
    pairs = [_opening(start, num_random_moves, rng) for _ in range(num_games // 2)]
    openings = [pairs[index // 2] for index in range(num_games)]
    forfeited = np.zeros(num_games)  # 1 where the opponent did, -1 where `side` did.
    move_number = 0
    while True:
        going_on = np.array([not host.is_over() for host in hosts]) & (forfeited == 0)
        if not going_on.any():
            break
        forced = np.array([move_number < len(opening) for opening in openings])
        player = np.array([host.to_play() for host in hosts])
        mine = going_on & ~forced & (player == colour)
        others = going_on & ~forced & (player != colour)
        action = np.zeros(num_games, np.int32)
        for one, mask, result in ((side, mine, -1.0), (opponent, others, 1.0)):
            if mask.any():
                action = np.where(mask, one.choose(hosts, np.flatnonzero(mask)), action)
                forfeited[mask & (action == FORFEIT)] = result
        going_on &= forfeited == 0
        for index in np.flatnonzero(forced & going_on):
            action[index] = openings[index][move_number]
        for index in np.flatnonzero(going_on):
            hosts[index].step(int(action[index]))
        for one in (side, opponent):
            one.follow(action)
        move_number += 1
    outcome = [host.outcome()[c] for host, c in zip(hosts, colour, strict=True)]
    return np.where(forfeited != 0, forfeited, outcome)


def score(results: np.ndarray) -> float:
    """Points a game: 1 for a win, a half for a draw."""
    return float((results.mean() + 1.0) / 2.0)


def _opening(start: HostGame, num_moves: int, rng: np.random.Generator) -> list[int]:
    game = start.new()
    actions: list[int] = []
    for _ in range(num_moves):
        action = int(rng.choice(game.legal_actions()))
        game.step(action)
        if game.is_over():
            break
        actions.append(action)
    return actions


_COMPILED: dict[tuple[int, str | int], tuple[AlphaZero, Callable[..., Any]]] = {}


def _compiled(agent: AlphaZero, what: str | int) -> Callable[..., Any]:
    """A program of that agent: "init", "step", or moves by so many simulations."""
    key = (id(agent), what)
    if key not in _COMPILED:
        game = agent.game
        assert isinstance(game, Game)
        programs = {"init": jax.vmap(game.init), "step": jax.vmap(game.step)}
        program = programs[what] if isinstance(what, str) else _mover(agent, what)
        # The agent stays, and so its id.
        _COMPILED[key] = (agent, jax.jit(program))  # type: ignore[arg-type]
    return _COMPILED[key][1]


def _mover(agent: AlphaZero, num_simulations: int) -> Callable[..., Any]:
    game, search = agent.game, agent.search
    assert isinstance(game, Game)

    def searched(params: Params, state: Any) -> Any:
        move_number = jnp.zeros(len(jax.tree.leaves(state)[0]), jnp.int32)
        key: Any = jax.random.PRNGKey(0)  # Nothing is drawn outside self-play.
        return search(params, key, state, move_number, False, num_simulations).action  # type: ignore[arg-type]

    def by_policy(params: Params, state: Any) -> Any:
        logits = agent.network.apply(params, jax.vmap(game.observe)(state)).logits
        return jnp.where(jax.vmap(game.legal)(state), logits, -jnp.inf).argmax(-1)

    return searched if num_simulations else by_policy
