"""What was changed in a run when it was resumed, as its `config.yaml` tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CHANGES = "changes"  # The key of a run's config.


@dataclass(frozen=True)
class Change:
    """A setting that a run was resumed with.

    Attributes:
      at: how far the run was, in its unit.
      key: as in a file, such as agent.learning_rate.
      before: its value until there.
      after: its value from there on.
    """

    at: int
    key: str
    before: Any
    after: Any


def read_changes(listed: Any) -> list[Change]:
    """The changes that a config lists; what is none is left out."""
    names = set(Change.__dataclass_fields__)
    return [
        Change(**one)
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict) and set(one) == names and isinstance(one["at"], int)
    ]
