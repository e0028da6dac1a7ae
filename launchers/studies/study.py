"""What every study shares: training stages that resume, checks, tables, figures, verdict.

A study is a module with a docstring, the constants `TITLE` and `PAPER`, and a function
`run(study: Study) -> None` that trains, measures and calls `study.check`. One with flags of
its own has a dataclass `Options` and `run(study, options)`; see `options.py`.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tolman.launchers.evaluation.episodes import check_seed
from tolman.launchers.report.whole import replace_text
from tolman.launchers.runs.folder import LOCK, hold, is_unused, make_folder
from tolman.launchers.runs.stopping import RunStopped, stop_request
from tolman.launchers.settings.bounds import check_settings
from tolman.launchers.studies.checks import SIGMAS, Check
from tolman.launchers.studies.options import find_study, option_words
from tolman.launchers.studies.stages import run_stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tolman.agents.agent import Agent, Array, Params
    from tolman.agents.supervised import SupervisedAgent
    from tolman.envs.environment import Environment
    from tolman.launchers.device.supervised import Source, StreamingSource

MARKER = "study.json"  # What a study's folder holds.


class Training(NamedTuple):
    """A trained population.

    Attributes:
      params: `[P, ...]`, host arrays.
      env_steps: `[C]`, of one member, at each point of the curve.
      episode_return: `[C, P]`, mean over the episodes since the point before.
    """

    params: Params
    env_steps: np.ndarray
    episode_return: np.ndarray


class Fit(NamedTuple):
    """A population that was trained on examples.

    Attributes:
      params: `[P, ...]`, host arrays.
      updates: `[C]`, of one member, at each point of the curves.
      curves: metric to `[C, P]`, means over the updates since the point before.
    """

    params: Params
    updates: np.ndarray
    curves: dict[str, np.ndarray]


@dataclass
class Study:
    """One study under way: what it was asked for, and what it has found so far."""

    name: str
    title: str
    paper: str
    quick: bool
    seed: int
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stages: Path | None = None  # Where `fit` trains; None for the study's own folder.

    @property
    def kept(self) -> Path:
        """What holds the stages of `fit`, in `training/<label>`."""
        return self.stages or self.folder

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def check(
        self,
        claim: str,
        measured: float,
        paper: str,
        *,
        above: float | None = None,
        below: float | None = None,
    ) -> bool:
        """Records whether `above < measured < below`; give one bound or both.

        A number that is not finite never passes.
        """
        if above is None and below is None:
            raise ValueError(f"check {claim!r}: give above=, below= or both.")
        measured = float(measured)
        bounds = [f"> {above:.4g}"] if above is not None else []
        bounds += [f"< {below:.4g}"] if below is not None else []
        passed = (above is None or measured > above) and (below is None or measured < below)
        self.checks.append(Check(claim, paper, measured, " and ".join(bounds), passed))
        return passed

    def check_chance(
        self, claim: str, measured: float, paper: str, *, expected: float, error: float
    ) -> bool:
        """Records whether a number is the one expected, but for chance.

        Args:
          claim: in one sentence.
          measured: a mean.
          paper: where the expected value comes from.
          expected: by theory.
          error: standard error of `measured`; it may be `SIGMAS` of them away.
        """
        margin = SIGMAS * error
        return self.check(
            claim, measured, paper, above=expected - margin, below=expected + margin
        )

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Adds a table to the result and the report; numbers may be NumPy's."""
        plain = [[_plain(cell) for cell in row] for row in rows]
        self.tables.append({"title": title, "columns": list(columns), "rows": plain})

    def note(self, text: str) -> None:
        """Adds a remark to the result and the report, and prints it."""
        self.notes.append(text)
        print(text, flush=True)

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """Writes `figures/<name>.png` and its caption."""
        folder = self.folder / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
        captions_file = folder / "captions.json"
        captions = json.loads(captions_file.read_text()) if captions_file.exists() else {}
        captions[f"{name}.png"] = caption
        replace_text(captions_file, json.dumps(captions, indent=2))

    def train(
        self,
        label: str,
        agent: Agent,
        environment: Environment,
        num_env_steps: int,
        num_members: int,
        hyperparameters: Any = None,
    ) -> Training:
        """Trains a population, or takes up where an interrupted one stood.

        Args:
          label: names the stage; its checkpoints lie in `training/<label>`.
          agent: what learns.
          environment: what it learns on.
          num_env_steps: of each member; rounded up to whole updates.
          num_members: P; member p draws from seed `(study.seed, p)`.
          hyperparameters: pytree of `[P]` that `agent.init` takes, or None.
        """
        from tolman.launchers.device.on_device import OnDeviceRunner

        runner = OnDeviceRunner(agent, environment, num_members)
        done = run_stage(
            self.folder / "training" / label,
            runner,
            self.member_keys(num_members),
            num_env_steps,
            hyperparameters,
        )
        none = np.full((len(done.units), num_members), np.nan)
        returns = done.curves.get("train/episode_return", none)
        return Training(done.params, done.units, returns)

    def fit(
        self,
        label: str,
        agent: SupervisedAgent,
        source: Source | StreamingSource,
        num_updates: int,
        num_members: int,
    ) -> Fit:
        """Trains a population on examples, or takes up where an interrupted one stood.

        Args:
          label: names the stage; its checkpoints lie in `training/<label>`.
          agent: what learns.
          source: of examples; its split "train" is learned from.
          num_updates: of each member.
          num_members: P; member p draws from seed `(study.seed, p)`.
        """
        from tolman.launchers.device.supervised import SupervisedRunner

        runner = SupervisedRunner(agent, source, num_members)
        folder, keys = self.kept / "training" / label, self.member_keys(num_members)
        done = run_stage(folder, runner, keys, num_updates)
        return Fit(done.params, done.units, done.curves)

    def member_keys(self, num_members: int) -> Array:
        """`[P, 2]`, one a member."""
        import jax

        root = jax.random.PRNGKey(self.seed)
        return jax.vmap(jax.random.fold_in, (None, 0))(root, np.arange(num_members))

    def print_verdict(self) -> None:
        """Prints every check, beside what the paper has."""
        from rich.console import Console

        console = Console(soft_wrap=True, highlight=False)
        console.print(f"\n{self.title} ({self.paper})")
        bar_width = max((len(check.bar) for check in self.checks), default=0)
        for check in self.checks:
            verdict = "[green]pass[/]" if check.passed else "[bold red]FAIL[/]"
            console.print(
                f"  {verdict}  {check.measured:8.3f}  {check.bar:{bar_width}}  "
                f"{check.claim} [dim](paper: {check.paper})[/]"
            )
        passed = sum(check.passed for check in self.checks)
        console.print(
            f"{passed} of {len(self.checks)} checks passed in {self.seconds:.0f} s."
        )

    def write(self) -> None:
        """Writes `result.json`; NaN and infinities become null, as JSON has none."""
        result = {
            "study": self.name,
            "title": self.title,
            "paper": self.paper,
            "quick": self.quick,
            "seed": self.seed,
            "checks": [asdict(check) for check in self.checks],
            "seconds": round(self.seconds, 1),
            "settings": self.settings,
            "tables": self.tables,
            "notes": self.notes,
        }
        text = json.dumps(_finite(result), indent=2)
        replace_text(self.folder / "result.json", text + "\n")


def run_study(
    name: str, quick: bool, seed: int, out: Path | None, options: Any = None
) -> int:
    """Runs a paper's experiment end to end.

    Args:
      name: `paper/study`, or module:attribute.
      quick: the setting of minutes in place of the full one.
      seed: of everything.
      out: the study's folder; None makes a new one. A folder that holds an interrupted
        run of the same study goes on from its last checkpoint.
      options: the study's own, of its type `Options`; None for their defaults, or where
        it has none.

    Returns:
      0 if every check passed, 1 if not.

    Raises:
      ValueError: for an unknown name, a seed or an option out of range, or a folder that
        holds something else.
    """
    module = find_study(name)
    check_seed(seed)
    if options is None and hasattr(module, "Options"):
        options = module.Options()
    if options is not None:
        check_settings(options)
    # Between trainings a signal interrupts at once; see `StopRequest`.
    with stop_request(is_deferred=False) as stop:
        folder = _open_folder(name, quick, seed, out, options)
        with hold(folder, "running this study"):
            study = Study(name, module.TITLE, module.PAPER, quick, seed, folder)
            setting = "quick" if quick else "full"
            print(f"{module.TITLE} ({setting} setting), in {folder}", flush=True)
            try:
                return _run(study, module, options)
            except (KeyboardInterrupt, RunStopped):
                words = ["--quick"] * quick + option_words(options)
                given = f" {shlex.join(words)}" if words else ""
                print(
                    f"\nInterrupted. To go on from the last checkpoint: "
                    f"tolman study {name}{given} --seed {seed} --out {folder}"
                )
                return 128 + (stop.signal_number or signal.SIGINT)
            except ValueError:  # Refused, perhaps before anything was trained.
                if {path.name for path in folder.iterdir()} <= {MARKER, LOCK}:
                    shutil.rmtree(folder)
                raise


def _run(study: Study, module: Any, options: Any) -> int:
    from tolman.launchers.report import write_report

    start = time.monotonic()
    module.run(study, *([] if options is None else [options]))
    study.seconds = time.monotonic() - start
    study.write()
    report = write_report([study.folder], study.folder / "report.html")
    study.print_verdict()
    print(f"Figures and tables: {report}")
    return 0 if all(check.passed for check in study.checks) else 1


def _open_folder(name: str, quick: bool, seed: int, out: Path | None, options: Any) -> Path:
    """Makes the study's folder, or finds the one that holds it."""
    asked: dict[str, Any] = {"study": name, "quick": quick, "seed": seed}
    if words := option_words(options, getattr(options, "selects", ())):
        asked["options"] = words
    if out is None:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        setting = "quick" if quick else "full"
        out = Path("runs") / f"{name.replace('/', '.')}__{setting}__s{seed}__{now}"
        out = make_folder(out, "--out", is_numbered=True)
    elif not out.exists():
        out = make_folder(out, "--out")
    elif not out.is_dir():
        raise ValueError(f"--out {out}: is a file. Give a folder, new or of this study.")
    with hold(out, "running this study"):
        marker = out / MARKER
        if marker.exists():
            _check_same(marker, asked)
        elif not is_unused(out, MARKER):
            raise ValueError(
                f"--out {out}: exists and holds no study. Choose a new folder."
            )
        replace_text(marker, json.dumps(asked))
    return out


def _check_same(marker: Path, asked: dict[str, Any]) -> None:
    try:
        found = json.loads(marker.read_text())
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{marker}: is not JSON ({reason}). Choose another --out."
        ) from None
    if found != asked:
        raise ValueError(
            f"--out {marker.parent}: holds {found}, not {asked}. Choose another folder, or "
            "the same study, setting and seed to go on."
        )


def _plain(cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return _plain(value)
