"""What a study of language models is to `tolman probe`.

A module of `tolman.launchers.studies.llm_probe` with a constant `PROBE`, a `ProbeStudy`,
is run on any model by `tolman probe MODEL --study NAME`. Its questions come in blocks: a
battery that was broken off goes on with the first block that is not on disk. What a block
finds are rows, dictionaries that JSON can hold; they are written to `trials.jsonl`. The
summary is made of the rows alone, so that it can be made anew without the model.

    def _counting(length: int, model: ProbedModel) -> list[Row]:
        answer = model.generate([prompt_of(length)], 8)[0]
        return [{"length": length, "answer": answer}]

    def _blocks() -> list[Block]:
        return [Block(f"length {n}", partial(_counting, n)) for n in (8, 16, 32)]

    def _summarise(rows: Sequence[Row], findings: Findings) -> None:
        cells = [(row["length"], row["answer"]) for row in rows]
        findings.table("Counting", ("length", "answer"), cells)

    PROBE = ProbeStudy("Counting", "Barbero 2024", {"generate"}, _blocks, _summarise)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tolman.launchers.probe.model import Ability, ProbedModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Block:
    """Questions that are put together, and are on disk together or not at all.

    Attributes:
      name: of this block alone, within its study; says all that the questions depend on.
      ask: puts the questions to a model; gives at least one row.
    """

    name: str
    ask: Callable[[ProbedModel], list[Row]]


class Findings(Protocol):
    """Where a study says what it found; `tolman.launchers.studies.study.Study` is one."""

    def check(
        self,
        claim: str,
        measured: float,
        paper: str,
        *,
        above: float | None = None,
        below: float | None = None,
    ) -> bool:
        """Records whether `above < measured < below`."""
        ...

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Adds a table to the report."""
        ...

    def note(self, text: str) -> None:
        """Adds a remark to the report, and prints it."""
        ...

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """Adds a figure to the report."""
        ...


@dataclass(frozen=True)
class ProbeStudy:
    """A study that can be run on any model that has what it needs.

    Attributes:
      title: of the report.
      paper: whose study it is.
      needs: abilities that a model must have. For "first token", "score" is enough: such
        a study compares answers by `comparing.log_probabilities`, which takes either.
      blocks: the questions, in the order in which they are put.
      summarise: says what the rows of all blocks show, in the order of the blocks. Checks
        are of the instrument; what a model does is a table or a note, not a check.
      with_items: the same study on the items of a file in place of its own; None where
        it takes none.
    """

    title: str
    paper: str
    needs: Set[Ability]
    blocks: Callable[[], Sequence[Block]]
    summarise: Callable[[Sequence[Row], Findings], None]
    with_items: Callable[[Path], ProbeStudy] | None = None
