"""The study of small games in turn: its numbers by hand, and once from end to end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers.studies.ewc import control_sequence
from tolman.launchers.studies.ewc.control_sequence import (
    Budget,
    Learned,
    half_width,
    interval,
    make_agent,
    make_switch,
)
from tolman.launchers.studies.study import Study


def test_what_is_kept_by_hand():
    one = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [0.25, 0.6, 0.9]])
    learned = Learned(1.0, np.stack([one, one - 0.1]), np.arange(3), np.zeros((3, 3, 2)))
    np.testing.assert_allclose(learned.average, [1.75 / 3, 1.75 / 3 - 0.1])
    np.testing.assert_allclose(learned.lost, [(0.75 + 0.2) / 2] * 2)
    np.testing.assert_allclose(learned.when_learned(2), [0.9, 0.8])
    # Three members: t = 4.303, standard deviation 1.
    assert half_width(np.array([1.0, 2.0, 3.0])) == pytest.approx(4.303 / np.sqrt(3))
    assert interval(np.array([1.0, 1.0, 1.0])) == "1.00 ± 0.00"


def test_l2_holds_all_shared_weights_alike_and_begins_the_next_game():
    agent = make_agent(1.0)
    assert agent.config.strength == 1.0 and agent.config.torso_size == 100
    assert make_switch("ewc", agent) is None is make_switch("strong", agent)
    state = jax.jit(agent.init)(jax.random.PRNGKey(0))
    told = jax.jit(make_switch("l2", agent))(state, (), jax.random.PRNGKey(1), 0, 2)
    fisher, centre = told.elastic.quadratic.fisher, told.elastic.quadratic.centre
    assert all((leaf == 1).all() for leaf in jax.tree.leaves(fisher.shared))
    assert not any(leaf.any() for leaf in jax.tree.leaves(fisher.own))
    shared = state.params.weights.shared
    jax.tree.map(np.testing.assert_array_equal, centre.shared, shared)
    assert told.task == 2 and isinstance(told.task, jnp.ndarray)


@pytest.mark.slow
def test_from_end_to_end(tmp_path, monkeypatch):
    budget = Budget(600, 3, 4, 2, 1, (30.0,), (1.0, 3.0), 1e5)
    monkeypatch.setattr(control_sequence, "QUICK", budget)
    study = Study("ewc/control_sequence", "", "", True, 0, tmp_path)
    control_sequence.run(study)
    assert len(study.checks) == 11 and len(study.tables) == 3
    assert (tmp_path / "figures" / "matrices.png").exists()
