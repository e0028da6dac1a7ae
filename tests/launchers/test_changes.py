"""Settings that change when a run is resumed: taken over from one row on, or refused."""

import json

import jax
import numpy as np
import pytest
import yaml
from toys import CountingTask, make_agent

from tolman.agents.actor_critic import ActorCriticConfig
from tolman.launchers.report import write_report
from tolman.launchers.report.changes import Change
from tolman.launchers.report.folders import read_run
from tolman.launchers.runs.changes import (
    check_data,
    check_kept,
    find_changes,
    take_settings,
)
from tolman.launchers.runs.job import resolve
from tolman.launchers.runs.training import resume, train
from tolman.launchers.runs.transfer import PARAMETERS, _sources
from tolman.launchers.settings.commands import parse_resume, parse_train
from tolman.launchers.settings.files import to_mapping

SMALL = """--env two_step --core feedforward --env.num-trials 2 --num-env-steps 40
--agent.unroll-length 5 --agent.batch-size 2 --agent.torso flat --log-interval 10
--agent.final-learning-rate-scale 1"""
WRAPPED = """
from typing import NamedTuple, Any
from tolman.agents.actor_critic import ActorCritic, ActorCriticConfig
from tolman.agents.gradient import Wrapper


class State(NamedTuple):
    inner: Any

    @property
    def params(self):
        return self.inner.params


class Wrapped(Wrapper):
    def init(self, key, hyperparameters=None):
        return State(self.inner.init(key, hyperparameters))

    def update(self, state, batch, key, progress):
        learned = self.inner.update(state.inner, batch, key, progress)
        return learned._replace(learner_state=State(learned.learner_state))


def make_wrapped(config: ActorCriticConfig, *rest):
    return Wrapped(ActorCritic(config, *rest))
"""


def leaves(run, units):
    with np.load(run / "checkpoints" / str(units) / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        return {name: file[f"arr_{i}"] for i, name in enumerate(names)}


def trained(folder, agent="actor_critic", flags=SMALL):
    return train(parse_train([agent, *flags.split(), "--run-dir", str(folder)]))


def config_of(run):
    return yaml.safe_load((run / "config.yaml").read_text())


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrapped")
    (folder / "my_wrapped.py").write_text(WRAPPED)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield "my_wrapped:make_wrapped"


@pytest.fixture(params=["plain", "wrapped"])
def run(request, tmp_path):
    """A run of 4 updates."""
    agent = "actor_critic"
    if request.param == "wrapped":
        agent = request.getfixturevalue("wrapped")
    return trained(tmp_path / "run", agent)


def test_the_changed_learning_rate_is_the_one_used(run):
    before = leaves(run, 40)
    resume(run, True, changes={"num_env_steps": 50, "agent.learning_rate": 1e-30})
    after = leaves(run, 50)
    moved = [name for name in before if not np.array_equal(before[name], after[name])]
    # A step so small moves no float32 parameter; its moments go on.
    assert not [name for name in moved if ".params" in name]
    assert [name for name in moved if ".optimizer_state" in name]
    name = next(n for n in after if n.endswith(".hyperparameters.learning_rate"))
    assert after[name] == np.float32(1e-30)
    config, rate = config_of(run), ActorCriticConfig().learning_rate
    assert (config["agent.learning_rate"], config["num_env_steps"]) == (1e-30, 50)
    assert [[*each.values()] for each in config["changes"]] == [
        [40, "num_env_steps", 40, 50],
        [40, "agent.learning_rate", rate, 1e-30],
    ]
    text = (run / "log.txt").read_text()
    assert f"from here on: agent.learning_rate 1e-30, until here {rate}" in text


def test_more_steps_alone_go_on_to_the_same_bits(tmp_path):
    short = trained(tmp_path / "short", flags=SMALL)
    resume(short, changes={"num_env_steps": 80})
    # No schedule depends on the length: the rate is constant, as is the entropy cost.
    whole = trained(tmp_path / "whole", flags=SMALL.replace("steps 40", "steps 80"))
    for name, leaf in leaves(whole, 80).items():
        np.testing.assert_array_equal(leaves(short, 80)[name], leaf)


def test_an_edited_file_is_taken_over_once_and_history_stays(tmp_path):
    run = trained(tmp_path / "run")
    path = run / "config.yaml"
    text = path.read_text().replace("discount: 0.99", "discount: 0.5")
    path.write_text(text.replace("num_env_steps: 40", "num_env_steps: 60"))
    resume(run)
    assert leaves(run, 60)[".learner.hyperparameters.discount"] == np.float32(0.5)
    resume(run)
    resume(run, changes={"num_env_steps": 70, "agent.entropy_cost": 0.5})
    config = config_of(run)
    told = [(each["at"], each["key"]) for each in config["changes"]]
    assert told == [
        (40, "num_env_steps"),
        (40, "agent.discount"),
        (60, "num_env_steps"),
        (60, "agent.entropy_cost"),
    ]
    shown = read_run(run)
    assert [(each.at, each.key) for each in shown.changes] == told
    assert "changes" not in shown.config
    page = write_report([run]).read_text()
    assert (
        "<title>num_env_steps: 40 \u2192 60; agent.discount: 0.99 \u2192 0.5</title>"
        in page
    )
    assert '<td class="code">agent.entropy_cost</td>' in page


@pytest.mark.parametrize(
    "change, message",
    [
        ({"env": "bandit/easy"}, "^env='bandit/easy': this run has 'two_step'"),
        ({"agent": "meta_rl"}, "^agent='meta_rl': this run has 'actor_critic'"),
        ({"core": "gru"}, "^core='gru': this run has 'feedforward'"),
        ({"env.num_trials": 3}, "^env.num_trials=3: this run has 2 and must keep"),
        ({"seed": 1}, "^seed=1: this run has 0 and must keep it"),
        ({"agent.unroll_length": 10}, "^agent.unroll_length=10: this run has 5"),
        ({"agent.batch_size": 4}, "^agent.batch_size=4: this run has 2"),
        (
            {"agent.torso": "mlp"},
            r"^agent.torso='mlp': this run has 'flat' and must keep it \(.*leaf",
        ),
        ({"num_env_steps": 39}, "^num_env_steps=39: this run stands at 40 already"),
        ({"agent.learning_rate": -1.0}, "learning_rate=-1.0: must be above 0"),
        ({"agent.lerning_rate": 1.0}, "did you mean 'agent.learning_rate'"),
    ],
)
def test_what_cannot_change_is_refused_in_one_line(tmp_path, change, message):
    run = refusing_run(tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=message) as error:
        resume(run, changes={"num_env_steps": 80, **change})
    assert len(str(error.value).splitlines()) == 1
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    log = run / "log.txt"
    assert {p: b for p, b in kept.items() if p != log} == {
        p: b for p, b in before.items() if p != log
    }


_RUNS = []


def refusing_run(tmp_path):
    """One run for all refusals, as none of them changes it."""
    if not _RUNS:
        _RUNS.append(trained(tmp_path / "run"))
    return _RUNS[0]


def test_the_command_finds_what_the_flags_change(tmp_path, tolman):
    run = refusing_run(tmp_path)
    words = "--num-env-steps 90 --agent.learning-rate 0.5 --loggers a:b --trust".split()
    given = parse_resume([str(run), *words])
    assert given.changes == {
        "num_env_steps": 90,
        "agent.learning_rate": 0.5,
        "loggers": ["a:b"],
    }
    assert (given.trust, given.empty_replay) == (True, False)
    assert parse_resume([str(run), "--empty-replay"]).changes == {}
    code, _, (error,) = tolman("resume", run, "--agent.lerning-rate", "1")
    assert code == 2 and "did you mean '--agent.learning-rate'" in error


def test_only_keys_that_both_configs_have_differ():
    before = {"a": 1, "b": 2, "run_dir": "x", "if_exists": "fail", "gone": 3}
    after = {"a": 1, "b": 3, "run_dir": "y", "if_exists": "new", "new": 4}
    (change,) = find_changes(before, after, 7)
    assert (change.at, change.key, change.before, change.after) == (7, "b", 2, 3)


def test_every_run_keeps_what_it_is_and_where_its_data_waits():
    kept = """agent env core launcher seed preset init_from fresh replay replay_shards
    num_envs env.num_trials core.hidden_size""".split()
    for key in kept:
        with pytest.raises(ValueError, match=rf"^{key}=2: this run has 1 and must keep it"):
            check_kept([Change(7, key, 1, 2)])
    for key in ("num_env_steps", "agent.discount", "loggers", "eval_every", "actors"):
        check_kept([Change(7, key, 1, 2)])


def test_how_old_data_is_corrected_may_change():
    """It is counted alike: of a `DataSpec` the lag alone differs."""
    words = ["actor_critic", *SMALL.split(), "--agent.off-policy-correction"]
    before = to_mapping(parse_train([*words, "none"]))
    job = resolve(parse_train([*words, "vtrace"]))
    check_data([Change(7, "agent.off_policy_correction", "none", "vtrace")], before, job)
    with pytest.raises(ValueError, match=r"^agent.batch_size=3: this run has 2"):
        check_data([Change(7, "agent.batch_size", 2, 3)], before, job)


def test_settings_of_any_depth_are_the_fresh_ones():
    restored = {"inner": [{"hyperparameters": {"rate": 1}}], "hyper": 2, "params": 3}
    fresh = {"inner": [{"hyperparameters": {"rate": 4}}], "hyper": 5, "params": 6}
    assert take_settings(restored, fresh) == {
        "inner": [{"hyperparameters": {"rate": 4}}],
        "hyper": 2,
        "params": 3,
    }


def test_an_agent_starts_from_one_inside_a_wrapper_and_the_other_way(wrapped, tmp_path):
    plain, around = trained(tmp_path / "plain"), trained(tmp_path / "around", wrapped)
    for name, source, agent in (
        ("a", plain, wrapped),
        ("b", around, "actor_critic"),
        ("c", around, wrapped),
    ):
        words = f"{SMALL} --agent.learning-rate 1e-30 --init-from {source}"
        run = trained(tmp_path / name, agent, words)
        old, new = (
            [leaf for path, leaf in leaves(where, 40).items() if ".params" in path]
            for where in (source, run)
        )
        assert len(old) == len(new) > 0
        for before, after in zip(old, new, strict=True):
            np.testing.assert_array_equal(before, after)
        assert f"took {len(new)} of {len(new)} parameters" in (run / "log.txt").read_text()


def test_parameters_inside_wrappers_count_from_their_agent_on():
    ours = [".learner.params['w']", ".learner.target_weights['w']"]
    theirs = [
        ".learner.inner.params['w']",
        ".learner.inner.inner.target_weights['w']",
        ".learner.inner.optimizer_state[0].mu['params']",
    ]
    stored = [name for name in theirs if PARAMETERS.fullmatch(name)]
    assert stored == theirs[:2]
    assert _sources(ours, stored) == dict(zip(ours, stored, strict=True))
    # Two of one path: nothing says which is meant; an equal path does.
    twice = [*stored, ".learner.other.params['w']"]
    assert _sources(ours, twice) == {ours[1]: stored[1]}
    assert _sources(ours, [*twice, ours[0]])[ours[0]] == ours[0]


@pytest.mark.parametrize("name", ["actor_critic", "meta_rl", "dqn"])
def test_every_hyperparameter_is_the_config_s_and_all_else_stays(name):
    def learner(key, **settings):
        agent = make_agent(name, CountingTask(), "feedforward", **settings)
        return agent.init(jax.random.PRNGKey(key))

    restored = learner(0)
    fresh = learner(1, learning_rate=0.5, discount=0.25)
    taken = take_settings(restored, fresh)
    assert (taken.hyperparameters.learning_rate, taken.hyperparameters.discount) == (
        0.5,
        0.25,
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        taken._replace(hyperparameters=restored.hyperparameters),
        restored,
    )
