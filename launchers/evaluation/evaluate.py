"""Evaluates a run with the parameters of a checkpoint: episodes, or questions."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from tolman.agents.greedy import greedy
from tolman.launchers.evaluation.episodes import (
    check_num_episodes,
    environment_seed,
    evaluation_key,
    play_episodes_of,
)
from tolman.launchers.runs.failures import explained
from tolman.launchers.runs.folder import LOG
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.restore import (
    Restored,
    named_checkpoint,
    restore,
    stored_job,
)

QUESTIONS_AT_ONCE = 250
RETURN_METRICS = (
    "eval/episode_return",
    "eval/episode_return_standard_error",
    "eval/episode_length",
)


def evaluate(
    run: Path | str,
    num_episodes: int = 100,
    seed: int = 0,
    checkpoint: int | None = None,
    trust: bool = False,
    greedily: bool = False,
) -> dict[str, float]:
    """Plays episodes with frozen parameters, sampling from the policy, or greedily.

    The environment has its settings for evaluation; see `resolve`. An agent that learns
    from examples answers questions of the split "test" instead.

    Args:
      run: the run folder, or RUN@best; see `named_checkpoint`.
      num_episodes: at least 2, so that there is a standard error; or questions.
      seed: of the episodes, independent of the run's.
      checkpoint: env steps of the one to take; None for the last that is sound.
      trust: whether the run's config may name any code; see `catalog.trust`.
      greedily: take the action that the policy holds best, and do not explore.

    Returns:
      `env_steps` of the checkpoint, `num_episodes`, `eval/episode_return` and
      `eval/episode_length` (means) and `eval/episode_return_standard_error`; in an Atari
      game that a human's score is known for also `eval/human_normalized_score`; and each
      further number that the environment told at an episode's end, `eval/is_success`. Of
      questions, `eval/accuracy` and `eval/accuracy_standard_error` in place of the three.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: for fewer than 2 episodes or more than 10^6, if no checkpoint is sound, or
        for an agent that needs somebody to play against.
    """
    check_num_episodes(num_episodes, 2)
    key = evaluation_key(seed)
    run, checkpoint = named_checkpoint(Path(run), checkpoint)
    job = stored_job(run, environment_seed(key), trust)
    check_plays_alone(run, job)
    with contextlib.closing(job), explained(run / LOG):
        restored = restore(run, checkpoint, job)
        if greedily and job.kind == "acts":
            restored = restored._replace(agent=greedy(restored.agent))
        measure = _accuracy if job.kind == "learns" else _returns
        measured = measure(restored, key, num_episodes)
    return {"env_steps": restored.env_steps, "num_episodes": num_episodes, **measured}


def describe(result: dict[str, float]) -> list[str]:
    """What `evaluate` has found, in lines."""
    at, count = result["env_steps"], result["num_episodes"]
    if "eval/accuracy" in result:
        return [
            f"eval/accuracy {result['eval/accuracy']:.4g} "
            f"± {result['eval/accuracy_standard_error']:.2g} (standard error of {count} "
            f"questions)  at examples {at}"
        ]
    lines = [
        f"eval/episode_return {result['eval/episode_return']:.4g} "
        f"± {result['eval/episode_return_standard_error']:.2g} (standard error of {count} "
        f"episodes)  eval/episode_length {result['eval/episode_length']:.4g}  at env_steps "
        f"{at}"
    ]
    known = {*RETURN_METRICS, "eval/human_normalized_score"}
    lines += [
        f"{name} {value:.4g}"
        for name, value in result.items()
        if name.startswith("eval/") and name not in known
    ]
    if "eval/human_normalized_score" in result:
        score = result["eval/human_normalized_score"]
        lines.append(f"eval/human_normalized_score {score:.4g} (0 random play, 1 a human)")
    return lines


def check_plays_alone(run: Path, job: Job) -> None:
    """Raises ValueError for the run of an agent that needs somebody to play against."""
    if job.kind == "plays":
        raise ValueError(
            f"{run}: agent {job.config.agent!r} plays against others, and has no "
            "return to report. Use tolman tournament."
        )


def _returns(restored: Restored, key: jax.Array, num_episodes: int) -> dict[str, float]:
    """What episodes return, and how long they are; of tasks in turn, means over them."""
    job, agent, params, *_ = restored
    if job.tasks:
        return _returns_of_tasks(restored, key, num_episodes)
    played = play_episodes_of(job, agent, params, key, num_episodes)
    returns = played.returns
    return {
        **{f"eval/{name}": value for name, value in played.info.items()},
        "eval/episode_return": float(returns.mean()),
        "eval/episode_return_standard_error": float(
            returns.std(ddof=1) / np.sqrt(num_episodes)
        ),
        "eval/episode_length": float(np.mean(played.lengths)),
        **_human_normalized(job.config.env, float(returns.mean())),
    }


def _returns_of_tasks(
    restored: Restored, key: jax.Array, num_episodes: int
) -> dict[str, float]:
    """Means over the tasks, and the mean return of each."""
    job = restored.job
    found, measured = [], {}
    for task, (name, source) in enumerate(job.tasks.items()):
        alone = restored._replace(
            job=replace(job, source=source, tasks={}),
            params=restored.for_task(task),
        )
        # With one key for all, tasks that are alike would share their chance.
        own_key = jax.random.fold_in(key, task)
        found.append(_returns(alone, own_key, num_episodes))
        measured[f"eval/{name}/episode_return"] = found[-1]["eval/episode_return"]
    means = {name: float(np.mean([one[name] for one in found])) for name in RETURN_METRICS}
    error = "eval/episode_return_standard_error"  # Of a mean of independent means.
    means[error] = float(np.sqrt(np.square([one[error] for one in found]).sum()))
    means[error] /= len(found)
    return {**means, **measured}


def _accuracy(restored: Restored, key: jax.Array, num_questions: int) -> dict[str, float]:
    """The share of questions whose answers are all right."""
    agent, task = restored.agent, restored.job.source.task()
    params = jax.tree.map(lambda leaf: leaf[0], restored.params)
    data = task.load("test")

    @jax.jit
    def ask(key: jax.Array) -> jax.Array:
        sample_key, answer_key = jax.random.split(key)
        examples = task.sample(data, sample_key, QUESTIONS_AT_ONCE)
        answers = agent.answer(params, examples, answer_key)
        right = answers.logits.argmax(-1) == examples.target
        return right.reshape(len(right), -1).all(-1)

    keys = jax.random.split(key, -(-num_questions // QUESTIONS_AT_ONCE))
    is_right = np.concatenate([ask(one) for one in keys])[:num_questions]
    return {
        "eval/accuracy": float(is_right.mean()),
        "eval/accuracy_standard_error": float(
            is_right.std(ddof=1) / np.sqrt(num_questions)
        ),
    }


def _human_normalized(env: str, score: float) -> dict[str, float]:
    """The score beside a human's; nothing where none is known."""
    if not env.startswith("ALE/"):
        return {}
    from tolman.envs import atari

    if atari.check_atari_id(env) not in atari.GAMES:
        return {}
    return {"eval/human_normalized_score": atari.human_normalized_score(env, score)}
