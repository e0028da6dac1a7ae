"""Questions about short stories: text in, indexed arrays out, batches drawn on the device.

The text is that of bAbI: lines `number sentence` and `number question<TAB>answer<TAB>...`,
where a number that does not grow begins a new story. A story's sentences are kept once,
whatever the number of its questions.
Shapes: B questions, I facts, W words of a sentence, U different sentences, L lines of all
stories, N questions of a split, K kinds.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from tolman.envs.reasoning.task import Array, Data, Examples
from tolman.envs.settings import check_choice

SPLITS = ("train", "validation", "test")
Words = tuple[str, ...]


class Question(NamedTuple):
    """Attributes:
    words: of the question.
    answer: one label, commas and all.
    num_facts: sentences told before it.
    """

    words: Words
    answer: str
    num_facts: int


class Story(NamedTuple):
    """Attributes:
    facts: the words of each sentence, in the order in which they are told.
    questions: in the order in which they are asked.
    """

    facts: tuple[Words, ...]
    questions: tuple[Question, ...]


class StorySource(Hashable, Protocol):
    """Where stories come from: a frozen dataclass."""

    @property
    def kinds(self) -> tuple[str, ...]: ...

    def read(self) -> dict[str, tuple[list[Story], ...]]:
        """Returns the stories of each kind, by split.

        Raises:
          ValueError: if they cannot be read.
        """
        ...


class Stories(NamedTuple):
    """One split, on the device. Questions of a kind stand together.

    Attributes:
      sentences: `[U, W]` int32 words, 0 after the last; questions are among them.
      lines: `[L]` int32, the sentences of all stories, one story behind the other.
      first: `[N]` int32, where in `lines` the question's story begins.
      num_facts: `[N]` int32, at least 1.
      query: `[N]` int32, a sentence.
      target: `[N]` int32.
      kind: `[N]` int32.
      kind_first: `[K]` int32, the first question of each kind.
      kind_count: `[K]` int32, questions of each kind.
    """

    sentences: Any
    lines: Any
    first: Any
    num_facts: Any
    query: Any
    target: Any
    kind: Any
    kind_first: Any
    kind_count: Any


@dataclass(frozen=True)
class StoryTask:
    """Answer a question about the story told so far with one label.

    A fact is a sentence, its words the items; the oldest comes first and padding last.
    The order matters, so a model has to be told the facts' places. Every kind of question
    is as likely as every other.

    Attributes:
      source: of the stories.
      max_facts: I; of a longer story the newest are kept.
      max_words: W, of a sentence or a question.

    Source: Banino et al. 2020, section 4.3; the sizes and the reading of the text as
      Banino et al. 2021, "PonderNet", appendix C.
    """

    source: StorySource
    max_facts: Annotated[int, Ge(1)] = 320
    max_words: Annotated[int, Ge(1)] = 11

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words, numbered from 1 on."""
        return _index(self.source, self.max_words).vocabulary

    @property
    def answers(self) -> tuple[str, ...]:
        """The label of each class."""
        return _index(self.source, self.max_words).answers

    @property
    def num_classes(self) -> int:
        return len(self.answers)

    @property
    def num_answers(self) -> int:
        return 1

    @property
    def num_words(self) -> int:
        return 1 + len(self.vocabulary)

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.source.kinds

    def load(self, split: str) -> Data:
        """Reads a split; the text is read once for all splits.

        Raises:
          ValueError: for an unknown split, or text that cannot be read.
        """
        check_choice("split", split, SPLITS)
        stories = _index(self.source, self.max_words).splits[split]
        return jax.tree.map(jnp.asarray, stories)

    def sample(self, data: Data, key: Array, batch_size: int) -> Examples:
        kind_key, question_key = jax.random.split(key)
        kind = jax.random.randint(kind_key, (batch_size,), 0, len(data.kind_first))
        share = jax.random.uniform(question_key, (batch_size,))
        place = jnp.floor(share * data.kind_count[kind]).astype(jnp.int32)
        # Rounding may lift a share just below 1 to it.
        place = jnp.minimum(place, data.kind_count[kind] - 1)
        return self.take(data, data.kind_first[kind] + place)

    def take(self, data: Stories, index: Array) -> Examples:
        """The questions `[B]` of a split, by number."""
        num_facts = data.num_facts[index]
        kept = jnp.minimum(num_facts, self.max_facts)
        age = kept[:, None] - 1 - jnp.arange(self.max_facts)  # [B, I], the oldest first
        mask = age >= 0
        line = (data.first[index] + num_facts - 1)[:, None] - age
        facts = data.sentences[data.lines[jnp.where(mask, line, 0)]]
        return Examples(
            facts=jnp.where(mask[..., None], facts, 0),  # [B, I, W]
            fact_mask=mask,
            query=data.sentences[data.query[index]],
            target=data.target[index][:, None],
            kind=data.kind[index],
        )

    def describe(self, words: Iterable[int]) -> str:
        """A fact or a query as text."""
        return " ".join(self.vocabulary[word - 1] for word in words if word > 0)


def read_stories(text: str, name: str) -> list[Story]:
    """Parses text in bAbI's format: lower case, no '.' and '?', an answer is one label.

    Args:
      text: see the module.
      name: of the text, for errors.

    Raises:
      ValueError: for a line without a number, or a question before any fact, with its
        line's number.
    """
    stories: list[Story] = []
    facts: list[Words] = []
    questions: list[Question] = []
    last_number = 0
    for line_number, number, rest in _numbered(text, name):
        if number <= last_number:
            stories.append(Story(tuple(facts), tuple(questions)))
            facts, questions = [], []
        last_number = number
        sentence, *labels = rest.split("\t")
        if not labels:
            facts.append(words_of(sentence))
            continue
        answer = labels[0].strip().lower()
        if not facts or not answer:
            missing = "answer" if facts else "fact before it"
            raise ValueError(
                f"{name}, line {line_number}: a question has no {missing}. Is the file "
                "whole and in bAbI's format?"
            )
        questions.append(Question(words_of(sentence), answer, len(facts)))
    stories.append(Story(tuple(facts), tuple(questions)))
    return [story for story in stories if story.questions]


def _numbered(text: str, name: str) -> Iterator[tuple[int, int, str]]:
    """Yields each line's number in the file, its own number, and the rest of it."""
    for line_number, line in enumerate(text.splitlines(), 1):
        number, _, rest = line.strip().partition(" ")
        if not number:
            continue
        if not number.isdecimal() or not words_of(rest):
            raise ValueError(
                f"{name}, line {line_number}: got {line[:40]!r}, must be a number and a "
                "sentence. Is the file in bAbI's format?"
            )
        yield line_number, int(number), rest


@functools.lru_cache(maxsize=1 << 17)
def words_of(sentence: str) -> Words:
    """Lower case, without full stops and question marks; commas between words go too."""
    plain = sentence.lower().replace(".", " ").replace("?", " ")
    return tuple(word.strip(",") for word in plain.split() if word.strip(","))


class _Index(NamedTuple):
    vocabulary: tuple[str, ...]
    answers: tuple[str, ...]
    splits: dict[str, Stories]


@functools.lru_cache(maxsize=8)
def _index(source: StorySource, max_words: int) -> _Index:
    """Reads all splits; words and labels are numbered over all of them, sorted."""
    splits = source.read()
    stories = [story for kinds in splits.values() for kind in kinds for story in kind]
    sentences = {fact for story in stories for fact in story.facts}
    questions = [question for story in stories for question in story.questions]
    sentences |= {question.words for question in questions}
    for words in sentences:
        if len(words) > max_words:
            raise ValueError(
                f"max_words={max_words}: {' '.join(words)!r} has {len(words)}. Set it to "
                "the longest sentence."
            )
    vocabulary = tuple(sorted({word for words in sentences for word in words}))
    answers = tuple(sorted({question.answer for question in questions}))
    arrays = {
        split: _arrays(kinds, vocabulary, answers, max_words)
        for split, kinds in splits.items()
    }
    return _Index(vocabulary, answers, arrays)


def _arrays(
    kinds: tuple[list[Story], ...],
    vocabulary: tuple[str, ...],
    answers: tuple[str, ...],
    max_words: int,
) -> Stories:
    number_of_answer = {answer: number for number, answer in enumerate(answers)}
    number_of_sentence: dict[Words, int] = {}

    def number(words: Words) -> int:
        return number_of_sentence.setdefault(words, len(number_of_sentence))

    lines: list[int] = []
    rows: list[tuple[int, int, int, int, int]] = []
    for kind, stories in enumerate(kinds):
        for story in stories:
            first = len(lines)
            lines.extend(map(number, story.facts))
            for question in story.questions:
                target = number_of_answer[question.answer]
                query = number(question.words)
                rows.append((first, question.num_facts, query, target, kind))
    first, num_facts, query, target, kind_of = np.array(rows, np.int32).reshape(-1, 5).T
    counts = np.bincount(kind_of, minlength=len(kinds))
    if not counts.all():
        raise ValueError(
            f"kind {np.argmin(counts)} of {len(kinds)} has no questions in a split. "
            "Give it more stories."
        )
    return Stories(
        _sentence_table(number_of_sentence, vocabulary, max_words),
        np.array(lines, np.int32),
        first,
        num_facts,
        query,
        target,
        kind_of,
        (np.cumsum(counts) - counts).astype(np.int32),
        counts.astype(np.int32),
    )


def _sentence_table(
    sentences: Iterable[Words], vocabulary: tuple[str, ...], max_words: int
) -> np.ndarray:
    """`[U, W]` int32."""
    number_of_word = {word: number for number, word in enumerate(vocabulary, 1)}
    rows = [
        [number_of_word[word] for word in words] + [0] * (max_words - len(words))
        for words in sentences
    ]
    return np.array(rows, np.int32)
