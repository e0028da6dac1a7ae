"""A sequence of sources of examples in one run: the same agent, source k for N_k updates.

All are learned from in one compiled program, so they differ in nothing but their arrays.

Shapes: P members, K sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array, LearnerState, Params
from tolman.agents.supervised import SupervisedAgent
from tolman.launchers.device.population import PopulationRunner
from tolman.launchers.device.supervised import Source, SupervisedRunner, TrainState
from tolman.launchers.runs.turns import Stretch, Turns, untrained

OnEnd = Callable[[LearnerState, Any, Array, Array], LearnerState]
Score = Callable[[Params, Any], Array]


class SourcePart(NamedTuple):
    """One source of a sequence.

    Attributes:
      name: in metrics, `eval/<name>/accuracy`.
      source: of examples; its `sample` is that of all others.
      num_updates: for so many.
    """

    name: str
    source: Source
    num_updates: int


class SupervisedSequenceRunner(PopulationRunner):
    """Trains a population on sources of examples in turn.

    Attributes:
      parts: the sources, in order.
    """

    def __init__(
        self,
        agent: SupervisedAgent,
        parts: Sequence[SourcePart],
        num_members: int = 1,
        devices: Sequence[jax.Device] | None = None,
        score: Score | None = None,
        on_end: OnEnd | None = None,
        score_split: str = "test",
    ) -> None:
        """Loads the first source; nothing is compiled yet.

        Args:
          agent: what learns.
          parts: the sources, in order; their arrays have the same shapes.
          num_members: P.
          devices: see `PopulationRunner`.
          score: a pure function of one member's parameters and of what a source loads for
            `score_split`, `[]`; every row of metrics has it of all sources. None for none.
          on_end: tells the agent of the end of a source, before the next begins: a pure
            function of one member's learner state, the source's arrays, a key, `[2]`, and
            the index of the source, `[]`; it returns the state to go on with. None does
            not tell it.
          score_split: "test", or "validation" where settings are searched.

        Raises:
          ValueError: if there is no source.
        """
        if not parts:
            raise ValueError("parts=(): must hold at least one source.")
        super().__init__(agent, num_members, "updates", 1, devices=devices)
        self.parts = tuple(parts)
        self._runner = SupervisedRunner(agent, parts[0].source, num_members, devices)
        self._loaded = 0  # The index of the source whose arrays are at hand.
        self._turns = Turns([part.num_updates for part in parts], num_members)
        self._score_split, self._tests = score_split, list[Any]()
        self._score = score and jax.jit(jax.vmap(score, in_axes=(0, None)))
        self._on_end = on_end and jax.jit(jax.vmap(on_end, in_axes=(0, None, 0, None)))

    @property
    def num_updates(self) -> int:
        """Of the whole sequence."""
        return self._turns.num_updates

    @property
    def task_ends(self) -> tuple[int, ...]:
        """See `tolman.launchers.runs.protocol.Runner`."""
        return self._turns.ends

    def init(self, keys: Array, hyperparameters: Any = None) -> TrainState:
        """Starts P members, as in a run on the first source alone."""
        return self._runner.init(keys, hyperparameters)

    def place(self, state: TrainState) -> TrainState:
        return self._runner.place(state)

    def prepare(self, state: TrainState, total_updates: int) -> TrainState:
        """Compiles the program."""
        return self._runner.prepare(state, total_updates)

    def train(
        self, state: TrainState, num_updates: int
    ) -> tuple[TrainState, dict[str, Any]]:
        """Takes `num_updates` updates; see `PopulationRunner.train`.

        Returns:
          The new state, and metrics: `[P]` each, those of the sources under way, the
          `task/index` of the last of them, and `eval/<name>/accuracy` of all; in the first
          row `untrained/<name>/accuracy` too, before any update.
        """
        is_start = num_updates and not self.counts(state).updates
        before = untrained(self.scores(state)) if is_start else {}
        state, metrics = self._turns.train(
            state, num_updates, lambda state: self.counts(state).updates, self._stretch
        )
        return state, metrics | before | self.scores(state)

    def scores(self, state: TrainState) -> dict[str, Array]:
        """`eval/<name>/accuracy` of all sources, `[P]` each."""
        if self._score is None:
            return {}
        if not self._tests:
            self._tests = [part.source.load(self._score_split) for part in self.parts]
        params = self.params(state)
        return {
            f"eval/{part.name}/accuracy": self._score(params, test)
            for part, test in zip(self.parts, self._tests, strict=True)
        }

    def num_compilations(self) -> int:
        return self._runner.num_compilations()

    def _stretch(self, state: TrainState, stretch: Stretch) -> Any:
        if stretch.is_first:
            state = self._end(state, stretch.task - 1)
        self._load(stretch.task)
        return self._runner.train(state, stretch.num_updates)

    def _end(self, state: TrainState, index: int) -> TrainState:
        if self._on_end is None:
            return state
        self._load(index)
        keys = jax.vmap(jax.random.fold_in, (0, None))(state.keys, index)
        learner = self._on_end(state.learner, self._runner.data, keys, jnp.int32(index))
        return self.place(state._replace(learner=learner))

    def _load(self, index: int) -> None:
        if index != self._loaded:
            self._runner.use(self.parts[index].source.load("train"))
            self._loaded = index
