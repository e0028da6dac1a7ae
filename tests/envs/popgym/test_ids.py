"""Every id of POPGym's tasks: registered, found by its own name, true to the contract."""

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
# In a pendulum rounding grows: two ways to compile it part after some 150 steps. In a
# labyrinth an episode would take 1,023.
SHORT = {"max_num_steps": 60}
SHORT_TASKS = ("pendulum", "labyrinth")


def test_all_are_registered_and_no_others():
    names = {name for name in registered(ENV) if name.startswith("popgym/")}
    assert names == {
        f"popgym/{ours}/{size}" for ours, _ in TASKS.values() for size in SIZES
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
