"""The work of a run on games that an agent plays against itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.alphazero import AlphaZero
from tolman.envs.board.game import Game, HostGame
from tolman.launchers.arena.agent_player import AgentPlayer
from tolman.launchers.arena.match import play_game
from tolman.launchers.arena.players.uniform import RandomPlayer
from tolman.launchers.cluster.parameter_server import ONLY_TURN
from tolman.launchers.cluster.parameters import ParameterClient
from tolman.launchers.cluster.statistics import RateLimiter
from tolman.launchers.cluster.work import ActorIdentity, Evaluate, TableStatistics
from tolman.launchers.evaluation.episodes import EVALUATION
from tolman.launchers.host.episodes import Episode
from tolman.launchers.host.state import HostState
from tolman.launchers.runs.job import resolve
from tolman.launchers.self_play.open_games import OpenGames
from tolman.launchers.self_play.players import make_player
from tolman.launchers.settings.config import TrainConfig


@dataclass(frozen=True)
class GameWork:
    """See `Work`.

    Attributes:
      config: resolved.
      num_shards: servers that share out the games.
      num_envs: 1: a sequence is one position.
    """

    config: TrainConfig
    num_shards: int
    num_envs: int = 1

    def agent(self) -> AlphaZero:
        return resolve(self.config).make_agent()

    def layout(self, agent: AlphaZero) -> Any:
        from tolman.launchers.cluster.game_tables import GameLayout

        player = make_player(agent, jax.devices()[:1])
        config = agent.config
        return GameLayout(
            player.example(), config.window_games, config.batch_size, player.observe
        )

    def tables(self, agent: AlphaZero) -> list[Any]:
        return self.layout(agent).tables(self.num_shards)

    def acting_loop(
        self,
        actor: ActorIdentity,
        parameters: ParameterClient,
        job: Any = None,
        recognised: Any = None,
    ) -> SelfPlayLoop:
        return SelfPlayLoop(self, actor, parameters)

    def table_statistics(self, client: Any) -> Callable[[], TableStatistics]:
        from tolman.launchers.cluster.game_tables import GameCounter

        return GameCounter(client).statistics

    def evaluator(self, agent: AlphaZero) -> Evaluate:
        return GameEvaluator(agent, self.config.seed).evaluate

    def run_statistics(self) -> GameStatistics:
        return GameStatistics()

    def rate_limiter(self, state: HostState) -> RateLimiter:
        del state
        return RateLimiter(resolve(self.config).make_agent().data)


class SelfPlayLoop:
    """Plays B games of an actor side by side; see `ActingLoop`."""

    def __init__(
        self, work: GameWork, actor: ActorIdentity, parameters: ParameterClient
    ) -> None:
        # Seconds of imports, which the driver would have to wait for too at the top.
        from tolman.launchers.cluster.game_tables import GameWriter, pack_rows

        agent = resolve(work.config).make_agent()
        self._parameters = parameters
        self._player = make_player(agent, jax.devices()[:1])
        self._key, start_key = jax.random.split(actor.key())
        self._games = self._player.start(start_key)
        self._open = OpenGames()
        self._num_iterations = 0
        self._writer = GameWriter(
            parameters.address(actor.number % work.num_shards),
            pack_rows(self._player.example()),
            agent.game.info.max_num_moves,
            parameters.is_closed,
        )
        self.num_steps, self.seconds, self.version = 0, 0.0, -1
        self.turn, self.watch = ONLY_TURN, None

    def unroll(self) -> None:
        """Makes T moves in each game, and writes the games that have ended."""
        self._parameters.wait_while_ahead()
        self.version, params = self._parameters.get()
        began = time.perf_counter()
        key = jax.random.fold_in(self._key, self._num_iterations)
        self._num_iterations += 1
        self._games, moves = self._player.play(params, self._games, key)
        self.num_steps += moves.is_last.size
        self.seconds += time.perf_counter() - began
        for game in self._open.add(moves, self.version):
            self._writer.write(game)

    def take_episodes(self) -> list[Episode]:
        """None: the replays count games, once they have them."""
        return []

    def close(self) -> None:
        self._writer.close()


class GameEvaluator:
    """Plays the newest network against random moves, with both colours in turn."""

    def __init__(self, agent: AlphaZero, seed: int) -> None:
        """Takes the agent, and the seed of its opponent."""
        game = agent.game
        if isinstance(game, Game):
            from tolman.envs.board.jax_as_host import JaxAsHost

            self._game: HostGame = JaxAsHost(game)
        else:
            self._game = game
        self._player = AgentPlayer(agent, None, 0, "agent")
        self._seed = (seed + EVALUATION) % 2**31

    def evaluate(
        self, params: Params, num_games: int, number: int, labels: Sequence[int] = ()
    ) -> dict[str, float]:
        """The mean score of a game, 1 for a win and 0.5 for a draw, and its length."""
        del labels
        self._player.params = params
        opponent, scores, lengths = RandomPlayer(), [], []
        for index in range(num_games):
            is_first = index % 2 == 0
            pair = (self._player, opponent) if is_first else (opponent, self._player)
            seed = self._seed + number * num_games + index
            record = play_game(self._game, pair, seed=seed)
            scores.append(record.score if is_first else 1.0 - record.score)
            lengths.append(len(record.moves))
        return {
            "eval/score_against_random": float(np.mean(scores)),
            "eval/game_length": float(np.mean(lengths)),
        }


class GameStatistics:
    """Means over the games that replays have counted; see `RunStatistics`."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, np.ndarray]] = {}  # By shard: incarnation, totals.
        self._new = np.zeros(5)

    def take_actor(self, report: Any) -> None:
        """Does nothing: a game counts when a replay has it."""

    def take_replay(self, shard: int, incarnation: int, report: Any) -> None:
        totals = np.asarray(report.totals)
        nothing = np.zeros_like(totals)
        before_it, before = self._seen.get(shard, (incarnation, nothing))
        if before_it != incarnation:
            before = nothing
        if totals[0] > before[0]:  # Else it came late.
            self._new += totals - before
            before = totals
        self._seen[shard] = (incarnation, before)

    def metrics(self) -> dict[str, float]:
        new, self._new = self._new, np.zeros_like(self._new)
        num_games, num_moves, points, num_draws, value_errors = new.tolist()
        if not num_games:
            return {"board/new_games": 0.0}
        return {
            "board/new_games": num_games,
            "board/game_length": num_moves / num_games,
            "board/first_player_score": points / num_games,
            "board/draws": num_draws / num_games,
            "board/value_error": value_errors / num_games,
        }
