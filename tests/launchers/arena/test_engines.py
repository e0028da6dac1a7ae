"""Engines that hang, crash and cheat; real ones where they are installed."""

import os
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tolman.envs.board.openspiel_games import openspiel_game
from tolman.launchers.arena.engines.line_process import MAX_LINES, LineProcess
from tolman.launchers.arena.match import play_game
from tolman.launchers.arena.player import PlayerFault, close_player, start_player
from tolman.launchers.arena.players.uniform import RandomPlayer
from tolman.launchers.arena.recorded import RecordedGame
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
    slow = fake(protocol, "hang", after=1)
    closing(slow)
    game = RecordedGame(start(protocol))
    slow.choose(game)
    game.step(game.legal_actions()[0])
    game.step(game.legal_actions()[0])
    # Its start may take long where the machine is busy, and is over.
    limits = replace(slow._settings.limits, timeout_seconds=2.0)
    slow._settings = replace(slow._settings, limits=limits)
    began = time.monotonic()
    with pytest.raises(PlayerFault, match="no answer in time"):
        slow.choose(game)
    assert 1.5 < time.monotonic() - began < 60


def test_a_program_that_writes_without_end_is_no_answer_either():
    num_threads = threading.active_count()
    process = LineProcess(f"{sys.executable} -c 'while True: print(1)'")
    assert process.receive(time.monotonic() + 60.0) == "1"
    with pytest.raises(PlayerFault, match="no answer in time"):
        process.receive(time.monotonic())
    # It waits for its reader, so that what it writes fills no memory; both then end.
    deadline = time.monotonic() + 60.0
    while process._lines.qsize() < MAX_LINES and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    assert process._lines.qsize() == MAX_LINES
    process.kill()
    while threading.active_count() > num_threads and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() == num_threads


def test_an_engine_that_does_not_start_is_ended(tmp_path):
    alive = tmp_path / "alive"
    player = make_player(f"usi:sh -c 'echo $$ > {alive}; exec sleep 60'?timeout=2")
    began = time.monotonic()
    with pytest.raises(ValueError, match="does not start: no answer in time"):
        start_player(player)
    assert time.monotonic() - began < 30.0  # It is ended, not waited for.
    with pytest.raises(ProcessLookupError):
        os.kill(int(alive.read_text()), 0)


def test_programs_that_are_not_there_are_a_users_mistake():
    for protocol, name in GAMES.items():
        player = make_player(f"{protocol}:/nowhere/engine")
        with pytest.raises(ValueError, match="cannot be started"):
            player.choose(RecordedGame(openspiel_game(name)))
        with pytest.raises(ValueError, match="RecordedGame"):
            player.choose(openspiel_game(name))


SERVER = (
    "from tolman.envs.board.openspiel_games import openspiel_game;"
    "from tolman.launchers.arena.players.uniform import RandomPlayer;"
    "from tolman.launchers.arena.serving import serve;"
    "serve('{}', openspiel_game('{}'), RandomPlayer, 'random')"
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


@pytest.mark.parametrize("protocol", ["uci", "usi", "gtp"])
def test_a_command_with_an_open_quote_is_told_in_one_line(protocol):
    with pytest.raises(ValueError, match="No closing quotation") as error:
        make_player(f'{protocol}:"unterminated')
    assert "\n" not in str(error.value)
