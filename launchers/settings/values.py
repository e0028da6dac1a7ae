"""Values of settings out of a file: each of the type that its field says, or one line."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tolman.launchers.catalog.names import suggest

SECTION = "_config"  # A field `agent_config` is the section `agent` of a file's keys.


def keys_of(settings: type, prefix: str = "") -> list[str]:
    """All keys that a file may set; nested dataclasses give dotted ones."""
    keys = []
    for name, hint in _typed_fields(settings):
        key = prefix + name.removesuffix(SECTION)
        if is_dataclass(hint):
            keys += keys_of(hint, f"{key}.")  # type: ignore[arg-type]
        elif not name.endswith(SECTION):
            keys.append(key)
    return keys


def read_values(
    settings: type, mapping: Mapping[str, Any], where: str, prefix: str = ""
) -> dict[str, Any]:
    """The fields of a dataclass that a flat mapping sets, checked; sections are built.

    Args:
      settings: the dataclass.
      mapping: such as `{"agent.learning_rate": 0.001}`.
      where: the file, in errors.
      prefix: of the keys that count.

    Raises:
      ValueError: if a value is not of its field's type, or a field that has no default
        is not set, in one line.
    """
    values: dict[str, Any] = {}
    for name, hint in _typed_fields(settings):
        key = prefix + name.removesuffix(SECTION)
        if is_dataclass(hint):
            values[name] = build(hint, mapping, where, f"{key}.")  # type: ignore[arg-type]
        elif key in mapping and not name.endswith(SECTION):
            values[name] = _coerce(mapping[key], hint, key, where)
    return values


def build(settings: type, mapping: Mapping[str, Any], where: str, prefix: str = "") -> Any:
    """Makes a dataclass of what a mapping sets and of defaults; see `read_values`."""
    values = read_values(settings, mapping, where, prefix)
    for item in fields(settings):
        has_default = item.default is not MISSING or item.default_factory is not MISSING
        if item.init and not has_default and item.name not in values:
            key = prefix + item.name
            raise ValueError(f"{where}: has no key {key!r}. Set --{key.replace('_', '-')}.")
    return settings(**values)


def with_gaps(settings: type, values: Mapping[str, Any], gap: Any) -> Any:
    """An instance that nothing has checked, with `gap` where a field has no value yet."""
    made = object.__new__(settings)
    for item in fields(settings):
        if item.name in values:
            value = values[item.name]
        elif item.default is not MISSING:
            value = item.default
        else:
            value = gap if item.default_factory is MISSING else item.default_factory()
        object.__setattr__(made, item.name, value)
    return made


def _typed_fields(settings: type) -> list[tuple[str, Any]]:
    hints = get_type_hints(settings)
    return [(item.name, hints[item.name]) for item in fields(settings) if item.init]


def _coerce(value: Any, hint: Any, key: str, where: str) -> Any:
    """The value as that type.

    Raises:
      ValueError: if it is none.
    """
    try:
        return _as(value, hint)
    except _Misfit as misfit:
        raise ValueError(
            f"{where}: {key}={value!r}: must be {misfit}. Set --{key.replace('_', '-')}."
        ) from None


class _Misfit(Exception):
    """Says what a value must be."""


def _as(value: Any, hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _as(value, arguments[0])
    if origin in (Union, types.UnionType):
        return _as_one_of(value, arguments)
    if origin is Literal:
        if any(value == one and type(value) is type(one) for one in arguments):
            return value
        choices = ", ".join(str(one) for one in arguments)
        raise _Misfit(f"one of {choices}{suggest(str(value), map(str, arguments))}")
    if origin in (tuple, list):
        return origin(_items(value, origin, arguments))
    if hint in (bool, int, float, str, type(None)):
        return _as_plain(value, hint)
    return value


def _as_one_of(value: Any, hints: tuple[Any, ...]) -> Any:
    wanted = []
    for hint in sorted(hints, key=lambda hint: hint is not type(value)):
        try:
            return _as(value, hint)
        except _Misfit as misfit:
            wanted.append(str(misfit))
    raise _Misfit(" or ".join(wanted))


def _items(value: Any, origin: type, arguments: tuple[Any, ...]) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise _Misfit("a list")
    if origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
        return [_as(item, arguments[0] if arguments else Any) for item in value]
    if arguments and len(value) != len(arguments):
        raise _Misfit(f"a list of {len(arguments)}")
    hints = arguments or (Any,) * len(value)
    return [_as(item, hint) for item, hint in zip(value, hints, strict=True)]


def _as_plain(value: Any, hint: type) -> Any:
    if hint is type(None):
        if value is None:
            return None
        raise _Misfit("null")
    if hint is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 1e-4 for a word.
        except (ValueError, OverflowError):
            raise _Misfit("a number") from None
    if type(value) is hint:
        return value
    named = {bool: "true or false", int: "a whole number", float: "a number"}
    raise _Misfit(named.get(hint, "a word; put it in quotes"))
