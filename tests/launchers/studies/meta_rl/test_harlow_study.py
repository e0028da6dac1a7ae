"""The Harlow study's own analysis, on hand-made trajectories; then the study itself."""

from types import SimpleNamespace

import numpy as np
import pytest

from tolman.launchers.studies.meta_rl import harlow as study
from tolman.launchers.studies.meta_rl.harlow_choices import (
    NOTEPAD_LATER,
    NOTEPAD_THIRD,
    choose,
)
from tolman.launchers.studies.study import run_study

RIGHT, WRONG = True, False


def one_shot(num_episodes: int, seed: int = 0) -> np.ndarray:
    """`[E, N]` bool: a guess, then always right."""
    correct = np.ones((num_episodes, study.NUM_TRIALS), bool)
    correct[:, 0] = np.random.default_rng(seed).random(num_episodes) < 0.5
    return correct


def test_outcomes_are_read_where_the_episode_ends():
    recorded = np.zeros((129, 2, 3, study.NUM_TRIALS), int)
    recorded[study.NUM_TRIALS, 0] = 1
    recorded[study.NUM_TRIALS, 1] = -1
    recorded[study.NUM_TRIALS + 1 :] = 1  # The next episode's.
    correct = study.outcomes(SimpleNamespace(record=recorded))
    assert correct.shape == (2, 3, study.NUM_TRIALS)
    assert correct[0].all() and not correct[1].any()


def test_one_shot_learner_is_at_ceiling_and_a_guesser_is_not():
    guesses = np.random.default_rng(1).random((400, study.NUM_TRIALS)) < 0.5
    player = choose(np.stack([guesses, one_shot(400)]), 1)
    assert player.shown.tolist() == [1]
    assert player.share_at_ceiling == 0.5
    assert player.later == 1.0
    assert player.first == pytest.approx(0.5, abs=0.1)
    assert player.second_trial(RIGHT) == player.second_trial(WRONG) == 1.0


def test_the_ceiling_is_nine_of_ten():
    """Of the trials from the second on, over all episodes."""
    correct = np.ones((3, 10, study.NUM_TRIALS), bool)
    correct[:, :, 0] = False  # The first does not count.
    correct[1, :1] = False  # Right in nine of ten: not above.
    correct[2, :2] = False
    assert choose(correct, 1).share_at_ceiling == pytest.approx(1 / 3)


def test_the_error_of_a_share_counts_episodes_not_trials():
    correct = np.ones((2, 8, study.NUM_TRIALS), bool)
    correct[:, 4:6] = False  # Two of the four episodes that are shown.
    player = choose(correct, 2)
    # Shares 0, 0, 1, 1 of four episodes: deviation sqrt(1 / 3), over sqrt(4).
    assert player.error(slice(1, None)) == pytest.approx(np.sqrt(1 / 3) / 2)
    correct[1] = True  # Means of two members that differ: 0.5, 0.5, 1, 1.
    assert choose(correct, 2).error(slice(0, 1)) == pytest.approx(np.sqrt(1 / 12) / 2)


def test_members_are_chosen_and_shown_on_different_episodes():
    correct = np.ones((2, 4, study.NUM_TRIALS), bool)
    correct[0, 2:, 1:] = False  # Good where it is chosen, bad where it is shown.
    correct[1, 0, 1:] = False
    player = choose(correct, 1)
    assert player.shown.tolist() == [0]
    assert player.episodes.tolist() == [2, 3]
    assert player.later == 0.0


def test_what_a_last_reward_alone_can_do_at_best():
    """All players that take the darker picture by chances of the last reward."""
    at_first, won, lost = np.meshgrid(*[np.linspace(0, 1, 41)] * 3, indexing="ij")
    shares = []
    for dark_pays in (True, False):
        chances = [c if dark_pays else 1 - c for c in (at_first, won, lost)]
        right = [chances[0]]
        for _ in range(study.NUM_TRIALS - 1):
            right.append(right[-1] * chances[1] + (1 - right[-1]) * chances[2])
        shares.append(right)
    by_trial = np.mean(shares, axis=0)  # [N, ...]; either picture pays as often.
    np.testing.assert_allclose(by_trial[0], 0.5)
    assert by_trial[1:].mean(0).max() == pytest.approx(NOTEPAD_LATER)
    assert by_trial[2].max() == pytest.approx(NOTEPAD_THIRD)


def test_second_trial_tells_a_player_that_stays_from_one_that_learns():
    # Keeps its first choice: right for ever after a right guess, else wrong for ever.
    guess = np.array([RIGHT, RIGHT, WRONG, WRONG] * 2)
    correct = np.repeat(guess[:, None], study.NUM_TRIALS, axis=1)
    player = choose(correct[None], 1)
    assert player.second_trial(RIGHT) == 1.0
    assert player.second_trial(WRONG) == 0.0
    np.testing.assert_allclose(player.by_trial, 0.5)


@pytest.mark.slow
def test_quick_study_passes(tmp_path):
    assert run_study("meta_rl/harlow", True, 0, tmp_path / "study") == 0
    figures = {path.stem for path in (tmp_path / "study" / "figures").glob("*.png")}
    assert figures == {"learning_set", "learning_curves"}
