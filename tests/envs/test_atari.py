"""Atari: every option, in the vector and alone, against the bare interface."""

import re
from dataclasses import replace

import numpy as np
import pytest
from oracles.atari import RawGame

from tolman.envs.atari import (
    GAMES,
    AtariEnvironment,
    AtariSettings,
    AtariVector,
    check_atari_id,
    human_normalized_score,
)
from tolman.envs.conformance import check_environment
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.catalog.names import ENV, find

FIRST, MID, LAST = 0, 1, 2
PLAIN = AtariSettings(
    max_noops=0, sticky_action_probability=0.0, clip_rewards=False, max_pool=False
)
# Each option away from PLAIN, in a game and for as many steps as show what it does.
CASES = {
    "plain": ("breakout", PLAIN, 80),
    "sticky": ("breakout", replace(PLAIN, sticky_action_probability=0.25), 80),
    "lives": (
        "breakout",
        replace(PLAIN, life_loss_ends_episode=True, sticky_action_probability=0.25),
        250,
    ),
    "frame_skip": ("breakout", replace(PLAIN, frame_skip=2), 60),
    "max_pool": ("space_invaders", replace(PLAIN, max_pool=True), 100),
    "clip": ("ms_pacman", replace(PLAIN, clip_rewards=True), 100),
    "full_actions": ("pong", replace(PLAIN, full_action_set=True), 60),
    "truncation": ("pong", replace(PLAIN, max_episode_frames=50), 30),
    "tall_screen": ("pooyan", PLAIN, 30),
    "side": ("boxing", replace(PLAIN, side=42), 21),
}
FRAMES_AT = {0, 20}  # The slow reference takes its time for a frame.


def id_of(rom):
    return f"ALE/{rom.title().replace('_', '')}-v5"


def play_alone(name, settings, seed, actions):
    environment = AtariEnvironment(name, settings, seed)
    timesteps = [environment.reset(), *(environment.step(action) for action in actions)]
    return [
        (
            int(each.step_type),
            0.0 if each.first() else each.reward,
            1.0 if each.first() else each.discount,
            each.observation,
        )
        for each in timesteps
    ]


def play_vector(name, settings, seeds, actions):
    vector = AtariVector(name, settings, num_envs=len(seeds), seed=0)
    vector._seeds = np.array(seeds, np.int32)
    rows = [vector.reset(), *(vector.step(action) for action in actions)]
    vector.close()
    return rows


@pytest.mark.parametrize("case", CASES)
def test_options_against_the_bare_interface(case):
    rom, settings, num_steps = CASES[case]
    name, seeds = id_of(rom), (3, 4)
    num_actions = AtariEnvironment(name, settings).action_spec().num_values
    actions = np.random.default_rng(0).integers(num_actions, size=(num_steps, 2))
    rows = play_vector(name, settings, seeds, actions)
    seen = {"ends": 0, "terminations": 0, "rewards": set()}
    for index, seed in enumerate(seeds):
        game = RawGame(rom, seed, settings)
        alone = play_alone(name, settings, seed, actions[:, index])
        for time, row in enumerate(rows):
            action = None if time == 0 else actions[time - 1, index]
            *wanted, frame = game.row(action, wants_frame=time in FRAMES_AT)
            scalars = (row.step_type[index], row.reward[index], row.discount[index])
            assert list(scalars) == wanted, (case, time)
            assert list(alone[time][:3]) == wanted, (case, time)
            assert row.new_task[index] == (wanted[0] == FIRST)
            seen["ends"] += wanted[0] == LAST
            seen["terminations"] += wanted[2] == 0.0
            seen["rewards"].add(wanted[1])
            if frame is not None:
                for observation in (row.observation[index], alone[time][3]):
                    assert np.abs(observation[..., -1] - frame).max() < 1.0
            if not (wanted[0] == LAST and game.game_over):
                difference = row.observation[index].astype(int) - alone[time][3]
                assert np.abs(difference).max() <= 1
                assert (difference != 0).mean() < 1e-3
    # That each case has shown what it is about.
    if case == "lives":
        assert seen["terminations"] >= 8 and game.lives < 5
    if case == "truncation":
        assert seen["ends"] == 4 and seen["terminations"] == 0
    if case == "clip":
        assert seen["rewards"] == {0.0, 1.0}
    if case == "max_pool":
        assert {5.0, 10.0} & seen["rewards"]


def test_a_step_takes_frame_skip_frames():
    for frame_skip in (1, 4):
        settings = replace(PLAIN, frame_skip=frame_skip)
        environment = AtariEnvironment("ALE/Pong-v5", settings)
        environment.reset()
        for _ in range(10):
            environment.step(0)
        assert environment._ale.getEpisodeFrameNumber() == 10 * frame_skip


def test_truncation_counts_frames_not_steps():
    rows = play_alone("ALE/Pong-v5", replace(PLAIN, max_episode_frames=10), 0, [0] * 4)
    assert [row[0] for row in rows] == [FIRST, MID, MID, LAST, FIRST]
    assert rows[3][2] == 1.0


def test_the_full_action_set_has_eighteen():
    for settings, count in ((PLAIN, 6), (replace(PLAIN, full_action_set=True), 18)):
        assert AtariEnvironment("ALE/Pong-v5", settings).action_spec().num_values == count
        vector = AtariVector("ALE/Pong-v5", settings, num_envs=1)
        assert vector.action_spec().num_values == count


def test_actions_that_always_stick_never_change():
    settings = replace(PLAIN, sticky_action_probability=1.0)
    actions = np.random.default_rng(0).integers(6, size=30)
    moved, still = (
        play_alone("ALE/Pong-v5", settings, 0, list(chosen))
        for chosen in (actions, 0 * actions)
    )
    for one, other in zip(moved, still, strict=True):
        np.testing.assert_array_equal(one[3], other[3])
    free = play_alone("ALE/Pong-v5", PLAIN, 0, list(actions))
    assert any((a[3] != b[3]).any() for a, b in zip(free, still, strict=True))


def test_no_op_starts_are_uniform_from_none_to_the_most():
    settings = replace(PLAIN, max_noops=1)
    vector = AtariVector("ALE/Pong-v5", settings, num_envs=24)
    _, info = vector._games.reset(seed=np.arange(24))
    drawn = list(info["episode_frame_number"])
    environment = AtariEnvironment("ALE/Pong-v5", settings)
    alone = []
    for _ in range(24):
        environment.reset()
        alone.append(environment._ale.getEpisodeFrameNumber())
    for counts in (np.bincount(drawn), np.bincount(alone)):
        # 12 are expected of each, with a standard deviation of 2.4.
        assert len(counts) == 2 and counts.min() >= 5


def test_the_same_game_goes_on_after_a_lost_life():
    settings = replace(PLAIN, life_loss_ends_episode=True)
    environment = AtariEnvironment("ALE/Breakout-v5", settings)
    fire = 1
    timestep = environment.reset()
    assert environment.lives == 5
    for lives in (4, 3, 2, 1, 0, 4):
        while not timestep.last():
            timestep = environment.step(fire)
        assert environment.lives == lives and timestep.discount == 0.0
        timestep = environment.step(fire)
        assert timestep.first() and environment.lives == (lives or 5)


def test_frames_from_before_the_episode_are_black():
    settings = replace(PLAIN, life_loss_ends_episode=True)
    rows = play_vector("ALE/Breakout-v5", settings, [0], [[1]] * 120)
    starts = [time for time, row in enumerate(rows) if row.step_type[0] == FIRST]
    assert len(starts) > 2
    for start in starts:
        for age in range(4):
            is_lit = rows[start + age].observation[0].any(axis=(0, 1))
            assert is_lit.tolist() == [index >= 3 - age for index in range(4)]


class ScriptedGames:
    """ale-py's vector of two, which says what it is told to."""

    def __init__(self, flags):
        self.flags, self.restarted, self.actions = iter(flags), [], []

    def frames(self, value):
        return np.full((2, 4, 84, 84), value, np.uint8)

    def reset(self, seed=None, options=None):
        self.restarted.append(None if options is None else options["reset_mask"].tolist())
        return self.frames(200), {}

    def step(self, action):
        self.actions.append(action.tolist())
        terminated = np.array([next(self.flags), False])
        return self.frames(100), np.full(2, 7), terminated, np.zeros(2, bool), {}


def test_a_game_that_ends_as_an_episode_starts_is_replaced():
    settings = replace(PLAIN, life_loss_ends_episode=True)
    vector = AtariVector("ALE/Breakout-v5", settings, num_envs=2)
    # A life is lost in the first step, and the last one in the step without an action.
    vector._games = ScriptedGames([True, True, False])
    rows = [vector.reset(), *(vector.step([1, 2]) for _ in range(3))]
    assert [row.step_type.tolist() for row in rows] == [[0, 0], [2, 1], [0, 1], [1, 1]]
    assert [row.reward.tolist() for row in rows] == [[0, 0], [7, 7], [0, 7], [7, 7]]
    assert [row.discount.tolist() for row in rows] == [[1, 1], [0, 1], [1, 1], [1, 1]]
    assert vector._games.actions == [[1, 2], [0, 2], [1, 2]]
    assert vector._games.restarted == [None, [True, False]]
    assert rows[2].observation[0, 0, 0].tolist() == [0, 0, 0, 200]


def test_seeds_repeat_and_differ():
    settings = AtariSettings()
    actions = np.random.default_rng(0).integers(6, size=(40, 2))

    def play(seed):
        vector = AtariVector("ALE/Pong-v5", settings, num_envs=2, seed=seed)
        return [vector.reset(), *(vector.step(action) for action in actions)]

    first, again, other = play(1), play(1), play(2)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.observation, two.observation)
    assert (first[-1].observation != other[-1].observation).any()
    assert (first[-1].observation[0] != first[-1].observation[1]).any()


def test_what_was_handed_out_stays():
    vector = AtariVector("ALE/Pong-v5", PLAIN, num_envs=1)
    rows = [vector.reset(), vector.step([0])]
    copies = [row.observation.copy() for row in rows]
    for _ in range(20):
        vector.step([2])
    for row, copy in zip(rows, copies, strict=True):
        np.testing.assert_array_equal(row.observation, copy)


def test_frame_is_in_colour():
    environment = AtariEnvironment("ALE/Pong-v5", PLAIN)
    environment.reset()
    frame = environment.frame()
    assert frame.shape == (210, 160, 3) and frame.dtype == np.uint8
    assert (frame[..., 0] != frame[..., 1]).any()


def test_conforms():
    assert check_environment(AtariEnvironment("ALE/Breakout-v5", AtariSettings()))


def test_settings_and_names():
    settings = find(ENV, "ALE/Pong-v5").default_settings()
    assert settings == AtariSettings()
    evaluated = replace(settings, life_loss_ends_episode=True).for_evaluation()
    assert not evaluated.clip_rewards and not evaluated.life_loss_ends_episode
    assert evaluated.max_noops == 30
    source = find_environments("ALE/Pong-v5", replace(settings, stack=2))
    vector = source.make_vector(0, 2)
    assert source.observation_spec() == vector.observation_spec()
    assert source.action_spec() == vector.action_spec()
    assert vector.reset().observation.shape == (2, 84, 84, 2)
    assert vector.observation_spec().shape == (84, 84, 2)
    vector.close()
    assert check_atari_id("ALE/UpNDown-v5") == "up_n_down"


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: check_atari_id("ALE/Ping-v5"), r"did you mean 'ALE/Pong-v5'.*104 games"),
        (lambda: AtariVector("ALE/Pong-v5", PLAIN, 0), r"num_envs=0"),
        (lambda: vector_of_two().step([0, 6]), r"actions from 0 to 6: .*\[0, 6\)"),
        (lambda: vector_of_two().step([0]), r"action of shape \(1,\): must be \(2,\)"),
    ],
)
def test_mistakes_are_one_line(mistake, message):
    with pytest.raises(ValueError, match=message) as caught:
        mistake()
    assert "\n" not in str(caught.value)


def vector_of_two():
    vector = AtariVector("ALE/Pong-v5", PLAIN, 2)
    vector.reset()
    return vector


def test_scores():
    # Pong: random -20.7, human 14.6, so 14.6 is 1 and the middle is 0.5.
    assert human_normalized_score("pong", -20.7) == 0.0
    assert human_normalized_score("ALE/Pong-v5", 14.6) == 1.0
    assert human_normalized_score("pong", -3.05) == pytest.approx(0.5)
    assert human_normalized_score("ALE/UpNDown-v5", 11693.2) == 1.0
    assert len(GAMES) == 57 and len(set(GAMES)) == 57
    for game in GAMES:
        assert re.fullmatch("[a-z_]+", check_atari_id(id_of(game)))
    with pytest.raises(ValueError, match=r"'ping' has no human score.*did you mean 'pong'"):
        human_normalized_score("ping", 0.0)
