"""Distributions over actions: values worked out by hand, and by SciPy and quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs
from scipy import stats

from tolman.agents.distributions import ILLEGAL, Gaussian
from tolman.agents.policies import Policy
from tolman.envs.actions import Legal

NUMBERED = specs.DiscreteArray(2, name="action")
SEVERAL = specs.BoundedArray((2,), np.int32, [1, 0], [2, 2], "several")
BOX = specs.BoundedArray((2,), np.float32, [-2.0, 0.0], [2.0, 1.0], "box")
NEST = {"aim": BOX, "move": NUMBERED, "press": specs.BoundedArray((3,), np.int8, 0, 1)}
KEY = jax.random.PRNGKey(0)
LOG = np.log


def _best(policy, parameters):
    """What is taken without noise, of one policy or of a batch."""
    noise = jax.tree.map(lambda leaf: leaf[0], policy.greedy_noise(1))
    return policy.sample(parameters, noise)


def _integral(y, x):
    return np.sum((y[1:] + y[:-1]) / 2 * np.diff(x))


def test_numbered_policies_are_their_logits():
    policy = Policy(NUMBERED)
    assert (policy.num_outputs, policy.num_free, policy.num_legal) == (2, 0, 2)
    logits = policy.parameters(jnp.log(jnp.array([[0.8, 0.2]])), jnp.zeros(0))
    np.testing.assert_allclose(logits, LOG([[0.8, 0.2]]), rtol=1e-6)
    probability = policy.log_probability(logits, jnp.array([1]))
    np.testing.assert_allclose(probability, [LOG(0.2)], rtol=1e-6)
    entropy = -(0.8 * LOG(0.8) + 0.2 * LOG(0.2))
    np.testing.assert_allclose(policy.entropy(logits), [entropy], rtol=1e-6)
    assert (
        _best(policy, logits).tolist() == [0] and _best(policy, logits).dtype == jnp.int32
    )


def test_several_numbers_count_from_their_lowest_and_multiply():
    """Two values from 1 on, three from 0 on."""
    policy = Policy(SEVERAL)
    assert (policy.num_outputs, policy.num_legal) == (5, 5)
    outputs = jnp.log(jnp.array([0.25, 0.75, 0.5, 0.2, 0.3]))
    parameters = policy.parameters(outputs, jnp.zeros(0))
    assert parameters.shape == (2, 3) and parameters[0, 2] == ILLEGAL
    probability = policy.log_probability(parameters, jnp.array([2, 1]))
    np.testing.assert_allclose(probability, LOG(0.75 * 0.2), rtol=1e-6)
    first = -(0.25 * LOG(0.25) + 0.75 * LOG(0.75))
    second = -(0.5 * LOG(0.5) + 0.2 * LOG(0.2) + 0.3 * LOG(0.3))
    np.testing.assert_allclose(policy.entropy(parameters), first + second, rtol=1e-6)
    assert _best(policy, parameters).tolist() == [2, 0]
    many = jnp.broadcast_to(parameters, (20_000, 2, 3))
    drawn = np.asarray(policy.sample(many, policy.draw_noise(KEY, 20_000)))
    assert set(drawn[:, 0]) == {1, 2} and set(drawn[:, 1]) == {0, 1, 2}
    shares = [(drawn[:, 0] == 2).mean(), (drawn[:, 1] == 1).mean()]
    np.testing.assert_allclose(shares, [0.75, 0.2], atol=0.015)


def test_masks_leave_the_rest_in_proportion():
    policy = Policy(specs.DiscreteArray(3))
    outputs = jnp.broadcast_to(jnp.log(jnp.array([0.5, 0.3, 0.2])), (5000, 3))
    legal = jnp.array([True, False, True])
    mask = jnp.broadcast_to(legal, (5000, 3))
    parameters = policy.parameters(outputs, jnp.zeros(0), mask)
    log_policy = [
        float(policy.log_probability(parameters[0], jnp.int32(n))) for n in (0, 1, 2)
    ]
    np.testing.assert_allclose(np.exp(log_policy), [0.5 / 0.7, 0.0, 0.2 / 0.7], atol=1e-6)
    entropy = -(5 / 7 * LOG(5 / 7) + 2 / 7 * LOG(2 / 7))
    np.testing.assert_allclose(policy.entropy(parameters[0]), entropy, rtol=1e-5)
    drawn = policy.sample(parameters, policy.draw_noise(KEY, 5000))
    assert set(np.asarray(drawn).tolist()) == {0, 2}

    def total(outputs):
        parameters = policy.parameters(outputs, jnp.zeros(0), legal)
        return policy.entropy(parameters) + policy.log_probability(parameters, jnp.int32(0))

    slope = np.asarray(jax.grad(total)(outputs[0]))
    assert np.isfinite(slope).all() and slope[1] == 0.0 and slope[0] > 0.0


def test_masks_of_several_numbers_stand_one_behind_the_other():
    policy = Policy({"a": SEVERAL, "b": NUMBERED})
    legal = jnp.array([True, False, False, True, True, False, True])
    parameters = policy.parameters(jnp.zeros(7), jnp.zeros(0), legal)
    np.testing.assert_array_equal(
        parameters["a"] == ILLEGAL, [[False, True, True], [True, False, False]]
    )
    np.testing.assert_array_equal(parameters["b"] == ILLEGAL, [True, False])
    assert jax.tree.map(np.asarray, _best(policy, parameters))["a"].tolist() == [1, 1]


def test_clipped_gaussians_have_a_gaussians_density():
    """In units of the bounds: mean (0.25, -1) and deviations (0.5, 2)."""
    policy = Policy(specs.BoundedArray((2,), np.float32, [-2.0, 0.0], [2.0, 3.0]))
    assert (policy.num_outputs, policy.num_free, policy.num_legal) == (2, 2, 0)
    free = jnp.log(jnp.array([0.5, 2.0]))
    parameters = policy.parameters(jnp.array([[0.25, -1.0]]), free)
    mean, deviation = np.array([0.5, 0.0]), np.array([1.0, 3.0])  # Of the actions.
    np.testing.assert_allclose(_best(policy, parameters), mean[None], atol=1e-6)
    action = np.array([[3.0, -0.5]])  # Outside the bounds, as it was drawn.
    expected = stats.norm.logpdf(action, mean, deviation).sum()
    np.testing.assert_allclose(
        policy.log_probability(parameters, action), [expected], rtol=1e-5
    )
    expected = stats.norm.entropy(mean, deviation).sum()
    np.testing.assert_allclose(policy.entropy(parameters), [expected], rtol=1e-6)
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (20_000, 2)), parameters)
    drawn = np.asarray(policy.sample(many, policy.draw_noise(KEY, 20_000)))
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.1)
    np.testing.assert_allclose(drawn.std(0), deviation, atol=0.1)


@pytest.mark.parametrize(("mean", "log_std"), [(0.3, -0.5), (-1.0, 0.2), (0.0, -3.0)])
def test_squashed_gaussians_have_a_density_over_their_bounds(mean, log_std):
    """It sums to 1 and gives the entropy, by the trapezoid rule in the unbounded number."""
    policy = Policy(specs.BoundedArray((), np.float32, -1.0, 3.0), "squash")
    assert (policy.num_outputs, policy.num_free) == (2, 0)
    parameters = policy.parameters(jnp.array([mean, log_std]), jnp.zeros(0))
    x = np.linspace(mean - 8 * np.exp(log_std), mean + 8 * np.exp(log_std), 40_001)
    x = x[np.abs(x) < 6.0]
    action, slope = 1.0 + 2.0 * np.tanh(x), 2.0 / np.cosh(x) ** 2
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, x.shape), parameters)
    log_density = np.asarray(policy.log_probability(many, action.astype(np.float32)))
    density = np.exp(log_density) * slope
    np.testing.assert_allclose(_integral(density, x), 1.0, rtol=2e-3)
    entropy = _integral(-density * log_density, x)
    np.testing.assert_allclose(policy.entropy(parameters), entropy, rtol=5e-3, atol=5e-3)


def test_squashed_actions_stay_within_their_bounds_and_finite():
    policy = Policy(BOX, "squash")
    parameters = Gaussian(jnp.array([[50.0, -50.0]]), jnp.array([[2.0, 2.0]]))
    action = np.asarray(policy.sample(parameters, jnp.array([[1.0, -1.0]])))
    assert (action < [2.0, 1.0]).any() and (action >= [-2.0, 0.0]).all()
    assert (np.abs(action - [2.0, 0.0]) < 1e-5).all()
    assert np.isfinite(policy.log_probability(parameters, action)).all()
    np.testing.assert_allclose(_best(policy, parameters), [[2.0, 0.0]], atol=1e-5)


def test_squashed_gaussians_are_kept_from_what_has_no_inverse():
    policy = Policy(specs.BoundedArray((1,), np.float32, -1.0, 1.0), "squash")
    parameters = policy.parameters(jnp.array([0.0, 10.0]), jnp.zeros(0))
    np.testing.assert_array_equal(parameters.log_std, [2.0])
    parameters = policy.parameters(jnp.array([0.0, -10.0]), jnp.zeros(0))
    np.testing.assert_array_equal(parameters.log_std, [-5.0])
    far = Gaussian(jnp.array([50.0]), jnp.array([0.0]))
    assert np.asarray(_best(policy, far))[0] == np.float32(1.0 - 1e-6)
    at_the_bound = policy.log_probability(parameters, np.array([1.0], np.float32))
    assert np.isfinite(at_the_bound)


def test_bounds_that_are_equal_leave_the_unit():
    policy = Policy(specs.BoundedArray((1,), np.float32, 2.0, 2.0))
    parameters = policy.parameters(jnp.array([0.0]), jnp.zeros(1))
    np.testing.assert_allclose(_best(policy, parameters), [2.0])
    density = policy.log_probability(parameters, np.array([2.5], np.float32))
    np.testing.assert_allclose(density, stats.norm.logpdf(0.5), rtol=1e-6)


def test_parts_of_a_nest_are_independent():
    policy = Policy(NEST)
    assert (policy.num_outputs, policy.num_free) == (2 + 2 + 6, 2)
    outputs = jax.random.normal(KEY, (4, 10))
    parameters = policy.parameters(outputs, jnp.zeros(2))
    action = policy.sample(parameters, policy.draw_noise(KEY, 4))
    assert jax.tree.map(jnp.shape, action) == {"aim": (4, 2), "move": (4,), "press": (4, 3)}
    alone = {name: Policy(spec) for name, spec in NEST.items()}
    both = {"log_probability": (parameters, action), "entropy": (parameters,)}
    for method, arguments in both.items():
        expected = sum(
            getattr(alone[name], method)(*(part[name] for part in arguments))
            for name in NEST
        )
        np.testing.assert_allclose(getattr(policy, method)(*arguments), expected, rtol=1e-5)
    assert not (action["press"][0] == action["press"]).all()  # Noise of its own a row.


def test_parts_of_a_nest_have_noise_of_their_own():
    noise = Policy({"a": BOX, "b": BOX}).draw_noise(KEY, 4)
    assert (noise["a"] != noise["b"]).all()


def test_rows_of_an_unroll_have_the_bits_of_single_steps():
    policy = Policy(NEST)
    outputs = jax.random.normal(KEY, (3, 4, 10))
    parameters = policy.parameters(outputs, jnp.full(2, 0.3))
    noise = jax.vmap(lambda key: policy.draw_noise(key, 4))(jax.random.split(KEY, 3))
    action = policy.sample(parameters, noise)
    whole = jax.jit(policy.log_probability)(parameters, action)
    for row in range(3):
        own = jax.tree.map(lambda leaf, row=row: leaf[row], (parameters, action))
        np.testing.assert_array_equal(jax.jit(policy.log_probability)(*own), whole[row])


def test_bounds_that_are_missing_leave_the_unit():
    spec = specs.BoundedArray((2,), np.float32, [-np.inf, -1.0], [np.inf, 3.0])
    policy = Policy(spec)
    parameters = policy.parameters(jnp.array([0.5, 0.5]), jnp.zeros(2))
    np.testing.assert_allclose(_best(policy, parameters), [0.5, 2.0])


@pytest.mark.parametrize(
    ("spec", "bounding", "message"),
    [
        (
            specs.BoundedArray((2,), np.float32, -np.inf, 1.0),
            "squash",
            r"^action: got bounds from -inf to 1; must be finite .*action-bounds clip\.$",
        ),
        (
            {"n": specs.Array((), np.int32)},
            "clip",
            r"^action\['n'\]: got integers with 4\.29497e\+09 values.*Bound them",
        ),
        (specs.StringArray(()), "clip", r"^action_spec\(\): got StringArray"),
        ({}, "clip", r"^spec: got None; must be a dm_env"),
    ],
)
def test_what_cannot_be_acted_on_is_named_in_one_line(spec, bounding, message):
    with pytest.raises(ValueError, match=message) as caught:
        Policy(spec, bounding)
    assert "\n" not in str(caught.value)


def test_every_part_is_described():
    assert Policy(NEST).describe() == [
        "action['aim']: 2 numbers from a Gaussian, clipped to their bounds",
        "action['move']: one of 2",
        "action['press']: 3 numbers of 2 values each",
    ]


def test_a_mask_is_read_by_its_name_and_everything_is_legal_where_nothing_is():
    seen = {"action_mask": specs.Array((2,), np.int8), "x": specs.Array((), np.float32)}
    legal = Legal(seen, NUMBERED)
    mask = jnp.array([[1, 0], [0, 0]], jnp.int8)
    read = legal.read({"action_mask": mask, "x": jnp.zeros(2)})
    np.testing.assert_array_equal(read, [[True, False], [True, True]])
    assert Legal({"mask": seen["action_mask"]}, NUMBERED).read({"mask": mask}) is None
    with pytest.raises(ValueError, match=r"^action_mask: got 2 entries; must be 5, one"):
        Legal(seen, SEVERAL)
