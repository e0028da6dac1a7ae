"""An engine for the tests that plays the first legal move it finds, or misbehaves.

    python fake_engine.py PROTOCOL [BEHAVIOUR [AFTER_MOVES]]

BEHAVIOUR: good, hang, crash, nonsense, illegal, resign. It starts fast, as it imports
nothing of ours.
"""

import sys
import time

import pyspiel

GAMES = {"uci": "chess", "usi": "shogi", "gtp": "go"}
ILLEGAL = {"uci": "a1a8", "usi": "9i9a", "gtp": "z99"}
COLUMNS = "abcdefghjklmnopqrst"


def say(text):
    print(text, flush=True)


class Engine:
    def __init__(self, protocol, behaviour="good", after="0"):
        self.protocol, self.behaviour, self.num_good = protocol, behaviour, int(after)
        settings = {"board_size": 9} if protocol == "gtp" else {}
        self.game = pyspiel.load_game(GAMES[protocol], settings)
        self.state = self.game.new_initial_state()

    def text(self, action):
        if self.protocol == "uci":
            return pyspiel.chess.action_to_move(action, self.state.board()).to_lan()
        return self.state.action_to_string(action).split(" ")[-1].replace("PASS", "pass")

    def play(self, text):
        for action in self.state.legal_actions():
            if self.text(action).lower() == text.lower():
                self.state.apply_action(action)
                return
        raise ValueError(text)

    def move(self):
        """The first legal move; or what the behaviour says, after so many good ones."""
        self.num_good -= 1
        if self.num_good < 0:
            if self.behaviour == "hang":
                time.sleep(600)
            if self.behaviour == "crash":
                sys.exit(3)
            bad = {"nonsense": "banana", "illegal": ILLEGAL[self.protocol]}
            if self.behaviour in (*bad, "resign"):
                return bad.get(self.behaviour, "resign")
        return self.text(self.state.legal_actions()[0])

    def answer_gtp(self, words):
        answer = ""
        if words[0] == "clear_board":
            self.state = self.game.new_initial_state()
        elif words[0] == "play":
            self.play(words[2])
        elif words[0] == "genmove":
            answer = self.move()
            if answer == "banana":
                say("banana\n")
                return
            if answer not in ("resign", ILLEGAL["gtp"]):
                self.play(answer)
        say(f"= {answer}\n")

    def answer(self, words):
        if words[0] == self.protocol:
            say(f"id name fake\n{self.protocol}ok")
        elif words[0] == "isready":
            say("readyok")
        elif words[0] == "position":
            self.state = self.game.new_initial_state()
            for text in words[3:]:
                self.play(text)
        elif words[0] == "go":
            say(f"info depth 1\nbestmove {self.move()}")


if __name__ == "__main__":
    engine = Engine(*sys.argv[1:])
    for line in sys.stdin:
        if line.split():
            if line.split()[0] == "quit":
                break
            answer = engine.answer_gtp if engine.protocol == "gtp" else engine.answer
            answer(line.split())
