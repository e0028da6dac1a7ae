"""Questions about a memory of given facts: what MEMO and its baselines are trained on."""

from tolman.envs.reasoning.shortest_path import ShortestPath as ShortestPath
