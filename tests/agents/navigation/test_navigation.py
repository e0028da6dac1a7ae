"""The navigation agent: what reaches what, its targets by hand, its contract."""

import dataclasses
import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs
from jax import lax

from tolman.agents import recurrent
from tolman.agents.agent import Unroll, draw_noise
from tolman.agents.navigation import NavigationConfig, make_navigation
from tolman.agents.navigation.tasks import make_tasks
from tolman.envs import vector
from tolman.envs.environment import TimeStep
from tolman.envs.maze import Maze
from tolman.launchers.catalog.names import CORE, find, make_core

FIELDS = ("rgb", "velocity", "depth_classes", "loop_closure", "pose", "rgbd", "respawned")
MAZE = Maze(layout="tiny", image_size=16, num_frames=20, fields=FIELDS)
ALL = {"depth_1_cost": 1.0, "depth_2_cost": 1.0, "loop_cost": 1.0, "decodes_position": True}
LENGTH, BATCH = 7, 3


@functools.cache
def agent_of(core="lstm", **settings):
    config = NavigationConfig(unroll_length=LENGTH, batch_size=BATCH, **settings)
    made = make_core(core, find(CORE, core).default_settings())
    return make_navigation(config, MAZE.observation_spec(), MAZE.action_spec(), made)


_reset = jax.jit(functools.partial(vector.reset, MAZE))


@functools.cache
def played(agent, num_unrolls=2, scale=3.0):
    """Parameters and unrolls that cross episodes; 5 decisions and a closing row each."""
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    params = jax.tree.map(lambda leaf: leaf * scale, params)

    def decide(carried, key):
        environment, timestep, actor = carried
        noise = draw_noise(agent, key, BATCH)
        decision, actor = agent.act(params, noise, timestep, actor)
        environment, following = vector.step(MAZE, environment, decision.action)
        return (environment, following, actor), (following, decision)

    @jax.jit
    def unroll(carried, key):
        after, (rows, decisions) = lax.scan(decide, carried, jax.random.split(key, LENGTH))
        first = jax.tree.map(lambda leaf: leaf[None], carried[1])
        rows = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, rows)
        return after, Unroll(rows, *decisions, carried[2])

    keys = jax.random.split(jax.random.PRNGKey(1), BATCH)
    carried = (*_reset(keys), agent.initial_actor_state(BATCH))
    unrolls = []
    for number in range(num_unrolls):
        carried, one = unroll(carried, jax.random.PRNGKey(number))
        unrolls.append(one)
    return params, unrolls


@pytest.mark.parametrize("core", ["lstm"])  # Any other is one below `Stacked`.
def test_learner_recomputes_the_actors_logits(core):
    agent = agent_of(core)
    params, unrolls = played(agent)
    compute = jax.jit(agent.network.unroll)
    for unroll in unrolls:
        logits = compute(params, unroll).policy
        np.testing.assert_allclose(logits[:-1], unroll.policy, rtol=1e-5, atol=1e-5)
    assert int(unrolls[1].timestep.new_task.sum()) >= BATCH


def logits_with(agent, params, unroll, field, value):
    observation = dict(unroll.timestep.observation)
    observation[field] = value(observation[field])
    timestep = unroll.timestep._replace(observation=observation)
    return jax.jit(agent.network.unroll)(params, unroll._replace(timestep=timestep)).policy


def test_targets_reach_no_logit_and_inputs_do():
    agent = agent_of(**ALL)
    params, (unroll, _) = played(agent)
    before = jax.jit(agent.network.unroll)(params, unroll).policy
    for field in ("depth_classes", "loop_closure", "pose", "rgbd", "respawned"):
        after = logits_with(agent, params, unroll, field, jnp.ones_like)
        np.testing.assert_array_equal(before, after)
    for field in ("rgb", "velocity"):
        after = logits_with(agent, params, unroll, field, lambda x: x // 2 + 1)
        assert np.abs(before - after).max() > 1e-6


def test_depth_as_an_input_is_one():
    agent = agent_of(is_depth_input=True)
    params, (unroll, _) = played(agent)
    before = jax.jit(agent.network.unroll)(params, unroll).policy
    after = logits_with(agent, params, unroll, "rgbd", lambda x: x.at[..., 3].set(0))
    assert np.abs(before - after).max() > 1e-6


def test_plain_wiring_sees_the_image_alone():
    agent = agent_of("feedforward", wiring="plain")
    params, (unroll, _) = played(agent)
    network = jax.jit(agent.network.unroll)
    before = network(params, unroll).policy
    after = logits_with(agent, params, unroll, "velocity", lambda x: x + 1.0)
    np.testing.assert_array_equal(before, after)
    timestep = unroll.timestep._replace(reward=unroll.timestep.reward + 5.0)
    changed = unroll._replace(timestep=timestep, action=(unroll.action + 1) % 8)
    np.testing.assert_array_equal(before, network(params, changed).policy)


def test_reward_enters_below_and_velocity_and_action_above():
    """What a change at row 3 does to the state of each of the two cores after row 3."""
    agent = agent_of(**ALL)
    params, (unroll, _) = played(agent)
    row = jax.tree.map(lambda leaf: leaf[3], unroll.timestep)
    row = row._replace(step_type=jnp.ones_like(row.step_type))  # MID, so that all count.
    state = agent.initial_actor_state(BATCH)

    @jax.jit
    def after(row, state):
        (core,) = agent.network.step(params, row, state)[1]
        return core

    before_lower, before_upper = after(row, state)
    observation = {**row.observation, "velocity": row.observation["velocity"] + 1.0}
    for changed_row, changed_state in (
        (row._replace(observation=observation), state),
        (row, state._replace(previous_action=jnp.full_like(state.previous_action, 2))),
    ):
        lower, upper = after(changed_row, changed_state)
        np.testing.assert_array_equal(lower.hidden, before_lower.hidden)
        assert np.abs(upper.hidden - before_upper.hidden).max() > 1e-6
    lower, _ = after(row._replace(reward=row.reward + 1.0), state)
    assert np.abs(lower.hidden - before_lower.hidden).max() > 1e-6


def test_what_enters_each_of_the_two_lstms():
    agent = agent_of(depth_2_cost=0.0)
    params = jax.eval_shape(agent.init, jax.random.PRNGKey(0)).params
    sizes = [layer["w"].shape[0] for name, layer in params.items() if "input_g" in name]
    # 256 features and the last reward below; above the features, 64 units of the LSTM
    # below, 8 actions and 6 numbers of the velocity.
    assert sorted(sizes) == [256 + 1, 256 + 64 + 8 + 6]


def test_heads_have_128_units_and_probes_none():
    params = jax.eval_shape(agent_of(**ALL).init, jax.random.PRNGKey(0)).params
    heads, probes = (
        sorted(layer["w"].shape for name, layer in params.items() if what in name)
        for what in ("_head", "_probe")
    )
    # D1 reads 256 features, D2 and L the 48 units of the core.
    pixels = 4 * 16 * 8
    into, out = [(48, 128)] * 2 + [(256, 128)], [(128, 2)] + [(128, pixels)] * 2
    assert heads == sorted(into + out)
    assert probes == [(48, 12), (256, 12)]  # The cells of the maze.


def gradients(agent, params, unroll, task):
    """Of one task's own loss, by module."""
    (one,) = [one for one in agent._auxiliary_tasks if one.name == task]

    def loss(params):
        output = agent.network.unroll(params, unroll)
        return one.loss(output.auxiliary[task], unroll).sum()

    found = jax.jit(jax.grad(loss))(params)
    return {
        module: float(sum(jnp.abs(leaf).sum() for leaf in leaves.values()))
        for module, leaves in found.items()
    }


@pytest.mark.parametrize("task", ["depth_1", "depth_2", "loop", "position"])
def test_where_gradients_of_the_predictions_go(task):
    agent = agent_of(**ALL)
    params, (unroll, _) = played(agent)
    found = gradients(agent, params, unroll, task)
    cores = [value for name, value in found.items() if "lower" in name or "lstm" in name]
    torso = [value for name, value in found.items() if "conv" in name]
    assert len(cores) >= 2 and len(torso) >= 2
    assert (max(cores) > 0) == (task in ("depth_2", "loop"))
    assert (max(torso) > 0) == (task != "position")
    own = {"loop": "loop_head", "position": "position_probe"}.get(task, f"{task}_head")
    assert all(value > 0 for name, value in found.items() if own in name)


def test_costs_of_zero_have_no_head():
    assert make_tasks(NavigationConfig(depth_2_cost=0.0), MAZE.observation_spec()) == []
    costs = {"depth_1_cost": 2.0, "depth_2_cost": 3.0, "loop_cost": 4.0}
    tasks = make_tasks(NavigationConfig(**{**ALL, **costs}), MAZE.observation_spec())
    assert [task.cost for task in tasks] == [2.0, 3.0, 4.0, 1.0, 1.0]
    names = [task.name for task in tasks]
    assert names == ["depth_1", "depth_2", "loop", "position", "position_of_features"]
    assert [task.is_probe for task in tasks] == [False] * 3 + [True] * 2


def fake_unroll(**fields):
    observation = {name: jnp.asarray(value) for name, value in fields.items()}
    rows = jnp.zeros((3, 1))
    return Unroll(TimeStep(rows, rows, rows, observation, rows), None, None, None)


def test_depth_losses_by_hand():
    config = NavigationConfig(depth_1_cost=2.0, depth_2_cost=0.0)
    (task,) = make_tasks(config, MAZE.observation_spec())
    classes = np.zeros((3, 1, 4, 16), np.uint8)
    classes[0, 0, 0, :] = 7  # A quarter of the pixels of the first row of two that count.
    unroll, mask = fake_unroll(depth_classes=classes), jnp.ones((2, 1))
    logits = np.zeros((3, 1, 4, 16, 8), np.float32)
    np.testing.assert_allclose(task.loss(logits, unroll), np.log(8.0), rtol=1e-6)
    logits[..., 7] = 50.0  # Sure of class 7 everywhere: right in a quarter, then nowhere.
    np.testing.assert_allclose(task.loss(logits, unroll), [[37.5], [50.0]], rtol=1e-6)
    assert float(task.metrics(logits, unroll, mask)["accuracy"]) == pytest.approx(0.125)
    only_first = jnp.float32([[1.0], [0.0]])
    assert float(task.metrics(logits, unroll, only_first)["accuracy"]) == 0.25

    regression = dataclasses.replace(config, depth_target="regression")
    (task,) = make_tasks(regression, MAZE.observation_spec())
    loss = task.loss(np.zeros((3, 1, 4, 16), np.float32), unroll)
    np.testing.assert_allclose(loss, [[0.25], [0.0]])


def test_loop_f1_by_hand():
    config = NavigationConfig(depth_2_cost=0.0, loop_cost=1.0)
    (task,) = make_tasks(config, MAZE.observation_spec())
    true = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]], bool)
    told = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    logits = np.eye(2, dtype=np.float32)[told]
    rows = jnp.zeros((3, 4))
    observation = {"loop_closure": jnp.asarray(true)}
    unroll = Unroll(TimeStep(rows, rows, rows, observation, rows), None, None, None)
    found = task.metrics(logits, unroll, jnp.ones((2, 4)))
    # Two closures told rightly, one wrongly, one missed.
    assert float(found["f1"]) == pytest.approx(2 * 2 / (3 + 3))
    assert float(found["share"]) == pytest.approx(3 / 8)
    # Without the first row one closure is left, told rightly.
    found = task.metrics(logits, unroll, jnp.array([[0.0] * 4, [1.0] * 4]))
    assert float(found["f1"]) == pytest.approx(1.0)
    assert float(found["share"]) == pytest.approx(1 / 4)


def test_cells_are_read_from_the_pose():
    config = NavigationConfig(depth_2_cost=0.0, decodes_position=True)
    tasks = make_tasks(config, MAZE.observation_spec())
    pose = np.float32([[[3.9, 1.2, 0.0]], [[0.1, 2.9, 0.0]], [[0.0, 0.0, 0.0]]])
    unroll = fake_unroll(pose=pose)
    logits = np.full((3, 1, 12), -50.0, np.float32)
    logits[0, 0, 4 * 1 + 3] = logits[1, 0, 4 * 2 + 0] = 0.0
    for task in tasks:
        assert float(task.loss(logits, unroll).max()) < 1e-6
        assert float(task.metrics(logits, unroll, jnp.ones((2, 1)))["accuracy"]) == 1.0


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({}, "depth_classes", "no field 'depth_classes'"),
        ({"depth_2_cost": 0.0, "loop_cost": 1.0}, "loop_closure", "--agent.loop-cost 0"),
        ({"depth_2_cost": 0.0, "decodes_position": True}, "pose", "--env.fields"),
        ({"depth_2_cost": 0.0}, "rgb", "no field 'rgb'"),
        ({"is_depth_input": True}, "rgbd", "or set --agent.no-is-depth-input"),
        ({}, "velocity", "or set --agent.wiring plain"),
    ],
)
def test_a_missing_field_is_one_line(settings, field, words):
    environment = dataclasses.replace(
        MAZE, fields=tuple(name for name in FIELDS if name != field)
    )
    core = make_core("lstm", find(CORE, "lstm").default_settings())
    with pytest.raises(ValueError) as caught:
        agent = make_navigation(
            NavigationConfig(**settings), environment.observation_spec(),
            environment.action_spec(), core,
        )  # fmt: skip
        jax.eval_shape(agent.init, jax.random.PRNGKey(0))
    assert words in str(caught.value) and "\n" not in str(caught.value)


CLASSES, PLACE, FLAG = "depth_classes", "pose", {"decodes_position": True}


def _up_to(shape, maximum):
    return specs.BoundedArray(shape, np.float32, np.zeros(shape), maximum)


@pytest.mark.parametrize(
    ("settings", "field", "spec", "words"),
    [
        (
            {},
            CLASSES,
            specs.Array((4, 16), np.uint8),
            "(4, 16), maximum none: must be [ro",
        ),
        (
            {},
            CLASSES,
            _up_to((64,), 7),
            "of shape (64,), maximum 7: must be [rows, ",
        ),
        ({}, CLASSES, _up_to((4, 16), np.inf), "the number of the last class"),
        ({}, CLASSES, _up_to((4, 16), 0), "or set --agent.depth-2-cost 0."),
        ({"depth_target": "regression"}, CLASSES, _up_to((64,), 7), "must be [rows, colum"),
        ({"loop_cost": 1.0}, "loop_closure", _up_to((1,), 1), "must be a single number, 0"),
        (FLAG, PLACE, specs.Array((3,), np.float32), "maximum none: must be [x, y, ...]"),
        (FLAG, PLACE, _up_to((3,), np.inf), "with the maze's width and height as maxima"),
        (FLAG, PLACE, _up_to((), 5), "or set --agent.no-decodes-position."),
        (FLAG, PLACE, _up_to((1,), 5), "of shape (1,), maximum 5: "),
    ],
)
def test_a_field_that_no_loss_can_read_is_one_line(settings, field, spec, words):
    """Environments of a user's own deliver fields of these names, too."""
    delivered = {**MAZE.observation_spec(), field: spec}
    with pytest.raises(ValueError) as caught:
        make_tasks(NavigationConfig(**settings), delivered)
    told = str(caught.value)
    assert told.startswith(f"field '{field}'") and words in told and "\n" not in told


def test_bounds_may_be_of_each_number_alone():
    each = _up_to((4, 16), np.full((4, 16), 7))
    (task,) = make_tasks(NavigationConfig(), {CLASSES: each})
    plain = make_tasks(NavigationConfig(), MAZE.observation_spec())[0]
    features = recurrent.Features(*[jnp.zeros((2, 8))] * 3, None, {}, None)
    shapes = [
        jax.eval_shape(hk.transform(one.head).init, jax.random.PRNGKey(0), features)
        for one in (task, plain)
    ]
    assert shapes[0] == shapes[1]
