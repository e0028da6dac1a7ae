import io
from dataclasses import replace

import pytest

from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.config import (
    TrainConfig,
    load_config,
    parse_train,
    save_config,
    to_mapping,
)

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


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "AGENT is missing"),
        (["meta_rl"], "--env ID is missing"),
        (
            [*WORDS, "--core.hiden-size", "3"],
            r"--core.hiden-size is unknown \(did you mean",
        ),
        ([*WORDS, "--core.hidden-size", "many"], r"^hidden_size='many': must be a whole"),
        (
            [*WORDS, "--agent.discount", "a:b"],
            r"^discount='a:b': must be a number. Set --ag",
        ),
        ([*WORDS, "--core.hidden-size"], r"Missing value for argument"),
        ([*WORDS, "--agent.torso", "mpl"], r"^torso='mpl': .* .did you mean 'mlp'"),
        ([*WORDS, "--if-exists", "resum"], r"did you mean 'resume'"),
        ([*WORDS, "--launcher", "rya"], r"launcher='rya': must be one of local, on"),
        ([*WORDS, "stray"], r"stray"),
    ],
)
def test_wrong_flag_is_one_line(words, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_train(words)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "core.hiden_size: 3",
            r"run.yaml: key 'core.hiden_size' is unknown \(did you mean",
        ),
        ("core:\n  hidden_size: 3", "core .*unknown|holds a mapping"),
        ("num_env_steps: lots", "num_env_steps='lots': must be a whole .*Set --num"),
        ("num_env_steps: true", "num_env_steps=True: must be a whole number"),
        ("seed: true", "seed=True: must be a whole number, not of type bool"),
        ("agent.torso: mpl", r"agent.torso='mpl': must be one of .*did you mean 'mlp'"),
        ("agent.learning_rate: fast", "agent.learning_rate='fast': must be a number"),
        ("agent.use_previous_action: 1", "must be True or False"),
        ("loggers: wandb", "loggers='wandb': must be a tuple"),
        ("seed: 1\nenv: a\nseed: 2", "holds key .seed. twice"),
        ("a: &a [1]\nb: [*a, *a]", "holds an alias"),
        ("a: [", "is not YAML"),
        ("- 1", "must hold `key: value` lines"),
    ],
)
def test_wrong_yaml_is_one_line(text, message, tmp_path):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        parse_train([*WORDS, "--config", str(tmp_path / "run.yaml"), "--core", "lstm"])
    assert len(str(error.value).splitlines()) == 1


def test_unknown_logger_is_one_line():
    with pytest.raises(
        ValueError, match=r"logger 'wandbb' is unknown \(did you mean 'wandb'"
    ):
        resolve(TrainConfig("meta_rl", "two_step", loggers=("wandbb",)))
