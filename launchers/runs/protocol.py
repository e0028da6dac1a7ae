"""What a runner is to the run that it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tolman.agents.agent import Array, Params

State = Any  # Pytree of arrays: all that a checkpoint holds.
MUST_BE_FINITE = ("loss/", "grad/")  # Metrics of which one that is not ends a member.


class Counts(NamedTuple):
    """How far a run is.

    Attributes:
      updates: done by each member.
      units: done by each member, of the runner's `unit`.
    """

    updates: int
    units: int


class RoleRow(NamedTuple):
    """One kind of process behind a runner, as people are shown it.

    Attributes:
      kind: what these processes do.
      alive: how many are at work.
      wanted: how many there are to be.
      restarts: of all of them, since the run was last started or resumed.
      note: how fast they are, in words.
    """

    kind: str
    alive: int
    wanted: int
    restarts: int
    note: str = ""


class Runner(Protocol):
    """Trains a population of P members, one in an ordinary run, wherever that takes place.

    Attributes:
      agent: what learns.
      num_members: P.
      unit: the x axis of metrics: env_steps, updates, examples, ...
      units_per_update: units that one update of a member takes, on average.
      task_ends: of a runner of tasks in turn alone, the updates at which they end; a row
        of metrics ends there too.
    """

    agent: Any
    num_members: int
    unit: str

    @property
    def units_per_update(self) -> float: ...

    def init(self, keys: Array, hyperparameters: Any = None) -> State:
        """Starts P members.

        Args:
          keys: `[P, 2]`, one a member; equal keys give equal members.
          hyperparameters: pytree of `[P]` that `agent.init` takes, or None.
        """
        ...

    def place(self, state: State) -> State:
        """Puts a state that was restored on the host where it is needed."""
        ...

    def prepare(self, state: State, total_updates: int) -> State:
        """Compiles, or starts, what training needs; trains nothing.

        Args:
          state: to go on from.
          total_updates: of the whole run; schedules depend on it.
        """
        ...

    def train(self, state: State, num_updates: int) -> tuple[State, dict[str, Array]]:
        """Takes `num_updates` updates; consumes `state`.

        Returns:
          The new state, and metrics, `[P]` each, means over these updates; NaN for the
          return and length of episodes where none ended.
        """
        ...

    def counts(self, state: State) -> Counts:
        """How far a state is."""
        ...

    def total_updates(self, num_units: int) -> int:
        """Updates in a run of `num_units`, rounded up to whole ones."""
        ...

    def params(self, state: State) -> Params:
        """The parameters in a state; `[P, ...]` where the runner takes populations."""
        ...

    def save_replay(self, folder: Path) -> None:
        """Saves what is too large for a state in the folder of the state's checkpoint."""
        ...

    def load_replay(self, folder: Path | None) -> None:
        """Takes up what `save_replay` saved; None goes on with an empty replay.

        Raises:
          ValueError: if it is missing or broken.
        """
        ...

    def without_replay(self, state: State) -> State:
        """What a checkpoint holds that is to be small: nothing that waits in a replay."""
        ...

    def with_empty_replay(self, state: State) -> State:
        """A state to go on from, with or without a replay, with one that holds nothing."""
        ...

    def roles(self) -> list[RoleRow]:
        """The processes of the run; none where this process is all."""
        ...

    def describe_devices(self) -> str:
        """What learns, in words."""
        ...

    def close(self) -> None:
        """Ends whatever the runner started."""
        ...
