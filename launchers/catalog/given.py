"""Classes and instances that were given from Python where a name is expected.

What can be imported is named by its path; anything else is registered in this process, as
by a decorator, under a name that no other process knows: "object MyEnv".
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import is_dataclass, make_dataclass
from typing import Any

from tolman.envs.places import summary
from tolman.launchers.catalog.names import (
    AGENT,
    CORE,
    OBJECT,
    TASKS,
    Kind,
    find,
    import_attribute,
    kind_of_agent,
    registered,
    table,
)

OF_INSTANCES = ("step", "act", "update", "unroll", "init")  # What makers have none of.


def name_of(kind: Kind, thing: Any) -> str:
    """A name that `lookup` finds the thing by.

    Args:
      kind: agent, core, or what is trained on.
      thing: a name, a class, a function that makes one, or an instance. An instance of an
        environment stands for copies of it; an agent is used as it is.

    Raises:
      ValueError: for an instance of a core, which is built inside the network.
    """
    if isinstance(thing, str):
        return thing
    if not isinstance(thing, type) and _is_instance(thing):
        return _register(kind, _factory(kind, thing), type(thing).__name__, thing)
    for name, known in registered(kind).items():
        if known is thing:
            return name
    if hasattr(thing, "__qualname__"):
        path = f"{thing.__module__}:{thing.__qualname__}"
        with contextlib.suppress(ValueError):  # Of what was made inside a function.
            if import_attribute(path, kind.noun) is thing:
                return path
    return _register(kind, thing, getattr(thing, "__name__", "function"), thing)


def _is_instance(thing: Any) -> bool:
    return not callable(thing) or any(hasattr(thing, name) for name in OF_INSTANCES)


def _register(kind: Kind, factory: Any, name: str, thing: Any) -> str:
    known, number = table(kind), 1
    label = f"{OBJECT}{name}"
    while label in known and getattr(known[label], "given", known[label]) is not thing:
        number += 1
        label = f"{OBJECT}{name}-{number}"
    if label not in known:
        known.register(label)(factory)
    return label


def _factory(kind: Kind, instance: Any) -> Callable[..., Any]:
    """What hands out an instance as its class would be called."""
    if kind is CORE:
        raise ValueError(
            f"core {instance!r}: is built inside the network. Give its class, and its "
            "settings as core_config."
        )
    made: Any = _agent_factory(instance) if kind is AGENT else _copies(kind, instance)
    made.given = instance
    return made


def _agent_factory(agent: Any) -> Callable[..., Any]:
    def make(config: Any, observation_spec: Any, action_spec: Any, make_core: Any) -> Any:
        return agent

    settings = getattr(agent, "config", None)
    has_settings = is_dataclass(settings) and not isinstance(settings, type)
    nothing = make_dataclass("NoSettings", [], frozen=True)
    make.__annotations__ = {"config": type(settings) if has_settings else nothing}
    return make


def _copies(kind: Kind, instance: Any) -> Callable[..., Any]:
    def make() -> Any:
        try:
            return copy.deepcopy(instance)
        except Exception as error:
            reason = summary(error)
            raise ValueError(
                f"{kind.noun} {type(instance).__name__}: cannot be copied ({reason}). Give "
                "its class, or a function that makes one."
            ) from error

    make.__annotations__ = {"return": type(instance)}
    return make


def names_of(agent: Any, task: Any, core: Any) -> tuple[str, str, str]:
    """The names of what a run is made of; see `name_of`."""
    agent = name_of(AGENT, agent)
    kind = AGENT if isinstance(task, str) else TASKS[kind_of_agent(find(AGENT, agent))]
    return agent, name_of(kind, task), name_of(CORE, core)
