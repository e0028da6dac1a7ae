"""Self-play beside bare mctx on bare pgx: same network, simulations and batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tolman.launchers.measuring.turns import take_turns

if TYPE_CHECKING:
    from tolman.agents.alphazero import AlphaZero


@dataclass(frozen=True)
class Case:
    """One workload; the tower has `num_filters` x `num_blocks`."""

    game: str
    batch_size: int
    num_simulations: int
    num_filters: int = 32
    num_blocks: int = 3
    search: str = "gumbel"


CASES = (
    Case("tic_tac_toe", 128, 32),
    Case("connect_four", 128, 32),
    Case("connect_four", 128, 32, search="puct"),
    Case("chess", 8, 32, 64, 4),
    Case("chess", 8, 200, 64, 4),
)
HOST_CASES = (
    Case("chess", 32, 32, 64, 4, search="puct"),
    Case("shogi", 32, 32, 64, 4, search="puct"),
)


def run() -> list[dict[str, Any]]:
    """One row a workload; times are medians over rounds in which the parts take turns.

    `ratio` is our positions a second over those of the bare loop: mctx's own policy with
    every action a slot, pgx's whole state in each node, a game that ends replaced by a new
    one, without openings. `network` and `rules` are the shares of our time that evaluating
    and stepping as often alone would take; the largest of the two and what is left, the
    tree, is the bound.
    """
    return [measure_case(case) for case in CASES] + [
        _bench_host(case) for case in HOST_CASES
    ]


def measure_case(case: Case) -> dict[str, Any]:
    """Ours, the bare loop, and as many evaluations and steps alone, in turns."""
    import jax

    from tolman.agents.alphazero import tree_bytes

    agent = _agent(case)
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    bare, bare_node = _bare(case, agent, params)
    parts = {
        "ours": _ours(case, agent, params),
        "bare": bare,
        "network": _network(case, agent, params),
        "rules": _rules(case, agent),
    }
    seconds = take_turns(parts, least=1)
    nodes = case.batch_size * (case.num_simulations + 1)
    our_node = tree_bytes(agent.game, agent.config, case.batch_size) // nodes  # type: ignore[arg-type]
    shares = {name: seconds[name] / seconds["ours"] for name in ("network", "rules")}
    shares["tree"] = max(1.0 - sum(shares.values()), 0.0)
    return {
        "game": case.game,
        "search": case.search,
        "batch": case.batch_size,
        "simulations": case.num_simulations,
        "tower": f"{case.num_filters}x{case.num_blocks}",
        "positions/s": round(case.batch_size / seconds["ours"], 1),
        "bare positions/s": round(case.batch_size / seconds["bare"], 1),
        "ratio": round(seconds["bare"] / seconds["ours"], 2),
        **{f"{name} share": round(share, 2) for name, share in shares.items()},
        "bound": max(shares, key=lambda name: shares[name]),
        "bytes a node": our_node,
        "bare bytes a node": bare_node,
    }


def _agent(case: Case) -> AlphaZero:
    from dataclasses import replace

    from tolman.agents.alphazero import AlphaZero, GumbelAlphaZeroConfig
    from tolman.launchers.catalog.games import make_game

    config = replace(
        GumbelAlphaZeroConfig(), search=case.search, num_filters=case.num_filters,  # type: ignore[arg-type]
        num_blocks=case.num_blocks, num_simulations=case.num_simulations,
        num_parallel_games=case.batch_size, num_random_moves=0,
    )  # fmt: skip
    return AlphaZero(config, make_game(case.game))


def _ours(case: Case, agent: AlphaZero, params: Any) -> Callable[[int], None]:
    """Moves in all games; games that end are replaced."""
    import jax

    from tolman.agents.alphazero.self_play import play_moves, start_games

    game: Any = agent.game
    games = start_games(game, case.batch_size, jax.random.PRNGKey(0))
    play = jax.jit(partial(play_moves, agent, num_moves=1))

    def moves(count: int) -> None:
        nonlocal games
        for number in range(count):
            games, _ = play(params, games, jax.random.PRNGKey(number))
        jax.block_until_ready(games)

    return moves


def _bare(case: Case, agent: AlphaZero, params: Any) -> tuple[Callable[[int], None], int]:
    """The same with nothing but mctx and pgx; and the bytes of one of its nodes."""
    import jax
    import mctx
    import pgx

    from tolman.launchers.measuring.peers.bare_search import make_move

    env = pgx.make(case.game)  # type: ignore[arg-type]
    policy = {"gumbel": mctx.gumbel_muzero_policy, "puct": mctx.muzero_policy}[case.search]
    move = make_move(
        env, agent.network.apply, policy, case.batch_size, case.num_simulations
    )

    compiled = jax.jit(lambda state, key: move(params, state, key).state)
    keys = jax.random.split(jax.random.PRNGKey(0), case.batch_size)
    state = jax.vmap(env.init)(keys)
    one = jax.eval_shape(env.init, jax.random.PRNGKey(0))
    embedding = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one))
    node = embedding + 4 * (6 * env.num_actions + 5)

    def moves(count: int) -> None:
        nonlocal state
        for number in range(count):
            state = compiled(state, jax.random.PRNGKey(number))
        jax.block_until_ready(state)

    return moves, node


def _network(case: Case, agent: AlphaZero, params: Any) -> Callable[[int], None]:
    """As many evaluations as a move in every game takes."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    shape = (case.batch_size, *agent.game.observation_spec().shape)

    @jax.jit
    def evaluations(observation: Any) -> Any:
        def body(_: Any, x: Any) -> Any:
            # The value goes back in, so that no evaluation can be left out.
            return x + 1e-9 * agent.network.apply(params, x).value[:, None, None, None]

        return lax.fori_loop(0, case.num_simulations + 1, body, observation)

    observation = jax.random.uniform(jax.random.PRNGKey(1), shape, jnp.float32)

    def moves(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(evaluations(observation))

    return moves


def _rules(case: Case, agent: AlphaZero) -> Callable[[int], None]:
    """As many steps as a move in every game takes, each of some legal action."""
    import jax
    from jax import lax

    game: Any = agent.game
    step, legal = jax.vmap(game.step), jax.vmap(game.legal)
    expand, compact = jax.vmap(game.expand), jax.vmap(game.compact)

    @jax.jit
    def steps(compacted: Any) -> Any:
        def body(_: Any, compacted: Any) -> Any:
            state = expand(compacted)
            return compact(step(state, legal(state).argmax(-1)))

        return lax.fori_loop(0, case.num_simulations + 1, body, compacted)

    start = jax.vmap(game.init)(jax.random.split(jax.random.PRNGKey(0), case.batch_size))
    start = compact(start)

    def moves(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(steps(start))

    return moves


def _bench_host(case: Case) -> dict[str, Any]:
    """Rules on the host beside the same search with rules in JAX."""
    import jax
    import numpy as np

    from tolman.agents.alphazero import HostSearch
    from tolman.envs.board.openspiel_games import openspiel_game

    agent = _agent(case)
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    start = openspiel_game(case.game)
    search = HostSearch(start.info, agent.network.apply, agent.config)
    games = [start.new() for _ in range(case.batch_size)]
    rng = np.random.default_rng(0)

    def host_moves(count: int) -> None:
        for _ in range(count):
            move_number = np.zeros(case.batch_size, np.int32)
            found = search(params, rng, games, move_number, explore=True)
            for index, action in enumerate(found.action):
                games[index].step(int(action))
                if games[index].is_over():
                    games[index] = start.new()

    parts = {"host": host_moves, "jax": _ours(case, agent, params)}
    seconds = take_turns(parts, least=1)
    return {
        "game": case.game,
        "search": f"{case.search}, rules on the host",
        "batch": case.batch_size,
        "simulations": case.num_simulations,
        "tower": f"{case.num_filters}x{case.num_blocks}",
        "positions/s": round(case.batch_size / seconds["host"], 1),
        "with rules in JAX": round(case.batch_size / seconds["jax"], 1),
        "ratio": round(seconds["jax"] / seconds["host"], 2),
    }
