"""What a model has answered, on disk: no prompt is sent twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tolman.launchers.probe.model import (
    Ability,
    ProbedModel,
    Sampling,
    Scores,
    Tally,
    TextTooLongError,
    check_sampling,
)
from tolman.launchers.probe.opening import Opened
from tolman.launchers.probe.tokenizer import pairs_of
from tolman.launchers.runs.folder import ensure_folder, hold

logger = logging.getLogger("tolman")


class Journal:
    """A file of JSON lines that is only ever added to.

    Lines are written whole. One that a killed process left half-written, or that is not
    what is kept here, is dropped, and counts as not there.
    """

    def __init__(self, path: Path, keys: Iterable[str] = ()) -> None:
        """Reads the file, where there is one, and opens it to be added to.

        Args:
          path: of the file.
          keys: that every row has.
        """
        content = path.read_bytes() if path.exists() else b""
        self.rows: list[Any] = []
        kept, num_lines = [], 0
        for line in content.splitlines(keepends=True):
            num_lines += 1
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not (isinstance(row, dict) and row.keys() >= set(keys)):
                continue
            self.rows.append(row)
            kept.append(line.rstrip(b"\n") + b"\n")
        if b"".join(kept) != content:
            dropped = num_lines - len(kept)
            logger.warning("%s: %d lines were broken and are dropped.", path, dropped)
            whole = path.with_suffix(".whole")
            whole.write_bytes(b"".join(kept))
            whole.replace(path)
        self._file = path.open("ab", buffering=0)

    def append(self, rows: Iterable[Any]) -> None:
        """Adds rows, whole or with an error.

        Raises:
          OSError: if they are not all on disk, such as where it is full.
        """
        rows = list(rows)
        left = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        while left:  # A disk that fills up takes a part, and tells of it the next time.
            left = left[self._file.write(left) :]
        self.rows += rows

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class AnsweredModel:
    """A model whose answers to texts are kept; the methods are those of `ProbedModel`.

    Questions are put in parts of like lengths, and the answers of a part are on disk before
    the next is put. Where they are put one by one, those that begin alike follow each
    other: servers keep what the last prompts began with, and read the rest alone. One that
    is refused as too long is not put again, but after a restart, for a server may have
    another context by then. Arrays of a model's insides are not kept.
    """

    def __init__(self, model: ProbedModel, journal: Journal) -> None:
        """Takes over the answers that the journal holds.

        Args:
          model: that is asked what nobody has answered yet.
          journal: of this model alone.
        """
        self._model, self._journal = model, journal
        self._known = {_key(*row["asked"]): row["answer"] for row in journal.rows}
        self._too_long: dict[str, TextTooLongError] = {}
        self.num_sent = 0

    @property
    def abilities(self) -> frozenset[Ability]:
        return self._model.abilities

    @property
    def questions_at_once(self) -> int:
        return self._model.questions_at_once

    @property
    def tally(self) -> Tally | None:
        return self._model.tally

    def num_tokens(self, text: str) -> int | None:
        return self._model.num_tokens(text)

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Scores:
        if len(prompts) != len(continuations):
            return self._model.score(prompts, continuations)  # Refuses them.

        def ask(asked: Sequence[tuple]) -> list[Any]:
            found = self._model.score([one[1] for one in asked], [one[2] for one in asked])
            return [
                [float(value), int(count)]
                for value, count in zip(
                    found.log_probability, found.num_tokens, strict=True
                )
            ]

        pairs = pairs_of(prompts, continuations)
        answers = self._answers([("score", *pair) for pair in pairs], ask)
        return Scores(
            np.array([value for value, _ in answers], float),
            np.array([count for _, count in answers], np.int64),
        )

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        sampling: Sampling | None = None,
    ) -> list[str]:
        def ask(asked: Sequence[tuple]) -> list[Any]:
            texts = [one[1] for one in asked]
            if sampling is None:
                return self._model.generate(texts, max_new_tokens)
            own = sampling._replace(seeds=[one[4] for one in asked])
            return self._model.generate(texts, max_new_tokens, own)

        wanted: list[tuple] = [("generate", one, max_new_tokens) for one in prompts]
        if sampling is not None:
            check_sampling(prompts, sampling)
            drawn = [(float(sampling.temperature), int(seed)) for seed in sampling.seeds]
            wanted = [(*one, *own) for one, own in zip(wanted, drawn, strict=True)]
        return self._answers(wanted, ask)

    def first_token(self, prompts: Sequence[str]) -> list[dict[str, float]]:
        def ask(asked: Sequence[tuple]) -> list[Any]:
            return self._model.first_token([one[1] for one in asked])

        return self._answers([("first token", one) for one in prompts], ask)

    def hidden_states(self, prompts: Sequence[str]) -> list[np.ndarray]:
        return self._model.hidden_states(prompts)

    def attention(self, prompts: Sequence[str]) -> list[np.ndarray]:
        return self._model.attention(prompts)

    def jacobian(self, prompts: Sequence[str]) -> list[np.ndarray]:
        return self._model.jacobian(prompts)

    def _answers(
        self, asked: Sequence[tuple], ask: Callable[[Sequence[tuple]], list[Any]]
    ) -> list[Any]:
        """The answers to all that is asked; puts what is new to the model."""
        new = [one for one in dict.fromkeys(asked) if _key(*one) not in self._known]
        for one in new:
            if refusal := self._too_long.get(_key(*one)):
                raise TextTooLongError(str(refusal))
        at_once = self._model.questions_at_once
        if at_once == 1:
            new.sort()  # By text.
        else:
            new.sort(key=lambda one: sum(len(own) for own in one if isinstance(own, str)))
        for first in range(0, len(new), at_once):
            part = new[first : first + at_once]
            try:
                answers = ask(part)
            except TextTooLongError as error:
                if len(part) == 1:  # It is this one.
                    self._too_long[_key(*part[0])] = error
                raise
            self._journal.append(
                {"asked": one, "answer": answer}
                for one, answer in zip(part, answers, strict=True)
            )
            self._known |= {
                _key(*one): answer for one, answer in zip(part, answers, strict=True)
            }
            self.num_sent += len(part)
        return [self._known[_key(*one)] for one in asked]


@contextlib.contextmanager
def answered(folder: Path, opened: Opened) -> Iterator[AnsweredModel]:
    """A model with what it has answered before, which nobody else asks meanwhile.

    Args:
      folder: of the answers of all models; each has a folder of its own in it.
      opened: the model.

    Raises:
      ValueError: if another process asks the model, or the folder cannot be made.
    """
    own = folder / fingerprint(json.dumps(opened.identity, sort_keys=True))
    ensure_folder(own, "--answers")
    with hold(own, "asking this model"):
        (own / "model.json").write_text(json.dumps(opened.identity, indent=2) + "\n")
        journal = Journal(own / "answers.jsonl", ("asked", "answer"))
        try:
            yield AnsweredModel(opened.model, journal)
        finally:
            journal.close()


def _key(*asked: Any) -> str:
    return json.dumps(asked)


def fingerprint(identity: str) -> str:
    """A short name for a model, of what tells it apart."""
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
