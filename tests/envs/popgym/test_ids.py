"""Every id of POPGym's tasks: registered, of its size, found, true to the contract."""

from dataclasses import asdict

import pytest

from tolman.envs.conformance import check_environment
from tolman.launchers.catalog.names import ENV, find, lookup, registered

# POPGym's names, ours, and steps in which an episode of the easy size ends.
TASKS = {
    "Autoencode": ("autoencode", 104),
    "Battleship": ("battleship", 66),
    "Concentration": ("concentration", 105),
    "CountRecall": ("count_recall", 60),
    "HigherLower": ("higher_lower", 60),
    "LabyrinthEscape": ("labyrinth_escape", 60),
    "LabyrinthExplore": ("labyrinth_explore", 60),
    "MineSweeper": ("minesweeper", 20),
    "MultiarmedBandit": ("multiarmed_bandit", 205),
    "NoisyPositionOnlyCartPole": ("noisy_position_only_cartpole", 60),
    "NoisyPositionOnlyPendulum": ("noisy_position_only_pendulum", 65),
    "PositionOnlyCartPole": ("position_only_cartpole", 60),
    "PositionOnlyPendulum": ("position_only_pendulum", 65),
    "RepeatFirst": ("repeat_first", 60),
    "RepeatPrevious": ("repeat_previous", 60),
    "VelocityOnlyCartPole": ("velocity_only_cartpole", 60),
}
SIZES = ["easy", "medium", "hard"]
# Easy, medium and hard, as in popgym 1.0.7.
SETTINGS = {
    "autoencode": {"num_decks": (1, 2, 3)},
    "battleship": {"size": (8, 10, 12)},
    "concentration": {"num_decks": (1, 2, 1), "feature": ("colors", "colors", "ranks")},
    "count_recall": {"num_decks": (1, 2, 4), "feature": ("colors", "suits", "ranks")},
    "higher_lower": {"num_decks": (1, 2, 3)},
    "labyrinth_escape": {"size": (10, 14, 18), "max_num_steps": (1024, 1024, 1024)},
    "labyrinth_explore": {"size": (10, 14, 18), "max_num_steps": (1024, 1024, 1024)},
    "minesweeper": {"size": (4, 6, 8), "num_mines": (2, 6, 10)},
    "multiarmed_bandit": {"num_arms": (10, 20, 30), "max_num_steps": (200, 400, 600)},
    "noisy_position_only_cartpole": {
        "noise_deviation": (0.1, 0.2, 0.3),
        "max_num_steps": (200, 200, 200),
    },
    "noisy_position_only_pendulum": {
        "noise_deviation": (0.1, 0.2, 0.3),
        "max_num_steps": (200, 200, 200),
    },
    "position_only_cartpole": {"max_num_steps": (200, 400, 600)},
    "position_only_pendulum": {"max_num_steps": (200, 150, 100)},
    "repeat_first": {"num_decks": (1, 8, 16)},
    "repeat_previous": {"num_decks": (1, 2, 3), "k": (4, 32, 64)},
    "velocity_only_cartpole": {"max_num_steps": (200, 400, 600)},
}
# In a pendulum rounding grows: two ways to compile it part after some 150 steps. In a
# labyrinth an episode would take 1,023.
SHORT = {"max_num_steps": 60}
SHORT_TASKS = ("pendulum", "labyrinth")


def test_all_are_registered_and_no_others():
    names = {name for name in registered(ENV) if name.startswith("popgym/")}
    assert names == {
        f"popgym/{ours}/{size}" for ours, _ in TASKS.values() for size in SIZES
    }


@pytest.mark.parametrize(("number", "size"), enumerate(SIZES))
def test_the_sizes_are_popgyms(number, size):
    made = {
        ours: asdict(find(ENV, f"popgym/{ours}/{size}").default_settings())
        for ours, _ in TASKS.values()
    }
    assert made == {
        ours: {key: values[number] for key, values in settings.items()}
        for ours, settings in SETTINGS.items()
    }


def make(ours, size):
    settings = SHORT if any(task in ours for task in SHORT_TASKS) else {}
    return find(ENV, f"popgym/{ours}/{size}").thing(**settings)


@pytest.mark.parametrize(("ours", "num_steps"), TASKS.values())
def test_easy_conforms(ours, num_steps):
    checked = check_environment(make(ours, "easy"), num_steps)
    assert not [line for line in checked if "note:" in line], checked


@pytest.mark.slow
@pytest.mark.parametrize("size", ["medium", "hard"])
@pytest.mark.parametrize("ours", [ours for ours, _ in TASKS.values()])
def test_larger_sizes_conform(ours, size):
    assert len(check_environment(make(ours, size), 60)) > 5


@pytest.mark.parametrize("size", ["Easy", "Medium", "Hard"])
@pytest.mark.parametrize("theirs", TASKS)
def test_popgyms_own_name_leads_to_ours(theirs, size):
    with pytest.raises(ValueError) as caught:
        lookup(ENV, f"{theirs}{size}")
    meant = f"(did you mean 'popgym/{TASKS[theirs][0]}/{size.lower()}'?)"
    assert meant in str(caught.value)
