"""Where the processes of a run find what changes: parameters, and addresses of replays.

The board is a Ray actor that holds references only. It answers at once, whatever the
learner is doing; the parameters themselves lie in the object store of each machine, and
are read there without a copy.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Notice(NamedTuple):
    """What is on the board.

    Attributes:
      version: of the parameters, the number of updates behind them; -1 for none yet.
      params: a list of the one reference to them, so that Ray leaves it a reference;
        empty where the asker has this version already.
      addresses: of the replays' servers, by shard; empty before they are known.
      is_ahead: there is more data than the learner can use for now: actors wait.
    """

    version: int
    params: list[Any]
    addresses: tuple[str, ...]
    is_ahead: bool = False


class Board:
    """The latest parameters by version, and the replays' addresses; run as a Ray actor.

    All methods are coroutines, so that thousands may ask at a time. A board that was
    restarted is empty; the learner and the driver say everything again now and then.
    """

    def __init__(self) -> None:
        self._notice = Notice(-1, [], ())

    async def publish(self, version: int, params: list[Any]) -> None:
        """Puts parameters on the board, in place of those before.

        Args:
          version: updates behind them. A learner that was restarted publishes lower ones
            than the one before it had.
          params: a list of the one reference.
        """
        self._notice = self._notice._replace(version=version, params=params)

    async def announce(self, addresses: tuple[str, ...], is_ahead: bool = False) -> None:
        """Puts on the board where all servers are, and whether actors are to wait."""
        self._notice = self._notice._replace(addresses=addresses, is_ahead=is_ahead)

    async def look(self, known_version: int) -> Notice:
        """What is on the board; without the parameters where they are known."""
        if known_version == self._notice.version:
            return self._notice._replace(params=[])
        return self._notice
