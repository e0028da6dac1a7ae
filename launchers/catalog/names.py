"""Names of cores, environments and agents, and what they stand for.

A name is looked up among the registered ones, then among the entry points of installed
packages (groups `tolman.cores`, `tolman.envs`, `tolman.agents`, `tolman.games`);
`module:attribute` names anything else that can be imported.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from tolman.launchers.catalog.host_ids import HostFactory, find_host_factory

if TYPE_CHECKING:
    import dm_env

    from tolman.envs.environment import Environment
    from tolman.envs.host import HostVector
    from tolman.networks.core import MemoryCore

Launcher = Literal["on-device", "local", "ray"]
HOST_BASES = {"dm_env._environment.Environment", "gymnasium.core.Env"}


@dataclass(frozen=True)
class Kind:
    """One kind of named thing.

    Attributes:
      noun: "core", "env", "agent" or "game"; also the command-line flag, and its plural
        the entry-point group.
      table: module and attribute of the table of registered ones.
      providers: packages whose import fills that table.
    """

    noun: str
    table: tuple[str, str]
    providers: tuple[str, ...]


CORE = Kind("core", ("tolman.networks.core", "CORES"), ("tolman.networks.cores",))
ENV = Kind(
    "env",
    ("tolman.envs.environment", "ENVIRONMENTS"),
    ("tolman.envs.memory", "tolman.envs.meta_rl"),
)
AGENT = Kind(
    "agent",
    ("tolman.agents.agent", "AGENTS"),
    (
        "tolman.agents.actor_critic",
        "tolman.agents.alphazero",
        "tolman.agents.dqn",
        "tolman.agents.meta_rl",
    ),
)
KINDS = {kind.noun: kind for kind in (AGENT, ENV, CORE)}  # What a run is made of.
GAME = Kind("game", ("tolman.envs.board.game", "GAMES"), ("tolman.envs.board.games",))


def registered(kind: Kind) -> Mapping[str, Callable[..., Any]]:
    """The built-in ones by name; imports their packages, and so jax."""
    for provider in kind.providers:
        importlib.import_module(provider)
    module, attribute = kind.table
    return getattr(importlib.import_module(module), attribute)


def installed(kind: Kind) -> dict[str, EntryPoint]:
    """The entry points of other packages by name; imports none of them."""
    return {point.name: point for point in entry_points(group=f"tolman.{kind.noun}s")}


def resolve(kind: Kind, name: str) -> Callable[..., Any]:
    """Returns the class or factory that `name` stands for.

    Raises:
      ValueError: for a name that stands for nothing, in one line.
    """
    table = registered(kind)
    if name in table:
        return table[name]
    points = installed(kind)
    path = points[name].value if name in points else name
    if kind is ENV and (host_factory := find_host_factory(path)) is not None:
        return host_factory
    if ":" in path:
        factory = import_attribute(path, kind.noun)
        if not callable(factory):
            raise ValueError(
                f"{kind.noun} {path!r}: is a {type(factory).__name__}; must be a class or "
                "a function that makes one."
            )
        return factory
    known = sorted({*table, *points})
    raise ValueError(
        f"{kind.noun} {name!r} is unknown{suggest(name, known)}: "
        f"use one of {', '.join(known)}, or module:attribute for your own."
    )


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
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(
            f"{noun} {path!r}: importing {module_name} failed ({reason}). Run from the "
            "folder that holds it, or install it."
        ) from error
    try:
        for part in attribute.split("."):
            module = getattr(module, part)
    except AttributeError:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ValueError(
            f"{noun} {path!r}: module {module_name} has no {attribute!r}"
            f"{suggest(attribute, public)}."
        ) from None
    return module


def suggest(got: str, allowed: Iterable[str]) -> str:
    """Returns ` (did you mean ...?)` with the closest allowed word, or nothing."""
    close = difflib.get_close_matches(got, list(allowed), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def config_type(kind: Kind, name: str) -> type:
    """The dataclass that a core's or an agent's `config` parameter is annotated with.

    Raises:
      ValueError: if there is no such parameter, or it is no dataclass.
    """
    annotation = _type_hints(resolve(kind, name)).get("config")
    if not (isinstance(annotation, type) and is_dataclass(annotation)):
        raise ValueError(
            f"{kind.noun} {name!r}: needs a parameter `config` annotated with a frozen "
            f"dataclass, got {annotation!r}. It is what --{kind.noun}.KEY sets."
        )
    return annotation


def settings_type(name: str, kind: Kind = ENV) -> type:
    """The dataclass of what `--env.KEY` sets.

    It is the factory itself where that is a dataclass. Otherwise it has a field for each
    keyword that the factory takes, but for `seed`: seeds come from the run's.
    """
    factory = resolve(kind, name)
    if isinstance(factory, HostFactory):
        return factory.settings
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
    return make_dataclass(f"{kind.noun.title()}Settings", made, frozen=True)


def default_settings(kind: Kind, name: str) -> Any:
    """The settings of the named thing where nobody has set any.

    Raises:
      ValueError: if it has a setting without a default.
    """
    is_own_settings = kind in (ENV, GAME)
    settings = settings_type(name, kind) if is_own_settings else config_type(kind, name)
    required = [
        f"--{kind.noun}.{item.name.replace('_', '-')}"
        for item in fields(settings)
        if item.init and item.default is MISSING and item.default_factory is MISSING
    ]
    if required:
        raise ValueError(f"{kind.noun} {name!r}: set {', '.join(required)}.")
    return settings()


def plays_games(agent: str) -> bool:
    """Whether the named agent plays board games: its factory takes `(config, game)`."""
    return "game" in inspect.signature(resolve(AGENT, agent)).parameters


def task_kind(agent: str) -> Kind:
    """What `--env` names for that agent: a game, or an environment."""
    return GAME if plays_games(agent) else ENV


def make_core(name: str, config: Any) -> Callable[[], MemoryCore]:
    """Returns a function that builds the named core; call it inside a Haiku transform.

    Raises:
      ValueError: if the name stands for something that is no memory core.
    """
    core_class = resolve(CORE, name)
    missing = [
        method
        for method in ("initial_state", "__call__", "unroll")
        if not callable(getattr(core_class, method, None))
    ]
    if missing or not isinstance(core_class, type):
        lacks = f"lacks {', '.join(missing)}" if missing else "is not a class"
        raise ValueError(
            f"core {name!r}: {lacks}. A memory core is a class with initial_state, "
            "__call__ and unroll (tolman.networks.core.MemoryCore)."
        )
    return lambda: core_class(config)


def make_environment(name: str, settings: Any) -> Environment:
    """Builds the named on-device environment.

    Raises:
      ValueError: if it cannot be built from these settings, or is a host environment.
    """
    environment = _build(name, settings)
    if _runs_on_device(environment):
        return environment
    if _runs_on_host(environment):
        raise ValueError(
            f"env {name!r} is not an on-device environment (pure JAX; `tolman list envs`): "
            "it runs on the host, with --launcher local."
        )
    raise _no_environment(name, environment)


def make_host_environment(name: str, settings: Any, seed: int) -> dm_env.Environment:
    """Builds one environment of any kind as a `dm_env.Environment`.

    Raises:
      ValueError: if it cannot be built from these settings, or is no environment.
    """
    import dm_env

    from tolman.envs.adapters import DmEnvAdapter, GymnasiumAdapter

    environment = _build(name, settings, seed)
    if isinstance(environment, dm_env.Environment):
        if hasattr(environment, "reseed"):
            environment.reseed(seed)
        return environment
    if hasattr(environment, "observation_space"):
        return GymnasiumAdapter(environment, seed)
    if _runs_on_device(environment):
        return DmEnvAdapter(environment, seed)
    raise _no_environment(name, environment)


def make_vector(
    name: str,
    settings: Any,
    num_envs: int,
    seed: int,
    on_error: str = "fail",
    timeout_seconds: float = 60.0,
) -> HostVector:
    """Builds E copies of the named environment, of any kind, to be stepped on the host.

    Copies of an on-device environment have the keys that `OnDeviceRunner.init` gives a
    population of one from `PRNGKey(seed)`: equal actions, equal trajectories.

    Args:
      name: of the environment.
      settings: of `settings_type(name)`.
      num_envs: E.
      seed: of all chance in them, in [0, 2**32).
      on_error: "fail" or "restart"; see `SerialVector`. On-device environments and
        Atari know no faults.
      timeout_seconds: see `SerialVector`.

    Raises:
      ValueError: if it cannot be built from these settings, or is no environment.
      EnvironmentFault: if building it fails otherwise.
    """
    import jax

    from tolman.envs.host import OnDeviceVector
    from tolman.envs.serial_vector import SerialVector

    factory = resolve(ENV, name)
    if isinstance(factory, HostFactory) and factory.make_vector is not None:
        return factory.make_vector(name, settings, num_envs, seed)
    if is_on_device(name, settings):
        _, _, key = jax.random.split(jax.random.PRNGKey(seed), 3)
        environment = make_environment(name, settings)
        return OnDeviceVector(environment, jax.random.split(key, num_envs))
    make = functools.partial(make_host_environment, name, settings)
    return SerialVector(make, num_envs, seed, name, on_error, timeout_seconds)


def is_on_device(name: str, settings: Any = None) -> bool:
    """Whether the named environment is pure JAX, so that the on-device launcher runs it.

    Builds it, with `settings` or the default ones, where its factory does not tell.

    Raises:
      ValueError: if the name is unknown, or it must be built and cannot.
    """
    factory = resolve(ENV, name)
    if isinstance(factory, HostFactory):
        return False
    if isinstance(factory, type) and callable(getattr(factory, "step", None)):
        bases = {f"{base.__module__}.{base.__name__}" for base in factory.__mro__}
        return not bases & HOST_BASES
    if settings is None:
        settings = default_settings(ENV, name)
    environment = _build(name, settings)
    is_pure = _runs_on_device(environment)
    if not is_pure and hasattr(environment, "close"):
        environment.close()
    return is_pure


def any_environment(name: str) -> Any:
    """Builds an environment of any kind, sound or not, with its default settings.

    Raises:
      ValueError: if there is none of that name, or it cannot be built.
    """
    return _build(name, default_settings(ENV, name))


def _build(name: str, settings: Any, seed: int = 0) -> Any:
    factory = resolve(ENV, name)
    try:
        if isinstance(factory, HostFactory):
            return factory(settings, seed)
        keywords = {
            item.name: getattr(settings, item.name)
            for item in fields(settings)
            if item.init
        }
        if "seed" in inspect.signature(factory).parameters:
            keywords["seed"] = seed
        return factory(**keywords)
    except (TypeError, ValueError) as error:
        raise ValueError(f"env {name!r}: {error}") from error


def _type_hints(factory: Any) -> dict[str, Any]:
    """Of what a class or function takes."""
    function = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    return get_type_hints(function, include_extras=True)


def _runs_on_device(environment: Any) -> bool:
    from tolman.envs.environment import Environment

    return isinstance(environment, Environment) and not _runs_on_host(environment)


def _runs_on_host(environment: Any) -> bool:
    """True for dm_env's and Gymnasium's, whose `reset` takes no key."""
    import dm_env

    return isinstance(environment, dm_env.Environment) or hasattr(
        environment, "observation_space"
    )


def _no_environment(name: str, got: Any) -> ValueError:
    return ValueError(
        f"env {name!r}: is a {type(got).__name__}; must be an on-device environment, a "
        "dm_env.Environment or a gymnasium.Env."
    )
