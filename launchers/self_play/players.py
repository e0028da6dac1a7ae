"""Who plays the games of a run: all on the device, or rules on the host in lockstep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from tolman.agents.agent import Array, Params
from tolman.agents.alphazero import AlphaZero, HostSearch
from tolman.agents.alphazero.search import narrow
from tolman.agents.alphazero.self_play import Games, Moves, play_moves, start_games
from tolman.envs.board.game import Game, HostGame
from tolman.envs.board.planes import Packed, pack, unpack
from tolman.launchers.device.population import make_mesh, share_out

GAMES = "games"  # The axis of a mesh that they are shared out along.


class Player(Protocol):
    """Plays B games side by side; each that ends makes place for a new one.

    Attributes:
      mesh: the devices that share out the games.
    """

    mesh: Mesh

    def start(self, key: Array) -> Any:
        """B games at their start, as arrays for a checkpoint."""
        ...

    def resume(self, games: Any, actions: Sequence[Sequence[int]]) -> None:
        """Takes up games of a checkpoint, in which `actions` have been made so far."""
        ...

    def play(self, params: Params, games: Any, key: Array) -> tuple[Any, Moves]:
        """T moves in each; returns the games, and `[T, B, ...]` moves in NumPy."""
        ...

    def observe(self, position: Any) -> Array:
        """Planes `[n, H, W, C]` of the positions in moves; may be jitted."""
        ...

    def example(self) -> Moves:
        """One row of `Moves`, `[1, ...]`."""
        ...


class DevicePlayer:
    """Rules in JAX: T moves of B games in one program, shared out among devices."""

    def __init__(self, agent: AlphaZero, devices: Sequence[jax.Device]) -> None:
        """Prepares games; devices beyond those that divide them evenly stay idle."""
        self._agent = agent
        config = agent.config
        self.mesh = make_mesh(GAMES, config.num_parallel_games, devices)
        num_moves, by_game = config.moves_per_iteration, PartitionSpec(GAMES)

        def play(params: Params, some: Games, key: Array) -> tuple[Games, Moves]:
            if self.mesh.size > 1:  # Each device's games have chance of their own.
                key = jax.random.fold_in(key, jax.lax.axis_index(GAMES))
            return play_moves(agent, params, some, key, num_moves)

        in_specs = (PartitionSpec(), by_game, PartitionSpec())
        shared = share_out(play, self.mesh, in_specs, (by_game, PartitionSpec(None, GAMES)))
        self._play = jax.jit(shared, donate_argnums=1)

    def start(self, key: Array) -> Games:
        assert isinstance(self._agent.game, Game)
        config = self._agent.config
        return jax.jit(start_games, static_argnums=(0, 1, 3))(
            self._agent.game, config.num_parallel_games, key, config.num_random_moves
        )

    def resume(self, games: Games, actions: Sequence[Sequence[int]]) -> None:
        """Does nothing: the games are in the state."""

    def play(self, params: Params, games: Games, key: Array) -> tuple[Games, Moves]:
        games, moves = self._play(params, games, key)
        return games, jax.device_get(moves)

    def observe(self, position: Any) -> Array:
        game = self._agent.game
        assert isinstance(game, Game)
        return jax.vmap(lambda compacted: game.observe(game.expand(compacted)))(position)

    def example(self) -> Moves:
        key = jax.random.PRNGKey(0)
        params = jax.eval_shape(self._agent.network.init, key)
        games = jax.eval_shape(self.start, key)
        _, moves = jax.eval_shape(self._play, params, games, key)
        return jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape[2:]), leaf.dtype), moves)


class HostPlayer:
    """Rules in Python or C++: B games in lockstep, one network call a simulation."""

    def __init__(self, agent: AlphaZero, devices: Sequence[jax.Device]) -> None:
        self._agent = agent
        self.mesh = make_mesh(GAMES, 1, devices)
        self._games: list[HostGame] = []
        self._openings: list[list[int]] = []  # Of each game, moves drawn at random.
        self._move_number = np.zeros(0, np.int32)

    def start(self, key: Array) -> np.ndarray:
        """Starts them; what a checkpoint needs of them are their moves."""
        rng = np.random.default_rng(np.asarray(key, np.uint32))
        opened = [self._open(rng) for _ in range(self._agent.config.num_parallel_games)]
        self._games = [game for game, _ in opened]
        self._openings = [opening for _, opening in opened]
        self._move_number = np.array([len(o) for o in self._openings], np.int32)
        return self._carried()

    def resume(self, games: Array, actions: Sequence[Sequence[int]]) -> None:
        self.start(jax.random.PRNGKey(0))
        self._openings = [row[row >= 0].tolist() for row in np.asarray(games)]
        for index, opening in enumerate(self._openings):
            made = [*opening, *actions[index]]
            self._games[index] = self._games[index].new()
            for action in made:
                self._games[index].step(action)
            self._move_number[index] = len(made)

    def play(self, params: Params, games: Array, key: Array) -> tuple[np.ndarray, Moves]:
        del games  # They are in this object.
        rng = np.random.default_rng(np.asarray(key, np.uint32))
        rows = [
            self._move(params, rng) for _ in range(self._agent.config.moves_per_iteration)
        ]
        return self._carried(), jax.tree.map(lambda *leaves: np.stack(leaves), *rows)

    def _carried(self) -> np.ndarray:
        """The openings, `[B, num_random_moves]` int32, -1 where they are shorter."""
        width = self._agent.config.num_random_moves
        rows = [opening + [-1] * (width - len(opening)) for opening in self._openings]
        return np.array(rows, np.int32).reshape(len(rows), width)

    def _open(self, rng: np.random.Generator) -> tuple[HostGame, list[int]]:
        """A game past its opening; at its start where the opening would end it."""
        start = self._agent.game
        assert isinstance(start, HostGame)
        game, made = start.new(), []
        for _ in range(rng.integers(self._agent.config.num_random_moves + 1)):
            made.append(int(rng.choice(game.legal_actions())))
            game.step(made[-1])
            if game.is_over():
                return start.new(), []
        return game, made

    def _move(self, params: Params, rng: np.random.Generator) -> Moves:
        search = self._agent.search
        assert isinstance(search, HostSearch)
        found = search(params, rng, self._games, self._move_number, explore=True)
        planes = np.stack([game.observe() for game in self._games])
        player = np.array([game.to_play() for game in self._games], np.int8)
        for game, action in zip(self._games, found.action, strict=True):
            game.step(int(action))
        is_over = np.array([game.is_over() for game in self._games])
        outcome = np.array([game.outcome() for game in self._games], np.float32)
        self._move_number += 1
        for index in np.flatnonzero(is_over):
            self._games[index], self._openings[index] = self._open(rng)
            self._move_number[index] = len(self._openings[index])
        return Moves(
            position=self._stored(planes),
            slots=narrow(found.slots, self._agent.game.info.num_actions),
            weights=np.asarray(found.weights, np.float16),
            value=np.asarray(found.value, np.float32),
            player=player,
            action=np.asarray(found.action, np.int32),
            is_last=is_over,
            outcome=outcome,
        )

    def _stored(self, planes: np.ndarray) -> Packed | np.ndarray:
        """What a replay keeps of `[n, H, W, C]`."""
        if self._agent.game.info.planes_are_masks:
            return pack(planes)
        return planes.astype(np.float16)

    def observe(self, position: Any) -> Array:
        if isinstance(position, Packed):
            return unpack(position, self._agent.game.observation_spec().shape)
        return position.astype(np.float32)

    def example(self) -> Moves:
        spec = self._agent.game.observation_spec()
        slots = np.zeros((1, self._agent.search.num_slots))
        return Moves(
            position=self._stored(np.zeros((1, *spec.shape), np.float32)),
            slots=narrow(slots, self._agent.game.info.num_actions),
            weights=slots.astype(np.float16),
            value=np.zeros(1, np.float32),
            player=np.zeros(1, np.int8),
            action=np.zeros(1, np.int32),
            is_last=np.zeros(1, bool),
            outcome=np.zeros((1, 2), np.float32),
        )


def make_player(agent: AlphaZero, devices: Sequence[jax.Device] | None = None) -> Player:
    """The player that the agent's rules ask for; on all devices where none are named."""
    kind = DevicePlayer if isinstance(agent.game, Game) else HostPlayer
    return kind(agent, jax.devices() if devices is None else devices)
