"""A sequence of environments in one run: the same agent, environment k for N_k env steps.

The learner goes on from one to the next. Each environment has its actors, replay and
counts to itself, so that schedules run over its own share; they begin when its turn comes,
from keys that were drawn at the start, and go on where they stood if it returns. A run that
was broken off anywhere goes on to the same bits.

Shapes: P members, E episodes of an evaluation, B sequences of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Agent, Array, LearnerState, Unroll
from tolman.agents.greedy import greedy
from tolman.agents.tasks import for_task
from tolman.envs.environment import Environment
from tolman.launchers.device.acting import TrainState
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.device.on_device import ENVIRONMENTS, OnDeviceRunner
from tolman.launchers.device.population import PopulationRunner, chosen_devices
from tolman.launchers.runs.build import register_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import Counts
from tolman.launchers.runs.turns import (
    DEFAULT_EPISODES,
    Stretch,
    Turns,
    check_tasks,
    lengths_of,
    no_examples,
    untrained,
)

OnSwitch = Callable[[LearnerState, Any, Array, Array, Array], LearnerState]
SHARED = ("learner", "keys")  # Fields that all environments train in turn.


class Part(NamedTuple):
    """A stretch of a sequence.

    Attributes:
      name: in metrics, `eval/<name>/episode_return`; one that was there before returns.
      environment: what is trained on.
      num_env_steps: for so many, rounded up to whole updates.
    """

    name: str
    environment: Environment
    num_env_steps: int


class SequenceState(NamedTuple):
    """All that a run is: saved and restored whole, it goes on to the same bits.

    Attributes:
      learner: `[P, ...]`.
      keys: `[P, 2]`.
      updates: `[P]` int32, done so far, over all environments.
      places: of each environment, the other fields of its `TrainState`.
    """

    learner: LearnerState
    keys: Array
    updates: Array
    places: tuple[dict[str, Any], ...]


class SequenceRunner(PopulationRunner):
    """Trains a population on environments in turn.

    Attributes:
      parts: the stretches, in order.
      environments: by name, in the order in which they are first met.
    """

    def __init__(
        self,
        agent: Agent,
        parts: Sequence[Part],
        num_members: int = 1,
        devices: Sequence[jax.Device] | None = None,
        num_envs: int = 0,
        num_eval_episodes: int = 0,
        eval_greedy: bool = False,
        on_switch: OnSwitch | None = None,
    ) -> None:
        """Prepares a run; nothing is compiled yet.

        Args:
          agent: what learns.
          parts: the stretches, in order; the specs of all environments agree.
          num_members: P.
          devices: see `PopulationRunner`.
          num_envs: see `OnDeviceRunner`.
          num_eval_episodes: of each environment, with frozen parameters, for every row of
            metrics; 0 for no evaluations.
          eval_greedy: whether evaluations act without exploring.
          on_switch: called between two environments, for one member; None for the agent's
            own, if it has one. See `tolman.agents.tasks`.

        Raises:
          ValueError: if there is no environment, specs differ, or the agent has no room.
        """
        if not parts:
            raise ValueError("parts=(): must hold at least one environment.")
        self.parts = tuple(parts)
        self.environments: dict[str, Environment] = {}
        for part in parts:
            self.environments.setdefault(part.name, part.environment)
        names = [*self.environments]
        check_tasks(agent, self.environments)
        self._places = [names.index(part.name) for part in parts]  # Of each stretch.
        self._runners = [
            OnDeviceRunner(agent, environment, num_members, devices, num_envs)
            for environment in self.environments.values()
        ]
        one = self._runners[0]
        share = (ENVIRONMENTS, one.num_envs)
        super().__init__(agent, num_members, one.unit, one.units_per_update, share, devices)
        lengths, self._totals = lengths_of(
            [part.num_env_steps for part in parts],
            self._places,
            [runner.total_updates for runner in self._runners],
        )
        self._turns = Turns(lengths, num_members)
        self._prepared: set[int] = set()
        self._num_eval_episodes = num_eval_episodes
        self._player: Any = greedy(agent) if eval_greedy else agent
        self._on_switch = on_switch or getattr(agent, "switch", None)
        self._tell = jax.jit(self._told, static_argnums=0)
        self._for_task = jax.jit(
            jax.vmap(lambda params, task: for_task(agent, params, task), (0, None))
        )

    @property
    def num_env_steps(self) -> int:
        """Of the whole sequence."""
        return sum(part.num_env_steps for part in self.parts)

    def total_updates(self, num_units: int) -> int:
        """Those of the whole sequence, whatever is asked."""
        del num_units
        return self._turns.num_updates

    @property
    def task_ends(self) -> tuple[int, ...]:
        """See `tolman.launchers.runs.protocol.Runner`."""
        return self._turns.ends

    def counts(self, state: SequenceState) -> Counts:
        """Sums over the environments."""
        found = [
            runner.counts(_at(state, place)) for place, runner in enumerate(self._runners)
        ]
        return Counts(*map(sum, zip(*found, strict=True)))

    def init(self, keys: Array, hyperparameters: Any = None) -> SequenceState:
        """Starts P members; the first environment begins as in a run of its own."""
        first, *others = (
            runner.init(
                keys
                if place == 0
                else jax.vmap(jax.random.fold_in, (0, None))(keys, place),
                hyperparameters,
            )
            for place, runner in enumerate(self._runners)
        )
        return _whole(first, [_place(state) for state in (first, *others)])

    def place(self, state: SequenceState) -> SequenceState:
        return self._at_all_places(state, "place")

    def prepare(self, state: SequenceState, total_updates: int) -> SequenceState:
        """Compiles the program of the environment under way."""
        del total_updates
        return self._step(state, self._places[self._turns.index(self._done(state))], 0)[0]

    def train(
        self, state: SequenceState, num_updates: int
    ) -> tuple[SequenceState, dict[str, Any]]:
        """Takes `num_updates` updates; see `PopulationRunner.train`.

        Returns:
          The new state, and metrics: `[P]` each, those of the environments under way, the
          `task/index` of the last stretch, and `eval/<name>/episode_return` of all; in the
          first row `untrained/<name>/episode_return` too, before any update.
        """
        number, before = self._num_eval_episodes, dict[str, Any]()
        if num_updates and not self._done(state):
            before = untrained(self.evaluate(state, number))
        state, metrics = self._turns.train(state, num_updates, self._done, self._stretch)
        return state, metrics | before | self.evaluate(state, number)

    def evaluate(self, state: SequenceState, num_episodes: int) -> dict[str, np.ndarray]:
        """`eval/<name>/episode_return` of all environments, means `[P]` of E episodes."""
        found = {}
        for place, (name, environment) in enumerate(self.environments.items()):
            if num_episodes:
                params = self._for_task(state.learner.params, place)
                key = jax.random.fold_in(jax.random.PRNGKey(place), self._done(state))
                played = play_episodes(self._player, environment, params, key, num_episodes)
                found[f"eval/{name}/episode_return"] = played.episode_return.mean(-1)
        return found

    def without_replay(self, state: SequenceState) -> SequenceState:
        return self._at_all_places(state, "without_replay")

    def with_empty_replay(self, state: SequenceState) -> SequenceState:
        return self._at_all_places(state, "with_empty_replay")

    def num_compilations(self) -> int:
        return sum(runner.num_compilations() for runner in self._runners)

    def _at_all_places(self, state: SequenceState, method: str) -> SequenceState:
        changed = [
            getattr(runner, method)(_at(state, place))
            for place, runner in enumerate(self._runners)
        ]
        return _whole(changed[0], [_place(one) for one in changed])

    def _done(self, state: SequenceState) -> int:
        return self.counts(state).updates

    def _stretch(self, state: SequenceState, stretch: Stretch) -> Any:
        place = self._places[stretch.task]
        if stretch.is_first and self._on_switch is not None:
            state = self._switch(state, self._places[stretch.task - 1], place)
        return self._step(state, place, stretch.num_updates)

    def _step(self, state: SequenceState, place: int, num_updates: int) -> Any:
        runner, at = self._runners[place], _at(state, place)
        if place not in self._prepared:
            at = runner.prepare(at, self._totals[place])
            self._prepared.add(place)
        trained, metrics = runner.train(at, num_updates)
        places = [*state.places]
        places[place] = _place(trained)
        return _whole(trained, places), metrics

    def _switch(self, state: SequenceState, ended: int, begun: int) -> SequenceState:
        """Tells the agent that one environment follows another."""
        if ended == begun:
            return state
        runner, at = self._runners[ended], _at(state, ended)
        if not runner.has_data(at):
            raise no_examples([*self.environments][ended])
        learner = self._tell(runner, at, jnp.int32(ended), jnp.int32(begun))
        return self.place(state._replace(learner=learner))

    def _told(
        self, runner: OnDeviceRunner, state: TrainState, ended: Array, begun: Array
    ) -> LearnerState:
        """The learner after a switch; one program, so that only what is read is drawn."""
        keys = jax.vmap(jax.random.fold_in)(state.keys, state.updates)
        pairs = jax.vmap(jax.random.split)(keys)  # [P, 2, 2]
        number = getattr(self.agent, "num_switch_batches", 0) if state.replay else 0
        examples = _draw(runner, state, pairs[:, 0], number) if number else None
        on_switch: Any = self._on_switch
        return jax.vmap(on_switch, (0, 0, 0, None, None))(
            state.learner, examples, pairs[:, 1], ended, begun
        )


def _draw(runner: OnDeviceRunner, state: TrainState, keys: Array, number: int) -> Unroll:
    """`[P, T + 1, B, ...]`, B as large as so many batches."""
    each = jax.vmap(jax.random.split, (0, None), 1)(keys, number)  # [number, P, 2]
    drawn = jax.vmap(lambda keys: runner.draw(state, keys)[1][0])(each)

    def join(tree: Any, axis: int) -> Any:
        """Puts the batches, on axis 0, side by side along an axis."""

        def leaf(leaf: Array) -> Array:
            moved = jnp.moveaxis(leaf, 0, axis - 1)
            return moved.reshape(*leaf.shape[1:axis], -1, *leaf.shape[axis + 1 :])

        return jax.tree.map(leaf, tree)

    return Unroll(*(join(tree, 3) for tree in drawn[:3]), *(join(t, 2) for t in drawn[3:]))


def _at(state: SequenceState, place: int) -> TrainState:
    return TrainState(learner=state.learner, keys=state.keys, **state.places[place])


def _place(state: TrainState) -> dict[str, Any]:
    return {name: v for name, v in state._asdict().items() if name not in SHARED}


def _whole(latest: TrainState, places: Sequence[dict[str, Any]]) -> SequenceState:
    updates = sum(place["updates"] for place in places)
    return SequenceState(latest.learner, latest.keys, updates, tuple(places))


@register_runner("on-device/acts-in-turn")
def make_sequence_runner(job: Job, folder: RunFolder) -> SequenceRunner:
    """Environments in turn, each with acting and learning in one program."""
    del folder
    config = job.config
    num_steps = config.steps_per_task
    assert num_steps is not None  # A job with tasks has it.
    sources = {name: source.environment() for name, source in job.tasks.items()}
    return SequenceRunner(
        job.make_agent(),
        [Part(name, sources[name], num_steps) for name in config.tasks],
        devices=chosen_devices(job),
        num_envs=config.num_envs,
        num_eval_episodes=(
            DEFAULT_EPISODES if config.eval_episodes is None else config.eval_episodes
        ),
        eval_greedy=config.eval_greedy,
    )
