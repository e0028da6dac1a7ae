"""Configs as flat mappings: out of a YAML file, a preset, or keys given in Python.

A file of a run may also hold `changes`: what was changed when the run was resumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import (
    MISSING,
    Field,
    field,
    fields,
    is_dataclass,
    make_dataclass,
)
from pathlib import Path
from typing import Annotated, Any

import yaml

from tolman.envs.spelling import suggest
from tolman.launchers.catalog.given import names_of
from tolman.launchers.catalog.names import (
    AGENT,
    ENV,
    Named,
    find,
    find_run,
    presets_of,
)
from tolman.launchers.catalog.trust import check_links, check_modules, check_things
from tolman.launchers.report.changes import CHANGES, Change
from tolman.launchers.report.parsing import parse_yaml
from tolman.launchers.settings.config import SECTIONS, TrainConfig
from tolman.launchers.settings.values import SECTION, build, keys_of


def make_config(mapping: Mapping[str, Any], where: str = "config") -> TrainConfig:
    """The config that flat keys spell, such as `{"agent": "dqn", "env": "CartPole-v1"}`.

    Args:
      mapping: the keys of a file. `preset` fills in what the others leave open. A class, a
        function or an instance may stand where a name does; see `catalog.given`.
      where: they are from, for messages.

    Raises:
      ValueError: if a key is unknown, or a value does not fit.
    """
    mapping = with_first_task(mapping)
    _check_complete(mapping, where)
    given = [mapping.get(noun, TrainConfig.core) for noun in SECTIONS]
    found = zip(SECTIONS, names_of(*given), strict=True)
    names = {noun: name for noun, name in found if noun in mapping}
    return _build(with_preset({**mapping, **names}), where)


def load_config(
    path: Path, trust: bool = True, given: Mapping[str, Any] | None = None
) -> TrainConfig:
    """Reads a run's YAML file.

    Args:
      path: the file.
      trust: whether names in it may stand for any code, and links lead anywhere; see
        `catalog.trust`.
      given: values that stand in for the file's.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if a key is unknown, a value does not fit, or a name is not to be
        trusted.
    """
    mapping = read_mapping(path)
    mapping.pop(CHANGES, None)
    _check_complete(mapping, str(path))
    if not trust:
        check_links(path.parent)
        check_modules(_texts(list(mapping.values())), path.parent)
        check_things(find_run(*names_in(mapping)))
        tasks = mapping.get("tasks") or []
        check_things([find(ENV, str(name)) for name in tasks])
    return _build({**mapping, **(given or {})}, str(path))


def save_config(config: TrainConfig, path: Path, changes: Sequence[Change] = ()) -> None:
    """Writes a resolved config, every default included, as flat YAML."""
    mapping = to_mapping(config)
    if changes:
        mapping[CHANGES] = [vars(change) for change in changes]
    path.write_text(yaml.safe_dump(mapping, sort_keys=False))


def to_mapping(config: TrainConfig) -> dict[str, Any]:
    """The config as flat, plain values: `{"agent.learning_rate": 0.001, ...}`."""
    return dict(_flatten(config, ""))


def plain_config(parsed: Any) -> TrainConfig:
    """What a command's dataclass holds, as the config itself."""
    return TrainConfig(
        **{item.name: getattr(parsed, item.name) for item in fields(TrainConfig)}
    )


def names_in(mapping: Mapping[str, Any]) -> list[str]:
    """Of the agent, what it is trained on, and the core."""
    return [str(mapping.get(noun, TrainConfig.core)) for noun in SECTIONS]


def with_first_task(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with the first of its `tasks` as `env`, where that is left out.

    Raises:
      ValueError: if they are one text.
    """
    tasks = mapping.get("tasks")
    if isinstance(tasks, str):
        names = ", ".join(name.strip() for name in tasks.split(","))
        raise ValueError(f"tasks={tasks!r}: must be a list. Write [{names}].")
    named = {"env": tasks[0]} if isinstance(tasks, list | tuple) and tasks else {}
    return {**named, **mapping}


def with_preset(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping over what the preset that it names sets.

    Raises:
      ValueError: if the agent has no such preset.
    """
    name = mapping.get("preset")
    if name is None:
        return dict(mapping)
    presets = presets_of(find(AGENT, str(mapping["agent"])))
    if name not in presets:
        known = ", ".join(presets) or "none"
        fix = "Set --preset" if presets else "Leave --preset out"
        raise ValueError(
            f"preset={name!r}: agent {mapping['agent']!r} has {known}"
            f"{suggest(str(name), presets)}. {fix}."
        )
    below = dict(presets[name].settings)
    if mapping.get("core", below.get("core")) != below.get("core"):
        below = {key: v for key, v in below.items() if not key.startswith("core")}
    return {**below, **mapping}


def command_type(
    found: tuple[Named, Named, Named] | None, own: Sequence[Any] = (), name: str = "train"
) -> type[TrainConfig]:
    """TrainConfig with sections of the chosen things' own types; None for no sections.

    Args:
      found: agent, task and core.
      own: what the command has beside them, as `make_dataclass` takes fields.
      name: of the command.
    """
    import tyro

    made: list[tuple[str, Any, Field[Any]]] = []
    for index, noun in enumerate(SECTIONS):
        annotation: Any = Annotated[Any, tyro.conf.Suppress]
        default: Any = field(default=None)
        if found is not None:
            section = found[index].settings_type
            annotation = Annotated[section, tyro.conf.arg(name=noun)]
            default = field(kw_only=True)  # Without a default where a field has none.
            if not any(_is_required(item) for item in fields(section)):
                default = field(default_factory=section, kw_only=True)
        made.append((noun + SECTION, annotation, default))
    return make_dataclass(name, [*own, *made], bases=(TrainConfig,), frozen=True)


def check_keys(mapping: Mapping[str, Any], known: Sequence[str], path: str) -> None:
    """Raises ValueError, with the closest key, for one that is not among `known`."""
    for key in mapping:
        if key not in known:
            raise ValueError(
                f"{path}: key {key!r} is unknown{suggest(str(key), known)}. Keys are "
                "flat, as in `agent.learning_rate: 0.001`."
            )


def read_mapping(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it is a folder, or holds anything else.
    """
    if path.is_dir():
        raise ValueError(f"{path}: is a folder. Give a YAML file.")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not YAML ({error}).") from None
    mapping = parse_yaml(text, path)
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise ValueError(f"{path}: must hold `key: value` lines.")
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = [key.value for key, _ in node.value]
    if len(keys) > len(mapping):  # YAML takes the last.
        key = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{path}: holds key {key!r} twice. Leave one of them out.")
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            raise ValueError(
                f"{path}: key {key!r} holds a mapping; write `{key}.KEY: value`."
            )
    return mapping


def _check_complete(mapping: Mapping[str, Any], where: str) -> None:
    for noun in ("agent", "env"):
        if noun not in mapping:
            raise ValueError(f"{where}: has no key {noun!r}, which every run needs.")


def _build(mapping: Mapping[str, Any], where: str) -> TrainConfig:
    command = command_type(find_run(*names_in(mapping)))
    check_keys(mapping, keys_of(command), where)
    try:
        return plain_config(build(command, mapping, where))
    except ValueError as error:
        text = str(error)
        raise ValueError(text if where in text else f"{where}: {text}") from None


def _texts(values: list[Any]) -> Iterator[str]:
    """All texts in nested lists: whichever of them names a module, an agent may import."""
    for value in values:
        if isinstance(value, list):
            yield from _texts(value)
        elif isinstance(value, str):
            yield value


def _flatten(settings: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for item in fields(settings):
        if not item.init:
            continue
        value = getattr(settings, item.name)
        key = prefix + item.name.removesuffix(SECTION)
        if is_dataclass(value):
            yield from _flatten(value, f"{key}.")
        elif not item.name.endswith(SECTION):
            yield key, _plain(value)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _is_required(item: Field[Any]) -> bool:
    return item.init and item.default is MISSING and item.default_factory is MISSING
