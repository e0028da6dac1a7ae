"""`tolman play`, and what `tolman eval` shares with it: runs, trained a little and watched.

Episodes are compared with the environment stepped by hand with the same actions.
"""

import sys

import numpy as np
import pytest
from films import read, shades

from tolman.envs.atari import human_normalized_score
from tolman.launchers.cli import main
from tolman.launchers.evaluation.episodes import environment_seed, evaluation_key
from tolman.launchers.film import playing
from tolman.launchers.film.camera import Camera, FilmedSource
from tolman.launchers.runs.restore import restore

MODULE = '''
import dataclasses

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.environment import restart, transition


@dataclasses.dataclass(frozen=True)
class Bars:
    """Its picture brightens by 20 a step; an action pays itself, by `scale`."""

    scale: float = 0.125

    def for_evaluation(self):
        return dataclasses.replace(self, scale=1.0)

    def reset(self, key):
        length = jax.random.randint(key, (), 2, 9)
        return (jnp.int32(0), length), restart(self._observe(0))

    def step(self, state, action):
        time, length = state[0] + 1, state[1]
        reward = self.scale * action
        return (time, length), transition(reward, self._observe(time), time == length)

    def _observe(self, time):
        return jnp.full((16, 20, 3), 20 * time, jnp.uint8)

    def observation_spec(self):
        return specs.BoundedArray((16, 20, 3), np.uint8, 0, 255, "observation")

    def action_spec(self):
        return specs.DiscreteArray(3)


class Walk(dm_env.Environment):
    """Noise to remember; the picture is as bright as the walk is far."""

    def __init__(self, seed: int):
        self._rng = np.random.default_rng(seed)

    def reset(self):
        self._far, self._time = 100, 0
        return dm_env.restart(self._observe())

    def step(self, action):
        self._far, self._time = self._far + 5 * (int(action) - 1), self._time + 1
        if self._rng.random() < 0.1:
            return dm_env.termination(self._far / 8, self._observe())
        return dm_env.transition(self._far / 8, self._observe())

    def _observe(self):
        return self._rng.normal(size=3).astype(np.float32)

    def render(self):
        return np.full((24, 32, 3), np.clip(self._far, 0, 250), np.uint8)

    def observation_spec(self):
        return specs.Array((3,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(3)
'''
SMALL = "--agent.unroll-length 4 --agent.batch-size 2 --num-env-steps 16".split()
MS_PACMAN = "ALE/MsPacman-v5"


@pytest.fixture(scope="module")
def make_run(tmp_path_factory):
    """Trains a run of few steps, once for all tests; returns its folder."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "watched.py").write_text(MODULE)
    sys.path.append(str(folder))

    def make(env, *flags):
        run = folder / env.replace(":", "_").replace("/", "_")
        if not run.exists():
            words = f"train actor_critic --env {env} --run-dir {run}".split()
            assert main([*words, *SMALL, *flags]) == 0
        return run

    yield make
    sys.path.remove(str(folder))
    sys.modules.pop("watched", None)


@pytest.fixture
def bars(make_run):
    flags = "--core feedforward --agent.torso flat --num-env-steps 800".split()
    return make_run("watched:Bars", *flags)


@pytest.fixture
def host(make_run):
    """Makes the runs of environments of the host."""
    made = {
        "watched:Walk": "--core gru",
        MS_PACMAN: "--core feedforward --env.max-episode-frames 600 "
        "--env.life-loss-ends-episode",
    }
    return lambda env: make_run(env, "--num-envs", "2", *made[env].split())


@pytest.fixture
def on_stage(monkeypatch):
    """What `play` builds and does on the host: arguments of it, and actions by episode."""
    made, actions = [], []
    make, reset, step = FilmedSource._make, Camera.reset, Camera.step
    monkeypatch.setattr(
        FilmedSource, "_make", lambda *given: (made.append(given), make(*given))[1]
    )
    monkeypatch.setattr(Camera, "reset", lambda self: (actions.append([]), reset(self))[1])
    monkeypatch.setattr(
        Camera,
        "step",
        lambda self, action: (actions[-1].append(action), step(self, action))[1],
    )
    return lambda: (make(*made[0]).environment, actions)


def by_hand(environment, actions, picture):
    """The returns, lengths and pictures of an environment that takes these actions."""
    returns, lengths, pictures = [], [], []
    for episode in actions:
        timestep, total = environment.reset(), 0.0
        pictures.append(picture(environment))
        for number, action in enumerate(episode, start=1):
            timestep = environment.step(action)
            total += float(timestep.reward)
            pictures.append(picture(environment))
            assert timestep.last() == (number == len(episode))
        returns.append(total)
        lengths.append(len(episode))
    return returns, lengths, np.stack(pictures)


def printed(returns, lengths, path):
    return [
        *(
            f"episode {index}: return {value:.6g}, length {length}"
            for index, (value, length) in enumerate(zip(returns, lengths, strict=True), 1)
        ),
        str(path),
    ]


def test_on_device(bars, tolman, monkeypatch):
    seen, play_episodes_of = [], playing.play_episodes_of
    monkeypatch.setattr(
        playing,
        "play_episodes_of",
        lambda *given: seen.append(play_episodes_of(*given)) or seen[0],
    )
    code, out, errors = tolman("play", bars, "--num-episodes", 3, "--seed", 5)
    assert (code, errors) == (0, [])
    (trajectory,) = (played.trajectory for played in seen)
    lengths = [
        int(np.flatnonzero(trajectory.timestep.step_type[:, 0, index] == 2)[0])
        for index in range(3)
    ]
    assert len({*lengths}) > 1
    returns = [  # At full scale, not at that of training.
        int(trajectory.action[:length, 0, index].sum())
        for index, length in enumerate(lengths)
    ]
    path = bars / "videos" / "800_s5.mp4"
    assert out.splitlines() == printed(returns, lengths, path)
    fps, frames = read(path)
    assert fps == 15 and frames.shape[1:] == (320, 400, 3)
    expected = [20 * time for length in lengths for time in range(length + 1)]
    np.testing.assert_allclose(shades(frames), expected, atol=3)


def test_out_fps_and_checkpoint(bars, tolman, tmp_path):
    words = ["--checkpoint", 800, "--out", "a/b.mp4", "--fps", 3]
    code, out, _ = tolman("play", bars, *words)
    assert code == 0 and out.endswith("\na/b.mp4")
    assert read(tmp_path / "a" / "b.mp4").fps == 3


def test_eval_has_the_settings_for_evaluation(bars, tolman):
    """Rewards are 0, 1 or 2; in training an eighth of that."""
    code, out, _ = tolman("eval", bars, "--num-episodes", 16)
    assert code == 0
    episode_return, length = (float(out.split()[index]) for index in (1, 10))
    assert out.split()[9] == "eval/episode_length"
    assert 0.5 * length < episode_return <= 2.0 * length


@pytest.mark.parametrize(
    "words, message",
    [
        (
            "--num-episodes 0",
            "num_episodes=0: must be in [1, 1000000]. Set --num-episodes.",
        ),
        ("--seed -1", "seed=-1: must lie in [0, 2**32). Set --seed."),
        ("--fps 0", "fps=0.0: must lie in (0, 1000]. Set --fps."),
        ("--checkpoint 7", "no checkpoint 7; there are [800]."),
        ("--out film.avi", "film.avi: must be a file that ends in .mp4. Set --out."),
        ("--out taken/film.mp4", "taken cannot be written to. Set another --out."),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(words, message, bars, tolman, tmp_path):
    (tmp_path / "taken").touch()
    code, out, errors = tolman("play", bars, *words.split())
    assert (code, out) == (2, "")
    assert errors[-1].startswith("tolman: error: ") and errors[-1].endswith(message)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_films_that_cannot_be_made_are_refused_before_work_is_done(bars, monkeypatch):
    monkeypatch.setattr(playing, "restore", lambda *given: pytest.fail("restored first"))
    for given in ({"out": bars / "film.avi"}, {"fps": -1.0}):
        with pytest.raises(ValueError, match=r"must be|must lie"):
            playing.play(bars, **given)


def test_runs_that_cannot_be_played(tolman, tiny, tmp_path):
    run = tmp_path / "run"
    assert (
        tolman("train", "meta_rl", *tiny, "--run-dir", run, "--num-env-steps", 20)[0] == 0
    )
    code, _, errors = tolman("play", run)
    assert code == 2 and "env 'two_step': there is nothing to see." in errors[-1]
    (checkpoint,) = (run / "checkpoints").iterdir()
    checkpoint.rename(run / "elsewhere")
    code, _, errors = tolman("play", run)
    assert code == 2 and errors[-1].endswith("checkpoints: no checkpoint.")
    assert not (run / "videos").exists()


def test_on_the_host(host, tolman, on_stage):
    run = host("watched:Walk")
    code, out, errors = tolman("play", run, "--num-episodes", 3, "--seed", 2, "--fps", 9)
    assert code == 0, errors
    environment, actions = on_stage()
    returns, lengths, pictures = by_hand(environment, actions[:3], lambda e: e.render())
    path = run / "videos" / "16_s2.mp4"
    assert out.splitlines() == printed(returns, lengths, path)
    fps, frames = read(path)
    assert fps == 9 and frames.shape == (sum(lengths) + 3, 14 * 24, 14 * 32, 3)
    np.testing.assert_allclose(shades(frames), shades(pictures), atol=3)


def test_the_camera_changes_nothing(host):
    """Unfilmed, one environment with that seed has the same episodes: memory included."""
    from tolman.launchers.host.evaluation import play_host_episodes

    run = host("watched:Walk")
    played = playing.play(run, num_episodes=3, seed=11)
    restored, key = restore(run, None), evaluation_key(11)
    vector = restored.job.source.make_vector(environment_seed(key), 1)
    episodes = play_host_episodes(restored.agent, vector, restored.params, key, 3)
    vector.close()
    assert [episode[1:3] for episode in episodes] == [
        *zip(played.returns, played.lengths, strict=True)
    ]


def test_atari_is_played_for_its_score(host, tolman, on_stage):
    run = host(MS_PACMAN)
    code, out, errors = tolman("play", run)
    assert code == 0, errors
    game, actions = on_stage()
    assert not game.settings.clip_rewards and not game.settings.life_loss_ends_episode
    returns, lengths, pictures = by_hand(game, actions[:1], lambda e: e.frame())
    assert returns[0] >= 10 and returns[0] % 10 == 0  # A pellet is 10 points.
    path = run / "videos" / "16_s0.mp4"
    assert out.splitlines() == printed(returns, lengths, path)
    fps, frames = read(path)
    assert fps == 15 and frames.shape == (lengths[0] + 1, 420, 320, 3)
    shown = frames[:, ::2, ::2].astype(int)
    blurred = np.abs(shown - pictures).mean(axis=(1, 2, 3))
    out_of_step = np.abs(shown - np.roll(pictures, 1, axis=0)).mean(axis=(1, 2, 3))
    assert blurred.max() < 4 and blurred.mean() < out_of_step.mean() / 1.2
    code, out, _ = tolman("eval", run, "--num-episodes", 2, "--seed", 3)
    score, shown = (line.split() for line in out.splitlines())
    expected = human_normalized_score("ms_pacman", float(score[1]))
    assert shown[:2] == ["eval/human_normalized_score", f"{expected:.4g}"]
