"""The runner of self-play: games, their replay and the learner in one process.

One iteration makes T moves in each of B games with the newest network, puts the games that
ended into the replay, and takes the updates that their positions have earned. All chance
comes from the run's key and the number of the iteration, so that a run that was broken off
goes on to the same bits.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from tolman.agents.agent import Array, Params
from tolman.agents.alphazero import AlphaZero, LearnerState, Positions
from tolman.envs.board.game import Game
from tolman.launchers.device.population import is_finite
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import Counts, RoleRow
from tolman.launchers.self_play.open_games import Row
from tolman.launchers.self_play.players import GAMES, make_player
from tolman.launchers.self_play.replay import Finished, Replay

REPLAY = "replay.npz"  # In the folder of a checkpoint.
PLAY, LEARN = 0, 1  # Folded into the key of an iteration.


class SelfPlayState(NamedTuple):
    """What a checkpoint holds, but for the replay, which has a file of its own.

    Attributes:
      learner: of the agent.
      games: under way; only their openings where the rules run on the host.
      key: `[2]`, of all chance.
      iterations: `[]` int64, done so far: the runner's updates.
      env_steps: `[]` int64, moves made so far.
      num_games: `[]` int64, finished so far.
    """

    learner: LearnerState
    games: Any
    key: Array
    iterations: np.ndarray | np.int64
    env_steps: np.ndarray | np.int64
    num_games: np.ndarray | np.int64


class SelfPlayRunner:
    """Trains an AlphaZero by games against itself; see `tolman.launchers.runs.protocol`.

    Attributes:
      agent: what learns; one of its updates is a gradient step, one of the runner's an
        iteration.
      replay: the last games.
    """

    num_members, unit = 1, "env_steps"

    def __init__(
        self, agent: AlphaZero, devices: Sequence[jax.Device] | None = None
    ) -> None:
        """Prepares a run; nothing is compiled yet.

        Args:
          agent: what learns.
          devices: that share out the games, and each batch where they divide it evenly;
            all by default.
        """
        self.agent: Any = agent
        self.replay = Replay(agent.config.window_games)
        self._config = agent.config
        self._player = make_player(agent, devices)
        mesh = self._player.mesh
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._by_game = NamedSharding(mesh, PartitionSpec(GAMES))
        divides = agent.config.batch_size % mesh.size == 0
        batch = self._by_game if divides else self._everywhere
        self._update = jax.jit(
            self._learn,
            donate_argnums=0,
            in_shardings=(self._everywhere, batch, self._everywhere, self._everywhere),
            out_shardings=self._everywhere,
        )
        self._total_updates = 1

    def init(self, keys: Array, hyperparameters: Any = None) -> SelfPlayState:
        del hyperparameters
        carried, learner_key, game_key = jax.random.split(keys[0], 3)
        learner = jax.jit(self.agent.init)(learner_key)
        games = self._player.start(game_key)
        zero = np.int64(0)
        return self.place(SelfPlayState(learner, games, carried, zero, zero, zero))

    def place(self, state: SelfPlayState) -> SelfPlayState:
        return state._replace(
            learner=jax.device_put(state.learner, self._everywhere),
            games=jax.device_put(state.games, self._by_game),
        )

    def prepare(self, state: SelfPlayState, total_updates: int) -> SelfPlayState:
        """Takes up the games under way; programs are compiled when they first run."""
        self._total_updates = max(total_updates, 1)
        if not self.replay.num_inserted:  # What was emptied has given what was learned.
            done = int(state.learner.updates) * self._config.batch_size
            self.replay.num_inserted = math.ceil(done / self._config.samples_per_position)
        if int(state.env_steps):
            self._player.resume(state.games, self.replay.open_actions())
        return state

    def train(
        self, state: SelfPlayState, num_updates: int
    ) -> tuple[SelfPlayState, dict[str, Any]]:
        """Stops early where a loss is not finite; see `PopulationRunner.train`."""
        sums: dict[str, list[Any]] = defaultdict(list)
        finished: list[Finished] = []
        play_seconds = 0.0
        for _ in range(num_updates):
            began = time.perf_counter()
            state, ended = self._iterate_play(state)
            finished.append(ended)
            play_seconds += time.perf_counter() - began
            state = self._iterate_learn(state, sums)
            last = {name: np.asarray(rows[-1])[None] for name, rows in sums.items()}
            if not is_finite(last).all():
                break
        metrics = {name: np.mean(jax.device_get(rows)) for name, rows in sums.items()}
        metrics |= _tell(finished)
        if num_updates:
            moves = len(finished) * self.units_per_update
            metrics["time/self_play_positions_per_second"] = moves / play_seconds
        metrics["board/games"] = float(state.num_games)
        metrics["board/replay_games"] = float(self.replay.num_games)
        metrics["board/replay_positions"] = float(len(self.replay))
        metrics["board/gradient_steps"] = float(state.learner.updates)
        return state, {name: np.array([value]) for name, value in metrics.items()}

    def counts(self, state: SelfPlayState) -> Counts:
        return Counts(int(state.iterations), int(state.env_steps))

    @property
    def units_per_update(self) -> float:
        return self._config.num_parallel_games * self._config.moves_per_iteration

    def total_updates(self, num_units: int) -> int:
        return math.ceil(num_units / self.units_per_update)

    def params(self, state: SelfPlayState) -> Params:
        return jax.device_put(state.learner.params, self._player.mesh.devices.flat[0])

    def save_replay(self, folder: Path) -> None:
        self.replay.save(folder / REPLAY)

    def load_replay(self, folder: Path | None) -> None:
        if folder is None:
            self.replay.clear(self._config.num_parallel_games)
        else:
            self.replay.load(folder / REPLAY, self._player.example())

    def without_replay(self, state: SelfPlayState) -> SelfPlayState:
        return state  # There is no replay in it.

    def with_empty_replay(self, state: SelfPlayState) -> SelfPlayState:
        return state

    def roles(self) -> list[RoleRow]:
        return []

    def describe_devices(self) -> str:
        mesh = self._player.mesh
        return f"{mesh.size} x {mesh.devices.flat[0].device_kind}"

    def close(self) -> None:
        """Does nothing: nothing was started."""

    def _iterate_play(self, state: SelfPlayState) -> tuple[SelfPlayState, Finished]:
        key = _fold(state.key, int(state.iterations), PLAY)
        games, moves = self._player.play(state.learner.params, state.games, key)
        ended = self.replay.add(moves, int(state.learner.updates))
        state = state._replace(
            games=games,
            iterations=np.int64(state.iterations + 1),
            env_steps=np.int64(state.env_steps + moves.is_last.size),
            num_games=np.int64(state.num_games + len(ended.lengths)),
        )
        return state, ended

    def _iterate_learn(self, state: SelfPlayState, sums: dict[str, Any]) -> SelfPlayState:
        """Takes the updates that are due; one for `batch_size` samples of positions."""
        config, learner = self._config, state.learner
        if len(self.replay) < config.min_positions:
            return state
        done = int(learner.updates)
        samples = self.replay.num_inserted * config.samples_per_position
        progress = np.float32(state.iterations / self._total_updates)
        for number in range(done, int(samples / config.batch_size)):
            key = _fold(state.key, number, LEARN)
            rng = np.random.default_rng(np.asarray(key, np.uint32))
            row = self.replay.sample(rng, config.batch_size)
            row_only = row._replace(version=None)
            learner, metrics = self._update(learner, row_only, key, progress)
            for name, value in metrics.items():
                sums[name].append(value)
            sums["time/param_lag"].append(number - row.version.mean())
        return state._replace(learner=learner)

    def _learn(
        self, learner: LearnerState, row: Row, key: Array, progress: Array
    ) -> tuple[LearnerState, dict[str, Array]]:
        positions = Positions(
            self._player.observe(row.position),
            row.slots,
            row.weights.astype(np.float32),
            row.outcome.astype(np.float32),
        )
        learned = self.agent.update(learner, positions, key, progress)
        return learned.learner_state, learned.metrics


def _fold(key: Array, number: int, purpose: int) -> Array:
    return jax.random.fold_in(jax.random.fold_in(key, number), purpose)


def _tell(finished: list[Finished]) -> dict[str, float]:
    """Of the games that ended; nothing where none did."""
    lengths, outcomes, errors = (
        np.concatenate([np.zeros(0), *parts]) for parts in zip(*finished, strict=True)
    )
    if not len(lengths):
        return {}
    return {
        "board/game_length": float(lengths.mean()),
        "board/first_player_score": float((outcomes.mean() + 1.0) / 2.0),
        "board/draws": float((outcomes == 0.0).mean()),
        "board/value_error": float(errors.mean()),
    }


@register_runner("on-device/plays")
def make_self_play_runner(job: Job, folder: RunFolder) -> SelfPlayRunner:
    """Self-play in this process, with rules in JAX or on the host."""
    config = job.config
    for name in ("num_devices", "num_envs"):
        if getattr(config, name):
            raise ValueError(
                f"{name}={getattr(config, name)}: self-play has no such setting. Set "
                "--agent.num-parallel-games."
            )
    del folder
    return SelfPlayRunner(job.make_agent())


@register_runner("local/plays")
def make_host_self_play_runner(job: Job, folder: RunFolder) -> SelfPlayRunner:
    """The same, for rules on the host only."""
    if isinstance(job.source.game(), Game):
        raise ValueError(
            f"game {job.config.env!r}: its rules are in JAX and play on-device. Leave "
            "--launcher out, or name rules on the host (`tolman list games`)."
        )
    return make_self_play_runner(job, folder)
