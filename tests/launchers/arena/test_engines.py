"""Engines that hang, crash and cheat; real ones where they are installed."""

import io
import shutil
import sys
import time
from pathlib import Path

import pytest

from tolman.envs.board.openspiel_games import openspiel_game
from tolman.launchers.arena.match import play_game
from tolman.launchers.arena.player import PlayerFault, close_player
from tolman.launchers.arena.players.uniform import RandomPlayer
from tolman.launchers.arena.recorded import RecordedGame
from tolman.launchers.arena.serving import serve
from tolman.launchers.arena.specs import make_player

FAKE = Path(__file__).resolve().parents[2] / "fake_engine.py"
GAMES = {"uci": "chess", "usi": "shogi", "gtp": "go_9x9"}
SETTINGS = {"uci": {"max_num_moves": 12}, "usi": {"max_num_moves": 12}, "gtp": {}}


def start(protocol):
    settings = SETTINGS[protocol] if protocol != "gtp" else {"max_num_moves": 12}
    return openspiel_game(GAMES[protocol], **settings)


def fake(protocol, behaviour="good", after=0, timeout=60):
    command = f"{sys.executable} {FAKE} {protocol} {behaviour} {after}"
    return make_player(f"{protocol}:{command}?timeout={timeout}&name=fake")


@pytest.fixture
def closing():
    players = []
    yield players.append
    for player in players:
        close_player(player)


@pytest.mark.parametrize("protocol", GAMES)
def test_a_good_engine_plays_two_games(protocol, closing):
    player = fake(protocol)
    closing(player)
    for seed in range(2):
        players = (player, RandomPlayer()) if seed else (RandomPlayer(), player)
        record = play_game(start(protocol), players, seed=seed)
        assert record.ending == "rules" and len(record.moves) == 12, record.detail


@pytest.mark.parametrize("protocol", GAMES)
@pytest.mark.parametrize(
    ("behaviour", "ending", "detail"),
    [
        ("crash", "fault", "the process ended"),
        ("nonsense", "", ""),
        ("illegal", "illegal move", ""),
        ("resign", "resigned", ""),
    ],
)
def test_a_bad_engine_loses_and_comes_back(protocol, behaviour, ending, detail, closing):
    if protocol == "uci" and behaviour == "resign":
        pytest.skip("UCI has no word for it")
    player = fake(protocol, behaviour, after=1)
    closing(player)
    record = play_game(start(protocol), (player, RandomPlayer()))
    assert record.outcome == (-1.0, 1.0) and len(record.moves) == 2
    assert record.ending == ending or (not ending and record.ending != "rules")
    assert detail in record.detail and "\n" not in record.detail
    # The next game begins as if nothing had happened.
    player.reset(1)
    again = RecordedGame(start(protocol))
    if behaviour == "crash":
        assert player.choose(again) in again.legal_actions()


@pytest.mark.parametrize("protocol", GAMES)
def test_an_engine_that_hangs_is_killed_in_time(protocol, closing):
    slow = fake(protocol, "hang", after=1, timeout=20)
    closing(slow)
    game = RecordedGame(start(protocol))
    slow.choose(game)
    game.step(game.legal_actions()[0])
    game.step(game.legal_actions()[0])
    began = time.monotonic()
    with pytest.raises(PlayerFault, match="no answer in time"):
        slow.choose(game)
    assert 15 < time.monotonic() - began < 100


def test_programs_that_are_not_there_are_a_users_mistake():
    for protocol, name in GAMES.items():
        player = make_player(f"{protocol}:/nowhere/engine")
        with pytest.raises(ValueError, match="cannot be started"):
            player.choose(RecordedGame(openspiel_game(name)))
        with pytest.raises(ValueError, match="RecordedGame"):
            player.choose(openspiel_game(name))


class FirstPlayer:
    """Plays the first legal action."""

    name = "first"

    def reset(self, seed):
        pass

    def choose(self, game):
        return game.legal_actions()[0]


def served(protocol, commands, settings=None):
    answers = io.StringIO()
    game = openspiel_game(GAMES[protocol], **(settings or {}))
    serve(protocol, game, FirstPlayer, io.StringIO(commands), answers)
    return answers.getvalue()


def test_uci_served():
    said = served(
        "uci",
        "uci\nisready\nucinewgame\nposition startpos moves e2e4\ngo nodes 5\n"
        "position startpos moves f2f3 e7e5 g2g4 d8h4\ngo\n"
        "position startpos moves e2e5\nposition fen 8/8/8/8/8/8/8/8 w - - 0 1\n"
        "position startpos\ngo infinite\nisready\nstop\nquit\ngo\n",
    )
    lines = said.splitlines()
    assert lines[:4] == [
        "id name Tolman first",
        "id author the Tolman project",
        "uciok",
        "readyok",
    ]
    moves = [line for line in lines if line.startswith("bestmove")]
    game = openspiel_game("chess")
    first = game.action_to_text(game.legal_actions()[0])
    game.step(game.text_to_action("e2e4"))
    reply = game.action_to_text(game.legal_actions()[0])
    assert moves == [f"bestmove {reply}", "bestmove 0000", f"bestmove {first}"]
    # "go infinite" holds its move until "stop", and answers "isready" at once.
    assert lines[-2:] == ["readyok", f"bestmove {first}"]
    assert sum(line.startswith("info string") for line in lines) == 2


def test_usi_served():
    said = served(
        "usi", "usi\nisready\nusinewgame\nposition startpos moves 7g7f\ngo\nquit\n"
    )
    assert "usiok" in said and "readyok" in said
    game = openspiel_game("shogi")
    game.step(game.text_to_action("7g7f"))
    reply = game.action_to_text(game.legal_actions()[0])
    assert said.splitlines()[-1] == f"bestmove {reply}"


def test_gtp_served():
    said = served(
        "gtp",
        "1 protocol_version\nboardsize 9\nboardsize 19\nkomi 7.5\nkomi 6.5\nclear_board\n"
        "play b E5\nplay b E6\nplay w E5\ngenmove w\nundo\nplay w pass\nplay b pass\n"
        "7 final_score\nbogus\nknown_command genmove\nplay w\n# a remark\nquit\n",
    )
    answers = [part for part in said.split("\n\n") if part]
    assert answers == [
        "=1 2",
        "=",
        "? unacceptable size",
        "=",
        "? komi is 7.5",
        "=",
        "=",
        "? moves must alternate",
        "? illegal move",
        "= A9",
        "=",
        "=",
        "=",
        "=7 B+",
        "? unknown command",
        "= true",
        "? syntax error",
        "=",
    ]


def test_protocols_fit_their_games():
    with pytest.raises(ValueError, match="'xboard': must be one of"):
        serve("xboard", openspiel_game("chess"), FirstPlayer)
    with pytest.raises(ValueError, match="is for shogi, not chess"):
        serve("usi", openspiel_game("chess"), FirstPlayer)


SERVER = (
    "from tolman.envs.board.openspiel_games import openspiel_game;"
    "from tolman.launchers.arena.players.uniform import RandomPlayer;"
    "from tolman.launchers.arena.serving import serve;"
    "serve('{}', openspiel_game('{}'), RandomPlayer)"
)


@pytest.mark.parametrize("protocol", GAMES)
def test_what_is_served_can_be_played_against(protocol, closing):
    """Our clients, python-chess among them, drive our own servers."""
    code = SERVER.format(protocol, GAMES[protocol])
    player = make_player(f'{protocol}:{sys.executable} -c "{code}"?timeout=120&name=served')
    closing(player)
    record = play_game(start(protocol), (player, RandomPlayer()))
    assert record.ending == "rules" and len(record.moves) == 12, record.detail


REAL = {
    "uci:/usr/games/stockfish?nodes=50": "chess",
    "uci:/usr/games/stockfish?depth=1&option.Skill Level=0": "chess",
    "uci:/usr/games/gnuchess -u?depth=1": "chess",
    "gtp:/usr/games/gnugo --mode gtp --level 0": "go_9x9",
    "usi:/usr/games/fairy-stockfish?nodes=50": "shogi",
}


@pytest.mark.parametrize("spec", REAL)
def test_real_engines(spec, closing):
    program = spec.partition(":")[2].partition("?")[0].split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    player = make_player(spec)
    closing(player)
    name = REAL[spec]
    if name == "go_9x9":
        game = openspiel_game(name, max_num_moves=20)
    else:
        game = openspiel_game(name, max_num_moves=30)
    for players in ((player, RandomPlayer()), (RandomPlayer(), player)):
        record = play_game(game, players)
        assert record.ending in ("rules", "resigned"), record.detail
        assert len(record.moves) >= 2
