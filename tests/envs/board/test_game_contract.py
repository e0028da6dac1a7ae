"""What every registered JAX game must do, and what the check says of broken ones."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.board.conformance import check_game
from tolman.envs.board.game import Game, register_game
from tolman.envs.board.small import ConnectFour, TicTacToe
from tolman.envs.checks import ConformanceError
from tolman.launchers.catalog.names import GAME, registered

GAMES = registered(GAME)

SMALL = (
    "tic_tac_toe",
    "connect_four",
    "othello",
    "hex",
    "gardner_chess",
    "animal_shogi",
    "go_9x9",
)
LARGE = ("chess", "shogi")
NUM_VIEWS = {"tic_tac_toe": 8, "connect_four": 2, "othello": 4, "hex": 2, "go_9x9": 8}
MOST_BYTES = {
    "tic_tac_toe": 16,
    "connect_four": 48,
    "othello": 80,
    "hex": 160,
    "go_9x9": 1600,
    "gardner_chess": 1200,
    "animal_shogi": 2300,
    "chess": 1100,
    "shogi": 2700,
    "go_19x19": 7500,
}


def bytes_of(state):
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def test_all_are_registered():
    assert {*SMALL, *LARGE, "go", "go_19x19"} <= set(GAMES)


@pytest.mark.parametrize("name", SMALL)
def test_conforms(name):
    checked = check_game(GAMES[name](), num_plies=80)
    assert checked[-1] == f"{NUM_VIEWS.get(name, 1)} views, each a game of its own"


def test_a_large_one_conforms():
    check_game(GAMES["chess"](), num_plies=40)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*SMALL, *LARGE, "go_19x19"}))
def test_conforms_to_the_end(name):
    checked = check_game(GAMES[name](), num_plies=GAMES[name]().info.max_num_moves + 2)
    assert not [line for line in checked if line.startswith("note:")]


@pytest.mark.parametrize("name", sorted(MOST_BYTES))
def test_a_node_is_small(name):
    game = GAMES[name]()
    compacted = jax.eval_shape(lambda: game.compact(game.init(jax.random.PRNGKey(0))))
    assert bytes_of(compacted) <= MOST_BYTES[name]


@pytest.mark.parametrize("name", sorted(MOST_BYTES))
def test_equal_settings_are_equal_games(name):
    one, other = GAMES[name](), GAMES[name]()
    assert isinstance(one, Game)
    assert one == other
    assert hash(one) == hash(other)
    assert one.info.name.split("_")[0] == name.split("_")[0]


def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="'chess' is taken"):
        register_game("chess")(lambda: None)


@dataclass(frozen=True)
class FlippedOutcome(ConnectFour):
    def outcome(self, state):
        return jnp.abs(super().outcome(state))


@dataclass(frozen=True)
class GoesOn(ConnectFour):
    def step(self, state, action):
        played = self.play(state.rules, action)
        return played._replace(
            legal=played.legal & ~self.is_over(state),
            result=jnp.maximum(played.result, state.result),
        )


@dataclass(frozen=True)
class LosesTurn(ConnectFour):
    def expand(self, compacted):
        state = super().expand(compacted)
        return state._replace(rules=state.rules | {"current_player": jnp.int32(0)})


@dataclass(frozen=True)
class Forgets(TicTacToe):
    """What is lost shows only later: the colour of the stones to come."""

    def expand(self, compacted):
        state = super().expand(compacted)
        board = state.rules["_x"]._replace(winner=jnp.int32(-1), color=jnp.int32(0))
        return state._replace(rules=state.rules | {"_x": board})


@dataclass(frozen=True)
class HalfMirror(ConnectFour):
    def symmetries(self, observation, policy):
        views, _ = super().symmetries(observation, policy)
        return views, jnp.stack([policy, policy])


@dataclass(frozen=True)
class LegalAtTheEnd(TicTacToe):
    def legal(self, state):
        return state.legal | self.is_over(state)


@dataclass(frozen=True)
class SmallBound(ConnectFour):
    @property
    def info(self):
        return super().info._replace(max_num_legal=6)


@dataclass(frozen=True)
class EndsLate(TicTacToe):
    @property
    def info(self):
        return super().info._replace(max_num_moves=4)


@dataclass(frozen=True)
class NoMasks(TicTacToe):
    @property
    def info(self):
        return super().info._replace(planes_are_masks=True)

    def observe(self, state):
        return super().observe(state) * jnp.arange(9.0).reshape(3, 3, 1)


@dataclass(frozen=True)
class WrongDtype(TicTacToe):
    def observe(self, state):
        return super().observe(state) > 0


@dataclass(frozen=True)
class NoIf(TicTacToe):
    def to_play(self, state):
        return jnp.int32(1) if state.result else super().to_play(state)


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (FlippedOutcome(), "outcome: got .* must be zero-sum"),
        (GoesOn(), "a finished game: got another position after a step"),
        (LosesTurn(), r"to_play after expand\(compact"),
        (Forgets(), r"after expand\(compact"),
        (HalfMirror(), "symmetries: view 1 at ply"),
        (LegalAtTheEnd(), "legal: got actions after the end"),
        (SmallBound(), "legal: got 7 actions; must be info.max_num_legal=6 at most"),
        (
            EndsLate(),
            "a game: got no end after 4 plies; must be over by",
        ),
        (NoMasks(), "planes_are_masks: got True, with two numbers"),
        (WrongDtype(), "observe dtype: got bool; must be float32"),
        (NoIf(), "to_play under jit"),
        (TicTacToe, "game: got the class TicTacToe"),
        (object(), "object.init: got nothing that can be called"),
    ],
    ids=lambda case: getattr(type(case), "__name__", None),
)
def test_a_broken_game_is_named_in_one_line(game, message):
    with pytest.raises(ConformanceError, match=message) as caught:
        check_game(game, num_plies=60)
    assert "\n" not in str(caught.value)


def test_settings_change_a_game():
    game = GAMES["go"](size=5, komi=0.5)
    assert game.info.num_actions == 26
    assert dataclasses.replace(game, komi=1.5) != game
    assert GAMES["hex"](size=7).info.num_actions == 50
    state = GAMES["hex"](size=7).init(jax.random.PRNGKey(0))
    assert state.legal.sum() == 49


def test_symmetries_of_a_policy():
    observation, policy = np.zeros((3, 3, 2), np.float32), np.arange(9.0)
    observation[..., 0] = np.arange(9).reshape(3, 3)
    views, moves = TicTacToe().symmetries(jnp.asarray(observation), jnp.asarray(policy))
    np.testing.assert_array_equal(views[:, :, :, 0].reshape(8, 9), moves)
    assert len({tuple(np.asarray(row)) for row in moves}) == 8
