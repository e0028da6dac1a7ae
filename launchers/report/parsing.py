"""Files that a run writes, and anybody may have changed, as plain values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml


def parse_yaml(text: str, path: Path) -> Any:
    """What a YAML text says; `path` is named where it is none.

    Raises:
      ValueError: if it is no YAML, or holds an alias: a few lines of aliases of aliases can
        stand for more than any memory holds.
    """
    try:
        if not any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            return yaml.safe_load(text)
    # A number of 5000 digits and a date in month 13 are ValueErrors.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: is not YAML ({reason}).") from None
    raise ValueError(f"{path}: holds an alias (*NAME). Write the value out.")


def parse_json(text: str, where: str) -> Any:
    """What a JSON text says; `where` names its place where it is none.

    Raises:
      ValueError: if it is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON: {' '.join(str(error).split())}.") from None
