"""What has a name, and what each name stands for.

A name is looked up among the things that Tolman's own packages register, then among the
entry points of installed packages (group `tolman.agents` for agents, and so on);
`module:attribute` names anything else that can be imported. Nothing is listed by hand:
modules that register something are found by reading the package that holds them, and only
the module that a name leads to is imported.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from tolman.envs.families import Member, find_member, suggest_family
from tolman.envs.places import summary
from tolman.envs.spelling import list_words, suggest

if TYPE_CHECKING:
    from tolman.envs.registry import Registry
    from tolman.networks.core import MemoryCore

Launcher = Literal["on-device", "local", "ray"]


@dataclass(frozen=True)
class Kind:
    """One kind of named thing.

    Attributes:
      noun: such as "core", in errors; its plural ends the group of entry points.
      package: whose modules register the built-in ones.
      table: module and attribute of their `Registry`; None for things that are modules
        themselves, named by their paths in the package.
      marks: what the text of a module holds that registers one, or is one.
      flag: what sets one on the command line, where its settings have flags.
    """

    noun: str
    package: str
    table: tuple[str, str] | None
    marks: tuple[str, ...]
    flag: str = ""

    @property
    def group(self) -> str:
        """Of entry points."""
        plural = {"study": "studies", "bench": "benches"}.get(self.noun, f"{self.noun}s")
        return f"tolman.{plural}"


def _kind(noun: str, package: str, table: tuple[str, str], flag: str = "") -> Kind:
    return Kind(noun, package, table, (f"register_{noun}(",), flag or noun)


AGENT = _kind("agent", "tolman.agents", ("tolman.agents.agent", "AGENTS"))
ENV = _kind("env", "tolman.envs", ("tolman.envs.environment", "ENVIRONMENTS"))
FAMILY = _kind("family", "tolman.envs", ("tolman.envs.families", "FAMILIES"))
GAME = _kind("game", "tolman.envs", ("tolman.envs.board.game", "GAMES"), "env")
SOURCE = _kind("source", "tolman.envs", ("tolman.envs.reasoning.task", "SOURCES"), "env")
CORE = _kind("core", "tolman.networks", ("tolman.networks.core", "CORES"))
PLAYER = _kind(
    "player", "tolman.launchers.arena", ("tolman.launchers.arena.player", "PLAYERS")
)
RUNNER = _kind("runner", "tolman.launchers", ("tolman.launchers.runs.build", "RUNNERS"))
EVALUATOR = _kind(
    "evaluator", "tolman.launchers", ("tolman.launchers.runs.build", "EVALUATORS")
)
STUDY = Kind("study", "tolman.launchers.studies", None, ("\nTITLE = ", "\ndef run("))
PROBE = Kind(
    "probe", "tolman.launchers.studies", None, ("\nTITLE = ", "\nPROBE = ProbeStudy(")
)
BENCH = Kind("bench", "tolman.launchers.benches", None, ("\ndef run(",))
OBJECT = "object "  # Begins the name of what was given from Python; see `given`.
TASKS = {"acts": ENV, "plays": GAME, "learns": SOURCE}  # What `--env` names, by agent.


@functools.cache
def providers(kind: Kind) -> Mapping[str, str]:
    """The modules of a kind's package that its marks are in, with their texts."""
    spec = find_spec(kind.package)
    folders = spec.submodule_search_locations if spec is not None else None
    found = {}
    for folder in map(Path, folders or ()):
        for path in sorted(folder.rglob("*.py")):
            text = path.read_text()
            if all(mark in text for mark in kind.marks):
                parts = path.relative_to(folder).with_suffix("").parts
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                found[".".join([kind.package, *parts])] = text
    return found


def registered(kind: Kind) -> Mapping[str, Any]:
    """The built-in ones by name: imports all of them; of modules, gives the path."""
    if kind.table is None:
        start = len(kind.package) + 1
        return {name[start:].replace(".", "/"): name for name in providers(kind)}
    for provider in providers(kind):
        importlib.import_module(provider)
    return table(kind)


def installed(kind: Kind) -> dict[str, EntryPoint]:
    """The entry points of other packages by name; imports none of them."""
    return {point.name: point for point in entry_points(group=kind.group)}


def is_known(kind: Kind, name: str) -> bool:
    """Whether `name` stands for something; see `lookup`."""
    try:
        return lookup(kind, name) is not None
    except ValueError:
        return False


def lookup(kind: Kind, name: str) -> Any:
    """Returns the class, factory or module that `name` stands for.

    Raises:
      ValueError: for a name that stands for nothing, in one line.
    """
    if kind.table is None:
        modules = registered(kind)
        if name in modules:
            return importlib.import_module(modules[name])
    elif (found := _built_in(kind, name)) is not None:
        return found
    points = installed(kind)
    path = points[name].value if name in points else name
    if (other := _of_other_package(kind, path)) is not None:
        return other
    if ":" in path:
        thing = import_attribute(path, kind.noun)
        if kind.table is not None and not callable(thing):
            raise ValueError(
                f"{kind.noun} {path!r}: is a {type(thing).__name__}; must be a class or "
                "a function that makes one."
            )
        return thing
    table = registered(kind)
    if name in table:  # Registered under a name that is not written out.
        return table[name]
    if name.startswith(OBJECT):
        raise ValueError(
            f"{kind.noun} {name!r}: was given from Python, in another process. Register "
            f"what makes one again: register_{kind.noun}({name!r})(...)."
        )
    known = sorted({*table, *points})
    hint = suggest(name, known)
    if kind is ENV:
        hint = suggest_family(name, close=False) or hint or suggest_family(name)
    raise ValueError(
        f"{kind.noun} {name!r} is unknown{hint}: "
        f"use one of {list_words(known)}, or module:attribute for your own."
    )


def is_registered(kind: Kind, thing: Any) -> bool:
    """Whether a decorator has registered that class or factory as one of its kind."""
    return kind.table is not None and thing in list(table(kind).values())


def import_attribute(path: str, noun: str) -> Any:
    """Imports `module:attribute`; `noun` says in errors what it was wanted for.

    Raises:
      ValueError: if there is no such module or attribute, or if importing it fails.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise ValueError(f"{noun} {path!r}: must be spelled module:attribute.")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        reason = summary(error)
        raise ValueError(
            f"{noun} {path!r}: importing {module_name} failed ({reason}). Run from the "
            "folder that holds it, or install it."
        ) from error
    thing: Any = module
    try:
        for part in attribute.split("."):
            thing = getattr(thing, part)
    except AttributeError:
        inner = f"{module_name}.{attribute}"
        if hasattr(module, "__path__") and _is_module(inner):
            return importlib.import_module(inner)
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ValueError(
            f"{noun} {path!r}: module {module_name} has no {attribute!r}"
            f"{suggest(attribute, public)}."
        ) from None
    return thing


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # Of what stands before the last dot.
        return False


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
    """What an agent was registered to do: "acts", "plays" or "learns"; else "acts"."""
    return table(AGENT).declared.get(agent.thing, {}).get("kind", "acts")


def presets_of(agent: Named) -> Mapping[str, Any]:
    """The `PRESETS` of the module of an agent's config; see `tolman.agents.settings`."""
    module = importlib.import_module(agent.settings_type.__module__)
    return getattr(module, "PRESETS", {})


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
        if default is MISSING and parameter.name not in hints:
            why = f"its parameter {parameter.name!r} has no type and no default"
            advice = f"Write such as {parameter.name}: int."
            if inspect.isbuiltin(factory):  # Nobody can.
                why, advice = "is a function of Python's own", f"Name what makes an {noun}."
            raise ValueError(f"{noun} {factory.__name__!r}: {why}. {advice}")
        made.append(
            (parameter.name, hints.get(parameter.name, Any), field(default=default))
        )
    settings = make_dataclass(f"{noun.title()}Settings", made, frozen=True)
    settings.__doc__ = inspect.cleandoc(factory.__doc__ or "")  # Its help texts.
    return settings


def _type_hints(factory: Any) -> dict[str, Any]:
    """Of what a class or function takes."""
    function = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    return get_type_hints(function, include_extras=True)


def table(kind: Kind) -> Registry:
    """What is registered so far."""
    assert kind.table is not None
    module, attribute = kind.table
    return getattr(importlib.import_module(module), attribute)


def _built_in(kind: Kind, name: str) -> Any:
    """The registered thing of that name; None if there is none."""
    if name not in table(kind):
        literal = re.compile(rf'register_{kind.noun}\(\s*"{re.escape(name)}"')
        for provider, text in providers(kind).items():
            if literal.search(text):
                importlib.import_module(provider)
    return table(kind).get(name)


def _of_other_package(kind: Kind, name: str) -> Any:
    """What an id of another package stands for; None where the name is no such id."""
    if kind is ENV:
        registered(FAMILY)
        return find_member(name)
    from tolman.networks.others import find_other

    return find_other(name) if kind is CORE else None
