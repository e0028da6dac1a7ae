"""A trained agent as a player of the arena."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from tolman.agents.agent import Params
from tolman.agents.alphazero import AlphaZero, HostSearch
from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import Budget, Thought
from tolman.launchers.arena.recorded import innermost

MAX_SIMULATIONS = 50_000  # Where only time bounds a search: its tree must stay in memory.


class AgentPlayer:
    """An agent without noise, by PUCT under whatever rules the match has.

    Attributes:
      name: in tables and records.
      params: of its network.
    """

    def __init__(
        self, agent: AlphaZero, params: Params, num_simulations: int, name: str
    ) -> None:
        """The agent; `num_simulations` for each move, 0 for as many as in training."""
        self.name = name
        self._game = agent.game.info.name
        self.params = params
        self._num_simulations = num_simulations or agent.config.num_simulations
        config = replace(agent.config, search="puct")
        self._search = HostSearch(agent.game.info, agent.network.apply, config)

    def reset(self, seed: int) -> None:
        """Does nothing: there is no chance in it."""

    def choose(self, game: HostGame) -> int:
        return self.think(game, Budget()).action

    def think(self, game: HostGame, budget: Budget) -> Thought:
        """Takes one simulation at least."""
        if game.info.name != self._game:
            raise ValueError(
                f"player {self.name!r}: was trained on {self._game}, not {game.info.name}."
            )
        limit = budget.nodes
        if limit is None:
            is_timed = budget.seconds is not None
            limit = MAX_SIMULATIONS if is_timed else self._num_simulations
        seconds = math.inf if budget.seconds is None else budget.seconds
        deadline = time.monotonic() + seconds
        rng, move_number = np.random.default_rng(0), np.zeros(1, np.int32)
        found = self._search(
            self.params,
            rng,
            [innermost(game)],
            move_number,
            False,
            limit,
            lambda: budget.is_stopped() or time.monotonic() >= deadline,
        )
        return Thought(
            int(found.action[0]), int(found.visits[0].sum()), float(found.value[0])
        )
