import io
import math
from dataclasses import dataclass, replace

import pytest

from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.settings.config import TrainConfig
from tolman.launchers.settings.files import load_config, save_config, to_mapping
from tolman.launchers.settings.values import build

WORDS = ["meta_rl", "--env", "two_step"]


def test_flags_set_every_level():
    flags = """--core=gru --core.hidden-size 7 --seed 3 --agent.learning-rate 2e-3
    --agent.no-use-previous-reward --env.num_trials=5"""
    config = parse_train([*WORDS, *flags.split()])
    assert (config.agent, config.core, config.seed) == ("meta_rl", "gru", 3)
    assert config.core_config.hidden_size == 7
    assert config.agent_config.learning_rate == 2e-3
    assert config.agent_config.unroll_length == 101  # The agent's own default.
    assert not config.agent_config.use_previous_reward
    assert config.env_config.num_trials == 5


def test_command_line_wins_over_yaml(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "agent: meta_rl\nenv: bandit/uniform\nnum_env_steps: 50\ncore.hidden_size: 5\n"
        "agent.learning_rate: 1e-4\nenv.first_arm_probabilities: [0.1, 0.9]\n"
        "agent.use_previous_action: false\n"
    )
    config = parse_train(["--config", str(path), "--core.hidden-size", "6"])
    assert (config.env, config.num_env_steps) == ("bandit/uniform", 50)
    assert config.core_config.hidden_size == 6
    assert config.agent_config.learning_rate == 1e-4
    assert not config.agent_config.use_previous_action
    assert config.env_config.first_arm_probabilities == (0.1, 0.9)
    other = parse_train(
        ["actor_critic", f"--config={path}", "--env.first-arm-probabilities"]
    )
    assert other.agent == "actor_critic"
    assert other.env_config.first_arm_probabilities == ()


def test_saved_config_loads_equal(tmp_path):
    config = parse_train(
        [*WORDS, "--loggers", "a:b", "c:d", "--agent.rmsprop-epsilon=1e-7"]
    )
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config
    assert to_mapping(config)["agent.rmsprop_epsilon"] == 1e-7


@dataclass(frozen=True)
class Lenient:
    """Defaults that are not of the type of their fields."""

    count: int = None
    limit: int = math.inf


def test_defaults_of_another_type_come_back_out_of_a_file():
    stored = {"count": None, "limit": math.inf}
    assert build(Lenient, stored, "here") == Lenient()
    assert build(Lenient, {**stored, "count": 3}, "here") == Lenient(3)
    with pytest.raises(ValueError, match=r"^here: limit=None: must be a whole number"):
        build(Lenient, {**stored, "limit": None}, "here")


def test_resolve_fills_in_defaults_and_checks_types():
    config = resolve(TrainConfig("meta_rl", "two_step")).config
    given = parse_train(WORDS)
    agent = replace(given.agent_config, off_policy_correction="none")  # From "auto".
    assert config == replace(given, launcher="on-device", agent_config=agent)
    with pytest.raises(ValueError, match="core 'gru' takes GRUConfig, got LSTMConfig"):
        resolve(replace(config, core="gru"))


def test_wrong_flag_is_one_line_where_output_is_ascii(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with pytest.raises(ValueError, match=r"^torso='mpl': must be one of .*mlp"):
        parse_train([*WORDS, "--agent.torso", "mpl"])
