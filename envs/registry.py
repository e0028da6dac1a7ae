"""Things by name. Whatever has a name is registered by a decorator of such a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Thing = TypeVar("Thing")


class Registry(dict[str, Any]):
    """Name to class or factory, of one kind of thing.

    Attributes:
      noun: the kind, in errors.
      declared: what each thing was registered with beside its name.
    """

    def __init__(self, noun: str) -> None:
        super().__init__()
        self.noun = noun
        self.declared: dict[Any, dict[str, Any]] = {}

    def register(self, name: str, **declared: Any) -> Callable[[Thing], Thing]:
        """A decorator that makes a class or factory known by `name`.

        Raises:
          ValueError: if the name is taken by another one.
        """

        def add(thing: Thing) -> Thing:
            if self.get(name, thing) is not thing:
                raise ValueError(
                    f"{self.noun} name {name!r} is taken: register the new one under "
                    "another name."
                )
            self[name] = thing
            self.declared[thing] = declared
            return thing

        return add
