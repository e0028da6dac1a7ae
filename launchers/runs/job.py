"""A run's config resolved once: what it names, looked up, and every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from itertools import chain
from typing import Any, Protocol

from tolman.launchers.catalog.environments import EnvironmentSource, vector_seeds
from tolman.launchers.catalog.games import ExampleSource, GameSource
from tolman.launchers.catalog.given import names_of
from tolman.launchers.catalog.names import (
    AGENT,
    CORE,
    ENV,
    OBJECT,
    Named,
    find,
    find_run,
    kind_of_agent,
    make_core,
)
from tolman.launchers.settings.bounds import check_settings
from tolman.launchers.settings.config import (
    NO_CORE,
    OWN_SETTINGS,
    TrainConfig,
    check_logger,
)


class Specified(Protocol):
    """Whatever tells an environment's specs."""

    def observation_spec(self) -> Any: ...

    def action_spec(self) -> Any: ...


@dataclass(frozen=True)
class Job:
    """What a run is made of.

    Attributes:
      config: with every default filled in.
      kind: "acts", "plays" or "learns": what the agent was registered as.
      agent: the agent's factory.
      core: the core's class.
      source: an `EnvironmentSource`, `GameSource` or `ExampleSource`, by the kind. It
        builds nothing before it must.
      tasks: the sources of all environments that are trained on in turn, by name, `source`
        being that of the first; empty where there is one alone.
    """

    config: TrainConfig
    kind: str
    agent: Named
    core: Named
    source: Any
    tasks: Mapping[str, EnvironmentSource] = field(default_factory=dict)

    @property
    def runner(self) -> str:
        """The name of the runner that trains it."""
        return f"{self.config.launcher}/{self.kind}{'-in-turn' if self.tasks else ''}"

    def close(self) -> None:
        """Closes environments that were built to be known, and that nothing steps."""
        for source in (self.source, *self.tasks.values()):
            source.close()

    def make_agent(self, specs: Specified | None = None) -> Any:
        """Builds the agent.

        Args:
          specs: of the environment, where the agent acts in one; None for the source's.
        """
        factory, settings = self.agent.thing, self.config.agent_config
        if self.kind == "plays":
            agent = factory(settings, self.source.game())
            check_settings(agent.data, "agent.")
            return agent
        if self.kind == "learns":
            return factory(settings, self.source.task())
        specs = self.source if specs is None else specs
        agent = factory(
            settings,
            specs.observation_spec(),
            specs.action_spec(),
            make_core(self.core, self.config.core_config),
        )
        check_settings(agent.data, "agent.")
        return agent


def resolve(
    config: TrainConfig, env_seed: int | None = None, for_evaluation: bool = False
) -> Job:
    """Looks up what a config names, each name once, and fills in the defaults.

    Args:
      config: of a run.
      env_seed: of the first vector of environments; None for that of a run's start.
      for_evaluation: whether the environment is to have the settings that it is judged
        by: those of its `for_evaluation()`. Where training has other rewards or shorter
        episodes than the score that is reported, the settings have that method.

    Raises:
      ValueError: if a name is unknown, or settings are not of the type that it takes.
    """
    config = _with_names(config)
    check_settings(config)
    for logger in config.loggers:
        check_logger(logger)
    found = find_run(config.agent, config.env, config.core)
    kind = kind_of_agent(found[0])
    if kind != "acts":
        config, found = _without_core(config, found)
    filled = {
        "agent_config": _settings(found[0], config.agent_config),
        "env_config": _settings(found[1], config.env_config),
        "core_config": _settings(found[2], config.core_config),
    }
    if for_evaluation:
        filled["env_config"] = _judged(filled["env_config"])
    config = replace(config, **filled)
    agent, task, core = found
    source = _source(config, kind, task, env_seed)
    launcher = config.launcher
    if launcher is None:
        launcher = "on-device" if source.is_on_device else "local"
    _check_launcher(config, launcher, kind, source)
    if launcher == "local" and kind == "acts":
        source.check_processes()
    settings = _with_correction(config.agent_config, launcher)
    replay = _replay(config.replay, launcher)
    config = replace(config, agent_config=settings, launcher=launcher, replay=replay)
    tasks = _tasks(config, kind, task, source, launcher, for_evaluation)
    return Job(_with_all_steps(config), kind, agent, core, source, tasks)


def _tasks(
    config: TrainConfig,
    kind: str,
    first: Named,
    source: EnvironmentSource,
    launcher: str,
    for_evaluation: bool,
) -> dict[str, EnvironmentSource]:
    """The sources of `config.tasks` by name; the settings of the first are for all.

    Raises:
      ValueError: if one of them cannot be trained on in turn with the others.
    """
    if not config.tasks:
        return {}
    if kind != "acts":
        raise ValueError(
            f"tasks={','.join(config.tasks)}: agent {config.agent!r} does not act in "
            "environments. Leave --tasks out."
        )
    if config.eval_every is not None:
        raise ValueError(
            f"eval_every={config.eval_every}: tasks in turn are evaluated for every row. "
            "Set --log-interval in its place."
        )
    if config.env != config.tasks[0]:
        raise ValueError(
            f"env={config.env!r}: must be the first of the tasks, {config.tasks[0]!r}. "
            "Leave --env out."
        )
    found = {config.env: source}
    for name in dict.fromkeys(config.tasks[1:]):
        if name == config.env:
            continue
        named = find(ENV, name)
        settings, usual = named.default_settings(), first.default_settings()
        if for_evaluation:
            settings, usual = _judged(settings), _judged(usual)
        if named.settings_type is first.settings_type:
            settings = config.env_config
        elif asdict(config.env_config) != asdict(usual):  # Types may be made twice.
            raise ValueError(
                f"task {name!r}: takes other settings than {config.env!r}, so --env.KEY "
                "cannot set those of both. Leave it out."
            )
        found[name] = _source(
            replace(config, env_config=settings), kind, named, source.first_seed
        )
        if launcher == "on-device" and not found[name].is_on_device:
            raise ValueError(
                f"task {name!r} lives on the host: launcher 'on-device' cannot run it. "
                "Set --launcher local, or leave it out of --tasks."
            )
    return found


def _judged(settings: Any) -> Any:
    """The settings by which an environment of these is judged."""
    judged = getattr(settings, "for_evaluation", None)
    return settings if judged is None else judged()


def _with_all_steps(config: TrainConfig) -> TrainConfig:
    """A config whose env steps are those of all its tasks.

    Raises:
      ValueError: if the two ways to say how many differ, or there are no tasks.
    """
    each, number = config.steps_per_task, len(config.tasks)
    if not number:
        if each is not None:
            raise ValueError(
                f"steps_per_task={each}: there are no tasks. Set --tasks, or "
                "--num-env-steps in its place."
            )
        if config.labels != TrainConfig.labels:
            raise ValueError(
                f"labels={config.labels!r}: there are no tasks. Set --tasks, or leave "
                "--labels out."
            )
        return config
    if each is None:
        raise ValueError("steps_per_task is missing: set --steps-per-task, for --tasks.")
    total = each * number
    if config.num_env_steps not in (total, TrainConfig.num_env_steps):
        raise ValueError(
            f"num_env_steps={config.num_env_steps}: must be {total}, {number} tasks of "
            f"{each}. Leave --num-env-steps out."
        )
    return replace(config, num_env_steps=total)


def _with_names(config: TrainConfig) -> TrainConfig:
    """A config whose names stand for what was given from Python in their places."""
    given = config.agent, config.env, config.core
    names = names_of(*given)
    settings = config.agent_config
    if names[0].startswith(OBJECT) and settings is None:
        settings = getattr(config.agent, "config", None)
    agent, env, core = names
    return replace(config, agent=agent, env=env, core=core, agent_config=settings)


def _with_correction(settings: Any, launcher: str) -> Any:
    """Agent settings whose `off_policy_correction` is what the launcher needs."""
    if getattr(settings, "off_policy_correction", "") != "auto":
        return settings
    return replace(
        settings, off_policy_correction="vtrace" if launcher == "ray" else "none"
    )


def _replay(replay: Any, launcher: str) -> Any:
    """Where data waits; on-device there is no choice.

    Raises:
      ValueError: if the launcher has no such replay.
    """
    if launcher == "ray" and replay == "memory":
        raise ValueError(
            "replay='memory': launcher 'ray' needs one that other processes reach. Set "
            "--replay reverb, or --launcher local."
        )
    if replay == "auto" and launcher != "on-device":
        return "reverb" if launcher == "ray" else "memory"
    return replay


def _source(config: TrainConfig, kind: str, task: Named, env_seed: int | None) -> Any:
    if kind == "plays":
        return GameSource(task, config.env_config)
    if kind == "learns":
        return ExampleSource(task, config.env_config)
    return EnvironmentSource(
        task,
        config.env_config,
        vector_seeds(config.seed, 0, 1)[0] if env_seed is None else env_seed,
        config.on_env_error,
        config.env_timeout,
        num_processes=config.env_processes,
    )


def _settings(named: Named, settings: Any) -> Any:
    """The settings of a named thing, its default ones for None.

    Raises:
      ValueError: if they are of another type, or one is not what it must be.
    """
    if settings is None:
        settings = named.default_settings()
    noun, expected = named.kind.noun, named.settings_type
    is_open = named.kind not in (AGENT, CORE)  # Made from a factory's signature.
    if not (is_dataclass(settings) if is_open else isinstance(settings, expected)):
        raise ValueError(
            f"{named.kind.flag}_config: {noun} {named.name!r} takes {expected.__name__}, "
            f"got {type(settings).__name__}."
        )
    check_settings(settings, f"{named.kind.flag}.")
    return settings


def _without_core(
    config: TrainConfig, found: tuple[Named, Named, Named]
) -> tuple[TrainConfig, tuple[Named, Named, Named]]:
    """The config of an agent that has no memory core, and what it names."""
    if config.core not in (TrainConfig.core, NO_CORE):
        raise ValueError(
            f"core={config.core!r}: agent {config.agent!r} takes none. Leave --core out."
        )
    if config.core == NO_CORE:
        return config, found
    core = find(CORE, NO_CORE)
    return replace(config, core=NO_CORE, core_config=None), (*found[:2], core)


def _check_launcher(config: TrainConfig, launcher: str, kind: str, source: Any) -> None:
    if launcher == "on-device" and not source.is_on_device:
        raise ValueError(
            f"env {config.env!r} lives on the host: launcher 'on-device' cannot run it. "
            "Set --launcher local."
        )
    for name in (config.agent, config.env, config.core):
        if launcher == "ray" and name.startswith(OBJECT):
            raise ValueError(
                f"{name!r}: was given from Python, and other processes cannot find it. "
                "Give what can be imported, or leave --launcher ray out."
            )
    if kind == "learns" and launcher != "on-device":
        raise ValueError(
            f"launcher={launcher!r}: agent {config.agent!r} learns from examples, which is "
            "done on-device. Leave --launcher out."
        )
    for name in ("eval_episodes", "eval_greedy"):
        is_own = launcher == "ray" and name == "eval_episodes"  # Of its evaluator.
        is_evaluated = config.eval_every or config.tasks or is_own
        if getattr(config, name) and not is_evaluated:
            raise ValueError(
                f"{name}={getattr(config, name)}: there are no evaluations without "
                f"--eval-every. Leave --{name.replace('_', '-')} out."
            )
    if config.eval_every and config.eval_episodes == 0:
        raise ValueError(
            "eval_episodes=0: must be at least 1 with --eval-every. Set --eval-episodes."
        )
    for name in sorted({*chain(*OWN_SETTINGS.values())} - {*OWN_SETTINGS[launcher]}):
        value = getattr(config, name)
        if value and value != getattr(TrainConfig, name):
            raise ValueError(
                f"{name}={value}: launcher {launcher!r} has no such "
                f"setting. Leave --{name.replace('_', '-')} out."
            )
