"""The words of a sweep: which runs they stand for, and which mistakes are told."""

import pytest

from tolman.launchers.sweep.grid import Sweep, parse_seeds, parse_sweep, plan_runs

WORDS = "dqn --env cartpole --agent.learning-rate 1e-3,1e-4 --agent.replay=uniform"


def test_the_sweeps_own_flags_are_no_runs():
    told = [*WORDS.split(), "--seeds", "2", "--jobs=3", "--sweep-dir", "a/b"]
    assert parse_sweep(told) == Sweep(tuple(WORDS.split()), (0, 1), 3, "a/b", "processes")
    told = [*WORDS.split(), "--sweep-launcher", "population"]
    assert parse_sweep(told) == Sweep(tuple(WORDS.split()), (0,), launcher="population")
    assert parse_sweep(WORDS.split()) == Sweep(tuple(WORDS.split()), (0,), 0, None, "auto")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", (0, 1, 2)), ("2..4", (2, 3, 4)), ("7,3", (7, 3)), ("4..4", (4,))],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["0", "-1", "4..2", "3,3", "x", "1,", "1.5", ""])
def test_seeds_that_are_none(text):
    with pytest.raises(ValueError, match=r"a number of seeds .* Set --seeds"):
        parse_seeds(text)


def test_every_value_with_every_other_and_every_seed():
    words = "dqn --agent.learning-rate 1e-3,1e-4 --env a --agent.replay=uniform,other"
    runs = plan_runs(Sweep(tuple(words.split()), (0, 5)))
    assert len(runs) == 2 * 2 * 2 and len({run.name for run in runs}) == 8
    last = runs[-1]
    assert last.name == "agent.learning-rate=1e-4__agent.replay=other__s5"
    assert last.setting == "agent.learning-rate=1e-4  agent.replay=other"
    wanted = "dqn --agent.learning-rate 1e-4 --env a --agent.replay=other --seed 5"
    assert last.words == tuple(wanted.split())
    alone = plan_runs(Sweep(("dqn", "--env", "cartpole"), (0, 1)))
    assert [(run.name, run.setting) for run in alone] == [("s0", ""), ("s1", "")]


def test_an_agent_is_called_so_wherever_it_stands():
    for words in ("dqn,ppo --env a", "--env a dqn,ppo", "--env=a dqn,ppo"):
        runs = plan_runs(Sweep(tuple(words.split()), (0,)))
        assert [run.name for run in runs] == ["agent=dqn__s0", "agent=ppo__s0"]
        assert [run.setting for run in runs] == ["agent=dqn", "agent=ppo"]


def test_two_runs_never_share_a_folder():
    with pytest.raises(ValueError, match=r"would have one folder, env=a-b__s0\. Sweep"):
        plan_runs(Sweep(("dqn", "--env", "a/b,a:b"), (0, 1)))


def test_mistakes_end_in_one_line():
    for words, told in [
        ("--seed 3", "--seed: a sweep sets it for each run"),
        ("--jobs 0", "jobs='0': must be a number of at least 1"),
        ("--sweep-launcher cloud", "must be one of auto, population, processes, ray"),
        ("--sweep-launcher population --jobs 2", "jobs=2: a population trains all"),
    ]:
        with pytest.raises(ValueError, match=told):
            parse_sweep([*WORDS.split(), *words.split()])
    for value in ("1,1", "1,"):
        with pytest.raises(ValueError, match="must list different values"):
            plan_runs(Sweep(("dqn", "--agent.n-step", value), (0,)))
    with pytest.raises(ValueError, match="20000 runs, must be at most 10000"):
        plan_runs(Sweep(("dqn", "--agent.n-step", "1,2"), tuple(range(10_000))))
