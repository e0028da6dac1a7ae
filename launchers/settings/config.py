"""The settings of a run: one dataclass, one flat YAML file, one set of flags.

A key of the file is a flag without its dashes: `num_env_steps: 1000` says what
`--num-env-steps 1000` says, and `agent.learning_rate: 0.001` what `--agent.learning-rate
0.001` does. Where both speak, the command line wins.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval

from tolman.envs.spelling import suggest
from tolman.launchers.catalog.names import Launcher, import_attribute

OWN_SETTINGS = {
    "on-device": (
        *("num_devices", "num_envs"),
        *("eval_episodes", "eval_every", "eval_greedy"),
        *("tasks", "steps_per_task"),
    ),
    "local": (
        *("num_envs", "env_processes", "replay"),
        *("eval_episodes", "eval_every", "eval_greedy"),
        *("tasks", "steps_per_task", "labels"),
    ),
    "ray": (
        *("num_envs", "replay", "actors", "address", "replay_shards", "learner_gpus"),
        *("eval_episodes", "eval_every", "eval_greedy"),
        *("tasks", "steps_per_task", "labels"),
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
      save_replay: in each checkpoint; without it, a resumed run begins with an empty
        replay, learns again once that has its minimum, and ends with other bits.
      loggers: beside metrics.jsonl and TensorBoard, which are always written: wandb, or
        module:attribute of an object with write(dict) and close().
      num_devices: to use; 0 for all that divide the work evenly. On-device only.
      num_envs: environments of one actor; 0 for at most 16. On-device with a replay only:
        else the agent's batch_size says it.
      env_processes: that step environments in Python, each a share of them; 0 to step
        them in the process of the actor. Local only.
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
      eval_episodes: of one evaluation; None for 10. Over Ray, without eval_every, a process
        of its own makes them one after another; 0 is for none.
      eval_every: env steps between evaluations, rounded up to whole log intervals; None
        for none. The checkpoint of the best one is kept: RUN@best.
      eval_greedy: whether evaluations act without exploring; not those of Ray's process.
      tasks: environments to train on in turn, by name; env is the first of them, and one
        that is named again returns. They have the same specs.
      steps_per_task: env steps of each of them.
      labels: how an agent knows which task it is in: given; inferred from the screens
        alone, by Forget-Me-Not; none, with one replay and one schedule for all. On the
        host only.
      init_from: RUN or RUN@STEPS: take those of its parameters that fit by path and shape.
      fresh: patterns of paths of parameters that are not taken from there: heads.
      preset: of the agent, that the settings are from; see `tolman list presets`.
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
    save_replay: bool = True
    loggers: tuple[str, ...] = ()
    num_devices: Annotated[int, Ge(0)] = 0
    num_envs: Annotated[int, Ge(0)] = 0
    env_processes: Annotated[int, Ge(0)] = 0
    on_env_error: Literal["fail", "restart"] = "fail"
    env_timeout: Annotated[float, Interval(gt=0, le=1e9)] = 60.0
    replay: Literal["auto", "memory", "reverb"] = "auto"
    actors: Annotated[int, Ge(0)] = 0
    address: str | None = None
    replay_shards: Annotated[int, Ge(0)] = 0
    learner_gpus: Annotated[int, Interval(ge=0, le=1)] = 0
    eval_episodes: Annotated[int, Ge(0)] | None = None
    eval_every: Annotated[int, Ge(1)] | None = None
    eval_greedy: bool = False
    agent_config: Any = None
    core_config: Any = None
    env_config: Any = None
    tasks: tuple[str, ...] = ()
    steps_per_task: Annotated[int, Ge(1)] | None = None
    labels: Literal["given", "inferred", "none"] = "given"
    init_from: str | None = None
    fresh: tuple[str, ...] = ()
    preset: str | None = None


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
