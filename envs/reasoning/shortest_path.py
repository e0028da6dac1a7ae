"""The shortest path through a graph whose edges are the facts.

Shapes: B questions, N nodes, K edges out of a node, L edges of a path; I = N K facts of
S = 2 items, Q = 2, P = L - 1 answers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from tolman.envs.reasoning.task import Array, Data, Examples, register_source
from tolman.envs.settings import check_choice

SPLITS = ("train", "validation", "test")
MAX_DRAWS = 100  # Graphs drawn for one question.
MIN_SHARE = 0.5  # Of graphs that must hold a question; then 100 in a row fail never.


class Graphs(NamedTuple):
    """Attributes:
    neighbours: `[B, N, K]` int32, where the edges of each node lead.
    walks: `[B, L + 1, N, N]` float32, how many walks of 0 to L edges join two nodes.
    is_question: `[B, N, N]` bool, pairs (start, goal) joined by exactly one shortest
      path, of L edges.
    """

    neighbours: Array
    walks: Array
    is_question: Array


@register_source("shortest_path")
@dataclass(frozen=True)
class ShortestPath:
    """Given all edges in random order, a start and a goal: which nodes lie between?

    Nodes are points drawn in the unit square, each with edges to its nearest neighbours.
    The start and the goal are a random pair that exactly one shortest path of
    `path_length` edges joins, in a graph that has such a pair. A fact is an edge
    (from, to), a query is (start, goal), an answer a node of the path, in its order.

    Points are drawn alike, so a node's number tells nothing of its place and every
    question numbers its nodes anew. Items are numbers of words, node n being word n + 1:
    an embedding of words is what a linear map of one-hot vectors is, without the vectors.

    Attributes:
      num_nodes: N.
      out_degree: K, edges out of each node.
      path_length: L, edges from start to goal.

    Source: Banino et al. 2020, section 4.2; the graphs are those of Graves et al. 2016,
      "Hybrid computing using a neural network with dynamic external memory", methods.
      Departure: L counts edges, so that L = 2 asks for one node and L = 3 for two.
    """

    num_nodes: Annotated[int, Ge(1)] = 10
    out_degree: Annotated[int, Ge(1)] = 2
    path_length: Annotated[int, Ge(2)] = 2

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.num_nodes < self.out_degree + 2:
            yield "num_nodes", f"at least out_degree + 2 = {self.out_degree + 2}"

    @property
    def num_classes(self) -> int:
        return self.num_nodes

    @property
    def num_answers(self) -> int:
        return self.path_length - 1

    @property
    def num_words(self) -> int:
        return self.num_nodes + 1

    @property
    def kinds(self) -> tuple[str, ...]:
        return (f"{self.path_length} edges",)

    def load(self, split: str) -> Data:
        """Returns the number of the split: its questions are drawn apart from others'.

        Raises:
          ValueError: for an unknown split, or settings with which few graphs have such a
            path.
        """
        check_choice("split", split, SPLITS)
        share = _share_with_questions(self)
        if share < MIN_SHARE:
            raise ValueError(
                f"num_nodes={self.num_nodes}, out_degree={self.out_degree}, path_length="
                f"{self.path_length}: only {share:.0%} of the graphs have a unique "
                f"shortest path of that length, {MIN_SHARE:.0%} are needed. Take more "
                "nodes, fewer edges or shorter paths."
            )
        return jnp.int32(SPLITS.index(split))

    def sample(self, data: Data, key: Array, batch_size: int) -> Examples:
        graph_key, pair_key, order_key = jax.random.split(jax.random.fold_in(key, data), 3)
        graphs = _draw_until_asked(self, jax.random.split(graph_key, batch_size))
        start, goal = _draw_pairs(pair_key, graphs.is_question)  # [B]
        order = jax.random.uniform(
            order_key, (batch_size, self.num_nodes * self.out_degree)
        )
        facts = jnp.take_along_axis(
            _edges(graphs.neighbours), jnp.argsort(order)[..., None], axis=1
        )
        return Examples(
            facts=facts + 1,
            fact_mask=jnp.ones(facts.shape[:2], bool),
            query=jnp.stack([start, goal], axis=1) + 1,
            target=_nodes_between(graphs.walks, start, goal),
            kind=jnp.zeros(batch_size, jnp.int32),
        )


@functools.cache
def _share_with_questions(task: ShortestPath) -> float:
    keys = jax.random.split(jax.random.PRNGKey(0), 200)
    is_question = jax.jit(_draw_graphs, static_argnums=0)(task, keys).is_question
    return float(np.mean(np.any(is_question, axis=(1, 2))))


def _draw_until_asked(task: ShortestPath, keys: Array) -> Graphs:
    """One graph `[B]` a key, drawn again where it holds no question."""

    def lacks(graphs: Graphs) -> Array:
        return ~jnp.any(graphs.is_question, axis=(1, 2))

    def go_on(carry: tuple[Array, Graphs]) -> Array:
        draw, graphs = carry
        return (draw < MAX_DRAWS) & jnp.any(lacks(graphs))

    def redraw(carry: tuple[Array, Graphs]) -> tuple[Array, Graphs]:
        draw, graphs = carry
        fresh = _draw_graphs(task, jax.vmap(jax.random.fold_in, (0, None))(keys, draw))
        needed = lacks(graphs)

        def choose(new: Array, old: Array) -> Array:
            return jnp.where(needed.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return draw + 1, jax.tree.map(choose, fresh, graphs)

    first = _draw_graphs(task, keys)
    return jax.lax.while_loop(go_on, redraw, (jnp.int32(1), first))[1]


def _draw_graphs(task: ShortestPath, keys: Array) -> Graphs:
    num_nodes, length = task.num_nodes, task.path_length
    points = jax.vmap(lambda key: jax.random.uniform(key, (num_nodes, 2)))(keys)
    offsets = points[:, :, None] - points[:, None]  # [B, N, N, 2]
    distances = (offsets**2).sum(-1) + 10.0 * jnp.eye(num_nodes)  # No edge to oneself.
    neighbours = jax.lax.top_k(-distances, task.out_degree)[1]  # [B, N, K]
    adjacency = jax.nn.one_hot(neighbours, num_nodes).sum(2)  # [B, N, N]

    walks = [jnp.broadcast_to(jnp.eye(num_nodes), adjacency.shape)]
    for _ in range(length):
        walks.append(walks[-1] @ adjacency)
    # Walks of d edges between nodes that are d edges apart are the shortest paths.
    nearer = jnp.stack(walks[:-1]).sum(0) > 0
    return Graphs(neighbours, jnp.stack(walks, axis=1), (walks[-1] == 1) & ~nearer)


def _draw_pairs(key: Array, is_question: Array) -> tuple[Array, Array]:
    """A start and a goal, `[B]` each, all allowed pairs of a graph being as likely."""
    num_nodes = is_question.shape[-1]
    score = jax.random.uniform(key, is_question.shape) + is_question
    pair = jnp.argmax(score.reshape(len(score), -1), axis=-1)
    return pair // num_nodes, pair % num_nodes


def _edges(neighbours: Array) -> Array:
    """`[B, N K, 2]` int32 pairs (from, to)."""
    starts = jnp.broadcast_to(jnp.arange(neighbours.shape[1])[:, None], neighbours.shape)
    return jnp.stack([starts, neighbours], axis=-1).reshape(len(neighbours), -1, 2)


def _nodes_between(walks: Array, start: Array, goal: Array) -> Array:
    """`[B, L - 1]` int32, the nodes of the only path between two nodes."""
    rows = jnp.arange(len(walks))
    length = walks.shape[1] - 1
    nodes = []
    for step in range(1, length):
        # One node alone can be reached in `step` edges and reach the goal in the rest.
        passes = walks[rows, step, start] * walks[rows, length - step, :, goal]
        nodes.append(jnp.argmax(passes, axis=-1).astype(jnp.int32))
    return jnp.stack(nodes, axis=1)
