"""Are these the rules of a game that a search can rely on? Names the first violation.

Shapes: N games, V views, A actions.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.board.conformance_host import check_host_game, check_masks
from tolman.envs.board.game import Array, Game, GameInfo
from tolman.envs.checks import (
    check_methods,
    check_structure,
    check_values,
    fail,
    is_same,
    shapes_of,
)
from tolman.envs.places import summary

NUM_GAMES = 4
NUM_PLIES_AFTER_END = 2
MAX_VIEWS = 16
METHODS = (
    "init",
    "step",
    "legal",
    "to_play",
    "is_over",
    "outcome",
    "observe",
    "observation_spec",
    "compact",
    "expand",
    "symmetries",
)


class Look(NamedTuple):
    """All that a position shows."""

    legal: Any
    is_over: Any
    outcome: Any
    to_play: Any
    observation: Any


def looks_like_game(thing: Any) -> bool:
    """Whether `thing` means to be a game, sound or not, rather than an environment."""
    return hasattr(thing, "legal") or hasattr(thing, "legal_actions")


def check_game(game: Any, num_plies: int = 200, seed: int = 0) -> list[str]:
    """Plays a game at random and checks what the search relies on.

    Args:
      game: a `Game` or a `HostGame`; an instance.
      num_plies: the most that are played of each of four games.
      seed: of the play.

    Returns:
      What was checked and found in order, a line each; a line that starts with "note:" is
      an observation rather than a promise.

    Raises:
      ConformanceError: at the first violation, in one line.
    """
    if isinstance(game, type):
        fail("game", f"the class {game.__name__}", "an instance", "Call it.")
    if hasattr(game, "legal_actions"):
        return check_host_game(game, num_plies, seed)
    checked = [_check_interface(game), _check_traced(game)]
    key = jax.random.PRNGKey(seed)
    try:
        played = _play(game, num_plies, key)
        again = _play(game, min(num_plies, 3), key)
    except Exception as error:
        fail(
            "a game under vmap and jit",
            summary(error),
            "playable",
            "Write it for one game.",
        )
    if not is_same([step.look for step in played[: len(again)]], [s.look for s in again]):
        fail("the same game twice", "two different ones", "one", "Draw from keys only.")
    checked.append(_check_start(played[0].look))
    checked.append(_check_positions(game, played))
    checked.append(_check_end(game, played))
    checked.append(_check_compact(game, played))
    checked.append(_check_symmetries(played))
    return checked


class Played(NamedTuple):
    """One ply of N games.

    Attributes:
      look: of the positions, leaves `[N, ...]`.
      rebuilt: Look of the same after `expand(compact(...))`, at this ply or any before.
      mirrored: observations `[V, ...]` of the first game as played mirrored.
      views: what `symmetries` makes of the first game's observation, `[V, ...]`.
    """

    look: Look
    rebuilt: Look
    mirrored: Any
    views: Any


def _check_interface(game: Any) -> str:
    check_methods(game, METHODS, "tolman.envs.board.game.Game")
    info: Any = getattr(game, "info", None)
    if not isinstance(info, GameInfo):
        fail("info", repr(info), "a GameInfo", "Return one from a property.")
    rows, columns = info.board
    num_planes = info.num_move_planes
    if not 1 <= info.max_num_legal <= info.num_actions:
        fail(
            "info.max_num_legal",
            info.max_num_legal,
            f"in [1, num_actions={info.num_actions}]",
            "Give a bound on the legal actions of any position.",
        )
    if num_planes and rows * columns * num_planes != info.num_actions:
        fail(
            "info.num_move_planes",
            num_planes,
            f"0, or num_actions={info.num_actions} / {rows * columns} squares",
            "Number the actions by square, or set 0.",
        )
    try:
        hash(game)
    except TypeError:
        fail("hash(game)", "an error", "a number", "Make it a frozen dataclass.")
    if not isinstance(game.observation_spec(), specs.Array):
        fail("observation_spec()", repr(game.observation_spec()), "a specs.Array", "Do so.")
    return "methods, info and specs are there"


def _check_traced(game: Game) -> str:
    key, action = jax.random.PRNGKey(0), jax.ShapeDtypeStruct((), jnp.int32)
    state = _trace("init", game.init, key)
    after = _trace("step", game.step, state, action)
    compacted = _trace("compact", game.compact, state)
    expanded = _trace("expand", game.expand, compacted)
    for name, got in (("step", after), ("expand", expanded)):
        if shapes_of(got) != shapes_of(state):
            fail(
                f"state after {name}",
                shapes_of(got),
                f"{shapes_of(state)} as after init",
                "Cast the leaves that differ.",
            )
    wanted = {
        "legal": ((game.info.num_actions,), "bool"),
        "to_play": ((), "int32"),
        "is_over": ((), "bool"),
        "outcome": ((2,), "float32"),
    }
    for name, (shape, dtype) in wanted.items():
        got = _trace(name, getattr(game, name), state)
        if (got.shape, str(got.dtype)) != (shape, dtype):
            fail(name, f"{got.dtype}{list(got.shape)}", f"{dtype}{list(shape)}", "Cast it.")
    observation = _trace("observe", game.observe, state)
    check_structure("observe", game.observation_spec(), observation)
    if len(observation.shape) != 3 or observation.shape[:2] != tuple(game.info.board):
        fail(
            "observe: shape",
            observation.shape,
            f"planes of info.board={game.info.board}",
            "Put the board's rows and columns first.",
        )
    policy = jax.ShapeDtypeStruct((game.info.num_actions,), jnp.float32)
    views, moves = _trace("symmetries", game.symmetries, observation, policy)
    if views.shape != (len(moves), *observation.shape) or moves.shape[1:] != policy.shape:
        fail(
            "symmetries",
            f"shapes {views.shape} and {moves.shape}",
            f"[N, *{observation.shape}] and [N, {policy.shape[0]}]",
            "Stack N views of both.",
        )
    return "every function can be traced by jit; shapes and dtypes are right"


def _trace(name: str, function: Any, *arguments: Any) -> Any:
    try:
        return jax.eval_shape(function, *arguments)
    except Exception as error:
        fail(
            f"{name} under jit",
            summary(error),
            "traceable",
            "Use jnp.where and lax.cond instead of Python's if on arrays.",
        )


def _play(game: Game, num_plies: int, key: Array) -> list[Played]:
    """All plies of N games at random, until two after the last one's end."""
    permutations = _permutations(game)
    num_views = len(permutations)

    def look(state: Any) -> Look:
        return Look(
            game.legal(state),
            game.is_over(state),
            game.outcome(state),
            game.to_play(state),
            game.observe(state),
        )

    @jax.jit
    def begin(key: Array) -> Any:
        keys = jax.random.split(key, NUM_GAMES)
        state = jax.vmap(game.init)(keys)
        mirrored = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * num_views), state)
        return _joined(state, state, mirrored)

    @jax.jit
    def show(states: Any) -> Played:
        looks = jax.vmap(look)(states)
        first, second, third = _parts(looks)
        no_policy = jnp.zeros(game.info.num_actions)
        views, _ = game.symmetries(first.observation[0], no_policy)
        return Played(first, second, third.observation, views[:num_views])

    @jax.jit
    def advance(states: Any, key: Array) -> Any:
        # After the end any action is played, and must change nothing.
        logits = jnp.where(jax.vmap(game.legal)(states), 0.0, -1e9)[:NUM_GAMES]
        actions = jax.random.categorical(key, logits).astype(jnp.int32)
        mirrored = jnp.asarray(permutations)[:, actions[0]]
        following = jax.vmap(game.step)(
            states, jnp.concatenate([actions, actions, mirrored])
        )
        first, second, third = _parts(following)
        second = jax.vmap(lambda state: game.expand(game.compact(state)))(second)
        return _joined(first, second, third)

    states = begin(key)
    played, num_after = [jax.device_get(show(states))], 0
    while len(played) <= num_plies and num_after < NUM_PLIES_AFTER_END:
        num_after += bool(played[-1].look.is_over.all())
        key, action_key = jax.random.split(key)
        states = advance(states, action_key)
        played.append(jax.device_get(show(states)))
    return played


def _permutations(game: Game) -> np.ndarray:
    """`[V, A]` int32: the action that each view makes of each."""
    observation = jnp.zeros(game.observation_spec().shape, game.observation_spec().dtype)
    numbers = jnp.arange(game.info.num_actions, dtype=jnp.float32)
    _, moved = jax.jit(game.symmetries)(observation, numbers)
    moved = np.asarray(moved).astype(np.int32)[:MAX_VIEWS]
    for view, row in enumerate(moved):
        if sorted(row) != list(range(len(row))):
            fail(
                f"symmetries: view {view} of the policy",
                "actions lost or doubled",
                "each action once",
                "Only exchange the actions.",
            )
    if not np.array_equal(moved[0], np.arange(moved.shape[1])):
        fail("symmetries: view 0", "another one", "the position itself", "Put it first.")
    return np.argsort(moved, axis=1).astype(np.int32)


def _joined(*parts: Any) -> Any:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def _parts(states: Any) -> tuple[Any, Any, Any]:
    cuts = ((0, NUM_GAMES), (NUM_GAMES, 2 * NUM_GAMES), (2 * NUM_GAMES, None))
    return tuple(  # type: ignore[return-value]
        jax.tree.map(lambda leaf, a=a, b=b: leaf[a:b], states) for a, b in cuts
    )


def _check_start(look: Look) -> str:
    if look.is_over.any():
        fail("init", "a game that is over", "one under way", "Look at is_over.")
    if look.to_play.any():
        fail("to_play at the start", look.to_play.max(), "0", "Player 0 moves first.")
    return "player 0 moves first"


def _check_positions(game: Game, played: list[Played]) -> str:
    for step in played:
        look = step.look
        num_legal = look.legal.sum(axis=1)
        if (num_legal[~look.is_over] == 0).any():
            fail("legal", "no action in a game under way", "some", "End it, or let pass.")
        if num_legal[look.is_over].any():
            fail("legal", "actions after the end", "none", "Set all False at the end.")
        if num_legal.max() > game.info.max_num_legal:
            fail(
                "legal",
                f"{num_legal.max()} actions",
                f"info.max_num_legal={game.info.max_num_legal} at most",
                "Raise the bound.",
            )
        if not np.isin(look.to_play, (0, 1)).all():
            fail("to_play", look.to_play.max(), "0 or 1", "Number the players so.")
        if look.outcome.sum(axis=1).any():
            fail("outcome", look.outcome.tolist(), "zero-sum", "Make the two cancel.")
        if look.outcome[~look.is_over].any():
            fail(
                "outcome before the end", look.outcome.tolist(), "zeros", "Pay at the end."
            )
        if not np.isin(look.outcome, (-1.0, 0.0, 1.0)).all():
            fail("outcome", look.outcome.tolist(), "1, 0 or -1", "Say who won only.")
        check_values("observe", game.observation_spec(), look.observation, 1)
        check_masks(game.info, look.observation)
    return f"{len(played)} plies: legal actions, players, outcomes and planes in order"


def _check_end(game: Game, played: list[Played]) -> str:
    for before, after in itertools.pairwise(played):
        ended = before.look.is_over
        held = [[leaf[ended] for leaf in row.look] for row in (before, after)]
        if not is_same(held[0], held[1]):
            fail(
                "a finished game", "another position after a step", "as it was", "Keep it."
            )
    is_over = played[-1].look.is_over
    bound = game.info.max_num_moves
    if len(played) > bound and not played[bound].look.is_over.all():
        fail(
            "a game",
            f"no end after {bound} plies",
            f"over by info.max_num_moves={bound}",
            "End it there, or raise the bound.",
        )
    if not is_over.any():
        return f"note: no game ended within {len(played) - 1} plies"
    return f"a finished game stays as it is ({int(is_over.sum())} of {NUM_GAMES} ended)"


def _check_compact(game: Game, played: list[Played]) -> str:
    for ply, step in enumerate(played):
        for name, one, other in zip(Look._fields, step.look, step.rebuilt, strict=True):
            if not is_same(one, other):
                fail(
                    f"{name} after expand(compact(state))",
                    f"another one at ply {ply}",
                    "the same, then and later",
                    "Let compact keep what expand cannot work out.",
                )
    state = jax.eval_shape(game.init, jax.random.PRNGKey(0))
    leaves = jax.tree.leaves(jax.eval_shape(game.compact, state))
    num_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    return f"expand(compact(state)) plays on as the state does; {num_bytes} bytes each"


def _check_symmetries(played: list[Played]) -> str:
    num_views = len(played[0].mirrored)
    for ply, step in enumerate(played):
        for view in range(num_views):
            if not is_same(step.views[view], step.mirrored[view]):
                fail(
                    f"symmetries: view {view} at ply {ply}",
                    "planes unlike those of the game played with mirrored actions",
                    "the same",
                    "Move planes and policy alike, and leave out what changes the start.",
                )
    return f"{num_views} views, each a game of its own"
