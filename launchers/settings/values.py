"""Values of settings out of a file: each of the type that its field says, or one line."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from tolman.launchers.settings.bounds import find_problem, is_same

SECTION = "_config"  # A field `agent_config` is the section `agent` of a file's keys.


def keys_of(settings: type, prefix: str = "") -> list[str]:
    """All keys that a file may set; nested dataclasses give dotted ones."""
    keys = []
    for item, hint in _typed_fields(settings):
        key = prefix + item.name.removesuffix(SECTION)
        if is_dataclass(hint):
            keys += keys_of(hint, f"{key}.")  # type: ignore[arg-type]
        elif not item.name.endswith(SECTION):
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
    for item, hint in _typed_fields(settings):
        key = prefix + item.name.removesuffix(SECTION)
        if is_dataclass(hint):
            made = build(hint, mapping, where, f"{key}.")  # type: ignore[arg-type]
            values[item.name] = made
        elif key in mapping and not item.name.endswith(SECTION):
            value = mapping[key]
            # A field's own default is always allowed: `size: int = None` may stay None.
            is_default = is_same(value, item.default)
            values[item.name] = value if is_default else _checked(value, hint, key, where)
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
    made: Any = object.__new__(settings)
    for item in fields(settings):
        if item.name in values:
            value = values[item.name]
        elif item.default is not MISSING:
            value = item.default
        else:
            value = gap if item.default_factory is MISSING else item.default_factory()
        object.__setattr__(made, item.name, value)
    return made


def _typed_fields(settings: type) -> list[tuple[Field[Any], Any]]:
    hints = get_type_hints(settings, include_extras=True)
    return [(item, _bare(hints[item.name])) for item in fields(settings) if item.init]


def _bare(hint: Any) -> Any:
    """A section's dataclass without what marks it as a flag's."""
    is_section = get_origin(hint) is Annotated and is_dataclass(get_args(hint)[0])
    return get_args(hint)[0] if is_section else hint


def _checked(value: Any, hint: Any, key: str, where: str) -> Any:
    """The value as that type.

    Raises:
      ValueError: if it is none, or beyond its bounds.
    """
    typed = _typed(value, hint)
    if must_be := find_problem(typed, hint):
        flag = f"--{key.replace('_', '-')}"
        raise ValueError(f"{where}: {key}={value!r}: must be {must_be}. Set {flag}.")
    return typed


def _typed(value: Any, hint: Any) -> Any:
    """What a value of YAML stands for: it has no tuples, and takes 1e-4 for a word."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _typed(value, arguments[0])
    if origin in (Union, UnionType):
        tried = [_typed(value, one) for one in arguments if one is not type(None)]
        return next((one for one in tried if find_problem(one, hint) is None), value)
    if origin is tuple and isinstance(value, list):
        ends = arguments[1:] == (Ellipsis,)
        hints = arguments[:1] * len(value) if ends else arguments
        if len(hints) != len(value):
            return tuple(value)
        return tuple(_typed(item, one) for item, one in zip(value, hints, strict=True))
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            return float(value)
    return value
