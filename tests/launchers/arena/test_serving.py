"""Players behind UCI, USI and GTP: what is said for what, and what never is."""

import io
import math
import threading
import time
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tolman.envs.board.openspiel_games import openspiel_game
from tolman.launchers.arena.player import Resigned, Thought
from tolman.launchers.arena.players.rollouts import RolloutPlayer
from tolman.launchers.arena.recorded import RecordedGame
from tolman.launchers.arena.serving import serve
from tolman.launchers.arena.serving.go_score import area, score_text
from tolman.launchers.arena.serving.restricted import restricted
from tolman.launchers.arena.serving.seat import share_of_clock

GAMES = {"uci": "chess", "usi": "shogi", "gtp": "go_9x9"}


class FirstPlayer:
    """Plays the first legal action."""

    name = "first"

    def reset(self, seed):
        pass

    def choose(self, game):
        return game.legal_actions()[0]


class Thinker(FirstPlayer):
    """Keeps the budgets it was given, and thinks until it is stopped if it has no end."""

    def __init__(self):
        self.budgets = []

    def think(self, game, budget):
        self.budgets.append(budget)
        while budget.seconds == math.inf and not budget.is_stopped():
            time.sleep(0.001)
        return Thought(self.choose(game), 3, 0.5)


def served(protocol, commands, player=None, game=None):
    answers = io.StringIO()
    game = game or openspiel_game(GAMES[protocol])
    player = player or FirstPlayer()
    serve(protocol, game, lambda: player, "first", io.StringIO(commands), answers)
    return answers.getvalue()


def first_move(protocol, *texts):
    game = openspiel_game(GAMES[protocol])
    for text in texts:
        game.step(game.text_to_action(text))
    return game.action_to_text(game.legal_actions()[0])


def test_uci():
    said = served(
        "uci",
        "uci\nisready\nucinewgame\nposition startpos moves e2e4\ngo nodes 5\n"
        "position startpos moves f2f3 e7e5 g2g4 d8h4\ngo\n"
        "position startpos moves e2e5\ngo\nposition fen 8/8/8/8/8/8/8/8 w - - 0 1\n"
        "position startpos\ngo infinite\nisready\nstop\nquit\ngo\n",
    )
    lines = said.splitlines()
    assert lines[:5] == [
        "id name Tolman first",
        "id author the Tolman project",
        "option name Simulations type spin default 0 min 0 max 1000000",
        "uciok",
        "readyok",
    ]
    moves = [line for line in lines if line.startswith("bestmove")]
    first = first_move("uci")
    reply = first_move("uci", "e2e4")
    # Mated, and after a position that was refused, there is no move; the old one is not
    # played from.
    assert moves == [
        f"bestmove {reply}", "bestmove 0000", "bestmove 0000", f"bestmove {first}",
    ]  # fmt: skip
    # "go infinite" holds its move until "stop", and answers "isready" at once.
    assert lines[-2:] == ["readyok", f"bestmove {first}"]
    assert sum(line.startswith("info string") for line in lines) == 3


def test_usi():
    said = served(
        "usi",
        "usi\nsetoption name USI_Ponder value false\nisready\nusinewgame\n"
        "position startpos moves 7g7f\ngo btime 0 wtime 0 byoyomi 1000\ngo mate 1000\n"
        "gameover lose\nquit\n",
    )
    lines = said.splitlines()
    assert lines[3:5] == ["usiok", "info string no such option: USI_Ponder"]
    assert sorted(lines[-2:]) == [
        f"bestmove {first_move('usi', '7g7f')}", "checkmate notimplemented",
    ]  # fmt: skip


class Over(RecordedGame):
    """A game that is over before its first move, with player 0 to move."""

    result = (-1.0, 1.0)

    def new(self):
        return self

    def is_over(self):
        return True

    def outcome(self):
        return self.result


def test_a_game_that_is_over_is_resigned_in_usi_unless_the_rules_say_it_is_won():
    game = Over(openspiel_game("shogi"))
    assert served("usi", "go\n", game=game) == "bestmove resign\n"
    game.result = (1.0, -1.0)
    assert served("usi", "go\n", game=game) == "bestmove win\n"


def test_gtp():
    said = served(
        "gtp",
        "1 protocol_version\nboardsize 9\nboardsize 19\nboardsize x\nkomi 7.5\nkomi nan\n"
        "clear_board\nplay b E5\nplay b E6\nplay w E5\nplay red E5\nreg_genmove w\n"
        "genmove w\nundo\nplay w pass\n"
        "play b pass\n7 final_score\nkomi -0.5\nfinal_score\ngenmove w\nbogus\n"
        "known_command genmove\nplay w\n# a remark\n 12 \n\nname\nquit\nname\n",
    )
    answers = [part for part in said.split("\n\n") if part]
    assert answers == [
        "=1 2",
        "=",
        "? unacceptable size",
        "? syntax error",
        "=",
        "? syntax error",
        "=",
        "=",
        "=",  # White has passed.
        "? illegal move",
        "? syntax error",
        "= A9",
        "= A9",
        "=",
        "=",
        "=",
        "=7 B+73.5",
        "=",
        "= B+81.5",
        "= pass",
        "? unknown command",
        "= true",
        "? syntax error",
        "= Tolman first",
        "=",
    ]


def test_gtp_takes_back_turns():
    """A pass, two moves of one colour, and a pass after the end are a turn each."""
    script = {
        "play b E5": "=", "play w pass": "=", "undo": "=", "play w D5": "=",
        "play W pass": "=", "play b D4": "=", "play b D3": "=", "undo ": "=",
        "undo  ": "=", "undo #": "=", "showboard": "= \n9", "undo #1": "=", "undo #2": "=",
        "undo #3": "? cannot undo", "play b pass": "=", "play w pass #": "=",
        "genmove w": "= pass", "play B pass": "=", "undo #4": "=", "undo #5": "=",
        "play b A1": "? illegal move", "undo #6": "=", "play w A1": "=",
        "genmove b": "= A9",
    }  # fmt: skip
    answers = served("gtp", "\n".join(script) + "\n").split("\n\n")
    for (command, wanted), answer in zip(script.items(), answers, strict=False):
        assert answer[: len(wanted)] == wanted, command
    board = answers[list(script).index("showboard")].splitlines()
    assert board[5].split() == list("5...OX....") and board[6].split() == list("4.........")


def test_gtp_runs_its_clock_down_by_itself():
    class Slow(Thinker):
        def think(self, game, budget):
            thought = super().think(game, budget)
            now[0] += 60.0
            return thought

    now, player = [0.0], Slow()
    clock = mock.patch("tolman.launchers.arena.serving.gtp.time.monotonic", lambda: now[0])
    with clock:
        served(
            "gtp",
            "time_settings 150 20 2\n" + "genmove b\ngenmove w\n" * 5 + "time_left b 90 0\n"
            "genmove b\ngenmove w\ngenmove b\n",
            player,
        )
    seconds = [budget.seconds for budget in player.budgets[1:]]
    # 150 seconds, of which a move takes 60: 90, 30, then 20 seconds for 2 moves, overdrawn.
    wanted = [150 / 30 - 0.05, 90 / 30 - 0.05, 30 / 30 - 0.05, 20 / 2 - 0.05, 0.0]
    assert seconds[0:10:2] == seconds[1:10:2] == pytest.approx(wanted)
    assert seconds[10] == pytest.approx(90 / 30 - 0.05)
    assert seconds[12] == pytest.approx(30 / 30 - 0.05)


def test_searchmoves_and_the_start_spelled_out():
    start = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w {} - 0 1"
    said = served(
        "uci",
        f"position fen {start.format('KQkq')} moves e2e4\n"
        "go searchmoves e7e5 g8f6 nodes 5\n"
        f"position fen {start.format('HAha')}\ngo depth 3 searchmoves b1c3\n"
        "position startpos\ngo searchmoves e2e5\n"
        f"position fen {start.format('KQ')}\ngo\n",
    ).splitlines()
    moves = [line for line in said if line.startswith("bestmove")]
    game = openspiel_game("chess")
    game.step(game.text_to_action("e2e4"))
    first = min(("e7e5", "g8f6"), key=game.text_to_action)
    assert moves == [f"bestmove {first}", "bestmove b1c3", "bestmove 0000", "bestmove 0000"]
    assert "info string go: depth is no limit here; nodes and movetime are" in said
    sfen = "lnsgkgsnl/1r5b1/ppppppppp/9/9/9/PPPPPPPPP/1B5R1/LNSGKGSNL b - 1"
    said = served("usi", f"position sfen {sfen} moves 7g7f\ngo\n")
    assert said == f"bestmove {first_move('usi', '7g7f')}\n"


def test_a_search_keeps_to_the_moves_it_is_given():
    """By rollouts: the mate that is not among them is not played."""
    game = RecordedGame(openspiel_game("tic_tac_toe"))
    for text in ("a1", "a2", "b1", "b2"):
        game.step(game.text_to_action(text))
    player = RolloutPlayer(200)
    assert game.action_to_text(player.choose(game)) == "c1"
    chosen = player.choose(restricted(game, ["a3", "c3"]))
    assert game.action_to_text(chosen) in ("a3", "c3")
    with pytest.raises(ValueError, match="move 'a1'"):
        restricted(game, ["a1"])


def test_other_games_speak_gtp_too():
    said = served(
        "gtp",
        "boardsize 6\nkomi 6.5\nfinal_score\ngenmove b\nplay w 2\nplay b 1\nplay w 2\n"
        "play b 1\nplay w 2\nplay b 1\nfinal_score\ngenmove w\n",
        game=openspiel_game("connect_four"),
    )
    answers = [part for part in said.split("\n\n") if part]
    assert answers == [
        *("=", "=", "? cannot score", "= 1", *["="] * 6),
        *("= B+", "? the game is over"),
    ]


def budgets(protocol, commands, **settings):
    player = Thinker()
    said = served(protocol, commands, player, **settings)
    return [(b.nodes, b.seconds) for b in player.budgets[1:]], said  # The first compiles.


def test_limits_reach_the_player():
    found, said = budgets(
        "uci",
        "go nodes 7\ngo movetime 1000\ngo\nsetoption name Simulations value 33\ngo\n"
        "go wtime 61000 btime 5 winc 500\nposition startpos moves e2e4\n"
        "go wtime 5 btime 30000 binc 0 movestogo 3\ngo btime 40 wtime 9\n"
        "go infinite\nstop\n"
        "setoption name Simulations value 0\ngo nodes 0\ngo nodes x\ngo movetime -5\n",
    )
    assert found == [
        (7, None), (None, 0.95), (None, None), (33, None),
        (None, pytest.approx(61 / 30 + 0.5 - 0.05)),
        (None, pytest.approx(30 / 3 - 0.05)),
        (None, pytest.approx(0.04 / 30 / 2)),  # Half of it, at least.
        (None, math.inf), (None, None), (None, None), (None, 0.0),
    ]  # fmt: skip
    assert "info string go: nodes x: must be a whole number" in said
    # 3 nodes at a value of 0.5: 400 log10 3 = 190.8.
    assert "info nodes 3 time" in said and "score cp 191 pv" in said


def test_clocks_of_usi_and_gtp():
    found, _ = budgets("usi", "go btime 0 wtime 9000 byoyomi 2000\ngo btime 3000 wtime 1\n")
    assert found == [(None, pytest.approx(1.95)), (None, pytest.approx(0.1 - 0.05))]
    found, said = budgets(
        "gtp",
        "genmove b\ntime_settings 0 10 5\ngenmove w\ntime_settings 300 0 0\ngenmove b\n"
        "time_left w 8 4\ngenmove w\ntime_settings 0 1 0\ngenmove b\ntime_left b 1\n"
        "time_left x 1 2\ntime_settings a b c\n",
    )
    assert found == [(None, s) for s in (None, 1.95, 10 - 0.05, 1.95, None)]
    assert said.count("? syntax error") == 3


def test_a_clock_is_never_overdrawn():
    assert share_of_clock(30.0) == pytest.approx(0.95)
    assert share_of_clock(1.0, increment=5.0) == pytest.approx(0.95)
    assert share_of_clock(0.0, extra=2.0) == pytest.approx(1.95)
    assert share_of_clock(0.0) == 0.0


class Failing(FirstPlayer):
    def __init__(self, error):
        self.error = error

    def choose(self, game):
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            KeyError("lost\nit"),
            {
                "uci": "info string KeyError: 'lost\\nit'\nbestmove 0000\n",
                "usi": "info string KeyError: 'lost\\nit'\nbestmove resign\n",
                "gtp": "? first failed: KeyError: 'lost\\nit'\n\n",
            },
        ),
        (
            Resigned(),
            {
                "uci": "info string resigns\nbestmove 0000\n",
                "usi": "info string resigns\nbestmove resign\n",
                "gtp": "= resign\n\n",
            },
        ),
    ],
)
@pytest.mark.parametrize("protocol", GAMES)
def test_a_player_that_fails_leaves_the_protocol_whole(protocol, error, said):
    command = "genmove b\n" if protocol == "gtp" else "go\n"
    assert served(protocol, command, Failing(error)) == said[protocol]


def test_a_player_that_cannot_be_made_ends_it():
    def make():
        raise FileNotFoundError("no such run")

    for protocol, commands in {"uci": "uci\nisready\n", "gtp": "name\ngenmove b\n"}.items():
        answers = io.StringIO()
        game = openspiel_game(GAMES[protocol])
        with pytest.raises(FileNotFoundError, match="no such run"):
            serve(protocol, game, make, "lost", io.StringIO(commands), answers)
        assert "Tolman lost" in answers.getvalue()  # The greeting did not wait for it.


def test_stop_does_not_wait_for_the_end_of_a_thought():
    class Commands:
        """Says "stop" once the player thinks."""

        def __iter__(self):
            yield "go infinite\n"
            while len(player.budgets) < 2:
                time.sleep(0.001)
            yield "isready\n"
            assert "bestmove" not in answers.getvalue()
            yield "stop\n"
            assert answers.getvalue().splitlines()[-1].startswith("bestmove")

    player, answers = Thinker(), io.StringIO()
    before = threading.active_count()
    serve("uci", openspiel_game("chess"), lambda: player, "", Commands(), answers)
    assert threading.active_count() <= before + 1


WORDS = st.sampled_from(
    "uci isready position startpos moves e2e4 fen go nodes movetime -1 x infinite "
    "setoption name value Simulations stop ponderhit ucinewgame usinewgame usi 7g7f "
    "boardsize komi 9 play genmove b w E5 pass undo final_score time_left time_settings "
    "known_command nan 1e999 ² 12 # clear_board reg_genmove showboard mate ponder "
    "\x00 é".split(" ")
)
LINES = st.lists(st.lists(WORDS, max_size=5).map(" ".join), max_size=8)


@pytest.mark.parametrize("protocol", GAMES)
@settings(max_examples=60, deadline=None)
@given(lines=LINES)
def test_nothing_that_is_said_breaks_a_server(protocol, lines):
    said = served(protocol, "\n".join(lines), Thinker())
    if protocol == "gtp":
        bodies = [line.partition("#")[0].split() for line in lines]
        numbered = [
            words[1:] if words and words[0].isdecimal() else words for words in bodies
        ]
        commands = [words for words in numbered if words]
        answers = [part for part in said.split("\n\n") if part]
        assert len(answers) == len(commands)
        assert all(answer[0] in "=?" for answer in answers)
    else:
        starts = (
            *("id ", "option ", f"{protocol}ok", "readyok", "info ", "bestmove "),
            "checkmate ",
        )
        assert all(line.startswith(starts) for line in said.splitlines())
        goes = [line.split() for line in lines if line.startswith("go")]
        wanted = sum("mate" not in words or protocol == "uci" for words in goes)
        assert sum(line.startswith("bestmove") for line in said.splitlines()) == wanted


def test_area_by_hand():
    """Black holds a corner of 6 points; a dame column is nobody's."""
    rows = [
        ". X . O .",
        "X X . O O",
        ". . . O .",
        "X X X O .",
        ". . X O .",
    ]  # fmt: skip
    letters = np.array([row.split() for row in rows])
    black, white = letters == "X", letters == "O"
    assert area(black, white) == 7 + 1 + 2
    assert area(white, black) == 6 + 4
    empty = np.zeros((3, 3), bool)
    assert area(empty, empty) == 0


def test_scores_agree_with_the_rules_on_who_won():
    rng = np.random.default_rng(0)
    for size in (5, 6, 7):
        for _ in range(8):
            game = RecordedGame(openspiel_game("go", size=size, komi=0.5))
            while not game.is_over():
                game.step(int(rng.choice(game.legal_actions())))
            winner = {1.0: "B", -1.0: "W"}[game.outcome()[0]]
            assert score_text(game).startswith(winner)


def test_protocols_fit_their_games():
    with pytest.raises(ValueError, match="'xboard': must be one of"):
        serve("xboard", openspiel_game("chess"), FirstPlayer, "")
    with pytest.raises(ValueError, match="is for shogi, not chess: use uci or gtp"):
        serve("usi", openspiel_game("chess"), FirstPlayer, "")
