"""Tasks in turn on the host: which is trained when, under which label, and the state.

The local and the Ray runner share it. Which task a run is at follows from its updates
alone, so one that was broken off goes on in the same.

Shapes: K tasks, C labels, S stretches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Agent, Array, LearnerState
from tolman.agents.ewc.forget_me_not import Recognition
from tolman.launchers.host.layout import ItemLayout
from tolman.launchers.host.priorities import initial_priorities
from tolman.launchers.host.recognition import Watch
from tolman.launchers.host.state import HostState, initial_state
from tolman.launchers.runs.turns import Stretch, Turns, combine, lengths_of

Labels = Literal["given", "inferred", "none"]


class HostSequenceState(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      learner: of the agent.
      updates: `[]` int64, done so far, over all tasks.
      env_steps: `[]` int64, likewise.
      places: of each label, the other fields of its `HostState`.
      label: `[]` int64, under which the learner learns.
      labels: `[K]` int64, under which each task is played.
      met: see `Watch`; `()` where no labels are inferred, as for the next.
      known: see `Watch`.
    """

    learner: LearnerState
    updates: np.ndarray | np.int64
    env_steps: np.ndarray | np.int64
    places: tuple[dict[str, Any], ...]
    label: np.ndarray | np.int64
    labels: np.ndarray
    met: np.ndarray | tuple[()] = ()
    known: Recognition | tuple[()] = ()


@dataclass(frozen=True)
class Schedule:
    """Which task is trained when.

    Attributes:
      names: of the K tasks, in the order in which they are first met.
      order: `[S]`, the number of each stretch's task.
      labels: how they are known.
      turns: the updates of each stretch.
      totals: `[C]`, updates under each label, over all its stretches.
    """

    names: tuple[str, ...]
    order: tuple[int, ...]
    labels: Labels
    turns: Turns
    totals: tuple[int, ...]

    def label_of(self, stretch: int) -> int:
        """The label of a stretch's task, where none is inferred."""
        return self.order[stretch] if self.labels == "given" else 0

    def played_as(self) -> np.ndarray:
        """`[K]` int64, the label of each task, where none is inferred."""
        number = len(self.names)
        return np.arange(number) if self.labels == "given" else np.zeros(number, np.int64)


def make_schedule(
    order: Sequence[str],
    steps_per_task: int,
    total_updates: Callable[[int], int],
    labels: Labels,
    num_labels: int,
) -> Schedule:
    """The schedule of a run.

    Args:
      order: names of the stretches' tasks; one that was there before returns.
      steps_per_task: env steps of a stretch, rounded up to whole updates.
      total_updates: maps env steps of one label to updates.
      labels: how tasks are known.
      num_labels: C.
    """
    names = tuple(dict.fromkeys(order))
    places = tuple(names.index(name) for name in order)
    number = 1 if labels == "none" else len(names)
    lengths, totals = lengths_of(
        [steps_per_task] * len(order),
        [place % number for place in places],
        [total_updates] * number,
    )
    if labels == "inferred":  # Which label a task will have is not known.
        totals = [-(-sum(lengths) // number)] * num_labels
    return Schedule(names, places, labels, Turns(lengths, 1), tuple(totals))


def num_labels_of(labels: Labels, num_tasks: int, agent: Any, name: str) -> int:
    """C, the labels that a run needs room for.

    Args:
      labels: how tasks are known.
      num_tasks: K.
      agent: what learns.
      name: of that agent.

    Raises:
      ValueError: if they are to be inferred, and the agent has no room for tasks.
    """
    number = {"given": num_tasks, "none": 1}.get(labels)
    if number is not None:
        return number
    number = getattr(agent, "max_tasks", 0)
    if not number:
        raise ValueError(
            f"labels='inferred': agent {name!r} has no room for tasks of its own. Train "
            "ewc, or set --labels given or none."
        )
    return number


def begin(
    agent: Agent, schedule: Schedule, keys: Array, hyperparameters: Any = None
) -> HostSequenceState:
    """The state of a run that starts; equal keys, `[1, 2]`, start equal runs."""
    first = initial_state(agent, keys[0], hyperparameters)
    places = [place_of(first)]
    for label in range(1, len(schedule.totals)):
        carried, _, _ = jax.random.split(jax.random.fold_in(keys[0], label), 3)
        priorities = initial_priorities(agent.data)
        fresh = HostState(None, carried, np.int64(0), np.int64(0), priorities)
        places.append(place_of(fresh))
    zero = np.int64(0)
    labels = schedule.played_as()
    return HostSequenceState(first.learner, zero, zero, tuple(places), zero, labels)


def updates_of(state: HostSequenceState) -> int:
    """Done so far, over all tasks."""
    return int(state.updates)


def of_label(state: HostSequenceState, label: int) -> HostState:
    """The state of what is trained under a label."""
    return HostState(learner=state.learner, **state.places[label])


def with_trained(
    state: HostSequenceState, label: int, trained: HostState
) -> HostSequenceState:
    """The state after what was trained under a label has come to `trained`."""
    places = [*state.places]
    places[label] = place_of(trained)
    updates, env_steps = (
        np.int64(sum(int(place[name]) for place in places))
        for name in ("updates", "env_steps")
    )
    return state._replace(
        learner=trained.learner,
        updates=updates,
        env_steps=env_steps,
        places=tuple(places),
    )


def with_known(state: HostSequenceState, watch: Watch | None) -> HostSequenceState:
    """The state, with what is known of the tasks by now where labels are inferred."""
    if watch is None:
        return state
    known, met = watch.recognised
    return state._replace(known=known, met=met, labels=watch.labels(met))


def train_under_labels(
    state: HostSequenceState,
    stretch: Stretch,
    act_in: Callable[[HostSequenceState, int], HostSequenceState],
    train: Callable[[HostSequenceState, int], tuple[HostSequenceState, dict[str, Any]]],
) -> tuple[HostSequenceState, dict[str, Any]]:
    """Trains on one task, under one label after another where what is recognised changes.

    Args:
      state: before.
      stretch: the task, and how many updates.
      act_in: has what acts and learns be in a stretch, by its number, under the label of
        this moment.
      train: takes so many updates under the state's label; fewer where another label is
        recognised meanwhile.

    Returns:
      The state, and means of the metrics.
    """
    wanted = updates_of(state) + stretch.num_updates
    pieces: list[tuple[int, dict[str, Any]]] = []
    while updates_of(state) < wanted:
        state = act_in(state, stretch.task)
        before = updates_of(state)
        state, metrics = train(state, wanted - before)
        if updates_of(state) > before:
            pieces.append((updates_of(state) - before, metrics))
    return state, combine(pieces)


def place_of(state: HostState) -> dict[str, Any]:
    """What of a label's state is its own: all but the learner."""
    return {name: value for name, value in state._asdict().items() if name != "learner"}


def switch_key(state: HostSequenceState, ended: int) -> Array:
    """The key, `[2]`, of the switch from a label that ends here."""
    return jax.random.fold_in(state.places[ended]["key"], updates_of(state))


class Switch:
    """Tells an agent that one task follows another, in one program.

    Attributes:
      num_examples: items of the task that ended which it is to be given; 0 for none.
    """

    def __init__(self, agent: Any, layout: ItemLayout) -> None:
        """Of an agent that has a `switch`; the first call compiles."""
        self._agent, self._layout = agent, layout
        batches = getattr(agent, "num_switch_batches", 0)
        is_queue = agent.data.replay == "queue"
        self.num_examples = 0 if is_queue else batches * layout.num_items
        self._told = jax.jit(self._tell)

    def __call__(
        self, learner: LearnerState, items: Any, key: Array, ended: int, begun: int
    ) -> LearnerState:
        """The learner after a switch.

        Args:
          learner: before it.
          items: columns of so many of the task that ended; None for none.
          key: `[2]`.
          ended: its label.
          begun: the next one's.
        """
        return self._told(learner, items, key, jnp.int32(ended), jnp.int32(begun))

    def _tell(
        self, learner: LearnerState, items: Any, key: Array, ended: Array, begun: Array
    ) -> LearnerState:
        # Only what is read is unpacked.
        examples = None if items is None else self._layout.assemble(items, None)
        return self._agent.switch(learner, examples, key, ended, begun)
