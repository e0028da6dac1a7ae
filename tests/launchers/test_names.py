import pytest

from tolman.launchers import names
from tolman.launchers.names import AGENT, CORE, ENV
from tolman.networks.cores import LSTM, LSTMConfig


def test_registered_names_resolve():
    assert names.resolve(CORE, "lstm") is LSTM
    assert names.config_type(CORE, "lstm") is LSTMConfig
    assert names.config_type(AGENT, "meta_rl").__name__ == "MetaRLConfig"
    assert names.default_settings(ENV, "bandit/easy").num_trials == 100


def test_module_attribute_resolves(extension):
    assert names.resolve(CORE, "tolman.networks.cores:LSTM") is LSTM
    assert names.config_type(CORE, "my_extension:MyCore").__name__ == "MyConfig"
    assert names.config_type(AGENT, "my_extension:Faulty").__name__ == "ActorCriticConfig"


def test_factory_signature_becomes_settings(extension):
    settings = names.settings_type("my_extension:make_env")(num_trials=4)
    assert (settings.num_trials, settings.scale) == (4, 1.0)
    assert names.make_environment("my_extension:make_env", settings).num_trials == 4


def test_entry_point_of_installed_package_resolves(extension):
    info = extension / "my_extension-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: my_extension\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text("[tolman.cores]\nmine = my_extension:MyCore\n")
    assert names.resolve(CORE, "mine").__name__ == "MyCore"
    with pytest.raises(ValueError, match=r"did you mean 'mine'"):
        names.resolve(CORE, "minee")


@pytest.mark.parametrize(
    "kind, name, message",
    [
        (
            CORE,
            "lstn",
            r"^core 'lstn' is unknown \(did you mean 'lstm'\?\): use one of .*gru",
        ),
        (ENV, "zzz", r"^env 'zzz' is unknown: use one of bandit/easy"),
        (AGENT, "meta-rl", r"did you mean 'meta_rl'"),
        (ENV, "ALE/Pongo-v5", r"did you mean 'ALE/Pong-v5'"),
        (ENV, "gymnasium.envs:Thing-v0", r"Gymnasium knows no 'Thing-v0'"),
        (CORE, "no_such_module:Core", r"importing no_such_module failed"),
        (CORE, "my_extension:MyCor", r"has no 'MyCor' \(did you mean 'MyCore'\?\)"),
        (CORE, "my_extension:A_NUMBER", r"is a int; must be a class"),
        (CORE, ":MyCore", r"spelled module:attribute"),
    ],
)
def test_wrong_name_is_one_line(kind, name, message, extension):
    with pytest.raises(ValueError, match=message) as error:
        names.resolve(kind, name)
    assert len(str(error.value).splitlines()) == 1


def test_wrong_thing_is_one_line(extension):
    with pytest.raises(ValueError, match="parameter `config` annotated"):
        names.config_type(CORE, "my_extension:Slow")
    with pytest.raises(ValueError, match="lacks initial_state, unroll"):
        names.make_core("my_extension:make_env", None)
    with pytest.raises(ValueError, match="not an on-device environment"):
        names.make_environment(
            "my_extension:Slow", names.settings_type("my_extension:Slow")()
        )
    with pytest.raises(ValueError, match=r"set --env\.num-trials"):
        names.default_settings(ENV, "my_extension:make_env")
