"""An engine for the tests that plays the first legal move it finds, or misbehaves.

    python fake_engine.py PROTOCOL GAME [BEHAVIOUR [AFTER_MOVES]]

BEHAVIOUR: good, hang, crash, nonsense, illegal, resign, silent (never answers at all).
"""

import sys
import time

from tolman.envs.board.openspiel_games import openspiel_game


def main(protocol, name, behaviour="good", after="0"):
    if behaviour == "silent":
        time.sleep(600)
    game = openspiel_game(name)
    num_asked = 0

    def say(text):
        print(text, flush=True)

    def bad_move():
        """What is answered in place of a move, or None for a good one."""
        nonlocal num_asked
        num_asked += 1
        if num_asked <= int(after):
            return None
        if behaviour == "hang":
            time.sleep(600)
        if behaviour == "crash":
            sys.exit(3)
        return {"nonsense": "banana", "illegal": ILLEGAL[protocol], "resign": "resign"}.get(
            behaviour
        )

    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        if words[0] == "quit":
            break
        if protocol == "gtp":
            if words[0] == "clear_board":
                game = openspiel_game(name)
            if words[0] == "play":
                game.step(game.text_to_action(words[2]))
            answer = ""
            if words[0] == "genmove":
                answer = bad_move()
                if answer is None:
                    action = game.legal_actions()[0]
                    answer = game.action_to_text(action)
                    game.step(action)
            mark = "?" if behaviour == "nonsense" and answer == "banana" else "="
            say(f"{mark} {answer}\n")
            continue
        if words[0] == protocol:
            say(f"id name fake\n{protocol}ok")
        elif words[0] == "isready":
            say("readyok")
        elif words[0] == "position":
            game = openspiel_game(name)
            for text in words[3:]:
                game.step(game.text_to_action(text))
        elif words[0] == "go":
            move = bad_move() or game.action_to_text(game.legal_actions()[0])
            say(f"info depth 1\nbestmove {move}")


ILLEGAL = {"uci": "a1a8", "usi": "9i9a", "gtp": "z99"}

if __name__ == "__main__":
    main(*sys.argv[1:])
