"""Finished games in the formats that other programs read: PGN, SGF, CSA, plain text."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from tolman.envs.board.openspiel_game import OpenSpielGame
from tolman.envs.board.openspiel_games import openspiel_game
from tolman.launchers.arena.match import GameRecord

# Letters of CSA for the pieces of `openspiel_shogi.LETTERS`, in that order.
_CSA = ("FU", "KY", "KE", "GI", "KA", "HI", "KI", "OU", "TO", "NY", "NK", "NG", "UM", "RY")
CSA_PIECES = dict(zip("PLNSBRGKACDEHT", _CSA, strict=True))
GTP_COLUMNS = "ABCDEFGHJKLMNOPQRST"
SGF_LETTERS = "abcdefghijklmnopqrs"
NUM_REPEATS = 3  # With the fourth time a position ends a game of shogi.
SUFFIXES = {"chess": "pgn", "shogi": "csa"}


def suffix_of(game: str) -> str:
    """The ending of a file of records of that game."""
    return "sgf" if game.startswith("go_") else SUFFIXES.get(game, "txt")


def write_records(
    records: Sequence[GameRecord], date: datetime.date, komi: float = 7.5
) -> str:
    """All records of one game as the text of one file."""
    suffix = suffix_of(records[0].game) if records else "txt"
    if suffix == "sgf":
        return "\n".join(to_sgf(record, date, komi) for record in records) + "\n"
    if suffix == "csa":
        return "/\n".join(to_csa(record, date) for record in records)
    write = to_pgn if suffix == "pgn" else to_text
    return "\n".join(write(record, date) for record in records)


def to_pgn(record: GameRecord, date: datetime.date) -> str:
    """A game of chess in Portable Game Notation."""
    result = {1.0: "1-0", 0.0: "1/2-1/2", -1.0: "0-1"}[record.outcome[0]]
    termination = {"rules": "normal", "resigned": "normal", "fault": "abandoned"}
    tags = {
        "Event": "Tolman tournament",
        "Site": "?",
        "Date": f"{date:%Y.%m.%d}",
        "Round": "?",
        "White": record.players[0],
        "Black": record.players[1],
        "Result": result,
        "PlyCount": len(record.moves),
        "Termination": termination.get(record.ending, "rules infraction"),
    }
    lines = [f'[{name} "{_quoted(str(value))}"]' for name, value in tags.items()]
    words = []
    for number, move in enumerate(_to_san(record.moves)):
        if number % 2 == 0:
            words.append(f"{number // 2 + 1}.")
        words.append(move)
    if record.ending != "rules":
        words.append("{" + _ending_text(record) + "}")
    return "\n".join([*lines, "", *_wrapped([*words, result]), ""])


def _to_san(moves: Sequence[str]) -> list[str]:
    game, texts = openspiel_game("chess"), []
    for move in moves:
        action = game.text_to_action(move)
        number = game.rules.to_openspiel(game.state, action)
        texts.append(game.state.action_to_string(number))
        game.step(action)
    return texts


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _wrapped(words: Sequence[str]) -> list[str]:
    """Lines of at most 80 letters."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > 80:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _ending_text(record: GameRecord) -> str:
    loser = record.players[0 if record.outcome[0] < 0 else 1]
    detail = f": {record.detail}" if record.detail else ""
    return f"{loser} lost, {record.ending}{detail}".replace("}", ")")


def to_sgf(record: GameRecord, date: datetime.date, komi: float = 7.5) -> str:
    """A game of Go in the Smart Game Format, version 4."""
    size = int(record.game.rpartition("x")[2])
    result = "0" if record.outcome[0] == 0 else "B+" if record.outcome[0] > 0 else "W+"
    result += {"resigned": "R", "illegal move": "F", "fault": "F"}.get(record.ending, "")
    nodes = [
        f"GM[1]FF[4]CA[UTF-8]SZ[{size}]KM[{komi:g}]RU[Tromp-Taylor]DT[{date:%Y-%m-%d}]"
        f"PB[{_escaped(record.players[0])}]PW[{_escaped(record.players[1])}]RE[{result}]"
    ]
    if record.ending != "rules":
        nodes[0] += f"GC[{_escaped(_ending_text(record))}]"
    for number, move in enumerate(record.moves):
        place = ""
        if move != "pass":
            column = SGF_LETTERS[GTP_COLUMNS.index(move[0])]
            place = column + SGF_LETTERS[size - int(move[1:])]
        nodes.append(f"{'BW'[number % 2]}[{place}]")
    return "(;" + "\n;".join(nodes) + ")"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("]", "\\]")


def to_csa(record: GameRecord, date: datetime.date) -> str:
    """A game of shogi in the format of the Computer Shogi Association, version 2.2."""
    lines = [
        "V2.2",
        f"N+{record.players[0]}",
        f"N-{record.players[1]}",
        "$EVENT:Tolman tournament",
        f"$START_TIME:{date:%Y/%m/%d}",
        "PI",
        "+",
    ]
    # Nothing but mate and repetition ends this copy before its last move.
    num_moves = len(record.moves)
    game = openspiel_game("shogi", max_num_moves=num_moves + 1, with_declaration=False)
    for number, move in enumerate(record.moves):
        game.step(game.text_to_action(move))
        origin = "00" if move[1] == "*" else _csa_square(move[:2])
        target = _csa_square(move[2:4])
        # What stands there now: CSA names the piece after the move.
        row, column = int(target[1]) - 1, 9 - int(target[0])
        letter = game.render().splitlines()[row].split(" ")[1 + column].upper()
        lines.append(f"{'+-'[number % 2]}{origin}{target}{CSA_PIECES[letter]}")
    lines.append(_csa_ending(record, game))
    if record.ending != "rules":
        lines.insert(-1, f"'{_ending_text(record)}")
    return "\n".join(lines) + "\n"


def _csa_square(text: str) -> str:
    return text[0] + str("abcdefghi".index(text[1]) + 1)


def _csa_ending(record: GameRecord, game: OpenSpielGame) -> str:
    """The last line of a record; `game` is at its last position.

    Source: CSA standard of game records, version 2.2 of 2008, section 2.5. A sign names the
      side that broke the rules where it is not the one to move.
    """
    if record.ending == "illegal move":
        return "%ILLEGAL_MOVE"
    if record.ending == "fault":
        return "%TIME_UP" if "in time" in record.detail else "%CHUDAN"
    if record.ending == "resigned":
        return "%TORYO"
    is_repeated = game.trail.steps[0].num_repeats >= NUM_REPEATS
    if record.outcome[0] == 0:
        return "%SENNICHITE" if is_repeated else "%MAX_MOVES"
    loser = 0 if record.outcome[0] < 0 else 1
    if is_repeated:  # Perpetual check; the side to move may have given it, too.
        is_mover = loser == game.to_play()
        return "%ILLEGAL_MOVE" if is_mover else f"%{'+-'[loser]}ILLEGAL_ACTION"
    return "%TSUMI" if game.is_over() else "%KACHI"


def to_text(record: GameRecord, date: datetime.date) -> str:
    """Any game: a line of what it was, and its moves."""
    outcome = {1.0: "1-0", 0.0: "draw", -1.0: "0-1"}[record.outcome[0]]
    head = f"{record.game}  {record.players[0]} - {record.players[1]}  {outcome}  {date}"
    if record.ending != "rules":
        head += f"  ({_ending_text(record)})"
    return "\n".join([head, *_wrapped(record.moves), ""])
