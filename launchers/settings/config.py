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
    replace,
)
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import yaml
from annotated_types import Ge, Interval

from tolman.launchers.catalog import names
from tolman.launchers.catalog.names import Launcher, suggest
from tolman.launchers.settings import flags
from tolman.launchers.settings.bounds import check_settings

OWN_SETTINGS = {
    "on-device": ("num_devices",),
    "local": ("num_envs",),
    "ray": (
        *("num_envs", "actors", "address", "replay_shards", "learner_gpus"),
        "eval_episodes",
    ),
}
NO_CORE = "feedforward"  # Of agents that play games.
SECTION = "_config"  # `agent_config` holds what `--agent.KEY` sets, and so on.


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
      actors: processes that act; 0 for two. Ray only, as are the next four.
      address: of a Ray cluster that is up, host:port or auto; None starts one on this
        machine for this run.
      replay_shards: servers that share out the data; 0 for one.
      learner_gpus: of the learner, 0 or 1; actors use none.
      eval_episodes: of one evaluation, by a process of its own; 0 for no evaluations,
        None for 10.
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
    actors: Annotated[int, Ge(0)] = 0
    address: str | None = None
    replay_shards: Annotated[int, Ge(0)] = 0
    learner_gpus: Annotated[int, Interval(ge=0, le=1)] = 0
    eval_episodes: Annotated[int, Ge(0)] | None = None
    agent_config: Any = None
    core_config: Any = None
    env_config: Any = None


def resolve(config: TrainConfig) -> TrainConfig:
    """Fills in the default settings of the agent, core and environment; checks all.

    Raises:
      ValueError: if a name is unknown, settings are not of the type that it takes, or one
        is not what it must be.
    """
    check_settings(config)
    for logger in config.loggers:
        check_logger(logger)
    filled = {}
    if names.plays_games(config.agent):
        config = _without_core(config)
    for noun in names.KINDS:
        kind = _kind(noun, config.agent)
        name, settings = getattr(config, noun), getattr(config, noun + SECTION)
        expected = _section_type(kind, name)
        if settings is None:
            settings = names.default_settings(kind, name)
        is_open = kind in (names.ENV, names.GAME)  # Made from a factory's signature.
        if not (is_dataclass(settings) if is_open else isinstance(settings, expected)):
            raise ValueError(
                f"{noun}_config: {noun} {name!r} takes {expected.__name__}, got "
                f"{type(settings).__name__}."
            )
        check_settings(settings, f"{noun}.")
        filled[noun + SECTION] = settings
    on_device = _is_on_device(config, filled[f"env{SECTION}"])
    launcher = config.launcher or ("on-device" if on_device else "local")
    _check_launcher(config, launcher, on_device)
    agent = names.AGENT.noun + SECTION
    filled[agent] = _with_correction(filled[agent], launcher)
    return replace(config, **filled, launcher=launcher)


def _with_correction(settings: Any, launcher: str) -> Any:
    """Agent settings whose `off_policy_correction` is what the launcher needs."""
    if getattr(settings, "off_policy_correction", "") != "auto":
        return settings
    return replace(
        settings, off_policy_correction="vtrace" if launcher == "ray" else "none"
    )


def _without_core(config: TrainConfig) -> TrainConfig:
    """The config of an agent that has no memory core."""
    if config.core not in (TrainConfig.core, NO_CORE):
        raise ValueError(
            f"core={config.core!r}: agent {config.agent!r} has none, a position is all it "
            "needs. Leave --core out."
        )
    settings = config.core_config if config.core == NO_CORE else None
    return replace(config, core=NO_CORE, core_config=settings)


def _is_on_device(config: TrainConfig, settings: Any) -> bool:
    if names.plays_games(config.agent):
        from tolman.envs.board.game import Game
        from tolman.launchers.catalog.games import make_game

        return isinstance(make_game(config.env, settings), Game)
    return names.is_on_device(config.env, settings)


def _check_launcher(config: TrainConfig, launcher: str, on_device: bool) -> None:
    if launcher == "on-device" and not on_device:
        raise ValueError(
            f"env {config.env!r} lives on the host: launcher 'on-device' cannot run it. "
            "Set --launcher local."
        )
    for name in sorted({*chain(*OWN_SETTINGS.values())} - {*OWN_SETTINGS[launcher]}):
        if getattr(config, name):
            raise ValueError(
                f"{name}={getattr(config, name)}: launcher {launcher!r} has no such "
                f"setting. Leave --{name.replace('_', '-')} out."
            )


def check_logger(name: str) -> None:
    """Raises ValueError unless `name` is a logger that can be had here."""
    if name == "wandb":
        if importlib.util.find_spec("wandb") is None:
            raise ValueError(
                "logger 'wandb': not installed. Run: pip install 'tolman[wandb]'"
            )
    elif ":" not in name:
        raise ValueError(
            f"logger {name!r} is unknown{suggest(name, ['wandb'])}: use wandb, or "
            "module:attribute of an object with write(dict) and close()."
        )
    else:
        target = names.import_attribute(name, "logger")
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
    words = list(arguments)
    agent = words.pop(0) if words and not words[0].startswith("-") else None
    path = flags.flag_value(words, "--config")
    mapping = {} if path is None else _read_yaml(Path(path))
    chosen: dict[str, Any] = {
        "agent": agent or mapping.get("agent"),
        "env": flags.flag_value(words, "--env") or mapping.get("env"),
        "core": flags.flag_value(words, "--core") or mapping.get("core", "lstm"),
    }
    if chosen["agent"] and chosen["env"]:
        command = _command(chosen)
    else:
        command = _command({})
        if not {"-h", "--help"} & set(words):
            missing = "AGENT" if not chosen["agent"] else "--env ID"
            raise ValueError(
                f"{missing} is missing: tolman train AGENT --env ID (see `tolman list`)."
            )
    if path is not None:
        _check_keys(mapping, _keys(command), path)
    flags.check_flags(words, [*_keys(command), "config"])
    positional = [str(chosen["agent"])] if chosen["agent"] else []
    return _parse(command, [*positional, *flags.to_words(mapping), *words])


def load_config(path: Path) -> TrainConfig:
    """Reads a run's YAML file.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if a key is unknown or a value does not fit.
    """
    mapping = _read_yaml(path)
    for noun in ("agent", "env"):
        if noun not in mapping:
            raise ValueError(f"{path}: has no key {noun!r}, which every run needs.")
    command = _command({"core": "lstm", **mapping})
    _check_keys(mapping, _keys(command), str(path))
    return _parse(command, [str(mapping["agent"]), *flags.to_words(mapping)])


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


def _kind(noun: str, agent: str) -> names.Kind:
    """What a name of that noun stands for: `--env` names a game where the agent plays."""
    return names.task_kind(agent) if noun == names.ENV.noun else names.KINDS[noun]


def _section_type(kind: names.Kind, name: str) -> type:
    if kind in (names.ENV, names.GAME):
        return names.settings_type(name, kind)
    return names.config_type(kind, name)


def _command(chosen: Mapping[str, Any]) -> type[TrainConfig]:
    """TrainConfig with sections of the chosen things' own types; {} for no sections."""
    import tyro

    made: list[tuple[str, Any, Field[Any]]] = []
    for noun in names.KINDS:
        annotation: Any = Annotated[Any, tyro.conf.Suppress]
        default: Any = field(default=None)
        if chosen:
            kind = _kind(noun, str(chosen["agent"]))
            section = _section_type(kind, str(chosen[noun]))
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


def _is_required(item: Field[Any]) -> bool:
    return item.init and item.default is MISSING and item.default_factory is MISSING


def _parse(command: type[TrainConfig], words: Sequence[str]) -> TrainConfig:
    parsed = flags.parse(command, words, "tolman train")
    return TrainConfig(
        **{item.name: getattr(parsed, item.name) for item in fields(TrainConfig)}
    )


def _keys(settings: type, prefix: str = "") -> list[str]:
    """All keys that a file may set; nested dataclasses give dotted ones."""
    hints = get_type_hints(settings)
    keys = []
    for item in fields(settings):
        key = prefix + item.name.removesuffix(SECTION)
        if is_dataclass(hints[item.name]):
            keys += _keys(hints[item.name], f"{key}.")
        elif item.init and not item.name.endswith(SECTION) and key != "config":
            keys.append(key)
    return keys


def _check_keys(mapping: Mapping[str, Any], known: Sequence[str], path: str) -> None:
    for key, value in mapping.items():
        if key not in known:
            raise ValueError(
                f"{path}: key {key!r} is unknown{suggest(str(key), known)}. Keys are "
                "flat, as in `agent.learning_rate: 0.001`."
            )
        if isinstance(value, Mapping):
            raise ValueError(
                f"{path}: key {key!r} holds a mapping; write `{key}.KEY: value`."
            )


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        mapping = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: is not YAML ({reason}).") from None
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise ValueError(f"{path}: must hold `key: value` lines.")
    return mapping
