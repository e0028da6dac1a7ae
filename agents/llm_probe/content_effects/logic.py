"""What follows from what, decided by trying every possible world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Literal, NamedTuple

Quantifier = Literal["all", "no", "some", "some_not"]
World = frozenset[
    tuple[bool, ...]
]  # The kinds of things there are: in which terms each is.


class Statement(NamedTuple):
    """A quantified statement about two terms, such as "all a are b".

    Attributes:
      quantifier: how much of the subject is meant.
      subject: number of a term.
      predicate: number of a term.
    """

    quantifier: Quantifier
    subject: int
    predicate: int

    def is_true(self, world: World) -> bool:
        """Whether it holds; "all" and "no" hold of a subject that nothing belongs to."""
        predicates = [thing[self.predicate] for thing in world if thing[self.subject]]
        match self.quantifier:
            case "all":
                return all(predicates)
            case "no":
                return not any(predicates)
            case "some":
                return any(predicates)
            case "some_not":
                return not all(predicates)


def worlds(num_terms: int, has_existential_import: bool) -> Iterator[World]:
    """Every set of kinds of things: 256 of three terms.

    Args:
      num_terms: what a thing may or may not be.
      has_existential_import: only worlds in which something belongs to every term.
    """
    kinds = list(product((False, True), repeat=num_terms))
    for is_there in product((False, True), repeat=len(kinds)):
        world = frozenset(
            kind for kind, there in zip(kinds, is_there, strict=True) if there
        )
        populated = [any(kind[term] for kind in world) for term in range(num_terms)]
        if all(populated) or not has_existential_import:
            yield world


def follows(
    premises: Sequence[Statement],
    conclusion: Statement,
    has_existential_import: bool,
    num_terms: int = 3,
) -> bool:
    """Whether a conclusion holds in every world in which the premises hold."""
    return all(
        conclusion.is_true(world)
        for world in worlds(num_terms, has_existential_import)
        if all(premise.is_true(world) for premise in premises)
    )


class Comparison(NamedTuple):
    """Attributes:
    left: number of a thing.
    is_greater: whether the left one is greater than the right one, or smaller.
    right: number of a thing.
    """

    left: int
    is_greater: bool
    right: int

    def is_true(self, sizes: Sequence[int]) -> bool:
        """Whether it holds of things of these sizes."""
        left, right = sizes[self.left], sizes[self.right]
        return left > right if self.is_greater else left < right


def comparison_follows(premise: Comparison, conclusion: Comparison) -> bool:
    """Whether one comparison of two things holds wherever another does."""
    return all(
        conclusion.is_true(sizes)
        for sizes in product(range(2), repeat=2)
        if premise.is_true(sizes)
    )


def cards_to_turn() -> tuple[int, ...]:
    """Which cards can break "if p then q", of p, not p, q and not q in this order.

    A card shows one side and hides the other: a rule is broken by p with not q.

    Source: Wason 1968.
    """
    shown = ((True, None), (False, None), (None, True), (None, False))

    def can_break(p: bool | None, q: bool | None) -> bool:
        hidden = (False, True)
        return any(
            (p if p is not None else guess) and not (q if q is not None else guess)
            for guess in hidden
        )

    return tuple(index for index, (p, q) in enumerate(shown) if can_break(p, q))
