"""A named thing that was looked up, and the settings that it takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from tolman.launchers.catalog.names import AGENT, CORE, TASKS, Kind, lookup

if TYPE_CHECKING:
    from tolman.networks.core import MemoryCore


@dataclass(frozen=True)
class Named:
    """What a name stands for.

    Attributes:
      kind: of thing.
      name: as it was given.
      thing: the class or factory.
    """

    kind: Kind
    name: str
    thing: Any

    @property
    def settings_type(self) -> type:
        """The dataclass of what its flags set.

        Raises:
          ValueError: for an agent or a core whose factory names no such dataclass.
        """
        if self.kind in (AGENT, CORE):
            return _config_type(self)
        return _keyword_settings(self.thing, self.kind.noun)

    def default_settings(self) -> Any:
        """The settings where nobody has set any.

        Raises:
          ValueError: if it has a setting without a default.
        """
        settings = self.settings_type
        required = [
            f"--{self.kind.flag}.{item.name.replace('_', '-')}"
            for item in fields(settings)
            if item.init and item.default is MISSING and item.default_factory is MISSING
        ]
        if required:
            raise ValueError(f"{self.kind.noun} {self.name!r}: set {', '.join(required)}.")
        return settings()

    def build(self, settings: Any, seed: int | None = None) -> Any:
        """Calls the factory of an environment, game or source with its settings.

        Args:
          settings: of `settings_type`.
          seed: for a factory that takes one; None for one that is not to.

        Raises:
          ValueError: if it cannot be built from these settings.
        """
        from tolman.envs.families import Member

        try:
            if isinstance(self.thing, Member):
                return self.thing(settings, seed or 0)
            keywords = {
                item.name: getattr(settings, item.name)
                for item in fields(settings)
                if item.init
            }
            if seed is not None and "seed" in inspect.signature(self.thing).parameters:
                keywords["seed"] = seed
            return self.thing(**keywords)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.kind.noun} {self.name!r}: {error}") from error


def find(kind: Kind, name: str) -> Named:
    """Looks a name up.

    Raises:
      ValueError: for a name that stands for nothing, in one line.
    """
    return Named(kind, name, lookup(kind, name))


def kind_of_agent(agent: Named) -> str:
    """What an agent does, as it was registered: "acts", "plays" or "learns"."""
    from tolman.agents.agent import kind_of

    return kind_of(agent.thing)


def find_run(agent: str, env: str, core: str) -> tuple[Named, Named, Named]:
    """Looks up what a run is made of: agent, task and core."""
    found = find(AGENT, agent)
    return found, find(TASKS[kind_of_agent(found)], env), find(CORE, core)


def make_core(core: str | Named, config: Any) -> Callable[[], MemoryCore]:
    """Returns a function that builds a core; call it inside a Haiku transform.

    Raises:
      ValueError: if the name stands for something that is no memory core.
    """
    named = find(CORE, core) if isinstance(core, str) else core
    core_class = named.thing
    missing = [
        method
        for method in ("initial_state", "__call__", "unroll")
        if not callable(getattr(core_class, method, None))
    ]
    if missing or not isinstance(core_class, type):
        lacks = f"lacks {', '.join(missing)}" if missing else "is not a class"
        raise ValueError(
            f"core {named.name!r}: {lacks}. A memory core is a class with initial_state, "
            "__call__ and unroll (tolman.networks.core.MemoryCore)."
        )
    return lambda: core_class(config)


def _config_type(named: Named) -> type:
    """What the parameter `config` is annotated with."""
    annotation = _type_hints(named.thing).get("config")
    if not (isinstance(annotation, type) and is_dataclass(annotation)):
        noun = named.kind.noun
        raise ValueError(
            f"{noun} {named.name!r}: needs a parameter `config` annotated with a frozen "
            f"dataclass, got {annotation!r}. It is what --{noun}.KEY sets."
        )
    return annotation


@functools.cache
def _keyword_settings(factory: Any, noun: str) -> type:
    """The factory itself where it is a dataclass, else one of the keywords that it takes.

    `seed` is not among those of an environment: seeds come from the run's.
    """
    from tolman.envs.families import Member

    if isinstance(factory, Member):
        return factory.family.settings
    if is_dataclass(factory):
        return factory  # type: ignore[return-value]
    hints = _type_hints(factory)
    made: list[Any] = []
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name == "seed":
            continue
        default = MISSING if parameter.default is parameter.empty else parameter.default
        made.append(
            (parameter.name, hints.get(parameter.name, Any), field(default=default))
        )
    return make_dataclass(f"{noun.title()}Settings", made, frozen=True)


def _type_hints(factory: Any) -> dict[str, Any]:
    """Of what a class or function takes."""
    function = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    return get_type_hints(function, include_extras=True)
