"""What a runner is to the run that it serves."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from tolman.agents.agent import Agent, Array, Params

State = Any  # Pytree of arrays: all that a checkpoint holds.


class Counts(NamedTuple):
    """How far a run is.

    Attributes:
      updates: done.
      env_steps: taken.
    """

    updates: int
    env_steps: int


class ProcessFailure(RuntimeError):
    """A process of the run dies again and again; the message says which, and of what."""


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
    """Trains one agent on one environment, wherever that takes place.

    Attributes:
      agent: what learns.
    """

    agent: Agent

    def init(self, key: Array) -> State:
        """Starts a run from a key, `[2]`."""
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
          The new state, and metrics, `[1]` each, means over these updates; NaN for the
          return and length of episodes where none ended.
        """
        ...

    def counts(self, state: State) -> Counts:
        """How far a state is."""
        ...

    @property
    def env_steps_per_update(self) -> float:
        """Environment steps that one update takes, on average."""
        ...

    def total_updates(self, num_env_steps: int) -> int:
        """Updates in a run of `num_env_steps` env steps, rounded up to whole ones."""
        ...

    def params(self, state: State) -> Params:
        """The parameters in a state."""
        ...

    def save_replay(self) -> None:
        """Saves what is too large for a state, at the moment of its checkpoint."""
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
