"""Speed of acting and of learning with each core, as ratios to an LSTM of equal size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from tolman.agents.actor_critic import ActorCritic
from tolman.launchers.measuring.core_tasks import REFERENCE, Player, Task
from tolman.launchers.measuring.parts import acting, network_pass
from tolman.launchers.measuring.turns import take_turns


def measure(players: Mapping[str, Player], task: Task) -> list[dict[str, Any]]:
    """Acting and learning of every player, in turns.

    `acting, steps/s` counts decisions of the batch's environments, without the
    environment; `learning, tokens/s` counts rows that go forward and backward through the
    network in unrolls.

    Args:
      players: by core, `lstm` among them.
      task: whose observations they take.
    """
    parts: dict[str, Callable[[int], None]] = {}
    for core, player in players.items():
        data = player.agent.data
        parts[f"acting {core}"] = acting(
            player.agent, task.environment, data.unroll_length, data.batch_size
        )
        parts[f"learning {core}"] = network_pass(player.agent, task.environment)
    seconds = take_turns(parts, least=3)

    def ratio(kind: str, core: str) -> float:
        return round(seconds[f"{kind} {REFERENCE}"] / seconds[f"{kind} {core}"], 3)

    rows = []
    for core, player in players.items():
        data = player.agent.data
        steps = data.unroll_length * data.batch_size
        tokens = (data.unroll_length + 1) * data.batch_size
        rows.append(
            {
                "core": core,
                "parameters": player.num_parameters,
                "state bytes": _state_bytes(player.agent),
                "acting, steps/s": round(steps / seconds[f"acting {core}"]),
                "acting ratio": ratio("acting", core),
                "learning, tokens/s": round(tokens / seconds[f"learning {core}"]),
                "learning ratio": ratio("learning", core),
            }
        )
    return rows


def _state_bytes(agent: ActorCritic) -> int:
    state = jax.eval_shape(lambda: agent.initial_actor_state(1).core)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
