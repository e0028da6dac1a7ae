"""The settings of a run: one dataclass, one flat YAML file, one set of flags.

A key of the file is a flag without its dashes: `num_env_steps: 1000` says what
`--num-env-steps 1000` says, and `agent.learning_rate: 0.001` what `--agent.learning-rate
0.001` does. Where both speak, the command line wins.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import (
    MISSING,
    Field,
    dataclass,
    field,
    fields,
    is_dataclass,
    make_dataclass,
)
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import yaml
from annotated_types import Ge, Interval

from tolman.launchers.catalog.names import (
    Launcher,
    Named,
    find_run,
    import_attribute,
    suggest,
)
from tolman.launchers.catalog.trust import check_modules, check_things
from tolman.launchers.settings import flags
from tolman.launchers.settings.values import (
    SECTION,
    build,
    keys_of,
    read_values,
    with_gaps,
)

OWN_SETTINGS = {
    "on-device": ("num_devices",),
    "local": ("num_envs", "replay"),
    "ray": (
        *("num_envs", "replay", "actors", "address", "replay_shards", "learner_gpus"),
        "eval_episodes",
    ),
}
NO_CORE = "feedforward"  # Of agents that play games.
SECTIONS = ("agent", "env", "core")  # `agent_config` holds what `--agent.KEY` sets.


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
      agent: its name (`tolman list agents`), or module:attribute.
      env: its name (`tolman list envs`), or module:attribute.
      core: the agent's memory (`tolman list cores`), or module:attribute.
      launcher: what runs it: on-device, local (environments on the host, actors and
        learner in one process), ray (the same over processes and machines); None for
        on-device where the environment allows it.
      num_env_steps: to train for, rounded up to whole updates.
      seed: of all chance in the run.
      run_dir: the run's folder; None for
        runs/<env>__<agent>__<core>__s<seed>__<UTC time>.
      if_exists: when that folder holds a run: fail, resume it, or start a new one
        beside it.
      checkpoint_interval: env steps between checkpoints, rounded up to whole log
        intervals; None for one a minute. The end of the run always makes one.
      log_interval: env steps between rows of metrics, rounded up to whole updates; None
        for a fiftieth of the run, but at most 100 updates.
      num_checkpoints_to_keep: the latest ones.
      loggers: beside metrics.jsonl and TensorBoard, which are always written: wandb, or
        module:attribute of an object with write(dict) and close().
      num_devices: to use; 0 for all that divide the work evenly. On-device only.
      num_envs: environments of one actor; 0 for at most 16. On the host only: on-device
        the agent's batch_size says it.
      on_env_error: when an environment of the host breaks down: fail, or restart it.
      env_timeout: seconds until a step of an environment of the host counts as hung.
      replay: where data waits until it is learned from: memory (of the process), or reverb
        (a server, with --launcher ray always); auto for the one that the launcher takes.
        On the host only.
      actors: processes that act; 0 for two. Ray only, as are the next four.
      address: of a Ray cluster that is up, host:port or auto; None starts one on this
        machine for this run.
      replay_shards: servers that share out the data; 0 for one.
      learner_gpus: of the learner, 0 or 1; actors use none.
      eval_episodes: of one evaluation, by a process of its own; 0 for no evaluations,
        None for 10.
      init_from: RUN or RUN@STEPS: take those of its parameters that fit by path and shape.
      fresh: patterns of paths of parameters that are not taken from there: heads.
      agent_config: the agent's own settings.
      core_config: the core's own settings.
      env_config: the environment's own settings.
    """

    agent: str
    env: str
    core: str = "lstm"
    launcher: Launcher | None = None
    num_env_steps: Annotated[int, Ge(1)] = 1_000_000
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    run_dir: str | None = None
    if_exists: Literal["fail", "resume", "new"] = "fail"
    checkpoint_interval: Annotated[int, Ge(1)] | None = None
    log_interval: Annotated[int, Ge(1)] | None = None
    num_checkpoints_to_keep: Annotated[int, Ge(1)] = 3
    loggers: tuple[str, ...] = ()
    num_devices: Annotated[int, Ge(0)] = 0
    num_envs: Annotated[int, Ge(0)] = 0
    on_env_error: Literal["fail", "restart"] = "fail"
    env_timeout: Annotated[float, Interval(gt=0, le=1e9)] = 60.0
    replay: Literal["auto", "memory", "reverb"] = "auto"
    actors: Annotated[int, Ge(0)] = 0
    address: str | None = None
    replay_shards: Annotated[int, Ge(0)] = 0
    learner_gpus: Annotated[int, Interval(ge=0, le=1)] = 0
    eval_episodes: Annotated[int, Ge(0)] | None = None
    agent_config: Any = None
    core_config: Any = None
    env_config: Any = None
    init_from: str | None = None
    fresh: tuple[str, ...] = ()


def check_logger(name: str) -> None:
    """Raises ValueError unless `name` is a logger that can be had here."""
    if name == "wandb":
        if importlib.util.find_spec("wandb") is None:
            raise ValueError(
                "logger 'wandb': not installed. Run: uv sync --extra wandb, in a clone, or "
                "pip install 'tolman[wandb]', where pip installed Tolman."
            )
    elif ":" not in name:
        raise ValueError(
            f"logger {name!r} is unknown{suggest(name, ['wandb'])}: use wandb, or "
            "module:attribute of an object with write(dict) and close()."
        )
    else:
        target = import_attribute(name, "logger")
        for method in ("write", "close"):
            if not callable(getattr(target, method, None)):
                raise ValueError(
                    f"logger {name!r}: has no {method}(); it needs write(dict) and close()."
                )


def parse_train(arguments: Sequence[str]) -> TrainConfig:
    """Reads the words after `tolman train`; `--help` prints and exits.

    Raises:
      ValueError: for the first mistake found, in one line.
      FileNotFoundError: if there is no file at `--config`.
    """
    import tyro

    words = list(arguments)
    agent = words.pop(0) if words and not words[0].startswith("-") else None
    path = flags.flag_value(words, "--config")
    mapping = {} if path is None else _read_yaml(Path(path))
    chosen = (
        agent or mapping.get("agent"),
        flags.flag_value(words, "--env") or mapping.get("env"),
        flags.flag_value(words, "--core") or mapping.get("core", TrainConfig.core),
    )
    if chosen[0] and chosen[1]:
        command = _command(find_run(*map(str, chosen)))
    else:
        command = _command(None)
        if not {"-h", "--help"} & set(words):
            missing = "AGENT" if not chosen[0] else "--env ID"
            raise ValueError(
                f"{missing} is missing: tolman train AGENT --env ID (see `tolman list`)."
            )
    known = keys_of(command)
    default = None
    if path is not None:
        _check_keys(mapping, known, path)
        default = _with_defaults(command, mapping, path, tyro.MISSING)
    flags.check_flags(words, [*known[1:], "config"])  # AGENT is no flag.
    positional = [str(chosen[0])] if chosen[0] else []
    parsed = flags.parse(command, [*positional, *words], "tolman train", default=default)
    return TrainConfig(
        **{item.name: getattr(parsed, item.name) for item in fields(TrainConfig)}
    )


def load_config(path: Path, trust: bool = True) -> TrainConfig:
    """Reads a run's YAML file.

    Args:
      path: the file.
      trust: whether names in it may stand for any code; see `catalog.trust`.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if a key is unknown, a value does not fit, or a name is not to be
        trusted.
    """
    mapping = _read_yaml(path)
    for noun in ("agent", "env"):
        if noun not in mapping:
            raise ValueError(f"{path}: has no key {noun!r}, which every run needs.")
    names = [str(mapping.get(noun, TrainConfig.core)) for noun in SECTIONS]
    if not trust:
        check_modules(_texts(list(mapping.values())), path.parent)
    found = find_run(*names)
    if not trust:
        check_things(found)
    command = _command(found)
    _check_keys(mapping, keys_of(command), str(path))
    try:
        made = build(command, mapping, str(path))
    except ValueError as error:
        text = str(error)
        raise ValueError(text if str(path) in text else f"{path}: {text}") from None
    return TrainConfig(
        **{item.name: getattr(made, item.name) for item in fields(TrainConfig)}
    )


def _texts(values: list[Any]) -> Iterator[str]:
    """All texts in nested lists: whichever of them names a module, an agent may import."""
    for value in values:
        if isinstance(value, list):
            yield from _texts(value)
        elif isinstance(value, str):
            yield value


def save_config(config: TrainConfig, path: Path) -> None:
    """Writes a resolved config, every default included, as flat YAML."""
    path.write_text(yaml.safe_dump(to_mapping(config), sort_keys=False))


def to_mapping(config: TrainConfig) -> dict[str, Any]:
    """The config as flat, plain values: `{"agent.learning_rate": 0.001, ...}`."""
    return dict(_flatten(config, ""))


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


def _command(found: tuple[Named, Named, Named] | None) -> type[TrainConfig]:
    """TrainConfig with sections of the chosen things' own types; None for no sections."""
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
    positional = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="AGENT")]
    file = Annotated[
        str | None, tyro.conf.arg(metavar="FILE", help="YAML file with any of these keys.")
    ]
    return make_dataclass(
        "train",
        [("agent", positional), *made, ("config", file, field(default=None))],
        bases=(TrainConfig,),
        frozen=True,
    )


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


def _is_required(item: Field[Any]) -> bool:
    return item.init and item.default is MISSING and item.default_factory is MISSING


def _check_keys(mapping: Mapping[str, Any], known: Sequence[str], path: str) -> None:
    for key in mapping:
        if key not in known:
            raise ValueError(
                f"{path}: key {key!r} is unknown{suggest(str(key), known)}. Keys are "
                "flat, as in `agent.learning_rate: 0.001`."
            )


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        text = path.read_text()
        # A few lines of aliases of aliases can stand for more than any memory holds.
        has_alias = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
        mapping = None if has_alias else yaml.safe_load(text)
        node = None if has_alias else yaml.compose(text, Loader=yaml.SafeLoader)
    # A number of 5000 digits and a date in month 13 are ValueErrors.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: is not YAML ({reason}).") from None
    if has_alias:
        raise ValueError(f"{path}: holds an alias (*NAME). Write the value out.")
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise ValueError(f"{path}: must hold `key: value` lines.")
    assert isinstance(node, yaml.MappingNode)
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
