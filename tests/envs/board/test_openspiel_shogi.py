"""Shogi on the host ends when, and as, shogi in JAX does: OpenSpiel's ends are not ours."""

import itertools
import random

import jax
import numpy as np
import pytest
from board_games import compiled

from tolman.envs.board.openspiel_games import openspiel_game
from tolman.envs.board.sfen import shogi_from_sfen
from tolman.envs.board.shogi import Shogi
from tolman.envs.board.shogi_moves import usi_to_action
from tolman.envs.board.shogi_plain import legal_moves, turned
from tolman.launchers.arena.players.rollouts import RolloutPlayer

START = "lnsgkgsnl/1r5b1/ppppppppp/9/9/9/PPPPPPPPP/1B5R1/LNSGKGSNL b - 1"
# Random games of these seeds pass through 13 to 178 positions that OpenSpiel calls the end.
SEEDS_WITH_ENTERED_KINGS = (14, 56, 205)


def host_game(sfen, **settings):
    """The game from a position with Black to move."""
    game = openspiel_game("shogi", **settings)
    game.state = game.rules.game.new_initial_state(sfen)
    game.trail = game.rules.start(game.state)
    return game


def play_both(sfen, choose, **settings):
    """Plays to the end under both rules; returns the host game.

    Args:
      sfen: with Black to move.
      choose: the next action, from the host game; None to stop.
      **settings: of the rules.
    """
    chosen = compiled(Shogi(**settings))
    host, state = host_game(sfen, **settings), shogi_from_sfen(chosen.game, sfen)
    while True:
        legal, is_over, outcome = jax.device_get(chosen.rules(state))
        assert host.is_over() == is_over
        assert host.outcome() == tuple(outcome)
        assert host.legal_actions() == np.flatnonzero(legal).tolist()
        action = None if is_over else choose(host)
        if action is None:
            return host
        host.step(action)
        state = chosen.step(state, np.int32(action))


@pytest.mark.parametrize("seed", SEEDS_WITH_ENTERED_KINGS)
def test_games_go_on_where_openspiel_ends_them(seed):
    rng, num_ended = random.Random(seed), 0

    def choose(host):
        nonlocal num_ended
        num_ended += host.state.is_terminal()
        return rng.choice(host.legal_actions())

    host = play_both(START, choose)
    assert num_ended > 10 and len(host.state.history()) == 512


def plays(texts):
    """Chooses these moves of USI, then none."""
    texts = iter(texts)

    def choose(host):
        text = next(texts, None)
        return None if text is None else host.text_to_action(text)

    return choose


def first_moves(count):
    """Chooses the first legal action so many times, then none."""
    return lambda host: (
        host.legal_actions()[0] if len(host.state.history()) < count else None
    )


@pytest.mark.parametrize(
    ("sfen", "opening", "cycle", "outcome"),
    [
        ("8k/9/9/9/9/9/9/9/K6R1 b - 1", [], ["2i1i", "1a2a", "1i2i", "2a1a"], (-1, 1)),
        # White checks for ever; a king's move comes first, as Black is to move.
        ("1r6k/9/9/9/9/9/9/K8/9 b - 1", ["9h9i"],
         ["8a9a", "9i8i", "9a8a", "8i9i"], (1, -1)),
        # Seven checks in a row and one move that gives none: a draw. OpenSpiel says lost.
        (
            "8k/9/9/9/9/9/9/9/K6R1 b - 1",
            [],
            ["2i3i", "1a2a", "3i2i", "2a1a", "2i1i", "1a2a", "1i2i", "2a1a", "2i1i", "1a2a",
             "1i2i", "2a1a", "2i1i", "1a2a", "1i2i", "2a1a"],
            (0, 0),
        ),
        # Nobody checks.
        (START, [], ["2h3h", "8b7b", "3h2h", "7b8b"], (0, 0)),
    ],
)  # fmt: skip
def test_repetitions(sfen, opening, cycle, outcome):
    moves = itertools.chain(opening, itertools.cycle(cycle))
    host = play_both(sfen, plays(moves), with_declaration=False)
    assert host.is_over() and host.outcome() == outcome
    assert len(host.state.history()) < 60


ENTERED = "{}+R+R+B+BGGGG/SS7/9/9/9/9/9/9/k8 b {} 1"


@pytest.mark.parametrize(
    ("hand", "declares"),
    [
        ("-", False),
        ("P", False),
        ("2P", True),
        ("LNP", True),
        ("p", False),
        ("2s2g", False),
    ],
)
def test_declaration_counts_points(hand, declares):
    """26 points in the zone; Black needs 28, and what White holds does not count."""
    for king, is_there in (("K", True), ("1", False)):
        sfen = ENTERED.format(king, hand)
        if not is_there:
            sfen = sfen.replace("SS7/9", "SS7/K8").replace("/SS7/K8/9", "/SS7/9/K8")
        host = play_both(sfen, lambda host: None)
        assert host.is_over() == (declares and is_there)
        assert host.outcome()[0] == float(host.is_over())
        assert not play_both(sfen, lambda host: None, with_declaration=False).is_over()


def test_declaration_agrees_on_random_positions():
    """All kinds of pieces count as in JAX, for White as for Black."""
    rng, num_declared = random.Random(0), 0
    for trial in range(120):
        zone = [["1"] * 9 for _ in range(3)]
        majors = rng.sample("RRBB", rng.choice((3, 4)))
        others = rng.sample("GGGGSSSSLLLLNNNNPPPPPP", rng.randint(5, 10))
        pieces = ["K", *majors, *others]
        places = rng.sample(range(27), len(pieces))
        for place, piece in zip(places, pieces, strict=True):
            row, column = divmod(place, 9)
            plain = piece in "KG" or (rng.random() < 0.5 and piece not in "PLN")
            zone[row][column] = piece if plain else "+" + piece
        hand = rng.choice(["-", "P", "2P", "3P", "4P", "5P"])
        rows = ["".join(row) for row in zone] + ["9"] * 5 + ["8k"]
        if trial % 2 == 0:
            host = play_both("/".join(rows) + f" b {hand} 1", lambda host: None)
        else:  # Seen from the other side, once Black has moved.
            theirs = "/".join("".join(_letters(row)[::-1]) for row in rows[::-1])
            sfen = f"{theirs.swapcase()} b {hand.lower()} 1"
            host = play_both(sfen, first_moves(1))
        num_declared += host.outcome() == ((1, -1) if trial % 2 == 0 else (-1, 1))
    assert 20 < num_declared < 110


def _letters(row):
    """Pieces of a row of an SFEN, a promoted one as one."""
    letters = []
    for letter in row:
        if letters and letters[-1] == "+":
            letters[-1] += letter
        else:
            letters.append(letter)
    return letters


def boards_of(host):
    """What `legal_moves` takes."""
    step, player = host.trail.steps[0], host.to_play()
    board = step.board.decode()
    counts = np.rint(step.hands * np.tile([18, 4, 4, 4, 2, 2, 4], 2)).astype(int)
    hand = counts[7 * player : 7 * player + 7].tolist()
    return (turned(board) if player else board), hand


def test_plain_moves_are_those_of_openspiel():
    rng, num_moves, num_mates = random.Random(5), 0, 0
    for _ in range(6):
        host = openspiel_game("shogi")
        while not host.is_over():
            if not host.state.is_terminal():
                legal = legal_moves(*boards_of(host))
                assert legal == host.legal_actions()
                num_moves += len(legal)
            host.step(rng.choice(host.legal_actions()))
        num_mates += host.outcome() != (0, 0)
    assert num_moves > 50_000 and num_mates > 0


@pytest.mark.parametrize(
    ("placement", "is_legal"),
    [
        ("7nk/7g1/8S/7G1/9/9/9/9/K8", True),  # White's gold takes the pawn.
        ("7nk/7b1/9/8G/9/9/9/9/4K4", True),  # The king takes it.
        ("7nk/7l1/9/7NG/9/9/9/9/K8", False),  # Black's knight guards it: mate.
    ],
)
def test_pawn_drops_beside_the_king(placement, is_legal):
    """The drop at 1b, against OpenSpiel."""
    host = host_game(f"{placement} b P 1")
    drop = usi_to_action("P*1b", False)
    legal = legal_moves(*boards_of(host))
    assert legal == host.legal_actions()
    assert (drop in legal) == is_legal


def test_rollouts_play_on_where_openspiel_sees_the_end():
    """Both kings have entered; Black mates with one move."""
    host = host_game("1R4K2/9/9/9/9/9/+P8/9/k8 b G 1")
    assert host.state.is_terminal() and not host.is_over()
    wins = set()
    for action in host.legal_actions():
        after = host.copy()
        after.step(action)
        wins |= {action} if after.outcome() == (1.0, -1.0) else set()
    assert wins
    player = RolloutPlayer(600)
    player.reset(0)
    assert player.choose(host) in wins
