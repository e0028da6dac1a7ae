"""Every core's speed of acting and of learning, as ratios to an LSTM of equal size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tolman.launchers.benches.turns import take_turns

if TYPE_CHECKING:
    from tolman.agents.actor_critic import ActorCritic
    from tolman.envs.environment import Environment
    from tolman.launchers.benches.core_tasks import Player, Task

LENGTH = 30  # Of the T-maze, and so of unrolls, windows and stores: 32, 30, 30.
REFERENCE = "lstm"
# In steps since the task opened, as multiples of gtrxl's window.
POSITIONS = (0.0, 0.5, 1.0, 4.0)
NUM_STEPS = 8  # Taken from each position, over and over.


def run() -> list[dict[str, Any]]:
    """One row a core, then one row for each position in the episode at which gtrxl steps.

    All networks have about the parameters of that with `lstm`, as in the study
    `cores/recall`, whose agents on the T-maze these are.
    """
    from tolman.launchers.benches.core_tasks import make_player, t_maze
    from tolman.launchers.catalog.names import CORE, registered

    task = t_maze(LENGTH, num_env_steps=0)
    players = {core: make_player(task, core) for core in sorted(registered(CORE))}
    return [*measure(players, task), *measure_positions(players["gtrxl"], task)]


def measure(players: Mapping[str, Player], task: Task) -> list[dict[str, Any]]:
    """Acting and learning of every player, in turns.

    `acting, steps/s` counts decisions of the batch's environments, without the
    environment; `learning, tokens/s` counts rows that go forward and backward through the
    network in unrolls.

    Args:
      players: by core, `lstm` among them.
      task: whose observations they take.
    """
    from tolman.launchers.benches.on_device import acting, network_pass

    parts: dict[str, Callable[[int], None]] = {}
    for core, player in players.items():
        parts[f"acting {core}"] = acting(player.agent, task.environment)
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


def measure_positions(player: Player, task: Task) -> list[dict[str, Any]]:
    """What a step costs at several positions in an episode.

    Args:
      player: with a core that has a `memory_length`.
      task: whose observations it takes.
    """
    window = player.config.memory_length
    positions = [round(share * window) for share in POSITIONS]
    parts = {
        str(position): stepping_from(
            player.agent,
            task.environment,
            memory_after(player.agent, task.environment, position),
        )
        for position in positions
    }
    seconds = take_turns(parts, least=20)
    return [
        {
            "core": "gtrxl",
            "window": window,
            "position": position,
            "microseconds a step": round(1e6 * seconds[str(position)] / NUM_STEPS, 1),
            "ratio to the first": round(seconds[str(position)] / seconds["0"], 3),
        }
        for position in positions
    ]


def memory_after(agent: ActorCritic, environment: Environment, num_steps: int) -> Any:
    """The actors' state after so many steps of one task."""
    import jax
    from jax import lax

    params, timestep, noise = _inputs(agent, environment)

    @jax.jit
    def walk(actor_state: Any, num_steps: Any) -> Any:
        def step(_: Any, actor_state: Any) -> Any:
            return agent.act(params, noise, timestep, actor_state)[1]

        return lax.fori_loop(0, num_steps, step, actor_state)

    return walk(agent.initial_actor_state(agent.data.batch_size), num_steps)


def stepping_from(
    agent: ActorCritic, environment: Environment, actor_state: Any
) -> Callable[[int], None]:
    """Takes `NUM_STEPS` steps from the same memory, over and over."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    params, timestep, noise = _inputs(agent, environment)

    @jax.jit
    def repeat(actor_state: Any, count: Any) -> Any:
        def step(_: Any, carry: Any) -> Any:
            total, actor_state = carry
            # Too small to change a thing, but nothing is computed once for all repetitions.
            seen = timestep._replace(observation=timestep.observation + 1e-30 * total)
            decision, actor_state = agent.act(params, noise, seen, actor_state)
            return total + decision.logits.sum(), actor_state

        def body(_: Any, total: Any) -> Any:
            total, last = lax.fori_loop(0, NUM_STEPS, step, (total, actor_state))
            # What the last step stored is read too, so that all of it is computed.
            return total + sum(leaf.sum() for leaf in jax.tree.leaves(last.core))

        return lax.fori_loop(0, count, body, jnp.float32(0.0))

    return lambda count: jax.block_until_ready(repeat(actor_state, count))


def _inputs(agent: ActorCritic, environment: Environment) -> tuple[Any, Any, Any]:
    """Parameters, time steps that open no task, and the noise of one decision."""
    import jax
    import jax.numpy as jnp

    from tolman.agents.agent import draw_noise
    from tolman.envs import vector

    batch_size = agent.data.batch_size
    keys = jax.random.split(jax.random.PRNGKey(2), batch_size)
    _, opening = vector.reset(environment, keys)
    timestep = opening._replace(new_task=jnp.zeros(batch_size, bool))
    params = agent.init(jax.random.PRNGKey(0)).params
    return params, timestep, draw_noise(agent, jax.random.PRNGKey(3), batch_size)


def _state_bytes(agent: ActorCritic) -> int:
    import jax

    state = jax.eval_shape(lambda: agent.initial_actor_state(1).core)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
