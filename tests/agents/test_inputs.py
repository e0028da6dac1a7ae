"""How observations enter a network, by numbers worked out by hand; and what may not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from tolman.agents.actor_critic import ActorCritic, ActorCriticConfig, AuxiliaryTask
from tolman.agents.agent import Unroll
from tolman.agents.inputs import describe_inputs, plan_inputs
from tolman.agents.settings import InputSettings
from tolman.envs.environment import TimeStep, as_target
from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.networks.conformance import check_core


def _bounded(shape, dtype, low, high, name="observation"):
    return specs.BoundedArray(shape, dtype, low, high, name)


def _encoded(spec, value, **settings):
    (part,) = plan_inputs(spec, InputSettings(**settings))
    assert not part.question
    return np.asarray(part.encode(jnp.asarray(value, spec.dtype)))


def test_numbers_of_a_set_enter_one_hot():
    letter = specs.DiscreteArray(4, name="letter")
    np.testing.assert_array_equal(_encoded(letter, [2, 0]), [[0, 0, 1, 0], [1, 0, 0, 0]])
    several = _bounded((2,), np.int32, [0, 5], [1, 7])  # As MultiDiscrete([2, 3], start).
    np.testing.assert_array_equal(_encoded(several, [1, 6]), [0, 1, 0, 1, 0])
    grid = _bounded((1, 2), np.int32, 0, 2)
    np.testing.assert_array_equal(_encoded(grid, [[[0, 2]]]), [[1, 0, 0, 0, 0, 1]])


def test_what_else_is_not_an_image_enters_scaled_or_as_it_is():
    memory = _bounded((3,), np.uint8, 0, 255)
    np.testing.assert_allclose(_encoded(memory, [0, 51, 255]), [0.0, 0.2, 1.0])
    dice = _bounded((2,), np.uint8, 0, [4, 8])
    np.testing.assert_allclose(_encoded(dice, [4, 4]), [1.0, 0.5])
    binary = _bounded((2,), np.int8, 0, 1)
    np.testing.assert_array_equal(_encoded(binary, [0, 1]), [0.0, 1.0])
    large = _bounded((1,), np.int32, -50_000, 10_000)
    np.testing.assert_allclose(_encoded(large, [10_000]), [0.2])
    unbounded = specs.Array((1,), np.int32, "count")
    np.testing.assert_array_equal(_encoded(unbounded, [7]), [7.0])
    real = _bounded((2, 2), np.float32, 0.0, 255.0)
    np.testing.assert_array_equal(_encoded(real, [[1, 2], [3, 4]]), [1, 2, 3, 4])


@pytest.mark.parametrize(
    "shape, axes, pixel",
    [
        ((20, 24, 3), (3, 2, 1), lambda x: x[3, 2, 1]),
        ((3, 20, 24), (3, 2, 1), lambda x: x[1, 3, 2]),
        ((4, 84, 84), (3, 2, 1), lambda x: x[1, 3, 2]),
        ((16, 20, 24), (3, 2, 1), lambda x: x[1, 3, 2]),
        ((7, 7, 3), (3, 2, 1), lambda x: x[3, 2, 1]),
        ((64, 64), (3, 2, 0), lambda x: x[3, 2]),
        ((4, 64, 64, 3), (3, 2, 5), lambda x: x[1, 3, 2, 2]),
        ((4, 3, 64, 64), (3, 2, 5), lambda x: x[1, 2, 3, 2]),
    ],
)
def test_images_are_turned_to_rows_columns_channels(shape, axes, pixel):
    image = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    encoded = _encoded(_bounded(shape, np.uint8, 0, 255), image)
    assert encoded.ndim == 4 and encoded[0].size == image[0].size
    assert encoded[(1, *axes)] == pytest.approx(pixel(image[1]) / 255.0)


def test_the_largest_number_of_the_spec_scales_an_image():
    codes = np.full((7, 7, 3), 5)
    assert _encoded(_bounded((7, 7, 3), np.uint8, 0, 10), codes).max() == 0.5
    assert _encoded(_bounded((7, 7, 3), np.int32, 0, 10), codes).max() == 0.5
    assert _encoded(specs.Array((7, 7, 3), np.float32), codes).max() == 5.0


@pytest.mark.parametrize(
    "shape, dtype, axes",
    [
        ((10, 10, 10), np.float32, "CHW"),
        ((64, 3, 64), np.uint8, "HWC"),
        ((20, 64, 64), np.uint8, "CHW"),  # Twenty channels, or rows?
        ((64, 64), np.float32, "HW"),
        ((4, 64, 64, 9), np.uint8, "NHWC"),
    ],
)
def test_what_is_not_certain_is_asked_for(shape, dtype, axes):
    spec = specs.Array(shape, dtype, "picture")
    (line,) = describe_inputs({"eye": spec})
    assert line.startswith(f"eye: shape {shape}") and "--agent.image-axes" in line
    assert axes in line
    with pytest.raises(ValueError, match=r"eye: shape .* is not certain"):
        _shapes(_agent({"eye": spec}))
    (part,) = plan_inputs(spec, InputSettings(image_axes=axes))
    assert part.axes == axes and not part.question
    for settings in ({"image_axes": "none"}, {"torso": "flat"}):
        (part,) = plan_inputs(spec, InputSettings(**settings))
        assert not part.axes and not part.question


MAZE = {
    "depth": as_target(_bounded((4, 16), np.uint8, 0, 7, "depth")),
    "letter": specs.DiscreteArray(5, name="letter"),
    "pose": {"place": specs.Array((2,), np.float32, "place")},
    "rgb": _bounded((12, 12, 3), np.uint8, 0, 255, "rgb"),
    "velocity": specs.Array((6,), np.float32, "velocity"),
}


def test_every_part_is_described():
    settings = InputSettings(reads=("rgb", "letter", "pose"))
    assert describe_inputs(MAZE, settings) == [
        "depth: a target, not read",
        "letter: one of 5, one-hot, 5 numbers",
        "pose.place: 2 numbers as they are",
        "rgb: image HWC (12, 12, 3), divided by 255",
        "velocity: not read",
    ]
    assert describe_inputs(MAZE["velocity"]) == ["observation: 6 numbers as they are"]
    assert "velocity: not read" in describe_inputs(MAZE, targets=["velocity"])
    assert "depth: 64 numbers, divided by 7" in describe_inputs(
        MAZE, InputSettings(reads=("depth",))
    )


def test_a_name_reads_itself_and_what_is_inside_and_no_longer_name():
    inside = {"x": specs.Array((1,), np.float32)}
    spec = {"pose": inside, "pose_before": specs.Array((1,), np.float32)}
    parts = plan_inputs(spec, InputSettings(reads=("pose",)))
    assert {part.name: part.is_read for part in parts} == {
        "pose.x": True,
        "pose_before": False,
    }


def test_parts_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match=r"no part 'rbg' \(did you mean 'rgb'\?\)"):
        describe_inputs(MAZE, InputSettings(reads=("rbg",)))
    with pytest.raises(ValueError, match="no named parts"):
        describe_inputs(MAZE["rgb"], InputSettings(reads=("rgb",)))
    with pytest.raises(ValueError, match="nothing is left to act on"):
        plan_inputs({"depth": MAZE["depth"]}, InputSettings())
    assert describe_inputs({"depth": MAZE["depth"]}) == ["depth: a target, not read"]
    vectors = {"a": MAZE["velocity"], "b": MAZE["letter"]}
    with pytest.raises(ValueError, match="torso='conv' needs images"):
        _shapes(_agent(vectors, torso="conv"))


def _agent(spec, core="lstm", core_settings=None, tasks=(), **settings):
    config = ActorCriticConfig(
        unroll_length=3, batch_size=2, **{"torso_size": 16, **settings}
    )
    core_config = find(CORE, core).settings_type(**(core_settings or {}))
    return ActorCritic(
        config, spec, specs.DiscreteArray(3), make_core(core, core_config), tasks
    )


def _shapes(agent):
    """Builds the network without computing anything."""
    return jax.eval_shape(agent.init, jax.random.PRNGKey(0)).params


def _unroll(agent, spec, seed=0):
    rng = np.random.default_rng(seed)
    rows = (4, 2)

    def draw(leaf):
        if np.issubdtype(leaf.dtype, np.integer):
            high = int(np.max(leaf.maximum)) + 1
            return jnp.asarray(rng.integers(0, high, (*rows, *leaf.shape)), leaf.dtype)
        return jnp.asarray(rng.normal(size=(*rows, *leaf.shape)), leaf.dtype)

    timestep = TimeStep(
        jnp.ones(rows, jnp.int32),
        jnp.asarray(rng.normal(size=rows), jnp.float32),
        jnp.ones(rows),
        jax.tree.map(draw, spec),
        jnp.zeros(rows, bool),
    )
    action = jnp.asarray(rng.integers(0, 3, (3, 2)), jnp.int32)
    state = agent.initial_actor_state(2)
    return Unroll(timestep, action, jnp.zeros((3, 2, 3)), state)


def _with(unroll, **parts):
    observation = {**unroll.timestep.observation, **parts}
    return unroll._replace(timestep=unroll.timestep._replace(observation=observation))


def _outputs(agent, params, unroll):
    output = jax.jit(agent.network.unroll)(params, unroll)
    return np.concatenate([output.policy, output.value[..., None]], axis=-1)


def _pixels(name, target):
    """A task that predicts a part of the observation from the core's output."""
    return AuxiliaryTask(
        name,
        1.0,
        lambda features: features.core.mean(-1),
        lambda guess, unroll: jnp.square(
            guess
            - unroll.timestep.observation[target].astype(float).reshape(4, 2, -1).mean(-1)
        )[:-1],
        targets=(target,),
    )


@pytest.mark.parametrize(
    "settings, tasks, read, not_read",
    [
        ({}, (), {"letter", "pose", "rgb", "velocity"}, {"depth"}),
        ({}, ("velocity",), {"letter", "pose", "rgb"}, {"depth", "velocity"}),
        ({"reads": ("rgb",)}, (), {"rgb"}, {"depth", "letter", "pose", "velocity"}),
        ({"reads": ("rgb", "depth")}, ("depth",), {"rgb", "depth"}, {"velocity", "letter"}),
        ({"reads": ("pose.place",)}, (), {"pose"}, {"rgb", "velocity"}),
    ],
)
def test_a_target_changes_no_logit_and_no_value(settings, tasks, read, not_read):
    tasks = [_pixels(f"predicts_{name}", name) for name in tasks]
    agent = _agent(MAZE, tasks=tasks, **settings)
    params = jax.tree.map(
        lambda p: 3.0 * p, jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    )
    unroll, other = _unroll(agent, MAZE), _unroll(agent, MAZE, seed=1).timestep.observation
    before = _outputs(agent, params, unroll)
    for name in not_read:
        after = _outputs(agent, params, _with(unroll, **{name: other[name]}))
        np.testing.assert_array_equal(before, after)
    for name in read:
        after = _outputs(agent, params, _with(unroll, **{name: other[name]}))
        assert (np.abs(before - after).max((0, 2)) > 1e-6).all(), name


def test_the_loss_of_a_target_reaches_the_features():
    agent = _agent(MAZE, tasks=[_pixels("pixels", "depth")])
    learner = jax.jit(agent.init)(jax.random.PRNGKey(0))
    unroll = _unroll(agent, MAZE)
    gradient = jax.jit(jax.grad(lambda *a: agent.loss(*a).total))
    changed = _with(unroll, depth=unroll.timestep.observation["depth"] * 0)
    gradients = [
        gradient(learner.params, one, learner.hyperparameters, jnp.float32(0.0))
        for one in (unroll, changed)
    ]
    different = jax.tree.map(lambda a, b: bool((a != b).any()), *gradients)
    assert different["lstm/~_project/input_gates"]["w"]
    assert different["conv_torso/conv2_d"]["w"]


def test_a_letter_enters_the_first_layer_one_hot():
    letters = {"letter": specs.DiscreteArray(32, name="letter")}
    given = {"use_previous_action": False, "use_previous_reward": False}
    agent = _agent(letters, core="feedforward", torso="mlp", **given)
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    assert params["mlp_torso/~/mlp/~/linear_0"]["w"].shape == (32, 16)
    unroll = _unroll(agent, letters)
    as_vector = {"letter": specs.Array((32,), np.float32, "letter")}
    twin = _agent(as_vector, core="feedforward", torso="mlp", **given)
    one_hot = np.eye(32, dtype=np.float32)[
        np.asarray(unroll.timestep.observation["letter"])
    ]
    np.testing.assert_array_equal(
        _outputs(agent, params, unroll),
        _outputs(twin, params, _with(unroll, letter=jnp.asarray(one_hot))),
    )


WIRING = {
    "first_hidden_size": 8,
    "hidden_size": 12,
    "first_inputs": ("features", "previous_reward"),
    "second_inputs": ("features", "velocity", "previous_action"),
}


def test_the_navigation_papers_wiring():
    """At one step reward and picture reach the first LSTM; velocity and action do not."""
    spec = {"rgb": MAZE["rgb"], "velocity": MAZE["velocity"]}
    agent = _agent(spec, "stacked_lstm", WIRING)
    learner = jax.jit(agent.init)(jax.random.PRNGKey(0))
    shapes = {
        name: leaf["w"].shape
        for name, leaf in learner.params.items()
        if name.endswith("input_gates")
    }
    assert sorted(shapes.values()) == [(16 + 1, 4 * 8), (16 + 6 + 3 + 8, 4 * 12)]

    unroll, other = _unroll(agent, spec), _unroll(agent, spec, seed=1)
    step = jax.jit(agent.network.step)
    row = jax.tree.map(lambda leaf: leaf[0], unroll.timestep)
    state = unroll.actor_state._replace(previous_action=jnp.array([0, 1]))
    ((first, second),) = step(learner.params, row, state)[1]

    def changed(**parts):
        return row._replace(observation={**row.observation, **parts})

    observation = jax.tree.map(lambda leaf: leaf[0], other.timestep.observation)
    moved = lambda row, state: [  # noqa: E731
        any(bool((x != y).any()) for x, y in zip(a, b, strict=True))
        for a, b in zip(
            step(learner.params, row, state)[1][0], (first, second), strict=True
        )
    ]
    assert moved(row._replace(reward=row.reward + 1.0), state) == [True, True]
    assert moved(changed(rgb=observation["rgb"]), state) == [True, True]
    assert moved(changed(velocity=observation["velocity"]), state) == [False, True]
    acted = state._replace(previous_action=jnp.array([2, 2]))
    assert moved(row, acted) == [False, True]


def test_a_core_with_named_inputs_keeps_the_contract():
    core = find(CORE, "stacked_lstm").settings_type(**WIRING)
    check_core(make_core("stacked_lstm", core))
    joined = dataclasses.replace(core, first_inputs=())  # Takes what the second one names.
    assert check_core(make_core("stacked_lstm", joined))


@pytest.mark.parametrize(
    "core_settings, settings, message",
    [
        ({}, {"use_previous_reward": False}, "'previous_reward'.*--agent.use-previous-rew"),
        ({"second_inputs": ("pose",)}, {}, "'pose': the agent gives .*--agent.reads"),
        ({"second_inputs": ("features",)}, {}, "'previous_action', which the agent reads,"),
    ],
)
def test_inputs_that_do_not_meet_are_refused(core_settings, settings, message):
    spec = {"rgb": MAZE["rgb"], "velocity": MAZE["velocity"]}
    agent = _agent(spec, "stacked_lstm", {**WIRING, **core_settings}, **settings)
    with pytest.raises(ValueError, match=message):
        _shapes(agent)


def test_a_burn_in_of_named_inputs():
    """DQN brings the memory up to date with the same inputs that it learns from."""
    from tolman.agents.dqn import DQN, DQNConfig

    spec = {"rgb": MAZE["rgb"], "velocity": MAZE["velocity"]}
    config = DQNConfig(
        unroll_length=3, burn_in=2, n_step=1, batch_size=2, torso_size=16, replay="uniform",
        use_previous_action=True, use_previous_reward=True,
    )  # fmt: skip
    core = find(CORE, "stacked_lstm").settings_type(**WIRING)
    agent = DQN(config, spec, specs.DiscreteArray(3), make_core("stacked_lstm", core))
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params.weights
    unroll = _unroll(agent, spec)
    apply = jax.jit(agent.network.unroll, static_argnums=2)
    whole, rest = (apply(params, unroll, burn_in).policy for burn_in in (0, 2))
    np.testing.assert_allclose(whole[2:], rest, rtol=1e-5, atol=1e-6)
