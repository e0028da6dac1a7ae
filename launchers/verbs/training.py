"""Verbs that make a trained agent, or ask what one can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tolman.launchers.verbs.verb import Verb


def _train(words: Sequence[str]) -> int:
    from tolman.launchers.settings.commands import parse_train

    config = parse_train(words)
    from tolman.launchers.runs.training import train

    print(train(config))
    return 0


def _sweep(words: Sequence[str]) -> int:
    from tolman.launchers.sweep.grid import parse_sweep
    from tolman.launchers.sweep.sweep import run_sweep

    return run_sweep(parse_sweep(words))


def _resume(words: Sequence[str]) -> int:
    from tolman.launchers.settings.commands import parse_resume

    given = parse_resume(words)
    from tolman.launchers.runs.training import resume

    print(resume(given.run, given.trust, given.empty_replay, given.changes))
    return 0


@dataclass(frozen=True)
class Eval:
    """Plays episodes, or answers questions, with the parameters of a run's checkpoint.

    Attributes:
      run: its folder, RUN@STEPS for one of its checkpoints, or RUN@best.
      num_episodes: at least 2; or questions.
      seed: of the episodes.
      checkpoint: its env steps; None for the last that is sound.
      trust: call whatever its config names, as module:attribute.
      greedy: take the action that the policy holds best, in place of sampling.
    """

    run: Path
    num_episodes: int = 100
    seed: int = 0
    checkpoint: int | None = None
    trust: bool = False
    greedy: bool = False


def _eval(given: Eval) -> int:
    from tolman.launchers.evaluation.evaluate import describe, evaluate

    result = evaluate(*(getattr(given, item.name) for item in fields(given)))
    print("\n".join(describe(result)))
    return 0


VERBS = {
    "train": Verb("AGENT --env ID [--core NAME] ...", "train an agent", _train),
    "sweep": Verb("AGENT --env ID --seeds N ...", "train settings by seeds", _sweep),
    "resume": Verb(
        "RUN [--num-env-steps N] ...", "go on with a run, as it was or changed", _resume
    ),
    "eval": Verb("RUN [--num-episodes N]", "play with a trained agent", _eval, Eval),
}
