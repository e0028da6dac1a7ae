"""Everybody against everybody, in a folder that a stopped tournament goes on from.

games.jsonl      a line after each game
tournament.json  what is played
result.json      ratings, cross table, faults
games.pgn        the games (.sgf, .csa or .txt for other games than chess)
report.html      the page
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro
from annotated_types import Interval, Len, MultipleOf

from tolman.envs.board.game import HostGame
from tolman.launchers.arena import ratings
from tolman.launchers.arena.host_games import make_host_game
from tolman.launchers.arena.match import GameRecord, play_game, record_from_dict
from tolman.launchers.arena.openings import make_openings
from tolman.launchers.arena.player import Player, close_player, start_player
from tolman.launchers.arena.records import suffix_of, write_records
from tolman.launchers.arena.specs import make_player
from tolman.launchers.arena.sprt import PairScores, Sprt
from tolman.launchers.report.whole import replace_text
from tolman.launchers.runs.folder import LOCK, ensure_folder, hold
from tolman.launchers.settings.bounds import check_settings
from tolman.launchers.settings.flags import parse_verb


@dataclass(frozen=True)
class TournamentConfig:
    """What is played.

    Attributes:
      game: its name, or module:attribute.
      players: two or more, such as random, mcts:100, runs/a@last?simulations=64 or
        "uci:stockfish?nodes=100".
      num_games: of each pair; even, as each opening is played with both colours.
      opening_moves: random moves at the start of each pair of games.
      seed: of openings and players.
      anchor: the player whose Elo is 0; None for "random" if it takes part, else the mean.
      sprt: two Elo differences, with two players only: stops as soon as it is plain whether
        the first is at least the second difference better, or no more than the first.
    """

    game: str
    players: Annotated[tuple[str, ...], Len(2)]
    num_games: Annotated[int, Interval(ge=2, le=1_000_000), MultipleOf(2)] = 20
    opening_moves: Annotated[int, Interval(ge=0, le=1000)] = 4
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    anchor: str | None = None
    sprt: tuple[float, float] | None = None

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if len(set(self.players)) < len(self.players):
            yield "players", "all different: tell equal engines apart by ?name=..."
        if self.sprt is not None and not self.sprt[0] < self.sprt[1]:
            yield "sprt", "two differences, the first below the second"
        if self.sprt is not None and len(self.players) != 2:
            yield "sprt", "left out where there are not two players"


@dataclass(frozen=True)
class TournamentFlags:
    """Lets players of a board game meet, and rates them.

    Attributes:
      config: what is played.
      out: the folder; a tournament that was stopped goes on in its own.
    """

    config: Annotated[TournamentConfig, tyro.conf.arg(name="")]
    out: Path = Path("tournament")


def parse_tournament(words: Sequence[str]) -> tuple[TournamentConfig, Path]:
    """Reads the words after `tolman tournament`: what is played, and the folder.

    Raises:
      ValueError: for a flag or value that does not fit, in one line.
    """
    given = parse_verb("tournament", TournamentFlags, words)
    if len(given.config.players) < 2:
        raise ValueError(
            f"PLAYERS: must be 2 or more, not {len(given.config.players)}: tolman "
            "tournament GAME PLAYER PLAYER ... (see `tolman list players`)."
        )
    return given.config, given.out


class Pairing(NamedTuple):
    """A game to be played: indices of player 0 and player 1, and of the opening."""

    first: int
    second: int
    opening: int


class Played(NamedTuple):
    """A game that was played."""

    pairing: Pairing
    record: GameRecord


def schedule(num_players: int, num_openings: int) -> Iterator[Pairing]:
    """All games: opening by opening, each pair with both colours."""
    for opening in range(num_openings):
        for first, second in itertools.combinations(range(num_players), 2):
            yield Pairing(first, second, opening)
            yield Pairing(second, first, opening)


def run_tournament(config: TournamentConfig, folder: Path) -> dict[str, Any]:
    """Plays what `folder` does not hold yet, and writes its result.

    Args:
      config: what is played.
      folder: is made if it does not exist.

    Returns:
      What result.json holds.

    Raises:
      ValueError: if the folder holds another tournament or one that is under way, a player,
        anchor or game is unknown, or a setting is not what it must be.
    """
    check_settings(config)
    sprt = None if config.sprt is None else Sprt(*config.sprt)
    game = make_host_game(config.game)
    with contextlib.ExitStack() as closing:
        players = []
        for spec in config.players:
            players.append(make_player(spec))
            closing.callback(close_player, players[-1])
        names = [player.name for player in players]
        if config.anchor is not None and config.anchor not in names:
            raise ValueError(
                f"anchor {config.anchor!r}: must be one of {', '.join(names)}. Set "
                "--anchor."
            )
        openings = make_openings(
            game, config.num_games // 2, config.opening_moves, config.seed
        )
        for player in players:
            start_player(player)
        is_new = ensure_folder(folder, "--out")
        with hold(folder, "playing this tournament"):
            _claim(folder, config)
            played = _load(folder / "games.jsonl")
            try:
                _play_missing(config, folder, game, players, openings, played, sprt)
            except ValueError:
                if not played:
                    _clear(folder, is_new)
                raise
            return _conclude(config, folder, game, names, played, sprt)


def ranking(result: dict[str, Any]) -> list[str]:
    """What `run_tournament` has found, in lines, the strongest player first."""
    rated = sorted(result["ratings"].items(), key=lambda item: -item[1]["elo"])
    lines = [
        f"{rating['elo']:7.0f}  [{rating['low']:.0f}, {rating['high']:.0f}]  "
        f"{rating['num_games']:4d} games  {100 * rating['score']:5.1f} %  {name}"
        for name, rating in rated
    ]
    if "sprt" in result:
        lines.append(f"sprt: {result['sprt']['verdict'] or 'undecided'}")
    return lines


def _play_missing(
    config: TournamentConfig,
    folder: Path,
    game: HostGame,
    players: Sequence[Player],
    openings: Sequence[tuple[str, ...]],
    played: list[Played],
    sprt: Sprt | None,
) -> None:
    """Appends to `played` and to games.jsonl."""
    done = {one.pairing for one in played}
    scores = pair_scores(played)
    with (folder / "games.jsonl").open("a") as file:
        for pairing in schedule(len(players), len(openings)):
            if pairing in done:
                continue
            if sprt is not None and sprt.verdict(scores) is not None:
                return
            record = play_game(
                game,
                (players[pairing.first], players[pairing.second]),
                openings[pairing.opening],
                seed=config.seed + pairing.opening,
            )
            played.append(Played(pairing, record))
            scores.add(pairing.opening, _score_of_first(played[-1]))
            file.write(_written(played[-1]))
            file.flush()
            print(_line(record), flush=True)


def pair_scores(played: Sequence[Played]) -> PairScores:
    """Of a tournament of two players: what the first of them has scored so far."""
    scores = PairScores()
    for one in played:
        scores.add(one.pairing.opening, _score_of_first(one))
    return scores


def _score_of_first(played: Played) -> float:
    score = played.record.score
    return score if played.pairing.first == 0 else 1.0 - score


def _line(record: GameRecord) -> str:
    result = {1.0: "1-0", 0.0: "1/2", -1.0: "0-1"}[record.outcome[0]]
    line = f"{record.players[0]} - {record.players[1]}  {result}  {len(record.moves)} moves"
    return line if record.ending == "rules" else f"{line}  {record.ending} {record.detail}"


def _clear(folder: Path, is_new: bool) -> None:
    """Removes the files of a tournament without a game, and the folder if it is new."""
    for name in ("games.jsonl", "tournament.json", LOCK):
        (folder / name).unlink(missing_ok=True)
    if is_new:
        with contextlib.suppress(OSError):  # Something else is in it.
            folder.rmdir()


def _claim(folder: Path, config: TournamentConfig) -> None:
    """Writes what is played, or checks that the folder is of the same tournament."""
    path, wanted = folder / "tournament.json", json.loads(json.dumps(asdict(config)))
    if not path.exists():
        replace_text(path, json.dumps(wanted, indent=2) + "\n")
        return
    try:
        held = dict(json.loads(path.read_text()))
    except (ValueError, TypeError):
        raise ValueError(
            f"{path}: is no JSON of a tournament; must say what is played. Remove it to go "
            "on with the games in the folder, or take another folder."
        ) from None
    for name, value in wanted.items():
        if name != "num_games" and held.get(name) != value:
            raise ValueError(
                f"folder {folder}: holds a tournament with {name}={held.get(name)}, not "
                f"{value}. Take another folder; only num_games may change."
            )
    replace_text(path, json.dumps(wanted, indent=2) + "\n")


def _load(path: Path) -> list[Played]:
    """The games so far, each once; lines that hold no game are taken out of the file."""
    if not path.exists():
        return []
    lines = path.read_text(errors="replace").splitlines()
    read = [played for played in map(_read, lines) if played is not None]
    played = list({one.pairing: one for one in reversed(read)}.values())[::-1]
    replace_text(path, "".join(map(_written, played)))
    return played


def _written(played: Played) -> str:
    pairing, record = played
    return json.dumps({**pairing._asdict(), **record.as_dict()}) + "\n"


def _read(line: str) -> Played | None:
    """The game of a line; None for one that a kill cut off."""
    try:
        values = json.loads(line)
        pairing = Pairing(*(values.pop(name) for name in Pairing._fields))
        return Played(pairing, record_from_dict(values))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _conclude(
    config: TournamentConfig,
    folder: Path,
    game: HostGame,
    names: Sequence[str],
    played: Sequence[Played],
    sprt: Sprt | None,
) -> dict[str, Any]:
    from tolman.launchers.arena.page import write_page

    results = [
        ratings.Result(p.first, p.second, record.score, p.opening) for p, record in played
    ]
    anchor = config.anchor or ("random" if "random" in names else None)
    rated = ratings.rate(names, results, anchor)
    table = ratings.cross_table(names, results)
    result: dict[str, Any] = {
        "game": config.game,
        "num_games": len(played),
        "anchor": anchor,
        "ratings": {name: asdict(rating) for name, rating in rated.items()},
        "cross_table": [[*pair, *counts] for pair, counts in table.items()],
        "endings": dict(Counter(record.ending for _, record in played)),
        "faults": _faults(played),
    }
    if sprt is not None:
        scores = pair_scores(played)
        first = ratings.rate(names, results, names[1])[names[0]]
        result["sprt"] = {
            "elo": first.elo,
            "low": first.low,
            "high": first.high,
            "elo_0": sprt.elo_0,
            "elo_1": sprt.elo_1,
            "bounds": sprt.bounds,
            "log_likelihood_ratio": sprt.log_likelihood_ratio(scores),
            "verdict": sprt.verdict(scores),
        }
    replace_text(folder / "result.json", json.dumps(result, indent=2) + "\n")
    records = [record for _, record in played]
    komi = getattr(getattr(game, "rules", None), "komi", 7.5)
    text = write_records(records, datetime.datetime.now(datetime.UTC).date(), komi)
    replace_text(folder / f"games.{suffix_of(game.info.name)}", text)
    write_page(result, folder / "report.html")
    return result


def _faults(played: Sequence[Played]) -> list[dict[str, str]]:
    """Who lost by other means than the rules, and how."""
    return [
        {
            "player": record.players[0 if record.outcome[0] < 0 else 1],
            "ending": record.ending,
            "detail": record.detail,
        }
        for _, record in played
        if record.ending in ("illegal move", "fault")
    ]
