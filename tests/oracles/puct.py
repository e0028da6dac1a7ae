"""PUCT written down slowly: one tree, dictionaries, double precision."""

import math

import numpy as np


class SlowPuct:
    """Searches one game; `evaluate(state)` returns logits `[A]` and a value.

    Attributes:
      noise: action to its Dirichlet noise at the root; empty for none.
    """

    def __init__(
        self,
        game,
        evaluate,
        init=1.25,
        base=19652.0,
        untried="draw",
        noise=None,
        share=0.25,
    ):
        self.game, self.evaluate = game, evaluate
        self.init, self.base, self.untried = init, base, untried
        self.noise, self.share = noise or {}, share

    def search(self, state, num_simulations):
        """Returns visits by action, Q by action and the root's value."""
        root = self._node(state)
        for action, noise in self.noise.items():
            root["prior"][action] *= 1 - self.share
            root["prior"][action] += self.share * noise
        root["values"].append(self._expand_value(root))
        for _ in range(num_simulations):
            self._simulate(root)
        visits = {action: len(values) for action, values in root["backed_up"].items()}
        q = {a: np.mean(v) for a, v in root["backed_up"].items() if v}
        return visits, q, np.mean(root["values"])

    def _node(self, state):
        logits, value = self.evaluate(state)
        legal = np.flatnonzero(self.game.legal(state))
        odds = {int(a): math.exp(float(logits[a])) for a in legal}
        total = sum(odds.values())
        return {
            "state": state,
            "player": int(self.game.to_play(state)),
            "is_over": bool(self.game.is_over(state)),
            "value": float(value),
            "prior": {a: p / total for a, p in odds.items()},
            "backed_up": {a: [] for a in odds},  # Values to this node's player.
            "children": {},
            "values": [],  # To this node's player, its own evaluation first.
        }

    def _expand_value(self, node):
        if node["is_over"]:
            return float(self.game.outcome(node["state"])[node["player"]])
        return node["value"]

    def _simulate(self, node):
        """Returns the value that comes up and the player whose it is."""
        if not node["values"] or node["is_over"]:
            value = self._expand_value(node)
            node["values"].append(value)
            return value, node["player"]
        action = max(node["prior"], key=lambda a: (self._score(node, a), -a))
        if action not in node["children"]:
            node["children"][action] = self._node(self.game.step(node["state"], action))
        value, player = self._simulate(node["children"][action])
        value = value if player == node["player"] else -value
        node["backed_up"][action].append(value)
        node["values"].append(value)
        return value, node["player"]

    def _score(self, node, action):
        total = len(node["values"])
        values = node["backed_up"][action]
        start = {"draw": 0.0, "loss": -1.0, "parent": np.mean(node["values"])}[self.untried]
        q = np.mean(values) if values else start
        rate = self.init + math.log((1 + total + self.base) / self.base)
        return q + rate * node["prior"][action] * math.sqrt(total) / (1 + len(values))
