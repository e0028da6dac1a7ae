"""An agent that searches many games at once, and matches with it.

Shapes: N games.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.alphazero import AlphaZero, HostSearch
from tolman.envs.board.game import Game, HostGame
from tolman.launchers.arena.match import Answer, Side, play_games
from tolman.launchers.arena.recorded import RecordedGame


class AgentSide:
    """An agent, without noise."""

    def __init__(self, agent: AlphaZero, params: Params, num_simulations: int) -> None:
        """The agent of one game.

        Args:
          agent: of a game in JAX or on the host.
          params: of its network.
          num_simulations: for each move; 0 plays the network's policy, in JAX only.
        """
        self.name = f"agent, {num_simulations} simulations"
        self.agent = agent
        self.params = params
        self.num_simulations = num_simulations
        self._state: Any = None

    def start(self, num_games: int, seed: int) -> None:
        del seed
        if isinstance(self.agent.game, Game):
            keys = jax.random.split(jax.random.PRNGKey(0), num_games)
            self._state = _compiled(self.agent, "init")(keys)

    def choose(self, games: Sequence[RecordedGame], which: np.ndarray) -> list[Answer]:
        # Of a pair one game at most is this side's to move. The batch keeps its size: the
        # first of these games stands in for those that are over.
        index = np.full(max(len(games) // 2, len(which)), which[0])
        index[: len(which)] = which
        if self._state is not None:
            chosen = self.moves(jax.tree.map(lambda leaf: leaf[index], self._state))
        else:
            search = self.agent.search
            assert isinstance(search, HostSearch)
            hosts, rng = [games[i].inner for i in index], np.random.default_rng(0)
            moves = np.zeros(len(hosts), np.int32)
            found = search(self.params, rng, hosts, moves, False, self.num_simulations)
            chosen = found.action
        return [int(action) for action in chosen[: len(which)]]

    def follow(self, action: np.ndarray) -> None:
        if self._state is not None:
            self._state = _compiled(self.agent, "step")(self._state, action)

    def moves(self, state: Any) -> np.ndarray:
        """An action in each of `[N, ...]` positions of a game in JAX."""
        compiled = _compiled(self.agent, self.num_simulations)
        return np.asarray(compiled(self.params, state))


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
    pairs = [_opening(start, num_random_moves, rng) for _ in range(num_games // 2)]
    openings = [pairs[index // 2] for index in range(num_games)]
    first = [index % 2 for index in range(num_games)]
    records = play_games(start, (side, opponent), openings, first, (seed, seed))
    for record in records:
        if record.ending != "rules":  # An engine hangs, say.
            loser = record.players[record.outcome.index(-1.0)]
            print(f"{loser} lost a game: {record.detail or record.ending}", flush=True)
    return np.array(
        [record.outcome[one] for record, one in zip(records, first, strict=True)]
    )


def score(results: np.ndarray) -> float:
    """Points a game: 1 for a win, a half for a draw."""
    return float((results.mean() + 1.0) / 2.0)


def _opening(start: HostGame, num_moves: int, rng: np.random.Generator) -> list[str]:
    game = start.new()
    texts: list[str] = []
    for _ in range(num_moves):
        action = int(rng.choice(game.legal_actions()))
        text = game.action_to_text(action)
        game.step(action)
        if game.is_over():
            break
        texts.append(text)
    return texts


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
