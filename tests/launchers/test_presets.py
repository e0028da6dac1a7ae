"""Presets: below a file and flags, of their agent only, and fit to train with."""

import pytest

from tolman.agents.settings import Preset
from tolman.launchers.catalog.names import AGENT, find, presets_of, registered
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.settings.files import make_config, to_mapping


def all_presets():
    """Pairs of an agent and a preset, also of agents that other tests registered."""
    return [
        (agent, preset)
        for agent in registered(AGENT)
        for preset in presets_of(find(AGENT, agent))
    ]


def test_flags_win_over_a_file_and_that_over_a_preset(tmp_path):
    words = ["dqn", "--env", "CartPole-v1", "--preset", "classic"]
    config = parse_train(words)
    assert (config.core, config.preset) == ("feedforward", "classic")
    settings = presets_of(find(AGENT, "dqn"))["classic"].settings
    told = to_mapping(config)
    assert {key: told[key] for key in settings} == settings
    assert config.agent_config.discount == 0.99  # The agent's own default.
    path = tmp_path / "run.yaml"
    path.write_text("preset: classic\nagent.min_size: 700\nagent.batch_size: 7\n")
    config = parse_train([*words[:3], "--config", str(path), "--agent.batch-size", "9"])
    assert config.preset == "classic"
    assert (config.agent_config.min_size, config.agent_config.batch_size) == (700, 9)
    assert config.agent_config.target_update_period == 100
    made = make_config({"agent": "dqn", "env": "CartPole-v1", "preset": "classic"})
    assert made == parse_train(words)
    own = {"agent": "dqn", "env": "CartPole-v1", "preset": "classic", "agent.min_size": 9}
    assert make_config(own).agent_config.min_size == 9


def test_another_core_takes_none_of_the_preset_s_own_core():
    words = ["dqn", "--env", "two_step", "--preset", "memory"]
    assert parse_train(words).core_config.hidden_size == 64
    plain = parse_train([*words[:3], "--core", "gru"]).core_config
    assert parse_train([*words, "--core", "gru"]).core_config == plain
    words = ["actor_critic", "--env", "two_step", "--preset", "classic"]
    assert parse_train(words).core_config.hidden_size == 128
    config = parse_train([*words, "--core", "gtrxl"])
    assert config.core == "gtrxl"
    assert config == make_config(
        {"agent": "actor_critic", "env": "two_step", "preset": "classic", "core": "gtrxl"}
    )


@pytest.mark.parametrize(
    "agent, preset, message",
    [
        ("dqn", "clasic", r"preset='clasic': agent 'dqn' has .*did you mean 'classic'"),
        ("memo", "atari", "preset='atari': agent 'memo' has none. Leave --preset out."),
    ],
)
def test_an_unknown_preset_is_one_line(agent, preset, message):
    env = "associative_inference" if agent == "memo" else "two_step"
    with pytest.raises(ValueError, match=message) as error:
        parse_train([agent, "--env", env, "--preset", preset])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("agent, preset", all_presets())
def test_every_preset_resolves(agent, preset):
    config = parse_train([agent, "--env", "CartPole-v1", "--preset", preset])
    job = resolve(config)
    assert job.make_agent().data.batch_size == job.config.agent_config.batch_size
    job.source.close()
    settings = presets_of(find(AGENT, agent))[preset].settings
    told = to_mapping(config)
    assert {key: told[key] for key in settings} == settings


def test_a_preset_of_a_setting_that_is_none_is_refused(monkeypatch):
    preset = Preset("hyphens, as a flag has them", {"agent.batch-size": 16})
    monkeypatch.setitem(presets_of(find(AGENT, "ppo")), "mine", preset)
    with pytest.raises(ValueError, match=r"preset 'mine': key 'agent.batch-size' is unk"):
        parse_train(["ppo", "--env", "CartPole-v1", "--preset", "mine"])


def test_presets_are_listed_and_in_the_help(tolman, capsys):
    _, out, _ = tolman("list", "presets")
    lines = out.splitlines()
    assert lines[0] == "presets:" and len(lines) == 1 + len(all_presets())
    assert any(line.split()[:2] == ["dqn", "memory"] for line in lines)
    _, out, _ = tolman("train", "dqn", "--env", "two_step", "--help")
    assert "Of this agent: paper, classic, memory." in " ".join(
        out.replace("│", " ").split()
    )
