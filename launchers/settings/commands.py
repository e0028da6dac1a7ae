"""The words after the verbs whose flags depend on what is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge

from tolman.launchers.catalog.names import (
    AGENT,
    CORE,
    ENV,
    GAME,
    find,
    find_run,
    installed,
    presets_of,
    registered,
)
from tolman.launchers.settings import flags
from tolman.launchers.settings.bounds import check_settings
from tolman.launchers.settings.config import SECTIONS, TrainConfig
from tolman.launchers.settings.files import (
    check_keys,
    command_type,
    load_config,
    names_in,
    plain_config,
    read_mapping,
    to_mapping,
    with_first_task,
    with_preset,
)
from tolman.launchers.settings.values import SECTION, keys_of, read_values, with_gaps

NAMES = ("env", "core", "preset")  # Of what decides which flags there are.


@dataclass(frozen=True)
class ResumeWords:
    """What `tolman resume` was asked for.

    Attributes:
      run: its folder.
      trust: whether its config may name any code.
      empty_replay: whether to go on without what the replay of the checkpoint holds.
      changes: key to value, of the settings that are to change.
    """

    run: Path
    trust: bool
    empty_replay: bool
    changes: Mapping[str, Any]


def parse_train(arguments: Sequence[str]) -> TrainConfig:
    """Reads the words after `tolman train`; `--help` prints and exits.

    Raises:
      ValueError: for the first mistake found, in one line.
      FileNotFoundError: if there is no file at `--config`.
    """
    import tyro

    words = flags.spread(arguments, "--tasks")
    agent = words.pop(0) if words and not words[0].startswith("-") else None
    flags.check_not_empty(words)
    path = flags.flag_value(words, "--config")
    mapping = {} if path is None else read_mapping(Path(path))
    said = {"agent": agent}
    said |= {
        noun: flags.flag_value(words, f"--{noun}") for noun in ("env", "core", "preset")
    }
    first = flags.flag_value(words, "--tasks")
    if first and not said["env"]:
        said["env"] = first
        words += ["--env", first]
    mapping = with_first_task(mapping)
    chosen = mapping | {noun: value for noun, value in said.items() if value}
    found = None
    if chosen.get("agent") and chosen.get("env"):
        chosen = with_preset(chosen)
        found = find_run(*names_in(chosen))
    elif not {"-h", "--help"} & set(words):
        missing = "AGENT" if not chosen.get("agent") else "--env ID"
        _check_common_flags(words, _train_fields(chosen.get("agent")))
        raise ValueError(
            f"{missing} is missing: tolman train AGENT --env ID (see `tolman list`)."
        )
    command = command_type(found, _train_fields(chosen.get("agent")))
    known = keys_of(command)
    default = None
    if path is not None or chosen.get("preset"):
        preset = f"preset {chosen.get('preset')!r}"
        where = path or preset
        check_keys(mapping, known, where)
        check_keys({key: chosen[key] for key in chosen.keys() - mapping}, known, preset)
        default = _with_defaults(command, {**chosen, **mapping}, where, tyro.MISSING)
    flags.check_flags(words, [key for key in known if key != "agent"])  # It is no flag.
    positional = [str(chosen["agent"])] if chosen.get("agent") else []
    parsed = flags.parse(command, [*positional, *words], "tolman train", default=default)
    return plain_config(parsed)


def _check_common_flags(words: Sequence[str], fields: list[Any]) -> None:
    """Refuses a flag that no agent, env and core could make known, such as `--envv`."""
    common = [word for word in words if "." not in word.partition("=")[0]]
    flags.check_flags(common, keys_of(command_type(None, fields)))


def parse_resume(arguments: Sequence[str]) -> ResumeWords:
    """Reads the words after `tolman resume`; `--help` prints and exits.

    Raises:
      ValueError: for the first mistake found, in one line.
      FileNotFoundError: if there is no such run.
    """
    words = flags.spread(arguments, "--tasks")
    run = words.pop(0) if words and not words[0].startswith("-") else None
    found, stored = None, None
    path = Path(run or "") / "config.yaml"
    is_there = run is not None and path.parent.is_dir() and path.is_file()
    if is_there:
        stored = load_config(path, trust="--trust" in words)
        found = find_run(*names_in(to_mapping(stored)))
    elif run is not None and any(re.match(r"--(agent|core|env)\.", word) for word in words):
        raise _no_run(path.parent)
    elif run is None and not {"-h", "--help"} & set(words):
        raise ValueError("RUN is missing: tolman resume RUN (see tolman resume --help).")
    command = command_type(found, _resume_fields(), "resume")
    own = [key for key in keys_of(command) if key not in ("agent", "run")]
    flags.check_flags(words, own)  # RUN is no flag.
    default = None
    if stored is not None:
        values = {name: getattr(stored, name) for name in get_type_hints(TrainConfig)}
        default = with_gaps(command, {**values, "run": Path(str(run))}, None)
    positional = [run] if run is not None else []
    parsed: Any = flags.parse(
        command, [*positional, *words], "tolman resume", default=default
    )
    if not is_there:
        raise _no_run(path.parent)
    before = {} if stored is None else to_mapping(stored)
    after = to_mapping(plain_config(parsed))
    changes = {key: value for key, value in after.items() if before.get(key) != value}
    return ResumeWords(parsed.run, parsed.trust, parsed.empty_replay, changes)


def parse_check_env(arguments: Sequence[str]) -> tuple[str, Any]:
    """Reads the words after `tolman check-env`; `--help` prints and exits.

    Returns:
      The name of an environment or a game, and the settings of an environment that is one;
      None for their defaults.

    Raises:
      ValueError: for the first mistake found, in one line.
    """

    def settings_type(name: str) -> type | None:
        is_game = name in registered(GAME) or name in installed(GAME)
        return None if is_game else find(ENV, name).settings_type

    parsed = _parse_check("env", settings_type, arguments, [], "an environment")
    return parsed.env, parsed.env_config


def parse_check_core(arguments: Sequence[str]) -> tuple[str, Any, int, str | None]:
    """Reads the words after `tolman check-core`; `--help` prints and exits.

    Returns:
      The name of a core, its settings, the steps of the long run, and the name of its
      reference, if it was given.

    Raises:
      ValueError: for the first mistake found, in one line.
    """
    import tyro

    steps = Annotated[
        int, Ge(1), tyro.conf.arg(help="steps without a reset, after which it must hold.")
    ]
    told = "module:function of a slow second implementation (check_reference in "
    told += "tolman.networks.conformance), to compare with."
    own = [
        ("long_run", steps, field(default=100_000)),
        ("reference", Annotated[str | None, tyro.conf.arg(help=told)], field(default=None)),
    ]
    parsed = _parse_check(
        "core", lambda name: find(CORE, name).settings_type, arguments, own, "a memory core"
    )
    check_settings(parsed, "")
    return parsed.core, parsed.core_config, parsed.long_run, parsed.reference


def _parse_check(
    noun: str,
    settings_type: Callable[[str], type | None],
    arguments: Sequence[str],
    own: list[Any],
    thing: str,
) -> Any:
    """Reads a name, the settings of what it names, and fields of the verb's own."""
    import tyro

    words, verb = list(arguments), f"check-{noun}"
    name = words.pop(0) if words and not words[0].startswith("-") else None
    if name is None and not {"-h", "--help"} & set(words):
        raise ValueError(
            f"{noun.upper()} is missing: tolman {verb} {noun.upper()} (see tolman {verb} "
            "--help)."
        )
    settings = None if name is None else settings_type(name)
    section: Any = Annotated[Any, tyro.conf.Suppress]
    default: Any = field(default=None)
    if settings is not None:
        section = Annotated[settings, tyro.conf.arg(name=noun)]
        default = field(kw_only=True)
    positional = Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar=noun.upper(), help="its name, or module:attribute."),
    ]
    entries = [(noun, positional), (f"{noun}_config", section, default), *own]
    command = make_dataclass(verb, entries, frozen=True)
    command.__doc__ = f"Checks that {thing} keeps the contract; names the first breach."
    known = [f"{noun}.{item.name}" for item in fields(settings)] if settings else []
    flags.check_flags(words, [*known, *(entry[0] for entry in own)])
    positional_words = [] if name is None else [name]
    parsed: Any = flags.parse(command, [*positional_words, *words], f"tolman {verb}")
    if settings is not None:
        check_settings(getattr(parsed, f"{noun}_config"), f"{noun}.")
    return parsed


def _no_run(path: Path) -> FileNotFoundError:
    if not path.is_dir():
        return FileNotFoundError(f"{path}: no such run folder.")
    return FileNotFoundError(f"{path}: is no run folder, it has no config.yaml.")


def _train_fields(agent: str | None) -> list[Any]:
    import tyro

    presets = presets_of(find(AGENT, str(agent))) if agent else {}
    listed = f" Of this agent: {', '.join(presets)}." if presets else ""
    positional = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="AGENT")]
    file = Annotated[
        str | None, tyro.conf.arg(metavar="FILE", help="YAML file with any of these keys.")
    ]
    preset = Annotated[
        str | None,
        tyro.conf.arg(help=f"settings that file and flags win over.{listed}"),
    ]
    return [
        ("agent", positional),
        ("config", file, field(default=None)),
        ("preset", preset, field(default=None)),
    ]


def _resume_fields() -> list[Any]:
    import tyro

    run = Annotated[
        Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="its folder.")
    ]
    hidden = Annotated[str, tyro.conf.Suppress]
    trust = Annotated[
        bool, tyro.conf.arg(help="call whatever its config names, as module:attribute.")
    ]
    empty = Annotated[
        bool, tyro.conf.arg(help="go on without what the checkpoint's replay holds.")
    ]
    return [
        ("run", run, field(kw_only=True)),
        ("agent", hidden, field(default="")),
        ("env", str, field(default="")),
        ("trust", trust, field(default=False)),
        ("empty_replay", empty, field(default=False)),
    ]


def _with_defaults(
    command: type[TrainConfig], mapping: Mapping[str, Any], path: str, gap: Any
) -> TrainConfig:
    """What a file says, over the defaults, for flags to win over."""
    hints = get_type_hints(command)
    values: dict[str, Any] = {}
    for noun in SECTIONS:
        section = hints[noun + SECTION]
        own = read_values(section, mapping, path, f"{noun}.")
        values[noun + SECTION] = with_gaps(section, own, gap)
        mapping = {k: v for k, v in mapping.items() if not k.startswith(f"{noun}.")}
    return with_gaps(command, read_values(TrainConfig, mapping, path) | values, gap)
