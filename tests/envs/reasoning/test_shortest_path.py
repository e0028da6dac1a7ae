"""Questions about shortest paths, against breadth-first search in plain Python."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.graphs import shortest_paths

from tolman.envs.reasoning import ShortestPath
from tolman.envs.reasoning.shortest_path import (
    _draw_graphs,
    _draw_pairs,
    _nodes_between,
)

SETTINGS = [(10, 2, 2), (20, 3, 3), (20, 5, 3)]
SIGMAS = 4.5  # A fair draw fails such a bound once in 150,000 seeds; the seeds are fixed.


@functools.cache
def sampler(task):
    return jax.jit(task.sample, static_argnums=2)


def draw(task, batch_size=64, seed=0, split="train"):
    questions = sampler(task)(task.load(split), jax.random.PRNGKey(seed), batch_size)
    return jax.tree.map(np.asarray, questions)


def test_oracle_knows_a_graph_worked_out_by_hand():
    # 0 -> 1 -> 3 and 0 -> 2 -> 3: two shortest paths; 3 -> 4 makes both longer.
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (4, 0)]
    assert shortest_paths(edges, 0, 3) == [[0, 1, 3], [0, 2, 3]]
    assert len(shortest_paths(edges, 0, 4)) == 2
    assert shortest_paths(edges, 3, 1) == [[3, 4, 0, 1]]
    assert shortest_paths([(0, 1)], 1, 0) == []


@pytest.mark.parametrize("setting", SETTINGS)
def test_answers_are_the_only_shortest_path(setting):
    task = ShortestPath(*setting)
    questions = draw(task)
    num_nodes, out_degree, length = setting
    assert questions.facts.shape == (64, num_nodes * out_degree, 2)
    assert questions.target.shape == (64, length - 1) == (64, task.num_answers)
    assert questions.fact_mask.all()
    for facts, query, target in zip(
        questions.facts - 1, questions.query - 1, questions.target, strict=True
    ):
        edges = [tuple(edge) for edge in facts.tolist()]
        start, goal = query.tolist()
        assert shortest_paths(edges, start, goal) == [[start, *target.tolist(), goal]]
        assert len(set(edges)) == len(edges) and all(a != b for a, b in edges)
        assert (
            np.bincount(facts[:, 0], minlength=num_nodes).tolist()
            == [out_degree] * num_nodes
        )


def test_every_question_of_a_graph_is_found():
    """Which pairs may be asked, in each of 30 graphs, is what the search says."""
    task = ShortestPath(8, 2, 3)
    graphs = _draw_graphs(task, jax.random.split(jax.random.PRNGKey(3), 30))
    for neighbours, allowed in zip(
        np.asarray(graphs.neighbours), np.asarray(graphs.is_question), strict=True
    ):
        edges = [(a, int(b)) for a in range(8) for b in neighbours[a]]
        for start in range(8):
            for goal in range(8):
                paths = shortest_paths(edges, start, goal)
                unique = len(paths) == 1 and len(paths[0]) == 4
                assert allowed[start, goal] == unique


def test_edges_lead_to_the_nearest_nodes():
    task = ShortestPath(6, 2, 2)
    key = jax.random.PRNGKey(0)
    graphs = _draw_graphs(task, key[None])
    points = np.asarray(jax.random.uniform(key, (6, 2)))
    for node in range(6):
        distance = np.linalg.norm(points - points[node], axis=1)
        nearest = np.argsort(distance)[1:3]  # The nearest of all is the node itself.
        assert set(nearest) == set(np.asarray(graphs.neighbours)[0, node])


def test_path_is_read_off_the_walks_of_a_known_graph():
    edges = [(0, 1), (1, 2), (2, 3), (3, 0), (1, 0), (2, 0)]
    adjacency = np.zeros((4, 4))
    for a, b in edges:
        adjacency[a, b] = 1
    walks = np.stack([np.linalg.matrix_power(adjacency, steps) for steps in range(4)])
    between = _nodes_between(jnp.asarray(walks)[None], jnp.array([0]), jnp.array([3]))
    np.testing.assert_array_equal(between, [[1, 2]])


def test_pairs_of_a_graph_are_equally_likely():
    allowed = np.zeros((6000, 3, 3), bool)
    for start, goal in ((0, 1), (2, 0), (2, 1)):
        allowed[:, start, goal] = True
    start, goal = _draw_pairs(jax.random.PRNGKey(0), jnp.asarray(allowed))
    counts = np.bincount(3 * np.asarray(start) + np.asarray(goal), minlength=9)
    np.testing.assert_array_equal(np.flatnonzero(counts), [1, 6, 7])
    bound = SIGMAS * np.sqrt(6000 * 2 / 9)
    assert np.abs(counts[[1, 6, 7]] - 2000).max() < bound


def test_number_of_a_node_tells_nothing():
    questions = draw(ShortestPath(), batch_size=5000)
    for numbers in (questions.target[:, 0], *(questions.query.T - 1)):
        counts = np.bincount(numbers, minlength=10)
        assert np.abs(counts - 500).max() < SIGMAS * np.sqrt(5000 * 0.09)


def test_rows_stand_in_random_order():
    questions = draw(ShortestPath(), batch_size=5000)
    # Where the edge into the answer stands: uniform over the 20 rows.
    start, middle = questions.query[:, :1], questions.target + 1
    wanted = np.stack([start, middle], -1)
    row = np.argmax((questions.facts == wanted).all(-1), axis=1)
    counts = np.bincount(row, minlength=20)
    assert np.abs(counts - 250).max() < SIGMAS * np.sqrt(5000 * 0.05 * 0.95)


def test_no_graph_without_a_question_is_left():
    """One graph in 80 has none; among these 5,000 that would be about 60."""
    task = ShortestPath()
    keys = jax.random.split(jax.random.PRNGKey(0), 5000)
    without = ~np.any(np.asarray(_draw_graphs(task, keys).is_question), axis=(1, 2))
    assert 20 < without.sum() < 150
    questions = draw(task, batch_size=5000)
    facts, query, target = questions.facts, questions.query, questions.target + 1
    for pair in ((query[:, 0], target[:, 0]), (target[:, 0], query[:, 1])):
        edge = np.stack(pair, -1)[:, None]
        assert (facts == edge).all(-1).any(-1).all()


def test_splits_differ_under_one_key_and_a_key_repeats():
    task = ShortestPath()
    train, again = draw(task), draw(task)
    jax.tree.map(np.testing.assert_array_equal, train, again)
    others = [draw(task, split="validation"), draw(task, split="test"), draw(task, seed=1)]
    for other in others:
        same = (train.facts == other.facts).all((1, 2))
        assert not same.any()


def test_settings_without_questions_are_refused():
    with pytest.raises(ValueError, match=r"path_length=9: only .* of the graphs") as caught:
        ShortestPath(10, 2, 9).load("train")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="split='dev'"):
        ShortestPath().load("dev")
