"""Permuted MNIST: ten tasks one after another, and none forgotten.

Every task has the same digits with the pixels in an order of its own. Plain gradient
descent, an L2 penalty on how far weights move, and EWC learn the tasks in turn; twins with
one thing broken must fail. How far the Fishers of two tasks overlap is shown by layer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import jax
import numpy as np
from annotated_types import Ge, Gt

from tolman.agents.classifier import Classifier, ClassifierConfig
from tolman.agents.ewc import Elastic, ElasticConfig
from tolman.agents.ewc import fisher as estimators
from tolman.envs.classification import mnist
from tolman.envs.classification.permuted import PermutedImages
from tolman.launchers.report.continual import forgetting, forward_transfer
from tolman.launchers.studies.ewc import plots
from tolman.launchers.studies.ewc.methods import Kind, Learned, Method, Setting, learn
from tolman.launchers.studies.study import Study

TITLE = "Permuted MNIST: tasks one after another, and none forgotten"
PAPER = "Kirkpatrick et al. 2017, section 2.2"
NAMES = {
    "sgd": "SGD", "l2": "L2", "ewc": "EWC", "shuffled": "shuffled Fisher",
    "late": "anchor one task late", "uniform": "uniform answers",
    "strong": "lambda too large", "own": "SGD at its own rate",
}  # fmt: skip
DATA = {
    "mnist": "MNIST, 28 x 28",
    "digits": "scikit-learn's digits, 8 x 8, as MNIST is not there or not asked for: the "
    "bars are lower, and the paper's numbers are of other images",
}
Results = dict[str, Learned]
Overlaps = dict[int, dict[str, float]]  # By side of the square, then by layer.


@dataclass(frozen=True)
class Options:
    """Flags of this study.

    Attributes:
      data: "mnist" from your files, "digits" of scikit-learn, or "auto" for the first of
        them that is there.
      rates: that are searched; none for the setting's. One alone is taken as it is.
      strengths: lambdas that EWC is searched over, likewise.
      l2_strengths: that L2 is searched over, likewise.
      num_members: of each method; 0 for the setting's.
      controls: train what must fail too, and measure the overlap of Fishers.
    """

    data: mnist.Name = "auto"
    rates: tuple[Annotated[float, Gt(0)], ...] = ()
    strengths: tuple[Annotated[float, Ge(0)], ...] = ()
    l2_strengths: tuple[Annotated[float, Ge(0)], ...] = ()
    num_members: Annotated[int, Ge(0)] = 0
    controls: bool = True


@dataclass(frozen=True)
class Budget:
    """A setting of the study.

    Attributes:
      setting: of all methods.
      num_tasks: K.
      rates: that EWC is searched over; one, where it is known.
      strengths: lambdas that EWC is searched over.
      l2_strengths: that L2 is searched over, with EWC's rates.
      search_tasks: tasks that a search trains on.
      controls: what must fail, and the tasks that it is trained on.
      strong: lambda of the control "lambda too large".
      overlap_updates: of each of the two tasks of figure 2C.
    """

    setting: Setting
    num_tasks: int
    rates: tuple[float, ...]
    strengths: tuple[float, ...]
    l2_strengths: tuple[float, ...]
    search_tasks: int
    controls: tuple[Kind, ...]
    control_tasks: int
    strong: float
    overlap_updates: int


QUICK = Budget(
    Setting((400, 400), 1_100, 2_000, 2_500, num_members=1, rows=2),
    num_tasks=10, rates=(0.4,), strengths=(20.0,), l2_strengths=(1e-3, 3e-3, 1e-2),
    search_tasks=3, controls=("shuffled",), control_tasks=5, strong=1e9,
    overlap_updates=1_100,
)  # fmt: skip
# 1,258 training images of 64 pixels.
SMALL_QUICK = replace(
    QUICK, overlap_updates=600,
    setting=replace(QUICK.setting, num_updates=300, num_fisher=1_000, num_scored=360),
)  # fmt: skip
FULL = Budget(
    Setting((1_000, 1_000), 2_750, 5_000, 10_000, num_members=3, rows=5),
    num_tasks=10, rates=(0.1, 0.3, 0.5), strengths=(3.0, 10.0, 30.0, 100.0, 300.0),
    l2_strengths=(1e-4, 1e-3, 1e-2, 1e-1, 1.0), search_tasks=5,
    controls=("shuffled", "late", "uniform"), control_tasks=10, strong=1e9,
    overlap_updates=5_500,
)  # fmt: skip


@dataclass(frozen=True)
class Bars:
    """What must be reached.

    Attributes:
      mean: of EWC over all tasks, at least.
      drop: of EWC's mean from one task to all, below.
      last: EWC's last task when it has just been learned, above.
      sgd: mean of plain gradient descent at the same rate, below.
      lead: of EWC's mean over that of L2, above.
      control_lead: of EWC's mean over that of a control, on the control's tasks, above.
      lack: of a lambda that is too large, on its last task when learned, above.
    """

    mean: float
    drop: float
    last: float
    sgd: float
    lead: float
    control_lead: float
    lack: float


QUICK_BARS = Bars(0.93, 0.04, 0.93, 0.80, 0.05, 0.03, 0.05)
FULL_BARS = Bars(0.95, 0.03, 0.93, 0.80, 0.05, 0.03, 0.05)
# Of 64 inputs nearly all vary in every task, so that ten tasks share every weight of the
# first layer: three seeds were measured at 68 to 76 per cent, agents/ewc/README.md.
SMALL_BARS = Bars(0.62, 0.36, 0.80, 0.50, 0.15, 0.0, 0.0)


def run(study: Study, options: Options) -> None:
    """Trains all methods and twins, measures what each keeps, checks the claims."""
    data = mnist.which(options.data)
    budget, bars = FULL, FULL_BARS
    if study.quick:
        budget, bars = QUICK, QUICK_BARS
    if data == "digits":
        small = SMALL_QUICK.setting
        setting = (
            small if study.quick else replace(budget.setting, num_updates=small.num_updates)
        )
        budget, bars = replace(budget, setting=setting, overlap_updates=600), SMALL_BARS
    budget = choose(budget, options)
    study.note(f"Data: {DATA[data]}.")
    study.settings = {"data": data, **asdict(budget)}
    results, overlaps = run_budget(study, budget, data, options.controls)
    report(study, results, overlaps)
    check(study, results, bars)
    if overlaps:
        check_overlap(study, overlaps)


def choose(budget: Budget, options: Options) -> Budget:
    """The setting with what was chosen of it."""
    members = options.num_members or budget.setting.num_members
    return replace(
        budget,
        setting=replace(budget.setting, num_members=members),
        rates=options.rates or budget.rates,
        strengths=options.strengths or budget.strengths,
        l2_strengths=options.l2_strengths or budget.l2_strengths,
    )


def run_budget(
    study: Study, budget: Budget, data: mnist.Name, controls: bool
) -> tuple[Results, Overlaps]:
    """Trains everything; without controls what must fail and the overlaps are left out."""
    tasks = [PermutedImages(task, data=data) for task in range(budget.num_tasks)]
    ewc = search(study, "ewc", budget, budget.strengths, tasks)
    l2 = search(study, "l2", budget, budget.l2_strengths, tasks)
    methods = {"ewc": ewc, "sgd": Method("sgd", 0.0, ewc.learning_rate), "l2": l2}
    if len(budget.rates) > 1:
        methods["own"] = search(study, "sgd", budget, (0.0,), tasks)
    results = {
        name: learn(study, "all", method, tasks, budget.setting)
        for name, method in methods.items()
    }
    if not controls:
        return results, {}
    few = tasks[: budget.control_tasks]
    for kind in budget.controls:
        method = replace(ewc, kind=kind)
        results[kind] = learn(study, "control", method, few, budget.setting)
    strong = replace(ewc, strength=budget.strong)
    results["strong"] = learn(study, "control", strong, few, budget.setting)
    return results, {
        side: measure_overlap(study, side, budget, data) for side in sides(data)
    }


def report(study: Study, results: Results, overlaps: Overlaps) -> None:
    """Tables and figures of all that was trained."""
    tabulate(study, results)
    if overlaps:
        tabulate_overlaps(study, overlaps)
    plots.draw(study, {NAMES[name]: one for name, one in results.items()}, overlaps)


def sides(data: mnist.Name) -> tuple[int, int]:
    """Sides of the squares of figure 2C: a third and nearly all of the image."""
    return (8, 26) if data == "mnist" else (2, 8)


def search(
    study: Study,
    kind: Kind,
    budget: Budget,
    strengths: tuple[float, ...],
    tasks: list[PermutedImages],
) -> Method:
    """The rate and strength with the best mean on the validation split, of one member."""
    choices = [Method(kind, s, rate) for rate in budget.rates for s in strengths]
    if len(choices) == 1:
        return choices[0]
    setting = replace(budget.setting, num_members=1)
    few = tasks[: budget.search_tasks]
    means = [
        float(learn(study, "search", one, few, setting, "validation").after(len(few))[0])
        for one in choices
    ]
    rows = [
        [one.learning_rate, one.strength, f"{100 * mean:.1f}"]
        for one, mean in zip(choices, means, strict=True)
    ]
    title = (
        f"Search for {NAMES[kind]}: mean of {len(few)} tasks, validation split, per cent"
    )
    study.table(title, ["learning rate", "lambda", "mean"], rows)
    return choices[int(np.argmax(means))]


def measure_overlap(
    study: Study, side: int, budget: Budget, data: mnist.Name
) -> dict[str, float]:
    """How far the Fishers of two tasks overlap, by layer, after EWC on one then the other.

    Six layers of 100 units, as in figure 2C; both Fishers are taken at the last weights.
    """
    tasks = [PermutedImages(task, side, data) for task in (0, 1)]
    setting = replace(
        budget.setting, hidden_sizes=(100,) * 6, num_updates=budget.overlap_updates,
        num_members=1, rows=1,
    )  # fmt: skip
    method = Method("ewc", budget.strengths[0], 0.1)
    learned = learn(study, f"overlap_{side}", method, tasks, setting)
    params = jax.tree.map(lambda leaf: leaf[0], learned.params)
    agent = Classifier(ClassifierConfig((100,) * 6), tasks[0])
    elastic = Elastic(agent, ElasticConfig())
    key = jax.random.PRNGKey(study.seed)

    @jax.jit
    def fisher(params: Any, images: Any) -> Any:
        return elastic.fisher_of(
            params, tasks[0].sample(images, key, setting.num_fisher), key
        )

    first, second = (fisher(params, task.load("test")) for task in tasks)
    return {name: float(estimators.overlap(first[name], second[name])) for name in first}


def check(study: Study, results: Results, bars: Bars) -> None:
    """Bars are for the worst member, of what must fail for the best."""
    ewc, sgd, l2 = results["ewc"], results["sgd"], results["l2"]
    num_tasks = ewc.scores.shape[1]
    mean = ewc.after(num_tasks)
    claim = f"EWC, mean of {num_tasks} tasks"
    study.check(claim, mean.min(), "about 0.95", above=bars.mean)
    drop = (ewc.after(1) - mean).max()
    study.check("EWC, lost from one task to all", drop, "about 0.03", below=bars.drop)
    last = ewc.when_learned(num_tasks - 1).min()
    study.check("EWC, the last task when learned", last, "-", above=bars.last)
    plain = sgd.after(num_tasks).max()
    study.check(f"SGD, mean of {num_tasks} tasks", plain, "below 0.8", below=bars.sgd)
    lead = mean.min() - l2.after(num_tasks).max()
    study.check("EWC over L2", lead, "L2 cannot learn the later tasks", above=bars.lead)
    for kind, one in results.items():
        if kind not in ("ewc", "sgd", "l2", "strong"):
            count = one.scores.shape[1]
            lead = ewc.after(count).min() - one.after(count).max()
            claim = f"EWC over {NAMES[kind]}, {count} tasks"
            study.check(claim, lead, "must fail", above=bars.control_lead)
    if "strong" not in results:
        return
    strong = results["strong"]
    number = strong.scores.shape[1]
    lack = ewc.when_learned(number - 1).min() - strong.when_learned(number - 1).max()
    claim = f"task {number} when learned, EWC over lambda too large"
    study.check(claim, lack, "must fail", above=bars.lack)


def check_overlap(study: Study, overlaps: Overlaps) -> None:
    """Far tasks share the late layers, not the first; near ones share all."""
    near, far = (list(layers.values()) for layers in overlaps.values())
    study.check(
        "Fisher overlap in the first layer, near over far tasks", near[0] - far[0],
        "figure 2C", above=0.2,
    )  # fmt: skip
    study.check(
        "far tasks: overlap in the last layer over the first", far[-1] - far[0],
        "figure 2C", above=0.2,
    )  # fmt: skip


def tabulate(study: Study, results: Results) -> None:
    """What each method keeps."""
    rows = []
    for name, one in results.items():
        num_tasks = one.scores.shape[1]
        means = [
            _percent(one.after(count)) if count <= num_tasks else ""
            for count in (1, 3, 5, 10)
        ]
        lost = np.array([forgetting(scores).mean() for scores in one.scores])
        pairs = zip(one.scores, one.untrained, strict=True)
        ahead = np.array([forward_transfer(*pair).mean() for pair in pairs])
        rows.append([
            NAMES[name], one.method.strength, one.method.learning_rate, *means,
            _percent(one.scores[:, -1, 0]), _percent(one.when_learned(num_tasks - 1)),
            _percent(lost), _percent(ahead), f"{one.cpu_seconds:.0f}",
        ])  # fmt: skip
    study.table(
        "Accuracy in per cent, mean of the members; one task alone is the ceiling, for all "
        "orders of pixels are the same to a fresh network",
        ["method", "lambda", "rate", "after 1", "after 3", "after 5", "after 10",
         "first task at the end", "last task when learned", "forgetting",
         "forward transfer", "CPU seconds"],
        rows,
    )  # fmt: skip


def tabulate_overlaps(study: Study, overlaps: Overlaps) -> None:
    """Whether two tasks need the same weights, by layer."""
    layers = list(next(iter(overlaps.values())))
    study.table(
        "Fisher overlap of two tasks, by layer",
        ["square", *[str(number + 1) for number in range(len(layers))]],
        [[f"{side} x {side}", *[f"{value:.2f}" for value in one.values()]]
         for side, one in overlaps.items()],
    )  # fmt: skip


def _percent(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f}"
