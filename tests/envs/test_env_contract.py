"""What every registered environment must do, whatever it is about."""

import pytest

from tolman.envs.adapters import DmEnvAdapter
from tolman.envs.conformance import check_environment
from tolman.envs.environment import register_env
from tolman.launchers.catalog.names import ENV, registered

ENVIRONMENTS = registered(ENV)

META_RL = [
    "two_step",
    *(
        f"bandit/{name}"
        for name in [
            "independent",
            "uniform",
            "easy",
            "medium",
            "hard",
            "informative",
            "restless",
            "restless_low",
            "restless_high",
        ]
    ),
    "harlow",
    "harlow/choice",
]
CLASSIC = ["cartpole"]
MEMORY = [f"memory/{name}" for name in ["t_maze", "associative_recall", "memory_length"]]
CONFLICT = [f"conflict/{name}" for name in ["catch", "dodge", "exchanged"]]
ORDINARY = [*META_RL, *MEMORY, *CLASSIC, *CONFLICT]
SMALL = {
    "harlow": {
        "screen_size": 16,
        "num_images": 8,
        "max_num_steps": 30,
        "source": "generated",
    },
    "harlow/choice": {"image_size": 4, "num_images": 8, "source": "generated"},
}


def test_all_are_registered():
    assert {*ORDINARY} <= set(ENVIRONMENTS)


@pytest.mark.parametrize("name", ORDINARY)
def test_conforms(name):
    environment = ENVIRONMENTS[name](**SMALL.get(name, {}))
    checked = check_environment(environment, num_steps=120)
    assert not [line for line in checked if "note:" in line], checked


@pytest.mark.parametrize(
    ("name", "num_steps", "discount"),
    [
        ("two_step", 20, 0.0),
        ("bandit/independent", 100, 0.0),
        ("bandit/informative", 5, 0.0),
        ("bandit/restless", 100, 0.0),
        ("harlow/choice", 10, 0.0),
        ("conflict/catch", 7, 0.0),
        ("memory/t_maze", 11, 0.0),
        ("memory/associative_recall", 10, 0.0),
        ("memory/memory_length", 11, 0.0),
        ("harlow", 30, 1.0),  # Nothing is ever chosen, so the clock runs out.
    ],
)
def test_episode_length_and_last_discount(name, num_steps, discount):
    environment = ENVIRONMENTS[name](**SMALL.get(name, {}))
    noop = environment.action_spec().num_values - 1
    adapter = DmEnvAdapter(environment, seed=0)
    assert adapter.reset().first()
    for _ in range(num_steps - 1):
        timestep = adapter.step(noop)
        assert timestep.mid()
        assert timestep.discount == 1.0
        assert not adapter.new_task
    timestep = adapter.step(noop)
    assert timestep.last()
    assert timestep.discount == discount
    assert adapter.step(noop).first()
    assert adapter.new_task


def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="'two_step' is taken"):
        register_env("two_step")(lambda: None)
