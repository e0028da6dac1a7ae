"""The parameter server: the newest parameters, and the addresses of the replays.

It is a Ray actor that holds references only and answers at once, whatever the learner is
doing. The parameters themselves lie in the object store of each machine, and are read
there without a copy.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Turn(NamedTuple):
    """What is acted in, of tasks in turn; of one environment always the same.

    Attributes:
      stretch: of the schedule, whose task it is.
      label: under which it is acted, and so into which tables.
    """

    stretch: int = 0
    label: int = 0


ONLY_TURN = Turn()  # Of one environment.


class Snapshot(NamedTuple):
    """What the server holds.

    Attributes:
      version: of the parameters, the number of updates behind them; -1 for none yet.
      params: a list of the one reference to them, so that Ray leaves it a reference;
        empty where the client has this version already.
      new_priority: of a new item of a prioritised replay.
      addresses: of the replays' servers, by shard; empty before they are known.
      is_ahead: there is more data than the learner can use for now: actors wait.
      turn: what the parameters are for.
    """

    version: int = -1
    params: list[Any] = []  # noqa: RUF012  (Never changed.)
    new_priority: float = 1.0
    addresses: tuple[str, ...] = ()
    is_ahead: bool = False
    turn: Turn = ONLY_TURN


class ParameterServer:
    """Serves the newest parameters and the replays' addresses; run as a Ray actor.

    All methods are coroutines, so that thousands may ask at a time. A server that was
    restarted is empty; the learner and the driver repeat everything now and then.
    """

    def __init__(self) -> None:
        self._snapshot = Snapshot()

    async def publish(
        self, version: int, params: list[Any], new_priority: float, turn: Turn = ONLY_TURN
    ) -> None:
        """Replaces the parameters.

        Args:
          version: updates behind them. A learner that was restarted publishes lower ones
            than the one before it.
          params: a list of the one reference.
          new_priority: of a new item of a prioritised replay.
          turn: what they are for; each label counts its updates by itself.
        """
        self._snapshot = self._snapshot._replace(
            version=version, params=params, new_priority=new_priority, turn=turn
        )

    async def set_addresses(
        self, addresses: tuple[str, ...], is_ahead: bool = False
    ) -> None:
        """Sets where the replays are, and whether actors are to wait."""
        self._snapshot = self._snapshot._replace(addresses=addresses, is_ahead=is_ahead)

    async def get(self, known_version: int, known_turn: Turn = ONLY_TURN) -> Snapshot:
        """All of it; without the parameters where they are known."""
        if (known_version, known_turn) == (self._snapshot.version, self._snapshot.turn):
            return self._snapshot._replace(params=[])
        return self._snapshot
