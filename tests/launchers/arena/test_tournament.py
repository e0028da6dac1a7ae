"""Matches, tournaments that stop and go on, and records that other programs read."""

import dataclasses
import datetime
import io
import json
import random
import re
import sys
import time

import pytest

from tolman.envs.board.openspiel_games import openspiel_game
from tolman.launchers import cli
from tolman.launchers.arena import openings, records, tournament
from tolman.launchers.arena.match import GameRecord, play_game, play_games, record_from_dict
from tolman.launchers.arena.openings import make_openings
from tolman.launchers.arena.page import rating_curves
from tolman.launchers.arena.player import Resigned
from tolman.launchers.arena.players.uniform import RandomPlayer
from tolman.launchers.arena.recorded import RecordedGame
from tolman.launchers.arena.tournament import (
    Pairing,
    Played,
    TournamentConfig,
    pair_scores,
    run_tournament,
    schedule,
)
from tolman.launchers.runs.folder import hold

DATE = datetime.date(2026, 1, 2)


def record(game="chess", moves="", outcome=(0.0, 0.0), ending="rules", detail=""):
    return GameRecord(
        game, ("one", 'the "other"'), tuple(moves.split()), 0, outcome, ending, detail,
        (0.0, 0.0), 0,
    )  # fmt: skip


class Scripted:
    def __init__(self, answer):
        self.name, self.answer = "scripted", answer

    def reset(self, seed):
        pass

    def choose(self, game):
        if self.answer == "resign":
            raise Resigned
        return self.answer


def test_an_illegal_action_or_a_resignation_loses():
    game = openspiel_game("tic_tac_toe")
    lost = play_game(game, (RandomPlayer(), Scripted(9)))
    assert lost.outcome == (1.0, -1.0) and lost.score == 1.0
    assert (lost.ending, lost.detail) == ("illegal move", "illegal move: action 9")
    assert len(lost.moves) == 1
    lost = play_game(game, (Scripted("resign"), RandomPlayer()), opening=("b2", "a1"))
    assert lost.outcome == (-1.0, 1.0) and lost.ending == "resigned"
    assert lost.moves == ("b2", "a1") and lost.num_opening_moves == 2
    assert record_from_dict(json.loads(json.dumps(lost.as_dict()))) == lost


def test_a_bug_in_a_player_is_not_hidden():
    class Broken(Scripted):
        def choose(self, game):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play_game(openspiel_game("tic_tac_toe"), (Broken(0), RandomPlayer()))


def test_openings_differ_and_are_undecided():
    game = openspiel_game("connect_four")
    made = make_openings(game, 30, 8, seed=0)
    assert len(set(made)) == 30 and {len(one) for one in made} == {8}
    assert made == make_openings(game, 30, 8, seed=0) != make_openings(game, 30, 8, 1)
    for opening in made:
        current = game.new()
        for text in opening:
            current.step(current.text_to_action(text))
        for action in current.legal_actions():
            after = current.copy()
            after.step(action)
            assert not after.is_over()
    # One move of tic-tac-toe has nine answers: the tenth opening is one of the nine.
    few = make_openings(openspiel_game("tic_tac_toe"), 12, 1, seed=0)
    assert len(set(few)) == 9
    with pytest.raises(ValueError, match="take fewer"):
        make_openings(openspiel_game("tic_tac_toe"), 1, 9, 0)


def test_the_start_is_looked_at_once_an_opening(monkeypatch):
    looked = []
    monkeypatch.setattr(openings, "_is_decided", lambda game: looked.append(game))
    assert make_openings(openspiel_game("tic_tac_toe"), 3, 0, 0) == [()] * 3
    assert len(looked) == 3


def test_schedule_balances_colours():
    games = list(schedule(3, 2))
    assert len(games) == len(set(games)) == 3 * 2 * 2
    for first, second in ((0, 1), (1, 2), (0, 2)):
        for opening in range(2):
            assert Pairing(first, second, opening) in games
            assert Pairing(second, first, opening) in games


def test_pair_scores_wait_for_both_colours():
    won, drawn = record(outcome=(1.0, -1.0)), record()
    played = [
        Played(Pairing(0, 1, 0), won),
        Played(Pairing(1, 0, 0), won),
        Played(Pairing(0, 1, 1), won),
        Played(Pairing(1, 0, 1), drawn),
        Played(Pairing(0, 1, 2), won),
    ]
    scores = pair_scores(played)
    assert (scores.num_pairs, scores.total) == (2, 0.5 + 0.75)
    assert scores.square == 0.25 + 0.5625
    scores.add(2, 1.0)  # The second game of the opening that waits.
    assert (scores.num_pairs, scores.total) == (3, 2.25)


def small(**changes):
    config = TournamentConfig(
        "tic_tac_toe", ("perfect", "random", "minimax:2"), num_games=8, opening_moves=1
    )
    return dataclasses.replace(config, **changes)


def test_tournament_ranks_writes_and_goes_on(tmp_path, capsys):
    result = run_tournament(small(), tmp_path / "whole")
    rated = result["ratings"]
    assert result["num_games"] == 3 * 8 and result["anchor"] == "random"
    assert rated["perfect"]["elo"] > rated["random"]["elo"] == 0.0
    assert result["endings"] == {"rules": 24} and result["faults"] == []
    wins, draws, losses = next(
        row[2:] for row in result["cross_table"] if row[:2] == ["perfect", "random"]
    )
    assert wins + draws + losses == 8 and losses == 0
    page = (tmp_path / "whole" / "report.html").read_text()
    assert "minimax:2" in page and f"{wins} / {draws} / {losses}" in page
    assert "data:image/png" in page
    assert (tmp_path / "whole" / "games.txt").read_text().count("tic_tac_toe") == 24

    # The same, killed in the middle of a line.
    lines = (tmp_path / "whole" / "games.jsonl").read_text().splitlines(keepends=True)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "games.jsonl").write_text("".join(lines[:10]) + lines[10][:40])
    capsys.readouterr()
    again = run_tournament(small(), broken)
    assert capsys.readouterr().out.count("\n") == 14
    assert again["ratings"] == rated and again["cross_table"] == result["cross_table"]

    # A torn line in the middle, and one that came twice: the first alone is played anew.
    torn = [*lines[:3], lines[3][:30] + "\n", *lines[4:], lines[7], "[]\n"]
    (broken / "games.jsonl").write_text("".join(torn))
    again = run_tournament(small(), broken)
    assert capsys.readouterr().out.count("\n") == 1
    assert again["num_games"] == 24 and again["ratings"] == rated
    assert len((broken / "games.jsonl").read_text().splitlines()) == 24

    with pytest.raises(ValueError, match="holds a tournament with seed=0, not 1"):
        run_tournament(small(seed=1), broken)
    more = run_tournament(small(num_games=10), broken)
    assert more["num_games"] == 30


def test_one_tournament_in_a_folder(tmp_path):
    with (
        hold(tmp_path),
        pytest.raises(ValueError, match="another process is playing this tournament"),
    ):
        run_tournament(small(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    (tmp_path / "tournament.json").write_text('{"game": "tic')
    with pytest.raises(ValueError, match="is no JSON of a tournament") as error:
        run_tournament(small(), tmp_path)
    assert "\n" not in str(error.value)


class Held:
    """A player with something to close; the second cannot be closed."""

    def __init__(self, name, closed):
        self.name, self.closed = name, closed

    def reset(self, seed):
        pass

    def choose(self, game):
        return 0

    def close(self):
        self.closed.append(self.name)
        if self.name == "two":
            raise OSError("cannot be closed")


@pytest.mark.parametrize("last", ["three", None])
def test_every_player_is_closed_whatever_befalls_the_others(last, tmp_path, monkeypatch):
    names, closed = iter(["one", "two", last]), []

    def make(spec):
        if (name := next(names)) is None:
            raise ValueError("cannot be made")
        return Held(name, closed)

    monkeypatch.setattr(tournament, "make_player", make)
    config = small(players=("a", "b", "c"), anchor="nobody")
    with pytest.raises(OSError, match="cannot be closed"):
        run_tournament(config, tmp_path / "out")
    assert sorted(closed) == sorted(name for name in ("one", "two", last) if name)


def test_an_unknown_anchor_is_told_before_a_game_is_played(tmp_path):
    with pytest.raises(ValueError, match="anchor 'nobody'"):
        run_tournament(small(anchor="nobody"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sprt_stops_early(tmp_path):
    config = small(players=("perfect", "random"), num_games=200, sprt=(0.0, 100.0))
    result = run_tournament(config, tmp_path)
    assert result["sprt"]["verdict"] == "H1" and result["num_games"] < 100


def test_the_tournament_goes_on_when_engines_crash(tmp_path):
    engine = tmp_path / "engine.py"
    answers_once = "input(); print('= 2\\n', flush=True); input(); exit(7)\n"
    engine.write_text(answers_once)
    bad = [f"gtp:{sys.executable} {engine}?name={name}" for name in ("one", "two")]
    config = TournamentConfig(
        "go_9x9", (*bad, "random"), num_games=2, opening_moves=2, anchor="random"
    )
    result = run_tournament(config, tmp_path / "out")
    assert result["num_games"] == 6
    assert result["endings"] == {"fault": 6} and len(result["faults"]) == 6
    assert result["faults"][0]["detail"] == "the process ended (exit code 7)"
    assert result["ratings"]["one"]["elo"] < 0 and result["ratings"]["two"]["elo"] < 0
    sgf = (tmp_path / "out" / "games.sgf").read_text()
    assert sgf.count("(;GM[1]") == 6 and "+F" in sgf


class Scribe:
    """A side that plays the highest or lowest action, and writes down what it hears."""

    def __init__(self, name, pick, gives_up_in=()):
        self.name, self.pick, self.gives_up_in = name, pick, gives_up_in
        self.asked, self.heard = [], []

    def start(self, num_games, seed):
        self.began = (num_games, seed)

    def choose(self, games, which):
        self.asked.append(which.tolist())
        return [
            Resigned()
            if index in self.gives_up_in
            else self.pick(games[index].legal_actions())
            for index in which
        ]

    def follow(self, action):
        self.heard.append(action.tolist())


def test_games_side_by_side_are_those_played_one_by_one():
    """Game 1 has the colours exchanged, game 2 an opening of three, game 3 is given up."""
    low, high = Scribe("low", min), Scribe("high", max, gives_up_in=(3,))
    openings = [(), (), ("b2", "a1", "a2"), ()]
    game = openspiel_game("tic_tac_toe")
    records = play_games(game, (low, high), openings, [0, 1, 0, 0], (5, 6))
    assert (low.began, high.began) == ((4, 5), (4, 6))
    # Nobody is asked in an opening; then the side whose turn it is, in each game.
    assert low.asked[:4] == [[0, 3], [1], [0], [1]]
    assert high.asked[:4] == [[1], [0, 3], [1], [0, 2]]
    assert low.heard == high.heard
    assert [row[:3] for row in low.heard[:2]] == [[0, 8, 4], [8, 0, 0]]
    assert [record.players for record in records] == [
        ("low", "high"), ("high", "low"), ("low", "high"), ("low", "high")
    ]  # fmt: skip
    assert records[3].ending == "resigned" and records[3].outcome == (1.0, -1.0)
    for record, opening, one in zip(records[:3], openings, (0, 1, 0), strict=False):
        sides = low, high
        (alone,) = play_games(game, sides, [opening], [one], (5, 6))
        assert (alone.moves, alone.outcome) == (record.moves, record.outcome)
        assert record.ending == "rules" and record.num_opening_moves == len(opening)


def test_the_time_of_thought_is_the_movers():
    class Slow(RandomPlayer):
        def choose(self, game):
            time.sleep(0.05)
            return super().choose(game)

    record = play_game(openspiel_game("tic_tac_toe"), (RandomPlayer(), Slow()))
    assert record.seconds[1] >= 0.1 and record.seconds[1] > record.seconds[0]


@pytest.mark.parametrize("protocol, game", [("gtp", "go_9x9"), ("usi", "shogi")])
def test_an_engine_that_never_starts_ends_the_tournament(protocol, game, tmp_path):
    config = TournamentConfig(game, ("random", f"{protocol}:false?name=x"), num_games=2)
    with pytest.raises(ValueError, match=r"^player 'x': does not start: .*exit code 1"):
        run_tournament(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_a_tournament_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"num_games=3: .* a multiple of 2\. Set --num-g"):
        run_tournament(small(num_games=3), tmp_path / "out")
    with pytest.raises(ValueError, match="seed=-1: "):
        run_tournament(small(seed=-1), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command(tmp_path, capsys):
    out = str(tmp_path / "out")
    words = ["tournament", "tic_tac_toe", "random", "minimax:1", "--num-games", "2"]
    assert cli.main([*words, "--opening-moves", "1", "--out", out]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 + 2 + 1 and said[-1].endswith("report.html")
    assert cli.main([*words, "--players", "x"]) == 2
    assert cli.main(["tournament", "checkers", "random", "greedy", "--out", out]) == 2
    assert "checkers" in capsys.readouterr().err


def test_rating_curves_need_two_checkpoints():
    rating = {"elo": 1.0, "low": 0.0, "high": 2.0}
    names = ("runs/a@200", "runs/a@100", "runs/b@100", "random", "runs/a@100?simulations=9")
    curves = rating_curves(dict.fromkeys(names, rating))
    assert curves == {"runs/a": [(100, 1.0, 0.0, 2.0), (200, 1.0, 0.0, 2.0)]}


def test_pgn_is_what_python_chess_reads():
    pgn = pytest.importorskip("chess.pgn")
    moves = "e2e4 e7e5 d1h5 b8c6 f1c4 g8f6 h5f7"
    text = records.to_pgn(record(moves=moves, outcome=(1.0, -1.0)), DATE)
    assert "1. e4 e5 2. Qh5 Nc6 3. Bc4 Nf6 4. Qxf7# 1-0" in text
    castles = "g1f3 g8f6 g2g3 g7g6 f1g2 f8g7 e1g1 e8g8"
    both = records.write_records(
        [
            record(moves=moves, outcome=(1.0, -1.0)),
            record(moves=castles, outcome=(-1.0, 1.0), ending="fault", detail="x}y"),
        ],
        DATE,
    )
    file = io.StringIO(both)
    first, second = pgn.read_game(file), pgn.read_game(file)
    assert pgn.read_game(file) is None and not first.errors and not second.errors
    assert [move.uci() for move in first.mainline_moves()] == moves.split()
    assert [move.uci() for move in second.mainline_moves()] == castles.split()
    assert r'[Black "the \"other\""]' in text and first.headers["White"] == "one"
    assert first.headers["Date"] == "2026.01.02"
    assert first.end().board().is_checkmate() and second.headers["Result"] == "0-1"
    assert second.headers["Termination"] == "abandoned"


def test_sgf():
    text = records.to_sgf(
        record("go_9x9", "E5 A1 J9 pass", (-1.0, 1.0), "resigned"), DATE, komi=7.5
    )
    assert text.startswith("(;GM[1]FF[4]CA[UTF-8]SZ[9]KM[7.5]")
    assert "RE[W+R]" in text and "DT[2026-01-02]" in text
    # Letters count from the top left.
    assert re.findall(r";([BW]\[\w*\])", text) == ["B[ee]", "W[ai]", "B[ia]", "W[]"]


def test_csa_is_what_cshogi_reads():
    moves = "7g7f 3c3d 8h2b+ 3a2b B*5e"
    text = records.to_csa(record("shogi", moves, (1.0, -1.0), "resigned"), DATE)
    lines = text.splitlines()
    assert lines[0] == "V2.2" and lines[5:7] == ["PI", "+"]
    wanted = ["+7776FU", "-3334FU", "+8822UM", "-3122GI", "+0055KA"]
    assert [line for line in lines if line[0] in "+-"][1:] == wanted
    assert lines[-1] == "%TORYO"
    parser = pytest.importorskip("cshogi.CSA")
    cshogi = pytest.importorskip("cshogi")
    parsed = parser.Parser.parse_str(text)[0]
    assert [cshogi.move_to_usi(move) for move in parsed.moves] == moves.split()


ROOKS = "2h3h 8b7b 3h2h 7b8b".split()
# Checks for ever; the position that comes back is one in check, and last one with no check.
BLACK_CHECKS = (
    "1g1f 1c1d 3g3f 1d1e 7g7f 3c3d 9g9f 4a5b 8h3c+ " + "5a4a 3c3b 4a5a 3b3c " * 3
).split()
WHITE_CHECKS = ("6g6f 3c3d 5i6h 1c1d 6f6e 2b7g+ " + "6h5h 7g7f 5h6h 7f7g " * 3).split()
BLACK_HAS_CHECKED = (
    "4i4h 5c5d 1i1h 3a4b 5g5f 5d5e 7g7f 5a5b 8h5e 5b6b 1g1f 6b5c "
    + "5e4d 5c6d 4d5e 6d5c " * 3
).split()


def shogi_ending(moves, outcome):
    text = records.to_csa(record("shogi", " ".join(moves), outcome), DATE)
    return text.splitlines()[-1]


def outcome_of(moves):
    """Of a whole game of shogi, by the rules."""
    game = openspiel_game("shogi")
    for text in moves:
        game.step(game.text_to_action(text))
    assert game.is_over()
    return game.outcome()


@pytest.mark.parametrize(
    ("moves", "outcome", "ending"),
    [
        (ROOKS * 3, (0.0, 0.0), "%SENNICHITE"),
        (BLACK_CHECKS, (-1.0, 1.0), "%+ILLEGAL_ACTION"),
        (WHITE_CHECKS, (1.0, -1.0), "%-ILLEGAL_ACTION"),
        # Black is to move, and has lost.
        (BLACK_HAS_CHECKED, (-1.0, 1.0), "%ILLEGAL_MOVE"),
    ],
)
def test_csa_says_how_a_game_ended_by_repetition(moves, outcome, ending):
    assert outcome_of(moves) == outcome
    assert shogi_ending(moves, outcome) == ending
    assert shogi_ending(moves[:-1], (0.0, 0.0)) == "%MAX_MOVES"


def test_csa_says_how_a_game_ended_otherwise():
    """A decided game that is no mate was declared won."""
    assert shogi_ending(["7g7f"], (-1.0, 1.0)) == "%KACHI"
    rng = random.Random(0)
    while True:
        game = RecordedGame(openspiel_game("shogi"))
        while not game.is_over():
            game.step(rng.choice(game.legal_actions()))
        if game.outcome() != (0.0, 0.0):
            break
    assert shogi_ending(game.texts, game.outcome()) == "%TSUMI"
    for ending, detail, last in (
        ("illegal move", "", "%ILLEGAL_MOVE"),
        ("resigned", "", "%TORYO"),
        ("fault", "no answer in time", "%TIME_UP"),
        ("fault", "the process ended", "%CHUDAN"),
    ):
        lost = record("shogi", "7g7f", (1.0, -1.0), ending, detail)
        assert records.to_csa(lost, DATE).splitlines()[-1] == last


def test_other_games_are_plain_text():
    text = records.to_text(record("connect_four", "4 4 3", (1.0, -1.0)), DATE)
    assert text == 'connect_four  one - the "other"  1-0  2026-01-02\n4 4 3\n'


def test_a_folder_that_is_a_file_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "in"):
        words = ["tournament", "tic_tac_toe", "random", "greedy", "--out", str(out)]
        assert cli.main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "cannot be made" in line and "Choose another --out." in line


def test_a_player_that_cannot_play_leaves_no_folder(tmp_path):
    for out in (tmp_path / "out", tmp_path):
        with pytest.raises(ValueError, match="plays connect_four only"):
            run_tournament(small(players=("random", "solver")), out)
        assert list(tmp_path.iterdir()) == []
