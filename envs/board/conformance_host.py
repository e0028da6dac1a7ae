"""Conformance of games of the host kind; see `conformance.check_game`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tolman.envs.board.game import GameInfo
from tolman.envs.board.planes import pack
from tolman.envs.checks import (
    ConformanceError,
    check_methods,
    check_structure,
    check_values,
    fail,
)
from tolman.envs.places import summary_with_place

NUM_GAMES = 4
NUM_TEXTS = 10  # Moves of a position that are written and read back.
METHODS = (
    "new",
    "copy",
    "step",
    "legal_actions",
    "to_play",
    "is_over",
    "outcome",
    "observe",
    "observation_spec",
    "action_to_text",
    "text_to_action",
    "render",
)


def check_host_game(game: Any, num_plies: int, seed: int) -> list[str]:
    """See `conformance.check_game`."""
    check_methods(game, METHODS, "tolman.envs.board.game.HostGame")
    if not isinstance(getattr(game, "info", None), GameInfo):
        got = repr(getattr(game, "info", None))
        fail("info", got, "a GameInfo", "Return one from a property.")
    rng = np.random.default_rng(seed)
    try:
        num_ended = sum(_check_one(game.new(), num_plies, rng) for _ in range(NUM_GAMES))
    except ConformanceError:
        raise
    except Exception as error:
        fail(
            "a game of legal actions",
            summary_with_place(error),
            "free of errors",
            "Play it by hand.",
        )
    checked = [
        "every method is there",
        "player 0 moves first; legal actions ascend and are within their bounds",
        "observations are as their spec says",
        "an illegal action is refused, and changes nothing",
        "copies are independent of each other, and go on alike",
        "moves written as text are read back",
    ]
    if num_ended:
        checked.append("outcomes are zero-sum, and zero before the end")
    else:
        checked.append(f"note: no game ended within {num_plies} moves")
    return checked


def _check_one(game: Any, num_plies: int, rng: np.random.Generator) -> bool:
    """Plays one game; returns whether it ended."""
    if game.to_play() != 0:
        fail("to_play at the start", game.to_play(), "0", "Player 0 moves first.")
    for ply in range(num_plies + 1):
        _check_position(game, ply)
        if game.is_over():
            return True
        _check_illegal(game)
        legal = list(game.legal_actions())
        some = rng.choice(legal, min(NUM_TEXTS, len(legal)), replace=False).tolist()
        for action in some:
            text = game.action_to_text(action)
            if game.text_to_action(text) != action:
                fail(
                    f"text_to_action({text!r})",
                    game.text_to_action(text),
                    f"{action}, whose text that is",
                    "Write each legal move in its own way.",
                )
        _check_copy(game, some[0], some[-1])
    return False


def _check_position(game: Any, ply: int) -> None:
    info, legal = game.info, list(game.legal_actions())
    is_over = game.is_over()
    if is_over and legal:
        fail(
            "legal_actions after the end", legal[:5], "empty", "Return [] once it is over."
        )
    if not is_over and not legal:
        fail(
            "legal_actions", "none", "one or more before the end", "Add a pass, or end it."
        )
    if legal != sorted(set(legal)) or (legal and not legal[0] >= 0):
        fail("legal_actions", legal[:5], "ascending, each once", "Sort them.")
    if legal and legal[-1] >= info.num_actions:
        fail(
            "legal_actions", legal[-1], f"below {info.num_actions}", "See info.num_actions."
        )
    if len(legal) > info.max_num_legal:
        fail("legal_actions", len(legal), f"{info.max_num_legal} at most", "See info.")
    if not is_over and ply >= info.max_num_moves:
        fail("is_over", f"False after {ply} moves", "True", "See info.max_num_moves.")
    if game.to_play() not in (0, 1):
        fail("to_play", game.to_play(), "0 or 1", "Number the players so.")
    first, second = game.outcome()
    allowed = {(1, -1), (-1, 1), (0, 0)} if is_over else {(0, 0)}
    if (first, second) not in allowed:
        fail("outcome", (first, second), f"one of {sorted(allowed)}", "It is zero-sum.")
    spec = game.observation_spec()
    check_structure("observation", spec, game.observe())
    check_values("observation", spec, game.observe())
    check_masks(info, game.observe())
    if not isinstance(game.render(), str):
        fail("render", type(game.render()).__name__, "a text", "Return a str.")


def check_masks(info: GameInfo, planes: np.ndarray) -> None:
    """Sees to it that planes `[..., R, S, C]` are masks where `info` says so."""
    if not info.planes_are_masks:
        return
    try:
        pack(planes.reshape(-1, *info.board, planes.shape[-1]))
    except ValueError:
        fail(
            "info.planes_are_masks",
            "True, with two numbers beside 0 in a plane",
            "one",
            "Set it to False.",
        )


def _check_illegal(game: Any) -> None:
    legal, before = set(game.legal_actions()), game.observe().copy()
    for action in (-1, game.info.num_actions, *range(game.info.num_actions)):
        if action in legal:
            continue
        try:
            game.step(action)
        except ValueError:
            if not np.array_equal(before, game.observe()):
                fail("step of an illegal action", "a change", "none", "Refuse it first.")
            if action >= 0 and action < game.info.num_actions:
                return
        else:
            fail("step of an illegal action", action, "a ValueError", "Refuse it.")


def _check_copy(game: Any, action: int, other: int) -> None:
    """Goes on with `action`; a copy goes on with `other`, another with the same."""
    before, legal = game.observe().copy(), list(game.legal_actions())
    astray, twin = game.copy(), game.copy()
    astray.step(other)
    if not np.array_equal(before, game.observe()) or legal != list(game.legal_actions()):
        fail(
            "a game whose copy was stepped",
            "changed",
            "as it was",
            "Copy all that changes.",
        )
    game.step(action)
    if not np.array_equal(before, twin.observe()) or legal != list(twin.legal_actions()):
        fail(
            "a copy whose game was stepped",
            "changed",
            "as it was",
            "Copy all that changes.",
        )
    twin.step(action)
    same = np.array_equal(game.observe(), twin.observe())
    if not same or list(game.legal_actions()) != list(twin.legal_actions()):
        fail(
            "a copy after the same move", "another position", "the same", "Copy everything."
        )
