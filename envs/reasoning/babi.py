"""The twenty bAbI tasks, from files that the user has.

Source: Weston et al. 2015, "Towards AI-complete question answering: a set of
  prerequisite toy tasks". The data are not part of this project.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Len

from tolman.envs.data import DATA_VARIABLE, data_set
from tolman.envs.places import summary
from tolman.envs.reasoning.stories import SPLITS, Story, StoryTask, read_stories
from tolman.envs.reasoning.task import register_source

ALL_TASKS = tuple(range(1, 21))
NUM_TRAIN_QUESTIONS = 10_000  # Of a task in the large version.
HELD_OUT_SHARE = 0.1  # Of the training stories: as in the data's own validation version.

NAMES = (
    "single supporting fact", "two supporting facts", "three supporting facts",
    "two-argument relations", "three-argument relations", "yes/no questions", "counting",
    "lists/sets", "simple negation", "indefinite knowledge", "basic coreference",
    "conjunction", "compound coreference", "time reasoning", "basic deduction",
    "basic induction", "positional reasoning", "size reasoning", "path finding",
    "agent's motivations",
)  # fmt: skip


@dataclass(frozen=True)
class Babi:
    """The English tasks with 10,000 training questions each, learned jointly.

    Validation is the last tenth of the different training stories; copies of a story
    stay together. Where a task has fewer than 10,000 training questions, the stories of
    the small version (`en/`) are added, each once.

    Attributes:
      folder: holds `en-10k/` or `en-10k.tar.gz`, and maybe `en/`; empty for the folder
        `babi` of the data folder.
      tasks: their numbers, 1 to 20.
    """

    folder: str = ""
    tasks: Annotated[tuple[int, ...], Len(1)] = ALL_TASKS

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if not set(self.tasks) <= set(ALL_TASKS) or len(set(self.tasks)) < len(self.tasks):
            yield "tasks", "numbers from 1 to 20, each once"

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(f"{task}: {NAMES[task - 1]}" for task in self.tasks)

    def read(self) -> dict[str, tuple[list[Story], ...]]:
        """Returns the stories of each task, by split.

        Raises:
          ValueError: if the folder or a file is missing, or a line is malformed.
        """
        folder = self._find_folder()
        large = _read_large(folder)
        splits: dict[str, list[list[Story]]] = {split: [] for split in SPLITS}
        for task in self.tasks:
            train, held_out = _split(_read_train(folder, large, task))
            test = _read_files(large, task, "test")
            _require(test, folder, task, "test")
            for split, stories in zip(SPLITS, (train, held_out, test), strict=True):
                splits[split].append(stories)
        return {split: tuple(stories) for split, stories in splits.items()}

    def _find_folder(self) -> Path:
        folder = Path(self.folder) if self.folder else data_set("babi")
        if folder is None or not (
            (folder / "en-10k").is_dir() or (folder / "en-10k.tar.gz").is_file()
        ):
            raise ValueError(
                f"folder={self.folder!r}: holds no en-10k/ and no en-10k.tar.gz of bAbI. "
                f"Set {DATA_VARIABLE} to the folder that holds babi/, or give its folder."
            )
        return folder


def _read_large(folder: Path) -> dict[str, str]:
    """The files of `en-10k` by name."""
    if (folder / "en-10k").is_dir():
        return {path.name: path.read_text() for path in (folder / "en-10k").glob("qa*.txt")}
    path, texts = folder / "en-10k.tar.gz", {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                file = archive.extractfile(member) if fnmatch(name, "qa*.txt") else None
                if file is not None:
                    texts[name] = file.read().decode()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path}: {summary(error)}; must be a whole archive. Download it anew."
        ) from error
    return texts


def _read_train(folder: Path, large: dict[str, str], task: int) -> list[Story]:
    stories = _read_files(large, task, "train")
    if sum(len(story.questions) for story in stories) < NUM_TRAIN_QUESTIONS:
        small = {path.name: path.read_text() for path in folder.glob("en/qa*.txt")}
        # The small version is a part of the large one.
        stories = list(dict.fromkeys(stories + _read_files(small, task, "train")))
    _require(stories, folder, task, "train")
    return stories


def _read_files(texts: dict[str, str], task: int, part: str) -> list[Story]:
    is_wanted = re.compile(rf"qa{task}_.*_{part}\b.*\.txt").fullmatch
    names = sorted(filter(is_wanted, texts))
    return [story for name in names for story in read_stories(texts[name], name)]


def _require(stories: list[Story], folder: Path, task: int, part: str) -> None:
    if not stories:
        raise ValueError(
            f"folder={str(folder)!r}: no file qa{task}_*_{part}.txt of bAbI's task {task} "
            "is in it. Complete the folder, or leave the task out of tasks."
        )


def _split(stories: list[Story]) -> tuple[list[Story], list[Story]]:
    """Training and validation stories, none of which is a copy of one of the other."""
    different = list(dict.fromkeys(stories))
    num_held_out = max(round(HELD_OUT_SHARE * len(different)), 1)
    held_out = set(different[-num_held_out:])
    return (
        [story for story in stories if story not in held_out],
        [story for story in stories if story in held_out],
    )


@register_source("babi")
def make_babi(
    source: Babi = Babi(),
    max_facts: Annotated[int, Ge(1)] = StoryTask.max_facts,
    max_words: Annotated[int, Ge(1)] = StoryTask.max_words,
) -> StoryTask:
    """The twenty bAbI tasks, from files that you have; see `Babi` and `StoryTask`."""
    return StoryTask(source, max_facts, max_words)
