"""`tolman play GAME --protocol`: trained agents behind the protocols, driven by clients."""

import shutil
import subprocess
import sys
import time

import pytest

from tolman.envs.board.openspiel_games import openspiel_game
from tolman.launchers.arena.engine import newest_run
from tolman.launchers.arena.match import play_game
from tolman.launchers.arena.player import Budget, close_player
from tolman.launchers.arena.players.uniform import RandomPlayer
from tolman.launchers.arena.recorded import RecordedGame
from tolman.launchers.arena.specs import make_player
from tolman.launchers.arena.tournament import TournamentConfig, run_tournament
from tolman.launchers.cli import main

GAMES = {"uci": "chess", "usi": "shogi", "gtp": "go_9x9"}
CODE = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
TINY = (
    "--agent.num-filters 8 --agent.num-blocks 1 --agent.num-simulations 2 "
    "--agent.num-parallel-games 1 --agent.moves-per-iteration 1 --agent.batch-size 8 "
    "--agent.value-units 8 --num-env-steps 1"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run of each game in `runs/`, whose networks have learned nothing."""
    folder = tmp_path_factory.mktemp("home")
    for name in GAMES.values():
        words = f"train alphazero --env openspiel/{name} --run-dir {folder}/runs/{name}"
        assert main([*words.split(), *TINY.split()]) == 0
    return folder


def command(protocol, *words):
    return [
        sys.executable,
        "-c",
        CODE,
        "play",
        GAMES[protocol],
        "--protocol",
        protocol,
        *words,
    ]


def spec(protocol, home, *words, query=""):
    """Our client's player, which starts the agent of that run."""
    run = f"{home}/runs/{GAMES[protocol]}@last"
    program = " ".join(command(protocol, "--player", run, *words))
    program = program.replace(CODE, f'"{CODE}"')
    return f"{protocol}:{program}?name=agent&timeout=120{query}"


@pytest.mark.parametrize(
    "num_plies", [40, pytest.param(512, marks=pytest.mark.slow, id="whole games")]
)
def test_python_chess_drives_it(home, num_plies):
    chess, engines = pytest.importorskip("chess"), pytest.importorskip("chess.engine")
    rng = RandomPlayer()
    with engines.SimpleEngine.popen_uci(command("uci"), cwd=home, timeout=120) as engine:
        assert engine.id["name"] == "Tolman runs/chess@last"
        engine.configure({"Simulations": 3})
        for colour in (chess.WHITE, chess.BLACK):
            board, game = chess.Board(), openspiel_game("chess")
            rng.reset(int(colour))
            while not game.is_over() and board.ply() < num_plies:
                if board.turn == colour:
                    limit = engines.Limit(nodes=4) if board.ply() % 4 < 2 else None
                    limit = limit or engines.Limit(time=0.02)
                    result = engine.play(board, limit, info=engines.INFO_ALL)
                    move = result.move
                    assert move in board.legal_moves
                    if limit.nodes:
                        assert result.info["nodes"] == 4
                else:
                    move = chess.Move.from_uci(game.action_to_text(rng.choose(game)))
                board.push(move)
                game.step(game.text_to_action(move.uci()))
            assert game.is_over() or board.ply() == num_plies
        # Stopped while it thinks, it moves at once.
        with engine.analysis(chess.Board()) as analysis:
            engine.ping()
            began = time.monotonic()
            analysis.stop()
            assert analysis.wait().move in chess.Board().legal_moves
            assert time.monotonic() - began < 60


@pytest.mark.parametrize("protocol", ["usi", "gtp"])
def test_our_clients_drive_it_in_a_tournament(protocol, home, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tolman.launchers.arena.tournament.make_host_game",
        lambda name: openspiel_game(name, max_num_moves=40),
    )
    query = "&seconds=0.02" if protocol == "gtp" else "&nodes=3"
    players = ("random", spec(protocol, home, query=query))
    config = TournamentConfig(GAMES[protocol], players, num_games=2, opening_moves=2)
    result = run_tournament(config, tmp_path)
    assert result["num_games"] == 2 and result["endings"] == {"rules": 2}
    assert result["faults"] == [] and (tmp_path / "report.html").is_file()


def test_it_plays_what_the_agent_itself_would(home):
    """By USI, drops and promotions among the moves: over a game both ways are one."""
    run = f"{home}/runs/shogi@last?simulations=3"
    own = make_player(run)
    served = make_player(spec("usi", home, query="&nodes=3"))
    try:
        game, rng = RecordedGame(openspiel_game("shogi")), RandomPlayer()
        while not game.is_over() and len(game.texts) < 90:
            action = rng.choose(game)
            if len(game.texts) % 6 == 0:
                action = served.choose(game)
                assert action == own.choose(game)
            game.step(action)
        kinds = "".join(game.texts)
        assert "*" in kinds and "+" in kinds
    finally:
        close_player(served)


def test_an_agent_keeps_to_its_budget(home):
    player = make_player(f"{home}/runs/go_9x9@last")
    game = RecordedGame(openspiel_game("go_9x9"))
    assert player.think(game, Budget()).nodes == 2  # As the run says.
    assert player.think(game, Budget(nodes=9)).nodes == 9
    assert player.think(game, Budget(nodes=9, seconds=0.0)).nodes == 1
    began = time.monotonic()
    thought = player.think(game, Budget(seconds=0.3))
    assert 0.3 <= time.monotonic() - began < 60 and thought.nodes > 2
    asked = []
    thought = player.think(
        game, Budget(50, is_stopped=lambda: asked.append(1) or len(asked) > 6)
    )
    assert thought.nodes == 7 and -1 <= thought.value <= 1
    assert thought.action in game.legal_actions()


def test_nothing_but_the_protocol_is_on_standard_output():
    code = (
        "import tolman.launchers.arena.engine as e, os\n"
        "class Noisy:\n"
        "    name = 'noisy'\n"
        "    def reset(self, seed): print('noise')\n"
        "    def choose(self, game):\n"
        "        os.write(1, b'noise'); os.system('echo noise')\n"
        "        return game.legal_actions()[0]\n"
        "e.make_player = lambda *rest: Noisy()\n"
        "e.serve_engine('tic_tac_toe', 'gtp', 'noisy')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"name\ngenmove b\n\xff\xfe\nquit\n",
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    game = openspiel_game("tic_tac_toe")
    move = game.action_to_text(game.legal_actions()[0])
    assert done.stdout.decode() == (
        f"= Tolman noisy\n\n= {move}\n\n? unknown command\n\n=\n\n"
    )
    assert done.stderr.count(b"noise") == 3


def test_mistakes_are_told_in_one_line(home, tolman, monkeypatch):
    cases = {
        "chess --protocol usi --player random": "is for shogi, not chess: use uci or gtp.",
        "go_9x9 --protocol uci --player random": "is for chess, not go_9x9: use gtp.",
        "chess --protocol xboard": "must be one of uci, usi, gtp. Set --protocol.",
        "chess --protocol uci --player runs/lost@last": "runs/lost",
        "chess --protocol uci --player nobody": "player 'nobody' is unknown",
        "chess --protocol uci": "there is no run of chess with a checkpoint in runs/",
        "ches --protocol uci --player random": "ches",
        "chess --protocol uci --player random --fps 3": "Leave --fps out",
        "chess --player random": "Leave --player out, or set --protocol.",
    }
    for words, reason in cases.items():
        monkeypatch.setattr(sys, "stdin", iter(["isready\n"]))
        code, output, errors = tolman("play", *words.split())
        assert code == 2 and len(errors) == 1 and not output, (words, errors)
        assert reason in errors[0]
    # A run of another game than the one asked for.
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "stdin", iter(["uci\n", "isready\n"]))
    code, _, errors = tolman(*"play chess --protocol uci --player runs/shogi@last".split())
    assert code == 2 and "was trained on shogi, not chess" in errors[-1]


def test_the_newest_run_of_the_game_plays(home, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    assert newest_run("shogi") == newest_run("openspiel/shogi") == "runs/shogi@last"
    shutil.copytree(home / "runs" / "shogi", tmp_path / "runs" / "a")
    shutil.copytree(home / "runs" / "shogi", tmp_path / "runs" / "b")
    shutil.copytree(home / "runs" / "chess", tmp_path / "runs" / "c")
    newer = next((tmp_path / "runs" / "a" / "checkpoints").glob("[0-9]*"))
    newer.touch()
    monkeypatch.chdir(tmp_path)
    assert newest_run("shogi") == "runs/a@last"


def test_a_whole_game_by_gtp_against_random(home):
    player = make_player(spec("gtp", home))
    try:
        record = play_game(openspiel_game("go_9x9"), (player, RandomPlayer()), seed=2)
        assert record.ending == "rules" and len(record.moves) > 20, record.detail
    finally:
        close_player(player)
