"""What the settings of a dataclass must be, read from the annotations of its fields.

    learning_rate: Annotated[float, Gt(0)] = 7e-4
    replay: Literal["uniform", "prioritized"] = "uniform"

Bounds are those of the package `annotated-types`: Gt, Ge, Lt, Le, Interval, MultipleOf,
Len, MinLen and MaxLen. A subclass that gives a field another default keeps the bounds of
its base. What relates two fields is stated by a method of the class,
`setting_problems(self)`, which yields the field and what it must be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import (
    BaseMetadata,
    Ge,
    GroupedMetadata,
    Gt,
    Le,
    Lt,
    MaxLen,
    MinLen,
    MultipleOf,
)

from tolman.envs.spelling import suggest

TYPES = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}


def check_settings(settings: Any, flag_prefix: str = "") -> None:
    """Checks the fields of a dataclass, those of nested dataclasses included.

    A field's own default is always allowed: `size: int = None` may stay None.

    Args:
      settings: an instance.
      flag_prefix: of the flags that set its fields, such as "agent."; for messages.

    Raises:
      ValueError: for the first field that is not what it must be, in one line.
    """
    kind = type(settings)
    annotations = _annotations(kind)
    for item in fields(settings):
        value = getattr(settings, item.name)
        if not item.init or is_same(value, item.default):
            continue
        for annotation in annotations[item.name]:
            if must_be := find_problem(value, annotation):
                raise _refusal(item.name, value, must_be, flag_prefix)
        if is_dataclass(value) and Any not in annotations[item.name]:
            check_settings(value, f"{flag_prefix}{item.name.replace('_', '-')}.")
    relations = getattr(kind, "setting_problems", None)
    for name, must_be in relations(settings) if relations else ():
        raise _refusal(name, getattr(settings, name), must_be, flag_prefix)


def find_problem(value: Any, annotation: Any) -> str | None:
    """What `value` must be, such as "above 0"; None where it fits the annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        problem = find_problem(value, arguments[0])
        if problem or value is None:  # Where None is allowed, bounds are for the others.
            return problem
        return _beyond_bounds(value, arguments[1:])
    if origin in (Union, UnionType):
        named = [one for one in arguments if one is not type(None)]
        problems = [find_problem(value, one) for one in named]
        is_none = value is None and len(named) < len(arguments)
        return None if is_none or None in problems else " or ".join(map(str, problems))
    if origin is Literal:
        same = any(value == one and type(value) is type(one) for one in arguments)
        return None if same else one_of(value, arguments)
    if origin is tuple:
        return _wrong_items(value, arguments)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not abs(value) <= sys.float_info.max:  # NaN is not, either.
        return "a finite number"
    if annotation not in TYPES:
        return None
    fits = is_number if annotation is float else isinstance(value, annotation)
    if fits and (annotation is not int or is_number):
        return None
    return f"{TYPES[annotation]}, not of type {type(value).__name__}"


def is_same(value: Any, default: Any) -> bool:
    """Whether a plain value is the default, types included."""
    is_plain = isinstance(value, str | float | int | None)
    return is_plain and repr(value) == repr(default)


def one_of(value: Any, allowed: Sequence[Any]) -> str:
    """What a choice among `allowed` must be, with the closest of them."""
    words = [str(one) for one in allowed]
    return f"one of {', '.join(words)}{suggest(str(value), words)}"


def _wrong_items(value: Any, arguments: Sequence[Any]) -> str | None:
    if not isinstance(value, tuple):
        return f"a tuple, not of type {type(value).__name__}"
    if arguments[-1] is Ellipsis:
        arguments = [arguments[0]] * len(value)
    if len(value) != len(arguments):
        return f"{len(arguments)} items"
    problems = map(find_problem, value, arguments)
    return next((f"{one} in every item" for one in problems if one), None)


def _beyond_bounds(value: Any, metadata: Sequence[Any]) -> str | None:
    """What all bounds in `metadata` ask for, where `value` is beyond one of them."""
    least, most, words, holds = "", "", [], True
    for bound in _flatten(metadata):
        match bound:
            case Ge(limit):
                least, holds = f"[{limit}", holds and value >= limit
            case Gt(limit):
                least, holds = f"({limit}", holds and value > limit
            case Le(limit):
                most, holds = f"{limit}]", holds and value <= limit
            case Lt(limit):
                most, holds = f"{limit})", holds and value < limit
            case MultipleOf(limit):
                words.append(f"a multiple of {limit}")
                holds = holds and value % limit == 0
            case MinLen(limit):
                words.append(f"{limit} items or more")
                holds = holds and len(value) >= limit
            case MaxLen(limit):
                words.append(f"{limit} items at most")
                holds = holds and len(value) <= limit
            case _:
                raise ValueError(
                    f"bound {bound!r} is none that Tolman checks. Use Gt, Ge, Lt, Le, "
                    "Interval, MultipleOf or Len of annotated_types."
                )
    if least and most:
        words.insert(0, f"in {least}, {most}")
    elif least:
        words.insert(0, f"{'above' if least[0] == '(' else 'at least'} {least[1:]}")
    elif most:
        words.insert(0, f"{'below' if most[-1] == ')' else 'at most'} {most[:-1]}")
    return None if holds else " and ".join(words)


def _flatten(metadata: Sequence[Any]) -> Iterator[Any]:
    """The single bounds; what other packages read is left out."""
    for one in metadata:
        if isinstance(one, GroupedMetadata):
            yield from _flatten(tuple(one))
        elif isinstance(one, BaseMetadata):
            yield one


def _annotations(kind: type) -> dict[str, list[Any]]:
    """Of each field, the annotations by the class itself and by its bases."""
    found: dict[str, list[Any]] = {item.name: [] for item in fields(kind)}
    for base in kind.__mro__:
        try:
            hints = get_type_hints(base, include_extras=True)
        except NameError as error:
            raise ValueError(
                f"{kind.__name__}: the type of a field is not known at run time ({error}). "
                "Import it outside of TYPE_CHECKING."
            ) from error
        for name in found.keys() & vars(base).get("__annotations__", {}).keys():
            found[name].append(hints[name])
    return found


def _refusal(name: str, value: Any, must_be: str, flag_prefix: str) -> ValueError:
    shown, flag = repr(value), f"--{flag_prefix}{name.replace('_', '-')}"
    if len(shown) > 80:
        shown = f"{shown[:77]}..."
    return ValueError(f"{name}={shown}: must be {must_be}. Set {flag}.")
