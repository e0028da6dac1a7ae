"""A run is resolved once: names looked up once, environments built only to be stepped."""

import sys
from collections import Counter

import pytest

from tolman.launchers.catalog import names, trust
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.catalog.names import find
from tolman.launchers.evaluation.evaluate import evaluate
from tolman.launchers.evaluation.policy import load
from tolman.launchers.film.playing import play
from tolman.launchers.runs.job import resolve
from tolman.launchers.runs.training import resume, train
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.settings.config import TrainConfig

COUNTED = """
import dm_env
import numpy as np
from dataclasses import dataclass

from dm_env import specs
from tolman.envs.environment import register_env
from tolman.envs.meta_rl import TwoStep

BUILT = []


class Host(dm_env.Environment):
    def __init__(self, seed: int = 0):
        self.seed, self.time, self.num_steps = seed, 0, 0
        self.is_closed = False
        BUILT.append(self)

    def close(self):
        self.is_closed = True

    def reset(self):
        self.time = 0
        return dm_env.restart(self.observe())

    def step(self, action):
        self.time, self.num_steps = self.time + 1, self.num_steps + 1
        if self.time == 3:
            return dm_env.termination(1.0, self.observe())
        return dm_env.transition(0.0, self.observe())

    def observe(self):
        return np.full(2, self.time, np.float32)

    def render(self):
        return np.zeros((16, 16, 3), np.uint8)

    def observation_spec(self):
        return specs.Array((2,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


@register_env("counted/untold")
def make_host(seed: int = 0):
    return Host(seed)


@dataclass(frozen=True)
class Device(TwoStep):
    num_trials: int = 2

    def __post_init__(self):
        BUILT.append(self)


@register_env("counted/untold_device")
def make_device():
    return Device()


def unmarked(seed: int = 0):
    return Host(seed)
"""
WORDS = """--core feedforward --agent.unroll-length 4 --agent.batch-size 2
--agent.torso flat --num-env-steps 32 --checkpoint-interval 16""".split()


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted")
    (folder / "counted.py").write_text(COUNTED)
    sys.path.append(str(folder))
    import counted

    yield counted
    sys.path.remove(str(folder))
    sys.modules.pop("counted")
    for name in ("counted/untold", "counted/untold_device"):
        names.registered(names.ENV).pop(name)


@pytest.fixture
def built(counted):
    """A function that returns what has been built since it was called last."""

    def take():
        taken = [*counted.BUILT]
        counted.BUILT.clear()
        return taken

    take()
    return take


@pytest.mark.parametrize("env", ["counted:Host", "counted/untold"])
def test_on_the_host_every_environment_is_stepped(env, built, tmp_path):
    words = ["actor_critic", "--env", env, "--num-envs", "2", *WORDS]
    words += ["--run-dir", str(tmp_path / "run")]
    run = train(parse_train(words))
    of_training = built()
    checkpoints = sorted((run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    checkpoints[-1].rename(run / "elsewhere")
    resume(run)
    of_resuming = built()
    evaluate(run, num_episodes=4)
    of_evaluation = built()
    play(run)
    counts = [len(of_training), len(of_resuming), len(of_evaluation), len(built())]
    assert counts == [2, 2, 4, 1]
    everything = of_training + of_resuming + of_evaluation
    assert all(environment.num_steps for environment in everything)
    assert len({environment.seed for environment in everything}) == 8


def test_environments_that_nothing_steps_are_closed(built, tmp_path):
    words = ["actor_critic", "--env", "counted:Host", "--num-envs", "2", *WORDS]
    words += ["--eval-every", "16", "--run-dir", str(tmp_path / "run")]
    run = train(parse_train(words))
    resume(run)  # It has come to its end: specs are asked for, and no step is taken.
    load(run)
    every = built()
    assert sum(not environment.num_steps for environment in every) == 3
    assert all(environment.is_closed for environment in every)


@pytest.mark.parametrize("env", ["counted:Device", "counted/untold_device"])
def test_on_the_device_there_is_one_environment(env, built, tmp_path):
    words = ["actor_critic", "--env", env, *WORDS, "--run-dir", str(tmp_path / "run")]
    config = parse_train(words)
    built()  # A dataclass of settings is the environment itself.
    run = train(config)
    assert len(built()) <= 2
    resume(run)
    evaluate(run, num_episodes=2)
    assert len(built()) <= 4


def test_the_first_copy_is_handed_out_once(built):
    source = find_environments("counted/untold")
    assert not source.is_on_device and len(built()) == 1
    one, other = source.make_vector(0, 2), source.make_vector(0, 2)
    assert len(built()) == 3
    one.close()
    other.close()


def test_every_name_is_looked_up_once(counted, monkeypatch, tmp_path):
    looked_up = Counter()
    lookup = names.lookup

    def count(kind, name):
        looked_up[name] += 1
        return lookup(kind, name)

    monkeypatch.setattr(names, "lookup", count)
    words = ["actor_critic", "--env", "counted:Host", *WORDS]
    config = parse_train([*words, "--run-dir", str(tmp_path / "run")])
    looked_up.clear()
    train(config)
    assert looked_up == {"actor_critic": 1, "counted:Host": 1, "feedforward": 1}


def test_the_kind_of_an_agent_is_declared():
    assert resolve(TrainConfig("dqn", "CartPole-v1")).kind == "acts"
    job = resolve(TrainConfig("gumbel_alphazero", "tic_tac_toe"))
    assert (job.kind, job.runner) == ("plays", "on-device/plays")
    assert resolve(TrainConfig("memo", "shortest_path")).runner == "on-device/learns"
    with pytest.raises(ValueError, match="'memo' learns from examples"):
        resolve(TrainConfig("memo", "shortest_path", launcher="local"))
    with pytest.raises(ValueError, match=r"source 'two_step' is unknown: use .*babi"):
        resolve(TrainConfig("memo", "two_step"))


def test_a_stored_run_calls_only_what_it_may(counted, tmp_path):
    for name in ("counted:Host", "counted/untold", "counted:make_host", "CartPole-v1"):
        trust.check_things([find(names.ENV, name)])
    for name in ("counted:unmarked", "os:system", "json:JSONDecoder"):
        with pytest.raises(ValueError, match="a stored run calls nothing else"):
            trust.check_things([find(names.ENV, name)])
    (tmp_path / "evil.py").write_text("raise SystemExit")
    trust.check_modules(["counted:Host", "no_module:Thing", "two_step"], tmp_path)


@pytest.mark.parametrize(
    "names_it",
    [
        "env: evil:Env",
        "env: theirs.evil:Env",
        "env: two_step\nloggers: [evil:Logger]",
        "env: two_step\nagent.auxiliary_tasks: [evil:task]",
    ],
)
def test_a_stored_run_brings_no_code(names_it, tolman, tmp_path, monkeypatch):
    run = tmp_path / "theirs"
    run.mkdir()
    (run / "evil.py").write_text("print('imported')")
    (run / "config.yaml").write_text(f"agent: meta_rl\n{names_it}\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(run)])
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    code, out, errors = tolman("eval", run)
    assert "imported" not in out
    assert code == 2 and "lies in the run folder itself" in errors[-1]
    code, out, errors = tolman("eval", run, "--trust")
    assert code == 2 and "imported" in out and "evil" in errors[-1]


@pytest.mark.parametrize("name", ["log.txt", "checkpoints/8", "videos"])
@pytest.mark.parametrize("verb", ["eval", "play", "resume"])
def test_a_stored_run_reaches_nothing_elsewhere(verb, name, tolman, tmp_path):
    run, outside = tmp_path / "theirs", tmp_path / "outside"
    (run / name).parent.mkdir(parents=True)
    outside.mkdir()
    (run / name).symlink_to(outside)
    (run / "config.yaml").write_text("agent: meta_rl\nenv: os:getcwd\n")  # Not to be run.
    told = f"tolman: error: {run / name}: is a link out of {run}, and a stored run reads"
    code, _, errors = tolman(verb, run)
    assert code == 2 and errors[-1].startswith(told)
    code, _, errors = tolman(verb, run, "--trust")
    assert code == 2 and "is a link" not in errors[-1]
    (run / name).unlink()
    (run / name).symlink_to(run / "config.yaml")
    code, _, errors = tolman(verb, run)
    assert code == 2 and "is a link" not in errors[-1]


def test_a_run_on_examples(tolman, tmp_path):
    words = """train memo --env associative_inference --env.num-sequences 2
    --env.min-sequences 2 --env.num-classes 6 --env.num-exemplars 10 --env.item-size 4
    --agent.training.batch-size 4 --agent.model.item-size 4 --agent.model.head-size 4
    --agent.model.num-heads 1 --agent.model.hidden-size 4 --num-env-steps 40
    --checkpoint-interval 20"""
    code, _, errors = tolman(*words.split(), "--run-dir", tmp_path / "run")
    assert code == 0, errors
    whole = (tmp_path / "run" / "metrics.jsonl").read_text().count("\n")
    (tmp_path / "run" / "checkpoints" / "40").rename(tmp_path / "elsewhere")
    assert tolman("resume", tmp_path / "run")[0] == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == whole
    code, out, _ = tolman("eval", tmp_path / "run", "--num-episodes", 300)
    assert code == 0 and out.startswith("eval/accuracy 0.")
    code, _, errors = tolman("play", tmp_path / "run")
    assert code == 2 and "cannot be filmed. tolman eval" in errors[-1]


def test_a_player_and_a_study_of_ones_own(tolman, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from tolman.launchers.arena.players.uniform import RandomPlayer\n"
        "class Player(RandomPlayer):\n"
        "    def __init__(self):\n"
        "        super().__init__('mine')\n"
        "class study:\n"
        "    TITLE, PAPER = 'Mine', 'Nobody'\n"
        "    def run(study):\n"
        "        study.check('a claim', 1.0, '1', above=0.0)\n"
    )
    words = ["tournament", "tic_tac_toe", "random", "mine:Player", "--num-games", "2"]
    code, out, errors = tolman(*words)
    assert code == 0 and any(line.endswith("  mine") for line in out.splitlines()), errors
    code, out, errors = tolman("study", "mine:study", "--out", tmp_path / "out")
    assert code == 0 and "1 of 1 checks passed" in out, errors
    sys.modules.pop("mine")
